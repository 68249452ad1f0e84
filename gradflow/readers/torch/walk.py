"""The tensors inside a pickled value by their paths, and what the value holds that is not inspected.

Names of dicts, lists and tuples are the paths through them. A module that was saved whole has the names of
its ``state_dict``, and its buffers that are not persistent. The attributes of other objects are searched as
well; a tensor that stands elsewhere already is not listed again for them.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from gradflow.errors import DataError
from gradflow.readers.messages import quote, report_damage
from gradflow.readers.source import check_byte_limit
from gradflow.readers.stored_array import NONLINEARITY_KEY
from gradflow.readers.torch.numpy_objects import parse_numpy_array
from gradflow.readers.torch.pickle import HARMLESS_GLOBALS
from gradflow.readers.torch.script import SCRIPT_PREFIX, ScriptCode
from gradflow.readers.torch.tensors import (
    MissingTensor,
    NumpyArray,
    PickledTensor,
    QuantizedTensor,
    SparseTensor,
    TensorView,
)
from gradflow.readers.torch.unpickler import PickleDict, PickleGlobal, PickleObject

MAX_PICKLE_DEPTH = 100
# A limit on the values visited per byte of the pickle: without sharing there is less than one. A value that
# is looked into, and an array, count as several; without sharing they take as many bytes.
_VALUES_PER_BYTE = 2
_FREE_VALUES = 100_000
_VALUES_PER_NODE = 4
_VALUES_PER_OBJECT = 8
_VALUES_PER_ARRAY = 60
_CHARACTERS_PER_VALUE = 16
# A tuple with more parts is not spelled out when it is a key.
_MAX_KEY_PARTS = 8
# The characters of all names together may be this many, and as many more per byte of the pickle.
_MAX_NAME_CHARACTERS = 2**25
_CHARACTERS_PER_BYTE = 8
MAX_NAMED_VALUES = 10

_TENSORS = {TensorView, QuantizedTensor, SparseTensor, MissingTensor, NumpyArray}
_NODES = _TENSORS | {list, tuple, PickleDict, PickleObject, PickleGlobal}
_DICT_CLASSES = ("collections.OrderedDict", "collections.defaultdict")
_MODULE_GROUPS = ("_parameters", "_buffers", "_modules")
# torch repeats the weights of a recurrent module in it.
_REPEATING_ATTRIBUTE = "_flat_weights"
# torch computes the attribute without the suffix from such parameters: weight norm, spectral norm, pruning,
# weight drop.
_SOURCE_SUFFIXES = ("_g", "_v", "_orig", "_raw")
_NONLINEARITIES = {"RNN_RELU": "relu", "RNN_TANH": "tanh", "relu": "relu", "tanh": "tanh"}
_PACKED_CLASS = "torch.ScriptObject"

# The keys that lead to a value, last first; joined only for a value that is listed.
_KeyPath: TypeAlias = "tuple[_KeyPath, Any] | None"


class FoundTensor(NamedTuple):
    """A tensor, the path to it, and what its module says about it."""

    path: str
    tensor: PickledTensor
    metadata: Mapping[str, Any]


class PickleFindings(NamedTuple):
    """The tensors of a pickled value, and remarks on what else it holds."""

    tensors: list[FoundTensor]
    remarks: tuple[str, ...]


def find_tensors(value: object, byte_count: int, code: ScriptCode | None = None) -> PickleFindings:
    """Return the tensors in a value that a pickle of ``byte_count`` bytes describes.

    ``code`` is the text of the program, if the value belongs to one.

    Raises
    ------
    DataError
        If its containers are nested too deep, or two tensors have the same name.
    """
    walk = _PickleWalk(byte_count, code)
    return PickleFindings(walk.find_tensors(value), walk.describe_rest())


class _NamedValues:
    """Values that are counted; the first of them are named."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.count = 0

    def add(self, name: Callable[[], str]) -> None:
        if len(self.names) < MAX_NAMED_VALUES:
            self.names.append(quote(name(), 100)[1:-1])
        self.count += 1

    def __str__(self) -> str:
        rest = self.count - len(self.names)
        return ", ".join(self.names) + (f" and {rest} more" if rest else "")


