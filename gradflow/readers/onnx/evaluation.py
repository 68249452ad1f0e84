"""One node of an ONNX graph, computed by ONNX's reference evaluator; first its size and cost are bounded."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
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
# The evaluator lacks earlier versions of these operators, or computes them in another way.
_FIRST_OPSETS = {"DequantizeLinear": 19, "BatchNormalization": 15}
_WIDEST_ENTRY_BYTES = 16
_MAX_NODE_INPUTS = 1000
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

    Raises
    ------
    EvaluationError
        If the inputs do not fit the operator.
    """
    try:
        return _BOUNDS[operator](attributes, inputs)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise EvaluationError(str(error)) from error


def _count_inputs(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:  # noqa: ARG001
    return sum(value.size for value in inputs if value is not None), 0


def _count_first(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:  # noqa: ARG001
    return inputs[0].size, 0


def _count_softmax(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:
    if attributes.get("joined_from", -1) not in (-1, inputs[0].ndim - 1):
        raise ValueError("it joins axes, as before opset 13")
    return inputs[0].size, 0


def _count_erf(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:  # noqa: ARG001
    return inputs[0].size, _ERF_WORK * inputs[0].size


def _count_broadcast(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:  # noqa: ARG001
    return math.prod(np.broadcast_shapes(*(value.shape for value in inputs))), 0


def _count_gather(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:
    data, indices = inputs
    axis = int(attributes.get("axis", 0))
    others = data.shape[:axis] + data.shape[axis:][1:]
    return indices.size * math.prod(others), 0


def _count_product(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:
    left, right = inputs[:2]
    if left.dtype.kind != "f" or right.dtype.kind != "f" or not (left.ndim and right.ndim):
        raise ValueError("expected matrices of real numbers")
    if attributes.get("transA", 0):
        left = left.T
    if attributes.get("transB", 0):
        right = right.T
    rows = left.shape[:-1]
    columns = right.shape[-1:] if right.ndim > 1 else ()
    batch = np.broadcast_shapes(rows[:-1], right.shape[:-2])
    entries = math.prod((*batch, *rows[-1:], *columns))
    return entries, entries * left.shape[-1]


def _count_filled(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:  # noqa: ARG001
    return _multiply(inputs[0]), 0


def _count_expanded(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:  # noqa: ARG001
    return math.prod(np.broadcast_shapes(inputs[0].shape, tuple(map(int, inputs[1])))), 0


def _count_tiles(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:  # noqa: ARG001
    return inputs[0].size * _multiply(inputs[1]), 0


def _count_range(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:  # noqa: ARG001
    start, limit, delta = (float(value.reshape(())) for value in inputs)
    return max(math.ceil((limit - start) / delta), 0) if delta else 0, 0


def _count_padded(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:
    pads = inputs[1].ravel() if len(inputs) > 1 else attributes["pads"]
    if len(pads) != 2 * inputs[0].ndim or attributes.get("mode", "constant") != "constant":
        raise ValueError("expected two constant pads for each axis")
    sizes = [size + max(int(a), 0) + max(int(b), 0)
             for size, a, b in zip(inputs[0].shape, pads, pads[inputs[0].ndim :], strict=False)]  # fmt: skip
    return math.prod(sizes), 0


def _count_split(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:
    if int(attributes.get("num_outputs", 0)) > _MAX_NODE_INPUTS:
        raise ValueError("too many outputs")
    return _count_inputs(attributes, inputs)


def _count_shape(attributes: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[int, int]:  # noqa: ARG001
    return inputs[0].ndim + 1, 0


def _multiply(sizes: ValueArray) -> int:
    return math.prod(max(int(size), 0) for size in sizes.ravel())


_BOUNDS: dict[str, Callable[[Mapping[str, Any], Sequence[Any]], tuple[int, int]]] = {
    **dict.fromkeys(MOVING_OPERATORS | _REDUCING_OPERATORS, _count_inputs),
    **dict.fromkeys(_ELEMENTWISE_OPERATORS, _count_first),
    **dict.fromkeys(("Erf", "Gelu"), _count_erf),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _count_softmax),
    **dict.fromkeys(_BROADCASTING_OPERATORS, _count_broadcast),
    **dict.fromkeys(("MatMul", "Gemm"), _count_product),
    **dict.fromkeys(("Shape", "Size"), _count_shape),
    "Gather": _count_gather,
    "ConstantOfShape": _count_filled,
    "Expand": _count_expanded,
    "Tile": _count_tiles,
    "Range": _count_range,
    "Pad": _count_padded,
    "Split": _count_split,
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
        if callable(evaluator):
            made = [evaluator(values[names[0]])]
        else:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                given = {name: values[name] for name in names}
                made = evaluator.run([name for name in outputs if name], given, {})
    except (GradflowError, MemoryError):
        raise
    except Exception as error:
        # The reference evaluator checks little, so any error of numpy may come out of it.
        raise EvaluationError(str(error)) from error
    made_values = dict(zip(filter(None, outputs), made, strict=False))
    return [_check_numeric(made_values.get(name)) for name in outputs]


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
