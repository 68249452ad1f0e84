"""The globals that a torch pickle may call, and the tensors that such a call describes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gradflow.readers.entry_types import ENTRY_TYPES
from gradflow.readers.messages import quote, report_damage
from gradflow.readers.torch.tensors import (
    MissingTensor,
    QuantizedTensor,
    SparseTensor,
    TensorStorage,
    TensorView,
    check_whole_numbers,
)
from gradflow.readers.torch.unpickler import (
    PickleBytes,
    PickleCall,
    PickleDict,
    PickleGlobal,
    PickleObject,
    UnpickledValue,
    unpickle,
)

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
    # quantized integers
    "torch.QInt32Storage": "int32",
    "torch.QInt8Storage": "int8",
    "torch.QUInt8Storage": "uint8",
}
# numpy lacks these types. A tensor of such a type is listed, and refused when it is read.
_NON_NUMPY_TYPES = (
    *("complex32", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
    *("float4_e2m1fn_x2", "bits8", "bits16", "uint1", "uint2", "uint3", "uint4", "int1", "int2", "int4"),
)
_QUANTIZED_TYPES = ("torch.qint32", "torch.qint8", "torch.quint8")
_TORCH_TYPES = tuple(f"torch.{name}" for name in (*ENTRY_TYPES, *_NON_NUMPY_TYPES))
_BUILTINS = (
    *("set", "frozenset", "slice", "complex", "range", "xrange", "bytearray", "object"),
    *("int", "long", "float", "str", "unicode", "bytes", "bool", "list", "tuple", "dict"),
)
_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
# Objects that checkpoints hold besides weights. They say nothing about a network, so no remark names them.
HARMLESS_GLOBALS = {
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _BUILTINS),
    *(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in _PATHS),
    *(f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")),
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    *(f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")),
    *(f"torch.{name}Storage" for name in ("QUInt4x2", "QUInt2x4")),
    *(*_STORAGE_TYPES, *_TORCH_TYPES, *_QUANTIZED_TYPES, "torch.quint4x2", "torch.quint2x4"),
    *("numpy.dtype", "numpy.ndarray"),
    *(f"numpy.{dtype}" for dtype in ENTRY_TYPES),
    # Protocol 2 writes bytes so.
    "_codecs.encode",
    "argparse.Namespace",
    "types.SimpleNamespace",
    *(f"collections.{name}" for name in ("Counter", "deque", "OrderedDict", "defaultdict")),
    *("torch.device", "torch.Size", "torch.Tensor", "torch.nn.parameter.Parameter"),
    "torch.serialization._get_layout",
    *(f"torch.jit._pickle.{name}" for name in ("restore_type_tag", "build_tensorlist", "build_intlist")),
    *(f"torch.jit._pickle.{name}" for name in ("build_doublelist", "build_boollist", "build_tensor_from_id")),
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
}
_LAYOUT_FUNCTION = "torch.serialization._get_layout"
_COMPRESSED_LAYOUTS = ("csr", "csc", "bsr", "bsc")

# Takes a persistent id and returns the storage or other value that it stands for.
StorageParser = Callable[[Any], object]


def read_pickle(
    data: PickleBytes,
    start: int = 0,
    *,
    persistent: StorageParser | None = None,
    more_calls: dict[str, PickleCall] | None = None,
) -> UnpickledValue:
    """Return the value of the pickle at ``start``, in which tensors are `PickledTensor`, and its end.

    Raises
    ------
    DataError
        If the pickle is damaged.
    """
    return unpickle(data, _CALLS | (more_calls or {}), persistent or parse_storage, start)


def parse_storage(identity: object) -> object:
    """Return the storage that a persistent id describes, or the class that it wraps.

    Raises
    ------
    DataError
        If it describes neither.
    """
    match identity:
        case ("storage", PickleGlobal(name=name), str(key), _, int(count)):
            return make_storage(key, name, count)
        case ("storage", PickleGlobal(name=name), str(key), _, int(count), None):
            return make_storage(key, name, count)
        case ("storage", PickleGlobal(name=name), str(key), _, int(count), (_, int(offset), int(size))):
            # A part of a storage, in files before torch 1.6.
            whole = make_storage(key, name, count)
            itemsize = ENTRY_TYPES[whole.dtype].make_dtype().itemsize
            if not 0 <= offset <= offset + size <= count:
                raise report_damage("its pickle has a part of a storage that reaches beyond it")
            return replace(whole, begin=offset * itemsize)
        case ("module", PickleGlobal() as named, *_):
            # Files before torch 1.6 hold the source code of classes so. It is not looked at.
            return named
    raise report_damage("its pickle has a storage without type, key and size")


def make_storage(key: str, type_name: str, count: int) -> TensorStorage:
    """Return the storage of ``count`` entries whose type is a global such as ``torch.FloatStorage``."""
    if type_name not in _STORAGE_TYPES or not 0 <= count < 2**60:
        raise report_damage(f"its pickle has a storage of {count} entries of type {quote(type_name)}")
    dtype = _STORAGE_TYPES[type_name]
    return TensorStorage(key, dtype, count * ENTRY_TYPES[dtype].make_dtype().itemsize)


def _rebuild_tensor(arguments: tuple[Any, ...]) -> TensorView:
    """Return the view that ``_rebuild_tensor`` and ``_rebuild_tensor_v2`` describe."""
    match arguments:
        case (TensorStorage() as storage, offset, tuple(shape), tuple(strides), *others) if len(shape) == len(
            strides
        ):
            problem = "a tensor without storage, offset, shape and strides of 0 or more"
            check_whole_numbers((offset, *shape, *strides), problem)
            # The others are requires_grad, hooks, and a dict that may say "conj" or "neg".
            return TensorView(storage, storage.dtype, offset, shape, strides, pending=any(others[2:]))
    raise report_damage("its pickle has a tensor without storage, offset, shape and strides of 0 or more")


def _rebuild_typed_tensor(arguments: tuple[Any, ...]) -> TensorView:
    """Return the view that ``_rebuild_tensor_v3`` describes; its type may differ from the storage's."""
    match arguments:
        case (storage, offset, shape, strides, grad, hooks, PickleGlobal(name=name), *others) if (
            name in _TORCH_TYPES
        ):
            tensor = _rebuild_tensor((storage, offset, shape, strides, grad, hooks, *others))
            return replace(tensor, dtype=name.removeprefix("torch."))
    raise report_damage("its pickle has a tensor without a type")


