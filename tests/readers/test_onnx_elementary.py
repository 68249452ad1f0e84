"""Unrolled recurrent layers in ONNX graphs: the cell gives the outputs of the graph, or nodes are named."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, reference

from gradflow import load
from gradflow.errors import DataError
from gradflow.layouts.feeds import UnknownFeed

HIDDEN, INPUTS, STEPS = 4, 3, 6
DRAW = np.random.default_rng(0)


def draw(*shape):
    return DRAW.uniform(-0.8, 0.8, shape)


class Graph:
    """Collects nodes, each of which is named after its output."""

    def __init__(self, **constants):
        self.nodes, self.constants = [], dict(constants)

    def add(self, op, given, output, **attributes):
        outputs = output.split()
        self.nodes.append(helper.make_node(op, given.split(), outputs, name=outputs[0], **attributes))
        return outputs[0] if len(outputs) == 1 else outputs

    def build(self, output, shape):
        given = helper.make_tensor_value_info("x", TensorProto.DOUBLE, shape)
        shown = helper.make_tensor_value_info(output, TensorProto.DOUBLE, None)
        stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in self.constants.items()]
        graph = helper.make_graph(self.nodes, "network", [given], [shown], stored)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def step_lstm(graph, k, x, h, c, order="ifgo", shift=False):
    """Keras' names of its nodes, with one bias after the sum."""
    above, across = graph.add("MatMul", f"{x} W", f"lstm_6/MatMul_{2 * k}"), f"lstm_6/MatMul_{2 * k + 1}"
    graph.add("MatMul", f"{h} R", across)
    total = graph.add("Add", graph.add("Add", f"{above} {across}", f"sum{k}") + " b", f"pre{k}")
    blocks = dict(
        zip(order, graph.add("Split", total, " ".join(f"p{gate}{k}" for gate in order), axis=1), strict=True)
    )
    if shift:
        blocks["f"] = graph.add("Add", f"{blocks['f']} one", f"shifted{k}")
    i, f, o = (graph.add("Sigmoid", blocks[gate], f"{gate}{k}") for gate in "ifo")
    kept = graph.add("Mul", f"{f} {c}", f"kept{k}")
    added = graph.add("Mul", f"{i} {graph.add('Tanh', blocks['g'], f'g{k}')}", f"added{k}")
    c = graph.add("Add", f"{kept} {added}", f"c{k}")
    return graph.add("Mul", f"{o} {graph.add('Tanh', c, f't{k}')}", f"h{k}"), c


def step_gru(graph, k, x, h, _, order="rzn", inverted=False):
    """Torch's GRUCell, with two biases."""
    above = graph.add("Gemm", f"{x} Wt b", f"/cell_{k}/Gemm", transB=1)
    across = graph.add("Gemm", f"{h} Rt d", f"/cell_{k}/Gemm_1", transB=1)
    aboves, acrosses = (
        dict(
            zip(
                order,
                graph.add("Split", product, " ".join(f"{name}{gate}{k}" for gate in order), axis=1),
                strict=True,
            )
        )
        for product, name in ((above, "a"), (across, "e"))
    )
    r, z = (
        graph.add("Sigmoid", graph.add("Add", f"{aboves[g]} {acrosses[g]}", f"s{g}{k}"), f"{g}{k}")
        for g in "rz"
    )
    inside = graph.add("Mul", f"{r} {acrosses['n']}", f"m{k}")
    n = graph.add("Tanh", graph.add("Add", f"{aboves['n']} {inside}", f"q{k}"), f"n{k}")
    one, other = (h, n) if inverted else (n, h)  # h' = one + z (other − one)
    moved = graph.add("Mul", f"{z} {graph.add('Sub', f'{other} {one}', f'd{k}')}", f"u{k}")
    return graph.add("Add", f"{one} {moved}", f"h{k}"), ""


def step_rnn(graph, k, x, h, _, activation="Tanh"):
    above, across = graph.add("MatMul", f"{x} W", f"a{k}"), graph.add("MatMul", f"{h} R", f"e{k}")
    total = graph.add("Add", graph.add("Add", f"{above} {across}", f"s{k}") + " b", f"q{k}")
    return graph.add(activation, total, f"h{k}"), ""


def unroll(step, gates, shape=(None, STEPS, INPUTS), reverse=False, steps=STEPS, **options):
    """Return an unrolled graph whose output is the last h, and its model."""
    rows, size = gates * HIDDEN, np.array([0], np.int64)
    graph = Graph(
        W=draw(INPUTS, rows), R=draw(HIDDEN, rows), b=draw(rows), d=draw(rows), one=1.0, axis=size + 1
    )
    graph.constants |= {"Wt": draw(rows, INPUTS), "Rt": draw(rows, HIDDEN), "zero": np.zeros((1, HIDDEN))}
    h = c = "zero"
    for k in range(steps):
        place = steps - 1 - k if reverse else k
        graph.constants |= {f"from{k}": size + place, f"to{k}": size + place + 1}
        cut = graph.add("Slice", f"x from{k} to{k} axis", f"cut{k}")
        h, c = step(graph, k, graph.add("Squeeze", f"{cut} axis", f"x{k}"), h, c or "zero", **options)
    return h, graph.build(h, shape)


