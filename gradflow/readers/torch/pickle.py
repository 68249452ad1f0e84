"""The ``data.pkl`` of a torch checkpoint: the globals that it may name, and the tensors that it describes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from gradflow.errors import DataError
from gradflow.readers.entry_types import ENTRY_TYPES
from gradflow.readers.messages import report_damage
from gradflow.readers.source import check_byte_limit
from gradflow.readers.torch.unpickler import OpaqueValue, PickleCall, PickleDict, PickleGlobal, unpickle

MAX_PICKLE_DEPTH = 100
# A limit on the values visited per byte of the pickle: a tree without sharing has less than one.
_VALUES_PER_BYTE = 2
# A tuple with more parts is not spelled out when it is a key.
_MAX_KEY_PARTS = 8
_STORAGE_TYPES = {
    "torch.DoubleStorage": "float64",
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.ComplexDoubleStorage": "complex128",
    "torch.ComplexFloatStorage": "complex64",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
    # bytes; the tensor says their type
    "torch.storage.UntypedStorage": "uint8",
}
# numpy lacks these types. A tensor of such a type is listed, and refused when it is read.
_NON_NUMPY_TYPES = (
    *("complex32", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
    *("float4_e2m1fn_x2", "bits8", "bits16", "uint1", "uint2", "uint3", "uint4", "int1", "int2", "int4"),
)
_TORCH_TYPES = tuple(f"torch.{name}" for name in (*ENTRY_TYPES, *_NON_NUMPY_TYPES))
_BUILTINS = (
    *("set", "frozenset", "slice", "complex", "range", "xrange", "bytearray"),
    *("int", "float", "str", "bytes", "bool", "list", "tuple", "dict"),
)
_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
# Objects that checkpoints hold besides weights. They are neither inspected nor created.
_HARMLESS_GLOBALS = (
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _BUILTINS),
    *(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in _PATHS),
    *(f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")),
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    *(f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")),
    "numpy.dtype",
    "numpy.ndarray",
    # Protocol 2 writes bytes so.
    "_codecs.encode",
    "argparse.Namespace",
    "types.SimpleNamespace",
    "collections.Counter",
    "collections.deque",
    "torch.device",
    "torch.serialization._get_layout",
    "torch.Tensor",
    "torch.nn.parameter.Parameter",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
)


@dataclass(frozen=True)
class TensorStorage:
    """A flat array of numbers in the member ``data/{key}``."""

    key: str
    dtype: str
    byte_count: int


@dataclass(frozen=True)
class TensorView:
    """A view of a storage. The offset and the strides count entries of type ``dtype``."""

    storage: TensorStorage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def last_entry(self) -> int:
        """The index in the storage of the tensor's last entry, if it has entries."""
        steps = zip(self.shape, self.strides, strict=True)
        return self.offset + sum((size - 1) * stride for size, stride in steps)


def list_tensors(data: bytes) -> Iterator[tuple[str, TensorView]]:
    """Yield the path, through dicts, lists and tuples, and the view of each tensor that a pickle describes.

    Raises
    ------
    DataError
        If the pickle is damaged, names a global that does not belong in a state dict, or is nested too deep.
    """
    walk = _TensorWalk(_VALUES_PER_BYTE * len(data))
    return walk.list_tensors(unpickle(data, _ALLOWED_CALLS, _parse_storage), "", 0)


