"""Nodes of an ONNX graph that small files make large, or that the evaluator refuses in its own words."""

import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from onnx import helper

from gradflow.readers.onnx.evaluation import EvaluationError, bound_node, evaluate_node

SIDE = 300
MANY = SIDE**2
SLACK = 200_000  # bytes that Python itself takes; MANY numbers take 720,000
COPIES = 8  # of what is bounded, in float64


def whole(*values):
    return np.array(values, np.int64)


def evaluate(op, inputs, attributes=None, opset=21, outputs=1):
    """Return the bound on the entries of a node, and its outputs."""
    names = [f"v{k}" if value is not None else "" for k, value in enumerate(inputs)]
    node = helper.make_node(op, names, [f"out{k}" for k in range(outputs)], **(attributes or {}))
    entries, _ = bound_node(op, attributes or {}, inputs)
    given = {name: value for name, value in zip(names, inputs, strict=True) if name}
    return entries, evaluate_node(node.SerializeToString(), opset, given)


COLUMN, ROW, EMPTY = np.ones((SIDE, 1)), np.ones((1, SIDE)), np.ones((MANY, 0))
STACK, QUANTIZED = np.ones((SIDE, 1, 1)), np.ones((SIDE, 1), np.uint8)
# Each of these makes about MANY entries on its way to its result, whose own size seems small.
GROWING = {
    "Tile by zero": ("Tile", [STACK, whole(SIDE, 1, 0)]),
    "Tile below zero": ("Tile", [np.ones((1, 1, 1)), whole(MANY, -1, 2)]),
    "Tile by a product below zero": ("Tile", [np.ones((1, 1, 1)), whole(-1, MANY, -1)]),
    "Expand of nothing": ("Expand", [np.ones((1, 0)), whole(MANY, 1)]),
    "Sum with nothing": ("Sum", [STACK, np.ones((1, SIDE, 1)), np.ones((1, 1, 0))]),
    "Max with nothing": ("Max", [STACK, np.ones((1, SIDE, 1)), np.ones((1, 1, 0))]),
    "ReduceSum of nothing": ("ReduceSum", [EMPTY, whole(1)]),
    "ReduceMax of nothing": ("ReduceLogSumExp", [EMPTY, whole(1)]),
    "LpNormalization of nothing": ("LpNormalization", [EMPTY], {"axis": 1}),
    "LayerNormalization of nothing": ("LayerNormalization", [EMPTY, np.ones(1)]),
    "Gemm of stacks": ("Gemm", [STACK, STACK]),
    "Pad of moved axes": ("Pad", [COLUMN, whole(SIDE, 0, 0, 0), None, whole(1, 0)]),
    "Clip by a row": ("Clip", [COLUMN, ROW]),
    "LayerNormalization by a row": ("LayerNormalization", [COLUMN, ROW]),
    "RMSNormalization by a row": ("RMSNormalization", [COLUMN, ROW], {}, 23),
    "InstanceNormalization": ("InstanceNormalization", [ROW[np.newaxis], *[COLUMN[:, 0]] * 2]),
    "BatchNormalization": ("BatchNormalization", [COLUMN, *[COLUMN[:, 0]] * 4]),
    "Trilu of a vector": ("Trilu", [np.ones(SIDE)]),
    "Trilu of nothing": ("Trilu", [np.ones((0, SIDE, SIDE))]),
    "DequantizeLinear": ("DequantizeLinear", [QUANTIZED, np.ones(SIDE)], {"axis": 1}),
    "DequantizeLinear in blocks": (
        "DequantizeLinear",
        [QUANTIZED, np.ones((SIDE, 1))],
        {"axis": 1, "block_size": 2 * SIDE},
    ),
    "Tile by empty rows": ("Tile", [np.ones(1), EMPTY]),
    "Squeeze of empty rows": ("Squeeze", [np.ones(1), EMPTY]),
    "Split into many": ("Split", [np.ones(3), np.zeros(10_000, np.int64)]),
    "Gather of a copy": ("Gather", [np.ones((SIDE, SIDE)).T, whole(0)]),
}


# Those whose inputs no node can have: they are refused before anything is made. All others are bounded.
REFUSED = {
    "Tile below zero": "repeats of at least 0",
    "Tile by a product below zero": "repeats of at least 0",
    "Gemm of stacks": "two matrices",
    "Clip by a row": "inputs that broadcast",
    "LayerNormalization by a row": "inputs that broadcast",
    "RMSNormalization by a row": "inputs that broadcast",
    "InstanceNormalization": "inputs that broadcast",
    "BatchNormalization": "inputs that broadcast",
    "Trilu of a vector": "matrices",
    "DequantizeLinear": "scales for the 1 entries",
    "DequantizeLinear in blocks": "scales for the 1 entries",
    "Tile by empty rows": "at most 64 repeats",
    "Squeeze of empty rows": "at most 1000 numbers",
    "Split into many": "at most 1000 numbers",
}


@pytest.mark.parametrize("case", REFUSED)
def test_inputs_that_no_node_can_have_are_refused_before_anything_is_made(case, memory_below):
    op, inputs, *rest = GROWING[case]
    with memory_below(SLACK), pytest.raises(EvaluationError, match=REFUSED[case]):
        bound_node(op, rest[0] if rest else {}, inputs)