@pytest.fixture
def read(tmp_path):
    def read(model):
        (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
        return load(tmp_path / "model.onnx")

    return read


UNROLLED = {
    "lstm": (step_lstm, 4, {}),
    "lstm with gates f, o, g, i": (step_lstm, 4, {"order": "fogi"}),
    "lstm with a forget bias in the graph": (step_lstm, 4, {"shift": True}),
    "gru": (step_gru, 3, {}),
    "gru with gates n, z, r": (step_gru, 3, {"order": "nzr"}),
    "gru whose gate is 1 − z": (step_gru, 3, {"inverted": True}),
    "rnn": (step_rnn, 1, {}),
    "rnn with relu": (step_rnn, 1, {"activation": "Relu"}),
}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("case", UNROLLED)
def test_cell_gives_the_output_of_the_graph(case, reverse, read):
    step, gates, options = UNROLLED[case]
    _, model = unroll(step, gates, reverse=reverse, **options)
    checkpoint = read(model)
    (layer,) = checkpoint.layers
    assert (layer.kind, layer.direction) == (case[:4].strip(), "backward" if reverse else "forward")
    assert checkpoint.networks[0].feed is None
    assert "is unrolled" in checkpoint.remarks[0]
    x = draw(1, STEPS, INPUTS)
    (h,) = reference.ReferenceEvaluator(model).run(None, {"x": x})
    states = layer.cell.run(x[0, ::-1] if reverse else x[0])
    np.testing.assert_allclose(states[-1, :HIDDEN], h[0], rtol=0, atol=1e-14)


def test_unrolled_lstm_is_named_after_its_nodes(read):
    checkpoint = read(unroll(step_lstm, 4)[1])
    assert [layer.name for layer in checkpoint.layers] == ["lstm_6"]
    assert "'lstm_6/MatMul_1' to 'lstm_6/MatMul_11' multiply 6 states" in checkpoint.remarks[0]


def test_inputs_multiplied_before_they_are_cut_are_read(read):
    """W x for all steps at once, as torch exports nn.RNN; the axis of steps is the first."""
    graph = Graph(W=draw(INPUTS, HIDDEN), R=draw(HIDDEN, HIDDEN), b=draw(HIDDEN), zero=np.zeros((2, HIDDEN)))
    graph.add("Add", graph.add("MatMul", "x W", "all") + " b", "above")
    h = "zero"
    for k in range(STEPS):
        graph.constants[f"i{k}"] = np.array(k)
        cut = graph.add("Gather", f"above i{k}", f"cut{k}", axis=0)
        h = graph.add(
            "Tanh", graph.add("Add", f"{cut} {graph.add('MatMul', f'{h} R', f'e{k}')}", f"s{k}"), f"h{k}"
        )
    model, x = graph.build(h, (STEPS, 2, INPUTS)), draw(STEPS, 2, INPUTS)
    (layer,) = read(model).layers
    (expected,) = reference.ReferenceEvaluator(model).run(None, {"x": x})
    for k in range(2):
        np.testing.assert_allclose(layer.cell.run(x[:, k])[-1], expected[k], rtol=0, atol=1e-14)


def test_layer_on_an_unrolled_layer_has_its_outputs(read):
    def both(graph, k, x, states, _):
        low, high = states.split("|") if "|" in states else ("zero", "zero")
        low = graph.add("Tanh", graph.add("Add", f"{graph.add('MatMul', f'{x} W', f'a{k}')} "
                        f"{graph.add('MatMul', f'{low} R', f'low{k}')}", f"s{k}"), f"h{k}")  # fmt: skip
        across = graph.add("MatMul", f"{high} R2", f"high{k}")
        total = graph.add("Add", f"{graph.add('MatMul', f'{low} W2', f'b{k}')} {across}", f"q{k}")
        graph.constants |= {"W2": W2, "R2": R2}
        return f"{low}|{graph.add('Relu', total, f'g{k}')}", ""

    W2, R2 = draw(HIDDEN, HIDDEN), draw(HIDDEN, HIDDEN)
    graph = Graph(W=draw(INPUTS, HIDDEN), R=draw(HIDDEN, HIDDEN), zero=np.zeros((1, HIDDEN)))
    states = "zero"
    for k in range(STEPS):
        graph.constants[f"i{k}"] = np.array(k)
        states, _ = both(graph, k, graph.add("Gather", f"x i{k}", f"x{k}", axis=0), states, "")
    networks = {
        network.name: network for network in read(graph.build(f"g{STEPS - 1}", (STEPS, 1, INPUTS))).networks
    }
    assert networks["high0"].feed.sources == ("low0",)
    given = draw(2, 5, HIDDEN)
    np.testing.assert_array_equal(networks["high0"].feed.compute({"low0": given}), given)


def loop(step, gates, op):
    """Return a model whose step is the body of a Scan, or of a Loop that cuts its inputs out itself."""
    rows = gates * HIDDEN
    graph = Graph(W=draw(INPUTS, rows), R=draw(HIDDEN, rows), b=draw(rows), d=draw(rows))
    graph.constants |= {"Wt": draw(rows, INPUTS), "Rt": draw(rows, HIDDEN), "zero": np.zeros((2, HIDDEN))}
    graph.constants |= {"steps": np.array(STEPS), "go": np.array(True)}
    inner = Graph()
    kinds = {"h": TensorProto.DOUBLE, "c": TensorProto.DOUBLE, "cut": TensorProto.DOUBLE}
    if op == "Loop":
        kinds = {
            "i": TensorProto.INT64,
            "on": TensorProto.BOOL,
            "h": TensorProto.DOUBLE,
            "c": TensorProto.DOUBLE,
        }
        inner.add("Gather", "x i", "cut", axis=0)
        inner.add("Identity", "on", "still")
    h, c = step(inner, 0, "cut", "h", "c")
    outputs = ["still"] * (op == "Loop") + [h, c or inner.add("Identity", "c", "same")]
    given = [helper.make_tensor_value_info(name, kind, None) for name, kind in kinds.items()]
    shown = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in outputs]
    body = helper.make_graph(inner.nodes, "body", given, shown)
    if op == "Loop":
        graph.add(op, "steps go zero zero", "last cell", body=body)
    else:
        graph.add(op, "zero zero x", "last cell", body=body, num_scan_inputs=1)
    return graph.build("last", (STEPS, 2, INPUTS))