def _rebuild_quantized(arguments: tuple[Any, ...]) -> QuantizedTensor:
    """Return the tensor that ``_rebuild_qtensor`` describes."""
    match arguments:
        case (TensorStorage() as storage, offset, shape, strides, (PickleGlobal(name=scheme), *given), *_):
            integers = _rebuild_tensor((storage, offset, shape, strides))
            match scheme, given:
                case "torch.per_tensor_affine", (float(scale), int(zero_point)):
                    return QuantizedTensor(integers, scale, zero_point)
                case (
                    "torch.per_channel_affine" | "torch.per_channel_affine_float_qparams",
                    (TensorView() as scale, TensorView() as zero_point, int(axis)),
                ) if 0 <= axis < len(integers.shape):
                    return QuantizedTensor(integers, scale, zero_point, axis)
    raise report_damage("its pickle has a quantized tensor without integers, scale and zero point")


def _rebuild_sparse(arguments: tuple[Any, ...]) -> SparseTensor:
    """Return the tensor that ``_rebuild_sparse_tensor`` describes."""
    match arguments:
        case (PickleObject(arguments=(str(layout),)), tuple(parts)):
            layout = layout.removeprefix("torch.sparse_")
            match layout, parts:
                case "coo", (TensorView() as indices, TensorView() as values, tuple(shape), *_):
                    check_whole_numbers(shape, "a sparse tensor without a shape")
                    return SparseTensor(layout, (indices,), values, shape)
                case _, (
                    TensorView() as compressed,
                    TensorView() as plain,
                    TensorView() as values,
                    tuple(shape),
                ) if layout in _COMPRESSED_LAYOUTS:
                    check_whole_numbers(shape, "a sparse tensor without a shape")
                    return SparseTensor(layout, (compressed, plain), values, shape)
    raise report_damage("its pickle has a sparse tensor without layout, indices, values and shape")


