"""Read a pickle as plain data: no opcode imports a module or calls a function of the pickle.

`pickle.Unpickler` can be told what it may import, but not how much it may allocate: one opcode of six bytes
can make its memo gigabytes large. Here the memory that an opcode takes is proportional to its own bytes. A
global is only a name. The caller lists the names that are allowed and says what a call of each gives; any
other name is refused.

The opcodes: ``pickletools`` in Python's library, protocols 2 to 5.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gradflow.errors import DataError
from gradflow.readers.messages import quote, report_damage

# Takes the arguments of a call and returns the value that the call leaves on the stack.
PickleCall = Callable[[tuple[Any, ...]], object]


@dataclass(frozen=True)
class PickleGlobal:
    """The name of a global that a pickle refers to, such as ``"collections.OrderedDict"``."""

    name: str


class PickleDict(list[tuple[Any, Any]]):
    """The items of a dict. Keys are not hashed: hashing a tuple of shared tuples can take forever."""


class OpaqueValue:
    """A value that is not inspected. Items may be appended or set; they are ignored."""


def unpickle(data: bytes, calls: Mapping[str, PickleCall], persistent: PickleCall) -> object:
    """Return the value that a pickle describes.

    Parameters
    ----------
    data : bytes
    calls : mapping of str to callable
        The globals that the pickle may name, and for each the function that replaces a call of it.
    persistent : callable
        Takes a persistent id, which is a tuple, and returns the value that it stands for.

    Raises
    ------
    DataError
        If the pickle names another global, is damaged, or uses opcodes older than protocol 2.

    Examples
    --------
    >>> import pickle
    >>> unpickle(pickle.dumps({"a": [1, 2.5]}), {}, tuple)
    [('a', [1, 2.5])]
    """
    machine = _PickleMachine(data, calls, persistent)
    try:
        return machine.run()
    except (IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        raise report_damage(
            f"its pickle is unreadable at byte {machine.position} ({quote(str(error), 100)})"
        ) from error


class _PickleMachine:
    """A stack, the marks in it, and a memo. The memo is a dict, so that a large index takes no memory."""

    def __init__(self, data: bytes, calls: Mapping[str, PickleCall], persistent: PickleCall) -> None:
        self.position = 0
        self._data = data
        self._calls = calls
        self._persistent = persistent
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> object:
        """Run all opcodes up to STOP and return the value on top of the stack."""
        while (opcode := self._take(1)) != _STOP_OPCODE:
            action = _OPCODE_ACTIONS.get(opcode)
            if action is None:
                raise DataError(
                    f"its pickle has the unsupported opcode {opcode!r} at byte {self.position - 1}; "
                    "save it with protocol 2 or later"
                )
            action(self)
        return self._stack.pop()

    def _take(self, count: int) -> bytes:
        data = self._data[self.position : self.position + count]
        if len(data) < count:
            raise report_damage(f"its pickle ends at byte {len(self._data)}, before it is complete")
        self.position += count
        return data

    def _read_number(self, code: str) -> Any:
        """Return the next number, which ``struct`` unpacks with ``code``."""
        return struct.unpack(code, self._take(struct.calcsize(code)))[0]

    def _read_line(self) -> str:
        end = self._data.index(b"\n", self.position)
        return self._take(end + 1 - self.position)[:-1].decode()

    def _pop_to_mark(self) -> list[Any]:
        """Pop the last mark, and all values above it."""
        mark = self._marks.pop()
        values = self._stack[mark:]
        del self._stack[mark:]
        return values

    def push_mark(self) -> None:
        self._marks.append(len(self._stack))

    def discard(self) -> None:
        self._stack.pop()

    def discard_to_mark(self) -> None:
        self._pop_to_mark()

    def duplicate(self) -> None:
        self._stack.append(self._stack[-1])

    def push(self, build: Callable[[], object]) -> None:
        self._stack.append(build())

    def replace_to_mark_by_opaque(self) -> None:
        self._pop_to_mark()
        self._stack.append(OpaqueValue())

    def push_number(self, code: str) -> None:
        self._stack.append(self._read_number(code))

    def push_long(self) -> None:
        self._stack.append(int.from_bytes(self._take(self._read_number("<B")), "little", signed=True))

    def push_text(self, code: str) -> None:
        # pickle itself writes lone surrogates in this way.
        self._stack.append(self._take(self._read_number(code)).decode("utf-8", "surrogatepass"))

    def push_bytes(self, code: str) -> None:
        self._stack.append(self._take(self._read_number(code)))

    def replace_to_mark_by_tuple(self) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def push_tuple(self, count: int) -> None:
        items = tuple(self._stack.pop() for _ in range(count))
        self._stack.append(items[::-1])

    def append(self) -> None:
        self._extend([self._stack.pop()])

    def append_to_mark(self) -> None:
        self._extend(self._pop_to_mark())

    def set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._update([key, value])

    def set_items_to_mark(self) -> None:
        self._update(self._pop_to_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is list:
            target.extend(items)
        elif not isinstance(target, OpaqueValue):
            raise report_damage("its pickle appends to a value that is not a list")

    def _update(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, PickleDict):
            target.extend(zip(items[::2], items[1::2], strict=True))
        elif not isinstance(target, OpaqueValue):
            raise report_damage("its pickle sets an item of a value that is not a dict")

    def push_global_from_lines(self) -> None:
        self._push_global(self._read_line(), self._read_line())

    def push_global_from_stack(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not (isinstance(module, str) and isinstance(name, str)):
            raise report_damage("its pickle has a global whose name is not text")
        self._push_global(module, name)

    def _push_global(self, module: str, name: str) -> None:
        whole = f"{module}.{name}"
        if whole not in self._calls:
            raise DataError(
                f"holds a pickled {quote(whole, 100)}, which is not created, as that would run its code; "
                "save the weights alone: torch.save(model.state_dict(), FILE)"
            )
        self._stack.append(PickleGlobal(whole))

    def call(self) -> None:
        arguments, called = self._stack.pop(), self._stack.pop()
        if not (isinstance(called, PickleGlobal) and isinstance(arguments, tuple)):
            raise report_damage("its pickle calls a value that is not a function")
        self._stack.append(self._calls[called.name](arguments))

    def call_with_keywords(self) -> None:
        self._stack.pop()
        self.call()

    def resolve_persistent_id(self) -> None:
        self._stack.append(self._persistent(self._stack.pop()))

    def remember(self, code: str) -> None:
        self._memo[self._read_number(code)] = self._stack[-1]

    def remember_next(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def recall(self, code: str) -> None:
        self._stack.append(self._memo[self._read_number(code)])

    def skip(self, count: int) -> None:
        self._take(count)


_STOP_OPCODE = b"."
_OPCODE_ACTIONS: dict[bytes, Callable[[_PickleMachine], None]] = {
    # protocol, frame
    b"\x80": lambda machine: machine.skip(1),
    b"\x95": lambda machine: machine.skip(8),
    b"(": _PickleMachine.push_mark,
    b"0": _PickleMachine.discard,
    b"1": _PickleMachine.discard_to_mark,
    b"2": _PickleMachine.duplicate,
    # None, True, False
    b"N": lambda machine: machine.push(lambda: None),
    b"\x88": lambda machine: machine.push(lambda: True),
    b"\x89": lambda machine: machine.push(lambda: False),
    # integers of 4, 1, 2 and any number of bytes, floats
    b"J": lambda machine: machine.push_number("<i"),
    b"K": lambda machine: machine.push_number("<B"),
    b"M": lambda machine: machine.push_number("<H"),
    b"\x8a": _PickleMachine.push_long,
    b"G": lambda machine: machine.push_number(">d"),
    # characters and bytes, after their count in 4, 1 or 8 bytes
    b"X": lambda machine: machine.push_text("<I"),
    b"\x8c": lambda machine: machine.push_text("<B"),
    b"\x8d": lambda machine: machine.push_text("<Q"),
    b"B": lambda machine: machine.push_bytes("<I"),
    b"C": lambda machine: machine.push_bytes("<B"),
    b"\x8e": lambda machine: machine.push_bytes("<Q"),
    b"\x96": lambda machine: machine.push_bytes("<Q"),
    b"T": lambda machine: machine.push_bytes("<I"),
    b"U": lambda machine: machine.push_bytes("<B"),
    # tuples, lists, dicts, sets
    b")": lambda machine: machine.push(tuple),
    b"\x85": lambda machine: machine.push_tuple(1),
    b"\x86": lambda machine: machine.push_tuple(2),
    b"\x87": lambda machine: machine.push_tuple(3),
    b"t": _PickleMachine.replace_to_mark_by_tuple,
    b"]": lambda machine: machine.push(list),
    b"a": _PickleMachine.append,
    b"e": _PickleMachine.append_to_mark,
    b"}": lambda machine: machine.push(PickleDict),
    b"s": _PickleMachine.set_item,
    b"u": _PickleMachine.set_items_to_mark,
    b"\x8f": lambda machine: machine.push(OpaqueValue),
    b"\x90": _PickleMachine.discard_to_mark,
    b"\x91": _PickleMachine.replace_to_mark_by_opaque,
    # globals, by lines or from the stack; calls, with and without keywords; a state, which is ignored
    b"c": _PickleMachine.push_global_from_lines,
    b"\x93": _PickleMachine.push_global_from_stack,
    b"R": _PickleMachine.call,
    b"\x81": _PickleMachine.call,
    b"\x92": _PickleMachine.call_with_keywords,
    b"b": _PickleMachine.discard,
    b"Q": _PickleMachine.resolve_persistent_id,
    # the memo, with indices of 1 or 4 bytes or none
    b"q": lambda machine: machine.remember("<B"),
    b"r": lambda machine: machine.remember("<I"),
    b"\x94": _PickleMachine.remember_next,
    b"h": lambda machine: machine.recall("<B"),
    b"j": lambda machine: machine.recall("<I"),
}
