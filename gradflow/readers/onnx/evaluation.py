"""One node of an ONNX graph, computed by ONNX's reference evaluator; first its size and cost are bounded."""

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError, GradflowError
from gradflow.extras import import_extra
from gradflow.readers.source import check_byte_limit

ValueArray = NDArray[Any]

# These move numbers. None of them makes more than it is given, except Gather, which may repeat them.
MOVING_OPERATORS = frozenset(
    {
        *("Slice", "Concat", "Unsqueeze", "Squeeze", "Transpose", "Reshape", "Flatten", "Cast", "Identity"),
        *("Gather", "DequantizeLinear"),
    }
)
_ELEMENTWISE_OPERATORS = frozenset(
    {
        *("Abs", "Ceil", "Celu", "Clip", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid"),
        *("HardSwish", "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu"),
        *("Shrink", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Swish", "Tanh"),
        *("ThresholdedRelu", "Softmax", "LogSoftmax", "LayerNormalization", "BatchNormalization", "CumSum"),
        *("InstanceNormalization", "LpNormalization", "RMSNormalization", "Trilu"),
    }
)
_BROADCASTING_OPERATORS = frozenset(
    {
        *("Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Min", "Max", "Mean", "Sum", "Mod", "Where"),
        *("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor"),
    }
)
_REDUCING_OPERATORS = frozenset(
    {f"Reduce{end}" for end in ("Mean", "Sum", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSumExp")}
)
_ARRANGING_OPERATORS = frozenset({"Slice", "Squeeze", "Unsqueeze", "Reshape", "Split"})
# The evaluator lacks earlier versions of these operators, or computes them in another way.
_FIRST_OPSETS = {"DequantizeLinear": 19, "BatchNormalization": 15}
_WIDEST_ENTRY_BYTES = 16
_MAX_LISTED_NUMBERS = 1000
_MAX_RANK = 64  # numpy has no more axes
_MAX_ENTRIES = 2**59
_ENTRY_WORK = 20  # to make one entry takes the time of about so many multiplications
_ERF_WORK = 1000


class EvaluationError(DataError):
    """A node that ONNX's reference evaluator cannot compute."""


@dataclass
class EvaluationBudget:
    """How much may still be computed: bytes of results, work in multiplications, and nodes."""

    bytes: float = math.inf
    work: float = math.inf
    nodes: float = math.inf

    def spend(self, entries: int, multiplications: int) -> None:
        """Account for a node.

        Raises
        ------
        DataError
            If the node goes over a limit, or over that of `check_byte_limit`.
        """
        size = _WIDEST_ENTRY_BYTES * entries
        check_byte_limit(size, "the computation of its graph")
        self.bytes -= size
        self.work -= _ENTRY_WORK * entries + multiplications
        self.nodes -= 1
        if min(self.bytes, self.work, self.nodes) < 0:
            raise DataError("its graph takes too much memory or time to follow")


def is_computable(operator: str) -> bool:
    """Return whether `bound_node` has a bound for the results of an operator of ONNX."""
    return operator in _BOUNDS


def bound_node(
    operator: str, attributes: Mapping[str, Any], inputs: Sequence[ValueArray | None]
) -> tuple[int, int]:
    """Return upper bounds on the number of entries that a node makes, and on its multiplications.

    The bounds hold for each array that the evaluator makes on its way to the result. It may make many entries
    for a result without any, so that every axis counts as one entry at least.

    Raises
    ------
    EvaluationError
        If the inputs do not fit the operator.
    """
    _check_real(inputs)
    try:
        entries, multiplications = _BOUNDS[operator](attributes, inputs)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise _report_misfit(inputs) from error
    if entries > _MAX_ENTRIES:
        raise EvaluationError("it takes too much memory")
    return entries, multiplications


def _check_real(values: Iterable[ValueArray | None]) -> None:
    for value in values:
        if value is not None and value.dtype.kind == "c":
            raise EvaluationError(f"expected real numbers; received {value.dtype} {value.shape}")


def _report_misfit(inputs: Iterable[ValueArray | None]) -> EvaluationError:
    received = ", ".join("nothing" if value is None else f"{value.dtype} {value.shape}" for value in inputs)
    return EvaluationError(f"expected inputs that fit its attributes; received {received or 'none'}")


def _multiply(sizes: Iterable[int]) -> int:
    return math.prod(max(size, 1) for size in sizes)


def _multiply_broadcast(*shapes: Sequence[int]) -> int:
    """Return a bound on the entries of arrays of these shapes, combined in any order."""
    rank = max(map(len, shapes))
    return _multiply(map(max, zip(*((*[1] * (rank - len(shape)), *shape) for shape in shapes), strict=True)))


def _read_sizes(values: ValueArray, what: str) -> list[int]:
    """Return the sizes that an input lists, none of them negative."""
    _check_length(values, _MAX_RANK, what)
    sizes = [int(size) for size in values.ravel()]
    if min(sizes, default=0) < 0:
        raise EvaluationError(f"expected {what} of at least 0; received {min(sizes)}")
    return sizes


def _check_length(values: ValueArray, limit: int, what: str) -> None:
    """Refuse a long list, and one of many empty rows, which the evaluator would walk through."""
    length = _multiply(values.shape)
    if length > limit:
        raise EvaluationError(f"expected at most {limit} {what}; received {length}")


def _count_inputs(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:  # noqa: ARG001
    return sum(_multiply(value.shape) for value in inputs if value is not None), 0


def _count_arranged(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:
    """Bound an operator whose inputs after the first list axes, sizes or places."""
    for value in inputs[1:]:
        if value is not None:
            _check_length(value, _MAX_LISTED_NUMBERS, "numbers")
    if int(attributes.get("num_outputs", 0)) > _MAX_LISTED_NUMBERS:
        raise EvaluationError(f"expected at most {_MAX_LISTED_NUMBERS} outputs")
    return _count_inputs(attributes, inputs)


def _count_first(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:  # noqa: ARG001
    return _multiply(inputs[0].shape), 0


def _count_triangle(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:
    if inputs[0].ndim < 2:  # numpy would make a matrix of a vector
        raise EvaluationError(f"expected matrices; received shape {inputs[0].shape}")
    return _count_first(attributes, inputs)


def _count_scaled(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:
    """Bound an operator whose inputs after the first are broadcast to it."""
    _check_scales(inputs[0].shape, [value.shape for value in inputs[1:] if value is not None])
    return _count_inputs(attributes, inputs)


def _count_channels(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:
    """Bound an operator whose inputs after the first have an entry for each channel, on its axis 1."""
    shape = inputs[0].shape
    _check_scales(shape, [(value.size, *[1] * (len(shape) - 2)) for value in inputs[1:]])
    return _count_inputs(attributes, inputs)


def _check_scales(shape: Sequence[int], others: Sequence[Sequence[int]]) -> None:
    for other in others:
        sizes = shape[max(len(shape) - len(other), 0) :]
        if len(other) > len(shape) or any(
            size not in (1, whole) for size, whole in zip(other, sizes, strict=True)
        ):
            raise EvaluationError(
                f"expected inputs that broadcast to {tuple(shape)}; received {tuple(other)}"
            )


def _count_dequantized(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:
    axis, block = int(attributes.get("axis", 1)), int(attributes.get("block_size", 0))
    scales = [value for value in inputs[1:] if value is not None and value.size != 1]
    size = inputs[0].shape[axis] if scales else 0
    if any(block == 0 and value.shape != (size,) for value in scales) or block > max(size, 1):
        raise EvaluationError(f"expected scales for the {size} entries of axis {axis}")
    repeated = sum(_multiply(value.shape) for value in scales) * max(block, 1)
    return _multiply(inputs[0].shape) + repeated, 0


def _count_softmax(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:
    if attributes.get("joined_from", -1) not in (-1, inputs[0].ndim - 1):
        raise EvaluationError("it joins axes, as before opset 13")
    return _count_first(attributes, inputs)


def _count_erf(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:  # noqa: ARG001
    return _multiply(inputs[0].shape), _ERF_WORK * inputs[0].size


def _count_broadcast(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:  # noqa: ARG001
    return _multiply_broadcast(*(value.shape for value in inputs)), 0


def _count_gather(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:
    data, indices = inputs
    axis = int(attributes.get("axis", 0))
    others = data.shape[:axis] + data.shape[axis:][1:]
    copied = sum(value.size for value in inputs if not value.flags.c_contiguous)
    return _multiply(indices.shape) * _multiply(others) + copied, 0


def _count_product(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:
    left, right = inputs[:2]
    if left.dtype.kind != "f" or right.dtype.kind != "f" or not (left.ndim and right.ndim):
        raise EvaluationError("expected matrices of real numbers")
    if attributes.get("transA", 0):
        left = left.T
    if attributes.get("transB", 0):
        right = right.T
    rows = left.shape[:-1]
    columns = right.shape[-1:] if right.ndim > 1 else ()
    batch = _multiply_broadcast(rows[:-1], right.shape[:-2])
    entries = batch * _multiply((*rows[-1:], *columns))
    return entries, entries * left.shape[-1]


def _count_affine(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:
    if any(value.ndim != 2 for value in inputs[:2]):
        raise EvaluationError("expected two matrices")
    return _count_product(attributes, inputs)


def _count_filled(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:  # noqa: ARG001
    return _multiply(_read_sizes(inputs[0], "sizes")), 0


def _count_expanded(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:  # noqa: ARG001
    return _multiply_broadcast(inputs[0].shape, _read_sizes(inputs[1], "sizes")), 0


def _count_tiles(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:  # noqa: ARG001
    return _multiply(inputs[0].shape) * _multiply(_read_sizes(inputs[1], "repeats")), 0


def _count_range(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:  # noqa: ARG001
    start, limit, delta = (float(value.reshape(())) for value in inputs)
    return max(math.ceil((limit - start) / delta), 0) if delta else 0, 0


def _count_padded(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:
    shape = inputs[0].shape
    pads = _read_sizes(np.asarray(inputs[1] if len(inputs) > 1 else attributes["pads"]), "pads")
    axes = list(range(len(shape)))
    if len(inputs) > 3 and inputs[3] is not None:
        axes = [int(axis) % len(shape) for axis in inputs[3].ravel()[: len(shape) + 1]]
    if (
        len(pads) != 2 * len(axes)
        or len(set(axes)) != len(axes)
        or attributes.get("mode", "constant") != "constant"
    ):
        raise EvaluationError("expected two constant pads for each axis")
    sizes = dict(enumerate(shape))
    for axis, before, after in zip(axes, pads, pads[len(axes) :], strict=False):
        sizes[axis] += before + after
    return _multiply(sizes.values()), 0


def _count_shape(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:  # noqa: ARG001
    return inputs[0].ndim + 1, 0


_BOUNDS: dict[str, Callable[[Mapping[str, Any], Sequence[Any]], tuple[int, int]]] = {
    **dict.fromkeys(MOVING_OPERATORS, _count_inputs),
    **dict.fromkeys(_ELEMENTWISE_OPERATORS, _count_first),
    **dict.fromkeys(("Erf", "Gelu"), _count_erf),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _count_softmax),
    **dict.fromkeys(_BROADCASTING_OPERATORS, _count_broadcast),
    **dict.fromkeys(_ARRANGING_OPERATORS | _REDUCING_OPERATORS, _count_arranged),
    **dict.fromkeys(("Clip", "LayerNormalization", "RMSNormalization"), _count_scaled),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization"), _count_channels),
    "DequantizeLinear": _count_dequantized,
    "MatMul": _count_product,
    "Gemm": _count_affine,
    "Trilu": _count_triangle,
    **dict.fromkeys(("Shape", "Size"), _count_shape),
    "Gather": _count_gather,
    "ConstantOfShape": _count_filled,
    "Expand": _count_expanded,
    "Tile": _count_tiles,
    "Range": _count_range,
    "Pad": _count_padded,
}


def evaluate_node(node: bytes, opset: int, values: Mapping[str, ValueArray]) -> list[ValueArray | None]:
    """Return the outputs of a serialized node; None for an output that is not numeric, or has no name.

    The caller has bounded the outputs with `bound_node`.

    Raises
    ------
    EvaluationError
        If the reference evaluator cannot compute them.
    """
    try:
        evaluator, names, outputs = _make_evaluator(node, opset)
    except GradflowError:
        raise
    except Exception as error:
        raise EvaluationError(
            f"ONNX's reference evaluator lacks it in opset {opset}, or with its attributes"
        ) from error
    given = {name: values[name] for name in names}
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            if callable(evaluator):
                made = [evaluator(given[names[0]])]
            else:
                made = evaluator.run([name for name in outputs if name], given, {})
            made_values = dict(zip(filter(None, outputs), made, strict=False))
            results = [_check_numeric(made_values.get(name)) for name in outputs]
    except MemoryError as error:
        raise EvaluationError("it takes too much memory") from error
    except GradflowError:
        raise
    except Exception as error:
        # The reference evaluator checks little, so any error of numpy may come out of it.
        raise _report_misfit(given.values()) from error
    _check_real(results)
    return results


@lru_cache(maxsize=256)
def _make_evaluator(node: bytes, opset: int) -> tuple[Any, list[str], list[str]]:
    """Return the evaluator of a node, and the names of its inputs and outputs."""
    onnx = import_extra("onnx", "reading ONNX files", "onnx")
    reference = import_extra("onnx.reference", "reading ONNX files", "onnx")
    plain = onnx.NodeProto.FromString(node)
    names = list(dict.fromkeys(filter(None, plain.input)))
    version = onnx.helper.make_opsetid("", max(opset, _FIRST_OPSETS.get(plain.op_type, 1)))
    if plain.op_type == "Erf":
        return _compute_erf, names, list(plain.output)
    if plain.op_type == "Gelu":
        approximate = any(attribute.s == b"tanh" for attribute in plain.attribute)
        return (_compute_tanh_gelu if approximate else _compute_gelu), names, list(plain.output)
    function = onnx.helper.make_function(
        "gradflow", "node", names, [name for name in plain.output if name], [plain], [version]
    )
    return reference.ReferenceEvaluator(function), names, list(plain.output)


# The evaluator computes Erf in float32, and has no Gelu.
_compute_erf = np.vectorize(math.erf, otypes=[np.float64])


def _compute_gelu(values: ValueArray) -> ValueArray:
    gaussian: ValueArray = _compute_erf(values / math.sqrt(2.0))
    return values * (1.0 + gaussian) / 2.0


def _compute_tanh_gelu(values: ValueArray) -> ValueArray:
    gaussian: ValueArray = np.tanh(math.sqrt(2.0 / math.pi) * (values + 0.044715 * values**3))
    return values * (1.0 + gaussian) / 2.0


def _check_numeric(value: Any) -> ValueArray | None:
    if not isinstance(value, np.ndarray | np.generic):
        return None
    value = np.asarray(value)
    # numpy lacks bfloat16 and narrower floats.
    value = value.astype(np.float32) if value.dtype.kind == "V" else value
    return value if value.dtype.kind in "biufc" else None
