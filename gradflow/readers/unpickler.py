"""A pickle as data: the opcodes that make plain values, one by one; nothing is imported or called by name.

`pickle.Unpickler` can be told what to import, but not what to allocate: one opcode of six bytes makes its
memo gigabytes large. Here no opcode takes more memory than its own bytes warrant. A global is a name; the
caller says what a call of it gives, and any name that the caller does not list is refused.

The opcodes: ``pickletools`` in Python's library, protocols 2 to 5.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gradflow.errors import DataError
from gradflow.readers.messages import damaged, shown

# what a call, given its arguments, leaves on the stack
Call = Callable[[tuple[Any, ...]], object]


@dataclass(frozen=True)
class Global:
    """What a pickle names instead of holding it, such as ``"collections.OrderedDict"``; only its name."""

    name: str


class Pairs(list[tuple[Any, Any]]):
    """The items of a dict; no key is hashed, for a tuple of shared tuples can take for ever to hash."""


class Opaque:
    """A value that is not looked into; takes whatever is done to it."""


def unpickled(data: bytes, calls: Mapping[str, Call], persistent: Call) -> object:
    """Return the value that a pickle describes.

    Parameters
    ----------
    data : bytes
    calls : mapping of str to callable
        The globals that the pickle may name, and what calling each stands for.
    persistent : callable
        Returns what a persistent id, a tuple, stands for.

    Raises
    ------
    DataError
        If the pickle names another global, is damaged, or uses opcodes older than protocol 2.

    Examples
    --------
    >>> import pickle
    >>> unpickled(pickle.dumps({"a": [1, 2.5]}), {}, tuple)
    [('a', [1, 2.5])]
    """
    machine = _Machine(data, calls, persistent)
    try:
        return machine.run()
    except (IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        raise damaged(
            f"its pickle is unreadable at byte {machine.position} ({shown(str(error), 100)})"
        ) from error


class _Machine:
    """A stack, the marks in it, and a memo, which is a dict so that its indices cost nothing."""

    def __init__(self, data: bytes, calls: Mapping[str, Call], persistent: Call) -> None:
        self.position = 0
        self._data = data
        self._calls = calls
        self._persistent = persistent
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> object:
        """Run up to STOP and return what is on top of the stack."""
        while (opcode := self._take(1)) != _STOP:
            action = _ACTIONS.get(opcode)
            if action is None:
                raise DataError(
                    f"its pickle has opcode {opcode!r} at byte {self.position - 1}, which is not read; "
                    "save it with protocol 2 or later"
                )
            action(self)
        return self._stack.pop()

    def _take(self, count: int) -> bytes:
        found = self._data[self.position : self.position + count]
        if len(found) < count:
            raise damaged(f"its pickle ends at byte {len(self._data)}, before it is complete")
        self.position += count
        return found

    def _number(self, code: str) -> Any:
        """Return the number that ``struct`` unpacks with ``code``."""
        return struct.unpack(code, self._take(struct.calcsize(code)))[0]

    def _line(self) -> str:
        end = self._data.index(b"\n", self.position)
        return self._take(end + 1 - self.position)[:-1].decode()

    def _above_mark(self) -> list[Any]:
        """Take all that was pushed since the last mark."""
        mark = self._marks.pop()
        found = self._stack[mark:]
        del self._stack[mark:]
        return found

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def discard(self) -> None:
        self._stack.pop()

    def discard_to_mark(self) -> None:
        self._above_mark()

    def duplicate(self) -> None:
        self._stack.append(self._stack[-1])

    def make(self, build: Callable[[], object]) -> None:
        self._stack.append(build())

    def make_opaque_to_mark(self) -> None:
        self._above_mark()
        self._stack.append(Opaque())

    def number(self, code: str) -> None:
        self._stack.append(self._number(code))

    def long(self) -> None:
        self._stack.append(int.from_bytes(self._take(self._number("<B")), "little", signed=True))

    def text(self, code: str) -> None:
        # lone surrogates are what pickle itself writes for them
        self._stack.append(self._take(self._number(code)).decode("utf-8", "surrogatepass"))

    def octets(self, code: str) -> None:
        self._stack.append(self._take(self._number(code)))

    def tuple_to_mark(self) -> None:
        self._stack.append(tuple(self._above_mark()))

    def tuple_of(self, count: int) -> None:
        items = tuple(self._stack.pop() for _ in range(count))
        self._stack.append(items[::-1])

    def append(self) -> None:
        self._extend([self._stack.pop()])

    def appends(self) -> None:
        self._extend(self._above_mark())

    def set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._update([key, value])

    def set_items(self) -> None:
        self._update(self._above_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is list:
            target.extend(items)
        elif not isinstance(target, Opaque):
            raise damaged("its pickle appends to what is no list")

    def _update(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, Pairs):
            target.extend(zip(items[::2], items[1::2], strict=True))
        elif not isinstance(target, Opaque):
            raise damaged("its pickle sets an item of what is no dict")

    def named_by_lines(self) -> None:
        self._name(self._line(), self._line())

    def named_by_stack(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not (isinstance(module, str) and isinstance(name, str)):
            raise damaged("its pickle names a global by what is no text")
        self._name(module, name)

    def _name(self, module: str, name: str) -> None:
        whole = f"{module}.{name}"
        if whole not in self._calls:
            raise DataError(
                f"holds a pickled {shown(whole, 100)}, and pickled objects are never built, for that runs "
                "their code; save the weights alone: torch.save(model.state_dict(), FILE)"
            )
        self._stack.append(Global(whole))

    def call(self) -> None:
        arguments, called = self._stack.pop(), self._stack.pop()
        if not (isinstance(called, Global) and isinstance(arguments, tuple)):
            raise damaged("its pickle calls what is no function")
        self._stack.append(self._calls[called.name](arguments))

    def call_with_names(self) -> None:
        self._stack.pop()
        self.call()

    def persist(self) -> None:
        self._stack.append(self._persistent(self._stack.pop()))

    def remember(self, code: str) -> None:
        self._memo[self._number(code)] = self._stack[-1]

    def remember_next(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def recall(self, code: str) -> None:
        self._stack.append(self._memo[self._number(code)])

    def skip(self, count: int) -> None:
        self._take(count)


_STOP = b"."
_ACTIONS: dict[bytes, Callable[[_Machine], None]] = {
    # how the pickle is written: protocol, frame
    b"\x80": lambda machine: machine.skip(1),
    b"\x95": lambda machine: machine.skip(8),
    b"(": _Machine.mark,
    b"0": _Machine.discard,
    b"1": _Machine.discard_to_mark,
    b"2": _Machine.duplicate,
    # None, True, False
    b"N": lambda machine: machine.make(lambda: None),
    b"\x88": lambda machine: machine.make(lambda: True),
    b"\x89": lambda machine: machine.make(lambda: False),
    # integers of 4, 1, 2 and any number of bytes, floats
    b"J": lambda machine: machine.number("<i"),
    b"K": lambda machine: machine.number("<B"),
    b"M": lambda machine: machine.number("<H"),
    b"\x8a": _Machine.long,
    b"G": lambda machine: machine.number(">d"),
    # characters and bytes, after their count in 4, 1 or 8 bytes
    b"X": lambda machine: machine.text("<I"),
    b"\x8c": lambda machine: machine.text("<B"),
    b"\x8d": lambda machine: machine.text("<Q"),
    b"B": lambda machine: machine.octets("<I"),
    b"C": lambda machine: machine.octets("<B"),
    b"\x8e": lambda machine: machine.octets("<Q"),
    b"\x96": lambda machine: machine.octets("<Q"),
    b"T": lambda machine: machine.octets("<I"),
    b"U": lambda machine: machine.octets("<B"),
    # tuples, lists, dicts, sets
    b")": lambda machine: machine.make(tuple),
    b"\x85": lambda machine: machine.tuple_of(1),
    b"\x86": lambda machine: machine.tuple_of(2),
    b"\x87": lambda machine: machine.tuple_of(3),
    b"t": _Machine.tuple_to_mark,
    b"]": lambda machine: machine.make(list),
    b"a": _Machine.append,
    b"e": _Machine.appends,
    b"}": lambda machine: machine.make(Pairs),
    b"s": _Machine.set_item,
    b"u": _Machine.set_items,
    b"\x8f": lambda machine: machine.make(Opaque),
    b"\x90": _Machine.discard_to_mark,
    b"\x91": _Machine.make_opaque_to_mark,
    # globals, by name or by the stack; calls, with and without names; a state, which is left out
    b"c": _Machine.named_by_lines,
    b"\x93": _Machine.named_by_stack,
    b"R": _Machine.call,
    b"\x81": _Machine.call,
    b"\x92": _Machine.call_with_names,
    b"b": _Machine.discard,
    b"Q": _Machine.persist,
    # the memo, with indices of 1 or 4 bytes or none
    b"q": lambda machine: machine.remember("<B"),
    b"r": lambda machine: machine.remember("<I"),
    b"\x94": _Machine.remember_next,
    b"h": lambda machine: machine.recall("<B"),
    b"j": lambda machine: machine.recall("<I"),
}
