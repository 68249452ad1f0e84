"""What ``data.pkl`` of a torch checkpoint says: which globals it may name, and the tensors it describes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from gradflow.errors import DataError
from gradflow.readers.kinds import KINDS
from gradflow.readers.messages import damaged
from gradflow.readers.source import claim
from gradflow.readers.unpickler import Call, Global, Opaque, Pairs, unpickled

MOST_LEVELS = 100
# values for each byte of the pickle: a tree without sharing has less than one
_SHARING = 2
# of a tuple as a key, in parts
_LONGEST_KEY = 8
_STORAGES = {
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
    # bytes, whose type the tensor says
    "torch.storage.UntypedStorage": "uint8",
}
# numpy lacks these; a tensor of such a type is listed, and refused when it is read
_FOREIGN = (
    *("complex32", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
    *("float4_e2m1fn_x2", "bits8", "bits16", "uint1", "uint2", "uint3", "uint4", "int1", "int2", "int4"),
)
_DTYPES = tuple(f"torch.{name}" for name in (*KINDS, *_FOREIGN))
_BUILTINS = (
    *("set", "frozenset", "slice", "complex", "range", "xrange", "bytearray"),
    *("int", "float", "str", "bytes", "bool", "list", "tuple", "dict"),
)
_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
# what checkpoints hold beside weights; neither looked into nor made
_HARMLESS = (
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _BUILTINS),
    *(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in _PATHS),
    *(f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")),
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    *(f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")),
    "numpy.dtype",
    "numpy.ndarray",
    # how protocol 2 writes bytes
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
class Storage:
    """Numbers in a row, in the member ``data/{key}``."""

    key: str
    dtype: str
    byte_count: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage; offset and strides are in entries of ``dtype``."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def last(self) -> int:
        """The entry of the storage that lies furthest back, if the tensor has any."""
        steps = zip(self.shape, self.strides, strict=True)
        return self.offset + sum((size - 1) * stride for size, stride in steps)


def described(data: bytes) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors that a pickle describes, each with the way there through dicts, lists and tuples.

    Raises
    ------
    DataError
        If the pickle is damaged, names what is no part of a state dict, or nests too deep.
    """
    walk = _Walk(_SHARING * len(data))
    return walk.tensors(unpickled(data, _CALLS, _storage), "", 0)


class _Walk:
    """A walk through nested values, which a pickle of a few bytes can share among themselves without end."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._characters = 0

    def tensors(self, node: Any, path: str, level: int) -> Iterator[tuple[str, Tensor]]:
        """Yield way and tensor for every tensor at or below ``node``."""
        if isinstance(node, Tensor):
            yield path, node
        elif isinstance(node, list | tuple):
            self._steps -= 1 + len(node)
            if level > MOST_LEVELS or self._steps < 0:
                raise DataError(
                    f"nests values more than {MOST_LEVELS} deep or in themselves; expected a state dict, "
                    "save it anew: torch.save(model.state_dict(), FILE)"
                )
            for key, value in node if isinstance(node, Pairs) else enumerate(node):
                if isinstance(value, Tensor | list | tuple):
                    yield from self.tensors(value, self._joined(path, key), level + 1)

    def _joined(self, path: str, key: object) -> str:
        joined = f"{path}.{_text(key)}" if path else _text(key)
        self._characters += len(joined)
        claim(self._characters, "the names of its tensors")
        return joined


def _text(key: object) -> str:
    """Return what a key of a dict, which may be any value, is called in a name."""
    if isinstance(key, str):
        return key
    parts = key if isinstance(key, tuple) else (key,)
    if len(parts) <= _LONGEST_KEY and all(isinstance(part, str | int | float | None) for part in parts):
        return str(key)
    return type(key).__name__


def _storage(identity: object) -> Storage:
    match identity:
        case ("storage", Global(name), str(key), _, int(count)) if name in _STORAGES and count >= 0:
            dtype = _STORAGES[name]
            return Storage(key, dtype, count * KINDS[dtype].dtype().itemsize)
    raise damaged("its pickle has a storage without type, key and size")


def _tensor(arguments: tuple[Any, ...]) -> Tensor:
    """Return the view that ``_rebuild_tensor`` and ``_rebuild_tensor_v2`` make."""
    match arguments:
        case (Storage() as storage, offset, tuple(shape), tuple(strides), *others):
            numbers = (offset, *shape, *strides)
            whole = all(type(number) is int and 0 <= number < 2**63 for number in numbers)
            if whole and len(shape) == len(strides):
                # requires_grad, hooks, and a dict of how the numbers are to be taken
                if any(others[2:]):
                    raise DataError(
                        "holds a tensor that is negated or conjugated only when it is used; save its "
                        ".resolve_neg().resolve_conj()"
                    )
                return Tensor(storage, storage.dtype, offset, shape, strides)
    raise damaged("its pickle has a tensor without storage, offset, shape and strides of 0 or more")


def _typed_tensor(arguments: tuple[Any, ...]) -> Tensor:
    """Return the view that ``_rebuild_tensor_v3`` makes, which says the type apart from the storage."""
    match arguments:
        case (storage, offset, shape, strides, grad, hooks, Global(name), *others) if name in _DTYPES:
            tensor = _tensor((storage, offset, shape, strides, grad, hooks, *others))
            return replace(tensor, dtype=name.removeprefix("torch."))
    raise damaged("its pickle has a tensor without a type")


def _subclassed(arguments: tuple[Any, ...]) -> object:
    """Return the tensor inside ``_rebuild_from_type_v2``: a function, a class, the function's arguments."""
    match arguments:
        case (Global(name), _, tuple(inner), *_) if name in _REBUILDERS:
            return _REBUILDERS[name](inner)
    raise damaged("its pickle has a tensor of a class that is none")


def _first(arguments: tuple[Any, ...]) -> object:
    return arguments[0]


def _pairs(arguments: tuple[Any, ...]) -> Pairs:
    if any(isinstance(argument, list | tuple) for argument in arguments):
        raise DataError("holds a dict that is filled as it is made; save a plain dict")
    return Pairs()


def _opaque(_: tuple[Any, ...]) -> Opaque:
    return Opaque()


_REBUILDERS: dict[str, Call] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
}
_CALLS: dict[str, Call] = {
    **dict.fromkeys((*_STORAGES, *_DTYPES, *_HARMLESS), _opaque),
    **_REBUILDERS,
    "torch._tensor._rebuild_from_type_v2": _subclassed,
    "torch.Size": _first,
    "collections.OrderedDict": _pairs,
    "collections.defaultdict": _pairs,
}
