"""Read a pickle as plain data: no opcode imports a module or calls a function of the pickle.

`pickle.Unpickler` can be told what it may import, but not how much it may allocate: one opcode of six bytes
can make its memo gigabytes large. Here the memory that an opcode takes is proportional to its own bytes. A
global is only a name. The caller says what a call of some globals gives; a call of any other global gives a
`PickleObject`, which records what the pickle says about the object: what is called with which arguments, its
state, its items.

The opcodes: ``pickletools`` in Python's library, protocols 0 to 5.
"""

import codecs
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from mmap import mmap
from typing import Any, NamedTuple, TypeAlias

from gradflow.errors import DataError
from gradflow.readers.messages import quote, report_damage
from gradflow.readers.source import check_byte_limit

# Takes the arguments of a call and returns the value that the call leaves on the stack.
PickleCall = Callable[[tuple[Any, ...]], object]
PickleBytes: TypeAlias = "bytes | mmap"

# The memory that the costliest opcode of one byte takes: an object, its place on the stack and in the garbage
# collector.
BYTES_PER_OPCODE = 100
_OPCODES_PER_CHECK = 2**16
# pickle itself writes names of globals and numbers as lines. Longer lines are text of protocol 0.
_MAX_LINE_BYTES = 2**24
_MAX_INTEGER_BYTES = 1000
_MAX_ARGUMENTS = 20
_MAX_GLOBAL_CHARACTERS = 1000
# A limit on what replaced calls and persistent ids cost, per byte of the pickle and in the costs below, which
# count the numbers that are looked at. Those that torch writes take several times as many bytes.
_COST_PER_BYTE = 2
_FREE_COST = 10_000
_COST_PER_CALL = 20
# Python 2 wrote both text and bytes as strings. Text is short.
_MAX_TEXT_BYTES = 2**16
# These functions create an object of the class that is their first argument.
_GENERIC_CONSTRUCTORS = {
    *(f"{module}.{name}" for module in ("copyreg", "copy_reg") for name in ("_reconstructor", "__newobj__")),
    "copyreg.__newobj_ex__",
}
_ATTRIBUTE_FUNCTIONS = {"builtins.getattr", "__builtin__.getattr"}


@dataclass(frozen=True)
class PickleGlobal:
    """A global that a pickle refers to, such as ``collections.OrderedDict``."""

    module: str
    attribute: str

    @property
    def name(self) -> str:
        """The whole name. It is not stored: a pickle can make many of two long texts."""
        return f"{self.module}.{self.attribute}"


class PickleDict(list[tuple[Any, Any]]):
    """The items of a dict. Keys are not hashed: hashing a tuple of shared tuples can take forever."""


class PickleObject:
    """What a pickle says about an object that is not created.

    Attributes
    ----------
    called : PickleGlobal or PickleObject
        The class or function whose call gives the object. It may be the result of a call itself.
    arguments : tuple
        The arguments of the call.
    states : list
        The states that are given to the object, in most pickles one or none.
    items : PickleDict or None
        The items that are set.
    entries : list or None
        The values that are appended or added.
    """

    __slots__ = ("arguments", "called", "entries", "items", "states")

    def __init__(self, called: "PickleGlobal | PickleObject", arguments: tuple[Any, ...]) -> None:
        self.called = called
        self.arguments = arguments
        self.states: list[Any] | tuple[()] = ()
        self.items: PickleDict | None = None
        self.entries: list[Any] | None = None

    @property
    def class_name(self) -> str:
        """The name of the object's class, as far as the pickle says, else of the function that is called."""
        called = self.called
        if not isinstance(called, PickleGlobal):
            return "the result of a call"
        match self.arguments:
            case (PickleGlobal(name=name), *_) if called.name in _GENERIC_CONSTRUCTORS:
                return name
            case (PickleGlobal(name=name), str(attribute)) if called.name in _ATTRIBUTE_FUNCTIONS:
                return f"{name}.{attribute}"
        return called.name


class UnpickledValue(NamedTuple):
    """A value, and the position after its pickle."""

    value: object
    end: int