@pytest.mark.parametrize("case", sorted(GROWING.keys() - REFUSED.keys()))
def test_bound_holds_for_all_that_a_node_makes(case):
    op, inputs, *rest = GROWING[case]
    with suppress(EvaluationError):  # This only imports what the evaluator needs.
        evaluate(op, [np.ones(1, value.dtype) if value is not None else None for value in inputs], *rest)
    bound = bound_node(op, rest[0] if rest else {}, inputs)[0]
    tracemalloc.start()
    try:
        with suppress(EvaluationError):
            evaluate(op, inputs, *rest)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * COPIES * bound + SLACK


def test_numbers_without_end_are_not_multiplied():
    """The product of so many sizes has 6 million bits."""
    for op, inputs in (
        ("Tile", [np.ones(1), np.full(100_000, 2**62)]),
        ("Expand", [np.ones(1), np.full(100_000, 2**62)]),
        ("ConstantOfShape", [np.full(100_000, 2**62)]),
        ("Pad", [np.ones(1), np.full(100_000, 2**62)]),
    ):
        with pytest.raises(EvaluationError, match=r"^expected at most 64 \w+; received 100000$"):
            bound_node(op, {}, inputs)
    with pytest.raises(EvaluationError, match=r"^it takes too much memory$"):
        bound_node("Tile", {}, [np.ones(1), np.full(60, 2**62)])


TRUE = {
    "Tile": ("Tile", [ROW, whole(2, 3)], {}, np.ones((2, 3 * SIDE))),
    "Tile to nothing": ("Tile", [ROW, whole(2, 0)], {}, np.ones((2, 0))),
    "Expand": ("Expand", [ROW, whole(2, 4, 1)], {}, np.ones((2, 4, SIDE))),
    "Pad": ("Pad", [COLUMN, whole(2, 1), None, whole(-1)], {}, np.eye(1, 4, 2) * COLUMN),
    "Clip": ("Clip", [COLUMN, np.array(2.0)], {}, 2.0 * COLUMN),
    "LayerNormalization": ("LayerNormalization", [ROW, ROW[0], 3.0 * ROW[0]], {}, 3.0 * ROW),
    "BatchNormalization": (
        "BatchNormalization",
        [COLUMN.T[..., np.newaxis], *[5.0 * COLUMN[:, 0]] * 2, COLUMN[:, 0], COLUMN[:, 0]],
        {},
        np.full((1, SIDE, 1), 5.0),
    ),
    "DequantizeLinear": (
        "DequantizeLinear",
        [np.array([[4, 5]], np.uint8), np.array([0.5, 2.0])],
        {"axis": 1},
        np.array([[2.0, 10.0]]),
    ),
    "DequantizeLinear in blocks": (
        "DequantizeLinear",
        [np.array([[4, 5, 6]], np.uint8), np.array([[0.5, 2.0]])],
        {"axis": 1, "block_size": 2},
        np.array([[2.0, 2.5, 12.0]]),
    ),
    "Trilu": ("Trilu", [np.ones((2, 2))], {"upper": 0}, np.tri(2)),
    "Gemm": ("Gemm", [ROW, COLUMN, np.array([1.0])], {}, np.array([[SIDE + 1.0]])),
    "MatMul": ("MatMul", [COLUMN, np.ones((4, 1, 2))], {}, np.ones((4, SIDE, 2))),
}


@pytest.mark.parametrize("case", TRUE)
def test_usual_nodes_are_computed(case):
    op, inputs, attributes, expected = TRUE[case]
    entries, (made, *_) = evaluate(op, inputs, attributes)
    np.testing.assert_allclose(made, expected, rtol=1e-12)
    assert entries >= made.size


@pytest.mark.parametrize(
    ("op", "inputs", "words"),
    [
        ("Tile", [ROW, whole(2, -1)], "expected repeats of at least 0; received -1"),
        ("Tile", [ROW, whole(2, 1).astype(complex)], "expected real numbers; received complex128 (2,)"),
        ("Slice", [ROW, *[np.zeros(1001, np.int64)] * 2], "expected at most 1000 numbers; received 1001"),
        ("Cast", [ROW], "expected real numbers; received complex64 (1, 300)"),
        ("Erf", [ROW.astype(complex)], "expected real numbers; received complex128 (1, 300)"),
        (
            "And",
            [ROW, whole(1, 2)],
            "expected inputs that fit its attributes; received float64 (1, 300), int64 (2,)",
        ),
        ("Tile", [ROW], "expected inputs that fit its attributes; received float64 (1, 300)"),
        ("Add", [ROW, None], "expected inputs that fit its attributes; received float64 (1, 300), nothing"),
        ("Erf", [], "expected inputs that fit its attributes; received none"),
        ("Pad", [np.array(1.0), whole(), None, whole(0)], "expected inputs that fit its attributes"),
    ],
)
def test_refusal_says_what_was_expected(op, inputs, words):
    with pytest.raises(EvaluationError) as caught:
        evaluate(op, inputs, {"to": 14} if op == "Cast" else {})
    assert str(caught.value).startswith(words)
    assert not {"<", "numpy", "Traceback"} & set(str(caught.value).split())


def test_operator_of_a_later_opset_is_told():
    with pytest.raises(EvaluationError, match=r"^ONNX's reference evaluator lacks it in opset 13, "):
        evaluate("HardSwish", [ROW], opset=13)


def test_infinite_numbers_do_not_warn():
    huge = np.array([np.inf, -np.inf, 1e308, np.nan])
    for op in ("Erf", "Gelu", "Exp", "Softmax", "Sin", "Round"):
        assert evaluate(op, [huge])[1][0].shape == huge.shape