class _TensorWalk:
    """A bounded walk through nested values: a pickle of a few bytes can share its values endlessly."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._characters = 0

    def list_tensors(self, node: Any, path: str, level: int) -> Iterator[tuple[str, TensorView]]:
        """Yield the path and the view of every tensor at or below ``node``."""
        if isinstance(node, TensorView):
            yield path, node
        elif isinstance(node, list | tuple):
            self._steps -= 1 + len(node)
            if level > MAX_PICKLE_DEPTH or self._steps < 0:
                raise DataError(
                    f"its values are nested more than {MAX_PICKLE_DEPTH} deep, or contain themselves; "
                    "expected a state dict: torch.save(model.state_dict(), FILE)"
                )
            for key, value in node if isinstance(node, PickleDict) else enumerate(node):
                if isinstance(value, TensorView | list | tuple):
                    yield from self.list_tensors(value, self._join(path, key), level + 1)

    def _join(self, path: str, key: object) -> str:
        joined = f"{path}.{_name_key(key)}" if path else _name_key(key)
        self._characters += len(joined)
        check_byte_limit(self._characters, "the names of its tensors")
        return joined


def _name_key(key: object) -> str:
    """Return the text that stands for the key of a dict, which may be any value, in a name."""
    if isinstance(key, str):
        return key
    parts = key if isinstance(key, tuple) else (key,)
    if len(parts) <= _MAX_KEY_PARTS and all(isinstance(part, str | int | float | None) for part in parts):
        return str(key)
    return type(key).__name__


def _parse_storage(identity: object) -> TensorStorage:
    match identity:
        case ("storage", PickleGlobal(name), str(key), _, int(count)) if (
            name in _STORAGE_TYPES and count >= 0
        ):
            dtype = _STORAGE_TYPES[name]
            return TensorStorage(key, dtype, count * ENTRY_TYPES[dtype].make_dtype().itemsize)
    raise report_damage("its pickle has a storage without type, key and size")


def _rebuild_tensor(arguments: tuple[Any, ...]) -> TensorView:
    """Return the view that ``_rebuild_tensor`` and ``_rebuild_tensor_v2`` describe."""
    match arguments:
        case (TensorStorage() as storage, offset, tuple(shape), tuple(strides), *others):
            numbers = (offset, *shape, *strides)
            whole = all(type(number) is int and 0 <= number < 2**63 for number in numbers)
            if whole and len(shape) == len(strides):
                # The others are requires_grad, hooks, and a dict that may say "conjugate" or "negate".
                if any(others[2:]):
                    raise DataError(
                        "holds a tensor with a pending negation or conjugation; save its "
                        ".resolve_neg().resolve_conj()"
                    )
                return TensorView(storage, storage.dtype, offset, shape, strides)
    raise report_damage("its pickle has a tensor without storage, offset, shape and strides of 0 or more")


def _rebuild_typed_tensor(arguments: tuple[Any, ...]) -> TensorView:
    """Return the view that ``_rebuild_tensor_v3`` describes; its type may differ from the storage's."""
    match arguments:
        case (storage, offset, shape, strides, grad, hooks, PickleGlobal(name), *others) if (
            name in _TORCH_TYPES
        ):
            tensor = _rebuild_tensor((storage, offset, shape, strides, grad, hooks, *others))
            return replace(tensor, dtype=name.removeprefix("torch."))
    raise report_damage("its pickle has a tensor without a type")


def _rebuild_subclassed(arguments: tuple[Any, ...]) -> object:
    """Return the tensor inside ``_rebuild_from_type_v2``, whose arguments are a function, a class, …"""
    match arguments:
        case (PickleGlobal(name), _, tuple(inner), *_) if name in _REBUILDERS:
            return _REBUILDERS[name](inner)
    raise report_damage("its pickle rebuilds a tensor by an unknown function")


def _take_first(arguments: tuple[Any, ...]) -> object:
    return arguments[0]


def _start_dict(arguments: tuple[Any, ...]) -> PickleDict:
    if any(isinstance(argument, list | tuple) for argument in arguments):
        raise DataError("holds a dict with initial items; save a plain dict")
    return PickleDict()


def _make_opaque(_: tuple[Any, ...]) -> OpaqueValue:
    return OpaqueValue()


_REBUILDERS: dict[str, PickleCall] = {
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_typed_tensor,
    "torch._utils._rebuild_parameter": _take_first,
    "torch._utils._rebuild_parameter_with_state": _take_first,
}
_ALLOWED_CALLS: dict[str, PickleCall] = {
    **dict.fromkeys((*_STORAGE_TYPES, *_TORCH_TYPES, *_HARMLESS_GLOBALS), _make_opaque),
    **_REBUILDERS,
    "torch._tensor._rebuild_from_type_v2": _rebuild_subclassed,
    "torch.Size": _take_first,
    "collections.OrderedDict": _start_dict,
    "collections.defaultdict": _start_dict,
}