@pytest.mark.parametrize("op", ["Loop", "Scan"])
@pytest.mark.parametrize(("step", "gates"), [(step_lstm, 4), (step_gru, 3), (step_rnn, 1)])
def test_step_in_the_body_of_a_loop_is_read(step, gates, op, read):
    model, x = loop(step, gates, op), draw(STEPS, 2, INPUTS)
    checkpoint = read(model)
    (layer,) = checkpoint.layers
    (h,) = reference.ReferenceEvaluator(model).run(None, {"x": x})
    for k in range(2):
        np.testing.assert_allclose(layer.cell.run(x[:, k])[-1, :HIDDEN], h[k], rtol=0, atol=1e-14)
    feed = checkpoint.networks[0].feed
    assert feed is None if op == "Scan" else "stands inside 'last'" in feed.reason


def test_layer_on_computed_inputs_tells_so(read):
    def step(graph, k, x, h, c):
        return step_rnn(graph, k, graph.add("Sin", x, f"sin{k}"), h, c)

    feed = read(unroll(step, 1)[1]).networks[0].feed
    assert isinstance(feed, UnknownFeed)
    assert "it is unrolled" in feed.reason


def step_sine(graph, k, x, h, _):
    return step_rnn(graph, k, x, h, "", activation="Sin")


def step_without_inputs(graph, k, x, h, _):
    return graph.add("Tanh", graph.add("MatMul", f"{h} R", f"e{k}"), f"h{k}"), ""


@pytest.mark.parametrize(("step", "steps"), [(step_sine, 6), (step_without_inputs, 6), (step_rnn, 3)])
def test_unrecognized_chains_are_named(step, steps, read):
    with pytest.raises(DataError, match=rf"'e0' to 'e{steps - 1}' multiply {steps} states .* not recognized"):
        read(unroll(step, 1, steps=steps)[1])


def test_infinite_weights_are_told_without_a_warning(read):
    _, model = unroll(step_gru, 3)
    for tensor in model.graph.initializer:
        if tensor.name in ("b", "d"):
            infinite = numpy_helper.to_array(tensor) + (np.inf if tensor.name == "b" else -np.inf)
            tensor.CopyFrom(numpy_helper.from_array(infinite, tensor.name))
    with pytest.raises(DataError, match="its cell is not recognized"):
        read(model)


def test_shared_layer_that_is_no_chain_is_not_told(read):
    graph = Graph(W=draw(INPUTS, HIDDEN))
    parts = [
        graph.add("MatMul", f"{graph.add(op, 'x', op)} W", f"y{op}") for op in ("Tanh", "Neg", "Relu", "Sin")
    ]
    with pytest.raises(DataError) as caught:
        read(graph.build(graph.add("Sum", " ".join(parts), "y"), (None, INPUTS)))
    assert "left out" not in str(caught.value)