class _PickleWalk:
    """A bounded walk through nested values: a pickle of a few bytes can share its values endlessly.

    Containers and modules come first, and a container is visited wherever it stands, because tied tensors
    have several names. Other objects wait in a queue, and each of them is visited once.
    """

    def __init__(self, byte_count: int, code: ScriptCode | None) -> None:
        self._code = code
        self._steps = _FREE_VALUES + _VALUES_PER_BYTE * byte_count
        self._characters = _MAX_NAME_CHARACTERS + _CHARACTERS_PER_BYTE * byte_count
        self._spelled = 0
        self._tensors: dict[str, FoundTensor] = {}
        self._repetitions: dict[str, int] = {}
        self._arrays: dict[int, NumpyArray | None] = {}
        self._queue: deque[tuple[_KeyPath, Any, int, bool, str | None]] = deque()
        self._queued: set[int] = set()
        self._waiting: set[int] = set()
        self._seen: set[int] = set()
        self._seen_tensors: set[PickledTensor] = set()
        self._without_tensors: set[int] = set()
        self._opaque = _NamedValues()
        self._packed = _NamedValues()
        self._quantized = _NamedValues()
        self._module_classes: dict[str, None] = {}
        self._has_deep_values = False

    def find_tensors(self, value: object) -> list[FoundTensor]:
        if _is_node(value):
            self._visit(value, None, 0, None)
        while self._queue:
            self._visit_object(*self._queue.popleft())
        return list(self._tensors.values())

    def describe_rest(self) -> tuple[str, ...]:
        """Return one remark on opaque values, and one each on quantized tensors and packed ones."""
        opaque = []
        if self._module_classes:
            classes = _NamedValues()
            for name in self._module_classes:
                classes.add(partial(str, name))
            opaque.append(f"modules were not created, only their arrays read: {classes}")
        if self._opaque.count:
            opaque.append(f"opaque values were searched for arrays, but not created: {self._opaque}")
        if self._has_deep_values:
            opaque.append(f"values nested more than {MAX_PICKLE_DEPTH} deep were not searched")
        remarks = ["; ".join(opaque)] if opaque else []
        if self._quantized.count:
            remarks.append(f"quantized tensors are read as scale · (q − zero point): {self._quantized}")
        if self._packed.count:
            remarks.append(
                f"quantized weights that torch has packed are not read: {self._packed}; save the model "
                "before it is quantized"
            )
        return tuple(remarks)

    def _visit(self, node: Any, path: _KeyPath, level: int, nonlinearity: str | None) -> bool:
        """Find the tensors at or below a value; objects wait. Return whether there were any."""
        if type(node) in _TENSORS:
            self._add(path, node, nonlinearity)
            return True
        if id(node) in self._without_tensors:
            return False
        self._spend(_VALUES_PER_NODE, level)
        items = self._list_items(node)
        if items is None:
            return self._visit_special(node, path, level, nonlinearity)
        # Every value is visited, also after the first tensor.
        found = [
            self._visit(value, (path, key), level + 1, nonlinearity)
            for key, value in items
            if _is_node(value)
        ]
        self._seen.add(id(node))
        if any(found):
            return True
        self._without_tensors.add(id(node))
        return False

    def _visit_special(self, node: Any, path: _KeyPath, level: int, nonlinearity: str | None) -> bool:
        if id(node) in self._waiting:
            return False
        array = self._parse_array(node)
        if array is not None:
            self._seen.add(id(node))
            self._add(path, array, nonlinearity)
            return True
        state = self._get_module_state(node)
        if state is not None:
            return self._visit_module(node, state, path, level, nonlinearity)
        self._waiting.add(id(node))
        self._enqueue(path, node, level, False)
        return False

    def _visit_module(
        self, node: PickleObject, state: dict[str, Any], path: _KeyPath, level: int, inherited: str | None
    ) -> bool:
        self._spend(1 + len(state), level)
        self._seen.add(id(node))
        name = node.class_name
        self._spend(len(name) // _CHARACTERS_PER_VALUE, level)
        self._module_classes.setdefault(name)
        nonlinearity = _get_nonlinearity(state) or inherited
        computed: set[str] = set()
        found = False
        for group in ("_parameters", "_buffers"):
            for key, value in self._list_items(state[group]) or ():
                if _is_node(value):
                    found |= self._visit(value, (path, key), level + 1, nonlinearity)
                if isinstance(key, str):
                    computed |= {key.removesuffix(suffix) for suffix in _SOURCE_SUFFIXES}
        for key, value in self._list_items(state["_modules"]) or ():
            if _is_node(value):
                passed = nonlinearity if inherited or key == "parametrizations" else None
                found |= self._visit(value, (path, key), level + 1, passed)
        for key, value in state.items():
            if key in _MODULE_GROUPS or key == _REPEATING_ATTRIBUTE or not _is_node(value):
                continue
            if not (type(value) in _TENSORS and key in computed):
                self._enqueue((path, key), value, level + 1, False)
        return found

    def _visit_object(
        self, path: _KeyPath, node: Any, level: int, is_inside: bool, nonlinearity: str | None
    ) -> None:
        """Find the tensors of an object that was not seen before; ``is_inside`` another that is named."""
        if type(node) in _TENSORS:
            if node not in self._seen_tensors:
                self._add(path, node, nonlinearity, is_attribute=True)
            return
        if id(node) in self._seen:
            return
        self._seen.add(id(node))
        if level > MAX_PICKLE_DEPTH:
            self._has_deep_values = True
            return
        items = self._list_items(node)
        if items is not None:
            self._wait(path, items, level, is_inside)
            return
        if isinstance(node, PickleGlobal):
            if not is_inside and node.name not in HARMLESS_GLOBALS:
                self._opaque.add(lambda: f"{self._join(path)} ({node.name})".lstrip())
            return
        array = self._parse_array(node)
        state = self._get_module_state(node)
        if array is not None:
            self._add(path, array, None, is_attribute=True)
        elif state is not None:
            self._visit_module(node, state, path, level, None)
        elif node.class_name == _PACKED_CLASS:
            self._packed.add(lambda: self._join(path))
        else:
            self._visit_parts(path, node, level, is_inside)

    def _visit_parts(self, path: _KeyPath, node: PickleObject, level: int, is_inside: bool) -> None:
        name = node.class_name
        if not is_inside and name not in HARMLESS_GLOBALS and not name.startswith(SCRIPT_PREFIX):
            self._opaque.add(lambda: f"{self._join(path)} ({name})".lstrip())
            is_inside = True
        nonlinearity = self._code.find_activation(name) if self._code else None
        for state in node.states:
            slots = isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], PickleDict)
            for part in state if slots else (state,):
                items = self._list_items(part)
                self._wait(
                    path, [("state", part)] if items is None else items, level, is_inside, nonlinearity
                )
        self._wait(path, node.items or (), level, is_inside)
        self._wait(path, list(enumerate(node.entries or ())), level, is_inside)
        self._wait(path, list(enumerate(node.arguments)), level, is_inside)
        self._wait(
            path, [("called", node.called)] if isinstance(node.called, PickleObject) else (), level, is_inside
        )

    def _wait(
        self,
        path: _KeyPath,
        items: Sequence[tuple[Any, Any]],
        level: int,
        is_inside: bool,
        nonlinearity: str | None = None,
    ) -> None:
        if not items:
            return
        self._spend(len(items), 0)
        for key, value in items:
            if _is_node(value):
                self._enqueue((path, key), value, level + 1, is_inside, nonlinearity)

    def _enqueue(
        self, path: _KeyPath, node: Any, level: int, is_inside: bool, nonlinearity: str | None = None
    ) -> None:
        """Let a value wait, unless it waits already: the first of equal entries is the one that counts."""
        if id(node) not in self._queued:
            self._spend(_VALUES_PER_OBJECT if type(node) is PickleObject else 1, 0)
            self._queued.add(id(node))
            self._queue.append((path, node, level, is_inside, nonlinearity))

    def _list_items(self, node: object) -> Sequence[tuple[Any, Any]] | None:
        """Return the keys and values of a container, or None for another value."""
        if isinstance(node, PickleDict):
            self._spend(len(node), 0)
            return node
        if isinstance(node, list | tuple):
            self._spend(len(node), 0)
            return list(enumerate(node))
        if isinstance(node, PickleObject) and node.class_name in _DICT_CLASSES:
            lists = [part for part in node.arguments if isinstance(part, list)]
            # Many objects can share their arguments.
            self._spend(len(node.arguments) + sum(map(len, lists)) + len(node.items or ()), 0)
            initial = [pair for part in lists for pair in part]
            pairs = [tuple(pair) for pair in initial if isinstance(pair, list | tuple) and len(pair) == 2]
            return [*pairs, *(node.items or ())]
        return None

    def _parse_array(self, node: object) -> NumpyArray | None:
        """Return the array of numpy that an object describes, which is parsed once, or None."""
        if id(node) not in self._arrays:
            array = parse_numpy_array(node)
            if array is not None:
                # Many objects can share their bytes, of which Python 2 and protocol 2 make text.
                self._spend(len(array.contents) // _CHARACTERS_PER_VALUE, 0)
            self._arrays[id(node)] = array
        return self._arrays[id(node)]

    def _get_module_state(self, node: object) -> dict[str, Any] | None:
        """Return the attributes of a module of torch, or None for another value."""
        if not (isinstance(node, PickleObject) and node.states and isinstance(node.states[-1], PickleDict)):
            return None
        # Many objects can share a state.
        self._spend(len(node.states[-1]), 0)
        state = {key: value for key, value in node.states[-1] if isinstance(key, str)}
        return state if state.keys() >= set(_MODULE_GROUPS) else None

    def _spend(self, steps: int, level: int) -> None:
        self._steps -= steps
        if level > MAX_PICKLE_DEPTH or self._steps < 0:
            raise DataError(
                f"its values are nested more than {MAX_PICKLE_DEPTH} deep, or contain themselves; "
                "expected a state dict: torch.save(model.state_dict(), FILE)"
            )

    def _add(
        self, path: _KeyPath, tensor: PickledTensor, nonlinearity: str | None, is_attribute: bool = False
    ) -> None:
        self._spend(_VALUES_PER_ARRAY + len(tensor.shape), 0)
        name = self._join(path)
        first = name
        while is_attribute and name in self._tensors:
            # Two parts of an object can have the same name, such as an argument 0 and an entry 0.
            self._repetitions[first] = self._repetitions.get(first, 1) + 1
            name = f"{first} ({self._repetitions[first]})"
        if name in self._tensors:
            raise DataError(f"holds two arrays named {quote(name)}; expected each name once")
        if isinstance(tensor, QuantizedTensor):
            self._quantized.add(partial(str, name))
        self._seen_tensors.add(tensor)
        self._tensors[name] = FoundTensor(
            name, tensor, {NONLINEARITY_KEY: nonlinearity} if nonlinearity else {}
        )

    def _join(self, path: _KeyPath) -> str:
        keys = []
        while path is not None:
            path, key = path
            keys.append(_name_key(key))
            self._spelled += len(keys[-1]) + 1
        self._spend(len(keys), 0)
        check_byte_limit(self._spelled, "the names of its tensors")
        if self._spelled > self._characters:
            raise report_damage(f"the names of its tensors take more than {self._characters} characters")
        return ".".join(key for key in reversed(keys) if key)


def _is_node(value: object) -> bool:
    """Return whether a value is an array, or may hold one."""
    return type(value) in _NODES and bool(value)


def _get_nonlinearity(state: Mapping[str, Any]) -> str | None:
    """Return the activation that torch's RNN or RNNCell states."""
    for key in ("nonlinearity", "mode"):
        stated = state.get(key)
        if isinstance(stated, str) and stated in _NONLINEARITIES:
            return _NONLINEARITIES[stated]
    return None


def _name_key(key: object) -> str:
    """Return the text that stands for the key of a dict, which may be any value, in a name."""
    if isinstance(key, str):
        return key
    if isinstance(key, PickleObject):
        return key.class_name
    if type(key) in _TENSORS:
        return "tensor"  # Optimizers keep the state of a parameter under the parameter itself.
    parts = key if isinstance(key, tuple) else (key,)
    if len(parts) <= _MAX_KEY_PARTS and all(isinstance(part, str | int | float | None) for part in parts):
        return str(key)
    return type(key).__name__