def unpickle(
    data: PickleBytes, calls: Mapping[str, PickleCall], persistent: PickleCall, start: int = 0
) -> UnpickledValue:
    """Return the value that a pickle describes.

    Parameters
    ----------
    data : bytes or mmap
        Bytes that hold the pickle.
    calls : mapping of str to callable
        For some globals the function that replaces a call. A call of any other gives a `PickleObject`.
    persistent : callable
        Takes a persistent id, which is a tuple or a text, and returns the value that it stands for.
    start : int
        The position of the pickle in ``data``.

    Raises
    ------
    DataError
        If the pickle is damaged, or its values take more memory than the limit.

    Examples
    --------
    >>> import pickle
    >>> unpickle(pickle.dumps({"a": [1, 2.5]}), {}, tuple).value
    [('a', [1, 2.5])]
    >>> unpickle(pickle.dumps(print), {}, tuple).value
    PickleGlobal(module='builtins', attribute='print')
    """
    machine = _PickleMachine(data, calls, persistent, start)
    try:
        return UnpickledValue(machine.run(), machine.position)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
        raise report_damage(
            f"its pickle is unreadable at byte {machine.position} ({quote(str(error), 100)})"
        ) from error


class _PickleMachine:
    """A stack, the marks in it, and a memo. The memo is a dict, so that a large index takes no memory."""

    def __init__(
        self, data: PickleBytes, calls: Mapping[str, PickleCall], persistent: PickleCall, start: int
    ) -> None:
        self.position = start
        self._data = data
        self._view = memoryview(data)
        self._start = start
        self._calls = calls
        self._persistent = persistent
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._globals: dict[tuple[str, str], PickleGlobal] = {}
        self._cost = 0

    def run(self) -> object:
        """Run all opcodes up to STOP and return the value on top of the stack."""
        count = 0
        while (opcode := self._data[self._skip(1)]) != _STOP_OPCODE:
            action = _ACTIONS_BY_NUMBER.get(opcode)
            if action is None:
                raise DataError(
                    f"its pickle has the unsupported opcode {bytes([opcode])!r} at byte {self.position - 1}; "
                    "save it without buffers out of band"
                )
            action(self)
            count += 1
            if count % _OPCODES_PER_CHECK == 0:
                self._check_memory(count)
        self._check_memory(count)
        return self._stack.pop()

    def _check_memory(self, count: int) -> None:
        taken = BYTES_PER_OPCODE * count + self.position - self._start
        check_byte_limit(taken, "the description in its pickle")

    def _charge(self, arguments: object) -> None:
        """Count the cost of a replaced call: many calls can share their arguments."""
        if arguments == ():
            return
        parts = arguments if isinstance(arguments, tuple) else ()
        self._cost += _COST_PER_CALL + sum(len(part) for part in parts if isinstance(part, tuple))
        if self._cost > _FREE_COST + _COST_PER_BYTE * (self.position - self._start):
            raise report_damage(f"its pickle repeats values too often, up to byte {self.position}")

    def _skip(self, count: int) -> int:
        """Go past the next ``count`` bytes and return their position."""
        begin = self.position
        if begin + count > len(self._data):
            raise report_damage(f"its pickle ends at byte {len(self._data)}, before it is complete")
        self.position += count
        return begin

    def _take(self, count: int) -> bytes:
        begin = self._skip(count)
        return self._data[begin : self.position]

    def _read_number(self, code: str) -> Any:
        """Return the next number, which ``struct`` unpacks with ``code``."""
        return struct.unpack(code, self._take(struct.calcsize(code)))[0]

    def _read_line(self) -> bytes:
        end = self._data.find(b"\n", self.position, self.position + _MAX_LINE_BYTES)
        if end < 0:
            raise report_damage(f"its pickle has a line without an end at byte {self.position}")
        return self._take(end + 1 - self.position)[:-1]

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

    def push_number(self, code: str) -> None:
        self._stack.append(self._read_number(code))

    def push_long(self, code: str) -> None:
        count = self._read_number(code)
        if not 0 <= count <= _MAX_INTEGER_BYTES:
            raise report_damage(f"its pickle has an integer of {count} bytes")
        self._stack.append(int.from_bytes(self._take(count), "little", signed=True))

    def push_number_from_line(self, parse: Callable[[bytes], object]) -> None:
        self._stack.append(parse(self._read_line()))

    def push_text(self, code: str) -> None:
        # pickle itself writes lone surrogates in this way.
        self._stack.append(self._take(self._read_number(code)).decode("utf-8", "surrogatepass"))

    def push_bytes(self, code: str) -> None:
        begin = self._skip(self._read_number(code))
        self._stack.append(self._view[begin : self.position])

    def push_string(self, code: str) -> None:
        count = self._read_number(code)
        begin = self._skip(count)
        view = self._view[begin : self.position]
        try:
            self._stack.append(bytes(view).decode() if count <= _MAX_TEXT_BYTES else view)
        except UnicodeDecodeError:
            self._stack.append(view)

    def push_string_from_line(self) -> None:
        line = self._read_line()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise report_damage("its pickle has a string without quotes")
        content = codecs.escape_decode(line[1:-1])[0]
        try:
            self._stack.append(content.decode())
        except UnicodeDecodeError:
            self._stack.append(memoryview(content))

    def push_text_from_line(self) -> None:
        self._stack.append(self._read_line().decode("raw-unicode-escape"))

    def replace_to_mark(self, build: Callable[[list[Any]], object]) -> None:
        self._stack.append(build(self._pop_to_mark()))

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

    def _extend(self, entries: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is list:
            target.extend(entries)
        elif isinstance(target, PickleObject):
            target.entries = target.entries or []
            target.entries.extend(entries)
        else:
            raise report_damage("its pickle appends to a value that is not a list")

    def _update(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, PickleObject):
            target.items = target.items or PickleDict()
            target.items.extend(_pair(items))
        elif isinstance(target, PickleDict):
            target.extend(_pair(items))
        else:
            raise report_damage("its pickle sets an item of a value that is not a dict")

    def push_global_from_lines(self) -> None:
        self._push_global(self._read_line().decode(), self._read_line().decode())

    def _push_global(self, module: str, attribute: str) -> None:
        # The whole name is joined at each use.
        if len(module) + len(attribute) > _MAX_GLOBAL_CHARACTERS:
            raise report_damage(
                f"its pickle has a global whose name takes {len(module) + len(attribute)} characters; "
                f"expected at most {_MAX_GLOBAL_CHARACTERS}"
            )
        # Equal globals are one value, which is looked at once.
        key = (module, attribute)
        if key not in self._globals:
            self._globals[key] = PickleGlobal(module, attribute)
        self._stack.append(self._globals[key])

    def push_global_from_stack(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not (isinstance(module, str) and isinstance(name, str)):
            raise report_damage("its pickle has a global whose name is not text")
        self._push_global(module, name)

    def push_extension(self, code: str) -> None:
        # A number that copyreg.add_extension has given to a global.
        self._push_global("copyreg", f"extension {self._read_number(code)}")

    def call(self) -> None:
        arguments, called = self._stack.pop(), self._stack.pop()
        self._push_result(called, arguments)

    def call_with_keywords(self) -> None:
        keywords, arguments, called = self._stack.pop(), self._stack.pop(), self._stack.pop()
        self._push_result(called, arguments)
        created = self._stack[-1]
        if isinstance(created, PickleObject):
            created.states = [keywords]

    def call_from_lines(self) -> None:
        self.push_global_from_lines()
        called = self._stack.pop()
        self._push_result(called, tuple(self._pop_to_mark()))

    def call_to_mark(self) -> None:
        called, *arguments = self._pop_to_mark()
        self._push_result(called, tuple(arguments))

    def _push_result(self, called: object, arguments: object) -> None:
        """Push what the call of a global gives. The result of a call may be called too, as a method is."""
        if not (isinstance(called, PickleGlobal | PickleObject) and isinstance(arguments, tuple)):
            raise report_damage("its pickle calls a value that is not a function")
        name = called.name if isinstance(called, PickleGlobal) else ""
        replacement = self._calls.get(name)
        if replacement and len(arguments) > _MAX_ARGUMENTS:
            # Many calls can share a long tuple of arguments.
            raise report_damage(f"its pickle calls {quote(name)} with {len(arguments)} arguments")
        if replacement:
            self._charge(arguments)
        self._stack.append(replacement(arguments) if replacement else PickleObject(called, arguments))

    def build(self) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if isinstance(target, PickleObject):
            target.states = [*target.states[-1:], state]

    def resolve_persistent_id(self) -> None:
        self._push_persistent(self._stack.pop())

    def resolve_persistent_id_from_line(self) -> None:
        self._push_persistent(self._read_line().decode())

    def _push_persistent(self, identity: Any) -> None:
        self._charge(identity)
        self._stack.append(self._persistent(identity))

    def remember(self, code: str) -> None:
        self._memo[self._read_number(code)] = self._stack[-1]

    def remember_by_line(self) -> None:
        self._memo[int(self._read_line())] = self._stack[-1]

    def remember_next(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def recall(self, code: str) -> None:
        self._stack.append(self._memo[self._read_number(code)])

    def recall_by_line(self) -> None:
        self._stack.append(self._memo[int(self._read_line())])

    def skip(self, count: int) -> None:
        self._skip(count)


def _pair(items: list[Any]) -> PickleDict:
    """Return keys and values that follow each other as the items of a dict."""
    return PickleDict(zip(items[::2], items[1::2], strict=True))


def _parse_integer(line: bytes) -> object:
    """Return the integer in a line of protocol 0, where 00 and 01 are False and True."""
    return line == b"01" if line in (b"00", b"01") else int(line)


_SET, _FROZENSET = PickleGlobal("builtins", "set"), PickleGlobal("builtins", "frozenset")
_STOP_OPCODE = ord(".")
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
    b"\x8a": lambda machine: machine.push_long("<B"),
    b"\x8b": lambda machine: machine.push_long("<i"),
    b"G": lambda machine: machine.push_number(">d"),
    # characters and bytes, after their count in 4, 1 or 8 bytes
    b"X": lambda machine: machine.push_text("<I"),
    b"\x8c": lambda machine: machine.push_text("<B"),
    b"\x8d": lambda machine: machine.push_text("<Q"),
    b"B": lambda machine: machine.push_bytes("<I"),
    b"C": lambda machine: machine.push_bytes("<B"),
    b"\x8e": lambda machine: machine.push_bytes("<Q"),
    b"\x96": lambda machine: machine.push_bytes("<Q"),
    b"T": lambda machine: machine.push_string("<I"),
    b"U": lambda machine: machine.push_string("<B"),
    # numbers and characters as lines: integers, long integers, floats, strings of Python 2, text
    b"I": lambda machine: machine.push_number_from_line(_parse_integer),
    b"L": lambda machine: machine.push_number_from_line(lambda line: int(line.removesuffix(b"L"))),
    b"F": lambda machine: machine.push_number_from_line(float),
    b"S": _PickleMachine.push_string_from_line,
    b"V": _PickleMachine.push_text_from_line,
    # tuples, lists, dicts, sets
    b")": lambda machine: machine.push(tuple),
    b"\x85": lambda machine: machine.push_tuple(1),
    b"\x86": lambda machine: machine.push_tuple(2),
    b"\x87": lambda machine: machine.push_tuple(3),
    b"t": lambda machine: machine.replace_to_mark(tuple),
    b"l": lambda machine: machine.replace_to_mark(list),
    b"d": lambda machine: machine.replace_to_mark(_pair),
    b"]": lambda machine: machine.push(list),
    b"a": _PickleMachine.append,
    b"e": _PickleMachine.append_to_mark,
    b"}": lambda machine: machine.push(PickleDict),
    b"s": _PickleMachine.set_item,
    b"u": _PickleMachine.set_items_to_mark,
    b"\x8f": lambda machine: machine.push(lambda: PickleObject(_SET, ())),
    b"\x90": _PickleMachine.append_to_mark,
    b"\x91": lambda machine: machine.replace_to_mark(
        lambda entries: PickleObject(_FROZENSET, tuple(entries))
    ),
    # globals, by lines, from the stack or by number; calls, with and without keywords; a state
    b"c": _PickleMachine.push_global_from_lines,
    b"\x93": _PickleMachine.push_global_from_stack,
    b"\x82": lambda machine: machine.push_extension("<B"),
    b"\x83": lambda machine: machine.push_extension("<H"),
    b"\x84": lambda machine: machine.push_extension("<i"),
    b"R": _PickleMachine.call,
    b"i": _PickleMachine.call_from_lines,
    b"o": _PickleMachine.call_to_mark,
    b"\x81": _PickleMachine.call,
    b"\x92": _PickleMachine.call_with_keywords,
    b"b": _PickleMachine.build,
    b"Q": _PickleMachine.resolve_persistent_id,
    b"P": _PickleMachine.resolve_persistent_id_from_line,
    # the memo, with indices of 1 or 4 bytes, as lines, or none
    b"q": lambda machine: machine.remember("<B"),
    b"r": lambda machine: machine.remember("<I"),
    b"\x94": _PickleMachine.remember_next,
    b"p": _PickleMachine.remember_by_line,
    b"h": lambda machine: machine.recall("<B"),
    b"j": lambda machine: machine.recall("<I"),
    b"g": _PickleMachine.recall_by_line,
}
_ACTIONS_BY_NUMBER = {ord(opcode): action for opcode, action in _OPCODE_ACTIONS.items()}