def _rebuild_meta(arguments: tuple[Any, ...]) -> MissingTensor:
    """Return the tensor that ``_rebuild_meta_tensor_no_storage`` describes."""
    match arguments:
        case (PickleGlobal(name=name), tuple(shape), *_):
            check_whole_numbers(shape, "a tensor without a shape")
            reason = "is on the meta device, which has shapes without numbers; save the model after its "
            return MissingTensor(shape, name.removeprefix("torch."), f"{reason}weights are loaded")
    raise report_damage("its pickle has a meta tensor without type and shape")


def _rebuild_wrapper(arguments: tuple[Any, ...]) -> MissingTensor:
    """Return the tensor that ``_rebuild_wrapper_subclass`` describes."""
    match arguments:
        case (PickleGlobal(name=class_name), PickleGlobal(name=name), tuple(shape), *_):
            check_whole_numbers(shape, "a tensor without a shape")
            reason = f"is a tensor of class {quote(class_name)} without numbers; save it as a plain tensor"
            return MissingTensor(shape, name.removeprefix("torch."), reason)
    raise report_damage("its pickle has a tensor of another class without type and shape")


def _rebuild_subclassed(arguments: tuple[Any, ...]) -> object:
    """Return the tensor inside ``_rebuild_from_type_v2``, whose arguments are a function, a class, …"""
    match arguments:
        case (PickleGlobal(name=name), _, tuple(inner), *_) if name in _REBUILDERS:
            return _REBUILDERS[name](inner)
    return PickleObject(PickleGlobal("torch._tensor", "_rebuild_from_type_v2"), arguments)


def _take_first(arguments: tuple[Any, ...]) -> object:
    return arguments[0]


def _rebuild_old_parameter(arguments: tuple[Any, ...]) -> object:
    """Return the tensor of a parameter, as torch wrote parameters before it had functions to rebuild them."""
    match arguments:
        case (TensorView() as tensor, *_):
            return tensor
    return PickleObject(PickleGlobal("torch.nn.parameter", "Parameter"), arguments)


def _start_dict(attribute: str) -> PickleCall:
    def start_dict(arguments: tuple[Any, ...]) -> object:
        if any(isinstance(argument, list | tuple) for argument in arguments):
            # Python 2 gives the items to the constructor.
            return PickleObject(PickleGlobal("collections", attribute), arguments)
        return PickleDict()

    return start_dict


_REBUILDERS: dict[str, PickleCall] = {
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_typed_tensor,
    "torch._utils._rebuild_qtensor": _rebuild_quantized,
    "torch._utils._rebuild_sparse_tensor": _rebuild_sparse,
    "torch._utils._rebuild_meta_tensor_no_storage": _rebuild_meta,
    "torch._utils._rebuild_wrapper_subclass": _rebuild_wrapper,
    "torch._utils._rebuild_parameter": _take_first,
    "torch._utils._rebuild_parameter_with_state": _take_first,
    "torch._utils._rebuild_device_tensor_from_numpy": _take_first,
    "torch._utils._rebuild_xla_tensor": _take_first,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _take_first,
}
_CALLS: dict[str, PickleCall] = {
    **_REBUILDERS,
    "torch._tensor._rebuild_from_type_v2": _rebuild_subclassed,
    "torch.nn.parameter.Parameter": _rebuild_old_parameter,
    "torch.autograd.variable.Variable": _rebuild_old_parameter,
    "torch.Size": _take_first,
    "collections.OrderedDict": _start_dict("OrderedDict"),
    "collections.defaultdict": _start_dict("defaultdict"),
}
