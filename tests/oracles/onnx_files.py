"""ONNX files, built node by node and exported from torch, with what onnxruntime and torch make of them.

Run ``python tests/oracles/onnx_files.py``; see ``shelf.py`` for what is written. The stored files were made
with onnx 1.23.2, onnxruntime 1.32.0 and torch 2.13.0 on the CPU.

The states and Jacobians of an exported network are torch's, in float64. A node built here is run by
onnxruntime one step at a time, in the only precision it has for these nodes, float32. Its Jacobians are
central differences of sixth order, which leave about 3e-6.

A layer goes by the name of its node without the leading slash, or by its first output if the node has no
name. A node with both directions has ``NAME.l0`` and ``NAME.l0_reverse``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from shelf import STEPS, Layer, agree, keep, refuse, seed, walk
from torch import Tensor, nn
from torch_files import draw_weights, trace

HIDDEN, INPUT = 4, 3
WEIGHT_RANGE = 0.8

# opset 17 is the first in which onnx has all that is used here; newer ones say nothing else about it.
OPSET, IR = 17, 8

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
PEEPHOLES = 3

# The weights of a central difference by the distance in widths.
STENCIL = {1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
WIDTH = 1 / 16

Array = NDArray[np.float32]


class KinkError(ArithmeticError):
    """A derivative jumps within the reach of a difference."""


# ---------------------------------------------------------------------------------------------------
# Nodes built here, and what onnxruntime makes of them


@dataclass(frozen=True)
class Recurrent:
    """A recurrent node. Its weights W, R, B and P have the axis of the directions first."""

    kind: str
    weights: Mapping[str, Array]
    attributes: Mapping[str, object] = field(default_factory=dict)
    name: str = "/encoder/rnn"

    @property
    def parts(self) -> int:
        """Return the number of vectors in the state."""
        return 2 if self.kind == "LSTM" else 1

    def node(self, fed: str, outputs: Sequence[str], initial: Sequence[str] = ()) -> onnx.NodeProto:
        """Return the node of the graph, with weights under their own names."""
        begin = [*initial, "", ""][: self.parts]
        inputs = [fed, "W", "R", "B" if "B" in self.weights else "", "", *begin]
        if "P" in self.weights:
            inputs.append("P")
        while not inputs[-1]:
            inputs.pop()
        return helper.make_node(
            self.kind, inputs, outputs, name=self.name, hidden_size=HIDDEN, **self.attributes
        )

    def stepper(self, direction: int) -> Callable[[Array, Array], Array]:
        """Return what takes many states (k, n) one step on with the same input, in one direction."""
        single = replace(
            self,
            weights={name: weight[direction : direction + 1] for name, weight in self.weights.items()},
            attributes={name: value for name, value in self.attributes.items() if name != "direction"},
        )
        initial, final = ["h", "c"][: self.parts], ["h_new", "c_new"][: self.parts]
        node = single.node("x", ["", *final], initial)
        session = start(graph([node], single.weights, ["x", *initial], final))

        def step(x: Array, states: Array) -> Array:
            fed = {"x": np.broadcast_to(x, (1, len(states), len(x)))}
            fed |= {name: part[None] for name, part in zip(initial, split(states, self.parts), strict=True)}
            return np.concatenate([part[0] for part in session.run(final, fed)], axis=1)

        return step

    def trace(self, inputs: Array) -> dict[str, Layer]:
        """Return all that the node does with `inputs`, by direction."""
        name = self.name.removeprefix("/") or "hidden"
        direction = self.attributes.get("direction", "forward")
        names = [f"{name}.l0", f"{name}.l0_reverse"] if direction == "bidirectional" else [name]
        layers = {}
        for number, name in enumerate(names):
            step = self.stepper(number)
            back = direction == "reverse" or number == 1
            layers[name] = walk(
                lambda x, s, step=step: step(x, s[None])[0],
                partial(differentiate, step),
                inputs[::-1] if back else inputs,
                self.parts * HIDDEN,
            )
        return layers


def split(states: Array, parts: int) -> list[Array]:
    """Return h and, if there is one, c."""
    return [np.ascontiguousarray(part) for part in np.split(states, parts, axis=-1)]


def differentiate(step: Callable[[Array, Array], Array], x: Array, state: Array) -> NDArray[np.float64]:
    """Return the derivative of a step by the state, or raise KinkError where there is none."""

    def difference(width: float) -> NDArray[np.float64]:
        total = np.zeros((state.size, state.size))
        for distance, weight in STENCIL.items():
            offsets = np.float32(distance * width) * np.eye(state.size, dtype=np.float32)
            ahead, behind = (step(x, state + sign * offsets).astype(float) for sign in (1, -1))
            total += weight / width * (ahead - behind).T
        return total

    wide, narrow = difference(WIDTH), difference(WIDTH / 2)
    if np.abs(wide - narrow).max() > 2e-5:
        raise KinkError("differences of two widths are unlike")
    return wide


def graph(
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, NDArray],
    inputs: Sequence[str],
    outputs: Sequence[str],
    kind: int = onnx.TensorProto.FLOAT,
) -> onnx.ModelProto:
    """Return a checked model in which all inputs and outputs are of one kind."""
    values = []
    for names in (inputs, outputs):
        # The outputs of all steps have the directions as an axis of their own.
        ranks = {name: 4 if name == "hidden" else 3 for name in names}
        values.append(
            [helper.make_tensor_value_info(name, kind, [None] * rank) for name, rank in ranks.items()]
        )
    stored = [numpy_helper.from_array(weight, name) for name, weight in weights.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "network", *values, stored),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="gradflow",
    )
    onnx.checker.check_model(model)
    return model


def start(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """Return onnxruntime with a model loaded, on one core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def network(layer: Recurrent) -> onnx.ModelProto:
    """Return a model of one node. It gives out h of all steps, and the last c of an LSTM."""
    outputs = ["hidden", "", "cell"] if layer.kind == "LSTM" else ["hidden"]
    kind = helper.np_dtype_to_tensor_dtype(layer.weights["W"].dtype)
    node = layer.node("inputs", outputs)
    return graph([node], layer.weights, ["inputs"], [name for name in outputs if name], kind)


def check(model: onnx.ModelProto, layer: Recurrent, inputs: Array, found: dict[str, Layer]) -> None:
    """Raise unless the whole model gives what the steps gave."""
    precision = layer.weights["W"].dtype
    hidden, *cell = start(model).run(None, {"inputs": inputs[:, None].astype(precision)})
    tolerance = 1e-3 if precision == np.float16 else 1e-6
    back = layer.attributes.get("direction") == "reverse"
    for number, (name, one) in enumerate(found.items()):
        order = slice(None, None, -1 if back or number else 1)
        parts = split(one.outputs, layer.parts)
        agree(parts[0][order], hidden[:, number, 0], f"{name}: output", tolerance)
        if cell:
            agree(parts[1][-1], cell[0][number, 0], f"{name}: last cell state", tolerance)


def draw(
    kind: str,
    generator: np.random.Generator,
    *,
    bias: bool = True,
    peephole: bool = False,
    name: str = "/encoder/rnn",
    **attributes: object,
) -> Recurrent:
    """Return a node with random weights."""
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    rows = GATES[kind] * HIDDEN
    shapes = {"W": (rows, INPUT), "R": (rows, HIDDEN)}
    if bias:
        shapes["B"] = (2 * rows,)
    if peephole:
        shapes["P"] = (PEEPHOLES * HIDDEN,)
    weights = {
        key: generator.uniform(-WEIGHT_RANGE, WEIGHT_RANGE, (directions, *shape)).astype(np.float32)
        for key, shape in shapes.items()
    }
    return Recurrent(kind, weights, attributes, name)


CASES = {
    "onnx_rnn": partial(draw, "RNN"),
    "onnx_rnn_relu": partial(draw, "RNN", activations=["Relu"]),
    "onnx_lstm": partial(draw, "LSTM", peephole=True),
    "onnx_lstm_bidirectional": partial(draw, "LSTM", direction="bidirectional"),
    "onnx_lstm_reverse": partial(draw, "LSTM", direction="reverse"),
    # onnxruntime hands alphas and betas out in order to the functions which have them.
    "onnx_lstm_activations": partial(
        draw,
        "LSTM",
        activations=["HardSigmoid", "Softsign", "Elu"],
        activation_alpha=[0.25, 1.5],
        activation_beta=[0.4],
    ),
    # onnxruntime takes f = 1 - i, whatever the weights of f.
    "onnx_lstm_input_forget": partial(draw, "LSTM", input_forget=1),
    "onnx_lstm_no_bias": partial(draw, "LSTM", bias=False),
    "onnx_gru_reset_after": partial(draw, "GRU", linear_before_reset=1),
    "onnx_gru_reset_before": partial(draw, "GRU", linear_before_reset=0, name=""),
}


def draw_inputs(generator: np.random.Generator) -> Array:
    """Return what a network is fed."""
    return generator.standard_normal((STEPS, INPUT)).astype(np.float32)


def build(case: str) -> None:
    """Write one node."""
    generator = np.random.default_rng(seed(case))
    while True:
        layer, inputs = CASES[case](generator), draw_inputs(generator)
        try:
            layers = layer.trace(inputs)
        except KinkError:
            continue
        # With all units of a relu off, a step would test nothing.
        if all(one.jacobians.any(axis=(1, 2)).all() for one in layers.values()):
            break
    model = network(layer)
    check(model, layer, inputs, layers)
    keep(case, "onnx", inputs=inputs, layers=layers, write={"onnx": partial(onnx.save, model)})


def build_float16(case: str) -> None:
    """Write a node in half precision; beside it lies what its very numbers give in single precision."""
    generator = np.random.default_rng(seed(case))
    layer, inputs = draw("LSTM", generator), draw_inputs(generator).astype(np.float16).astype(np.float32)
    half = {name: weight.astype(np.float16) for name, weight in layer.weights.items()}
    single = {name: weight.astype(np.float32) for name, weight in half.items()}
    layers = replace(layer, weights=single).trace(inputs)
    layer = replace(layer, weights=half)
    model = network(layer)
    check(model, layer, inputs, layers)
    keep(case, "onnx", inputs=inputs, layers=layers, write={"onnx": partial(onnx.save, model)})


# Weights in torch's order of gates, i f g o, put into that of ONNX, i o f g, as exports of torch do it.
ORDER = """
    {source}_i = Slice ({source}, at_0, at_4, at_0)
    {source}_o = Slice ({source}, at_12, at_16, at_0)
    {source}_fg = Slice ({source}, at_4, at_12, at_0)
    {source}_iofg = Concat <axis = 0> ({source}_i, {source}_o, {source}_fg)
"""
BRANCHES = f"""
<ir_version: {IR}, opset_import: ["" : {OPSET}]>
network (float[6,1,3] inputs, bool ahead) => (float[6,1,1,4] hidden)
<int64[1] at_0 = {{0}}, int64[1] at_4 = {{4}}, int64[1] at_12 = {{12}}, int64[1] at_16 = {{16}}>
{{
    {"".join(ORDER.format(source=source) for source in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))}
    bias_iofg = Concat <axis = 0> (bias_ih_iofg, bias_hh_iofg)
    W = Unsqueeze (weight_ih_iofg, at_0)
    R = Unsqueeze (weight_hh_iofg, at_0)
    B = Unsqueeze (bias_iofg, at_0)
    hidden = If (ahead) <
        then_branch = yes () => (float[6,1,1,4] hidden_yes) {{
            ["/yes/LSTM"] hidden_yes = LSTM <hidden_size = 4> (inputs, W, R, B)
        }},
        else_branch = no () => (float[6,1,1,4] hidden_no) {{
            negative = Neg (inputs)
            ["/no/LSTM"] hidden_no = LSTM <hidden_size = 4> (negative, W, R, B)
        }}
    >
}}
"""


def build_branches(case: str) -> None:
    """Write an LSTM in both branches of an If, with weights that the graph around it puts together."""
    generator = np.random.default_rng(seed(case))
    shapes = {"weight_ih": (4 * HIDDEN, INPUT), "weight_hh": (4 * HIDDEN, HIDDEN)}
    shapes |= {"bias_ih": (4 * HIDDEN,), "bias_hh": (4 * HIDDEN,)}
    weights = {
        name: generator.uniform(-WEIGHT_RANGE, WEIGHT_RANGE, shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    inputs = draw_inputs(generator)
    model = onnx.parser.parse_model(BRANCHES)
    model.graph.initializer.extend(numpy_helper.from_array(weight, name) for name, weight in weights.items())
    onnx.checker.check_model(model)
    lstm = nn.LSTM(INPUT, HIDDEN)
    lstm.load_state_dict({f"{name}_l0": torch.from_numpy(weight) for name, weight in weights.items()})
    keep_branches(case, model, lstm, inputs)


# ---------------------------------------------------------------------------------------------------
# What torch exports


class Wrapped(nn.Module):
    """A recurrent module of which the outputs alone are wanted."""

    def __init__(self, path: str, module: nn.RNNBase) -> None:
        super().__init__()
        self.path = path
        self.add_module(path, module)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs of all steps."""
        return getattr(self, self.path)(inputs)[0]


class Branching(nn.Module):
    """An LSTM that is fed the inputs or their negatives."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.lstm = lstm

    def forward(self, inputs: Tensor, ahead: Tensor) -> Tensor:
        """Return the outputs of all steps."""
        return self.lstm(inputs)[0] if bool(ahead) else self.lstm(-inputs)[0]


def export(model: nn.Module, inputs: Mapping[str, Tensor], **options: bool) -> onnx.ModelProto:
    """Return what torch exports, save for the places in its source that it notes."""
    made = BytesIO()
    with warnings.catch_warnings():
        # The exporter without dynamo is deprecated, and most files in the world were made by it.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            tuple(inputs.values()),
            made,
            input_names=list(inputs),
            output_names=["outputs"],
            external_data=False,
            **options,
        )
    model = onnx.load_from_string(made.getvalue())
    for node in model.graph.node:
        kept = [note for note in node.metadata_props if note.key != "pkg.torch.onnx.stack_trace"]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    return model


def layer_names(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the name of every layer, in the order of the graph and of the branches in it."""
    for node in graph.node:
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type in GATES:
            name = node.name.removeprefix("/")
            both = attributes.get("direction") == b"bidirectional"
            yield from [f"{name}.l0", f"{name}.l0_reverse"] if both else [name]
        for branch in ("then_branch", "else_branch"):
            if branch in attributes:
                yield from layer_names(attributes[branch])


def keep_exported(case: str, model: onnx.ModelProto, inputs: Array, layers: Sequence[Layer]) -> None:
    """Write a model in which torch's layers have names of their own."""
    named = dict(zip(layer_names(model.graph), layers, strict=True))
    keep(case, "onnx", inputs=inputs, layers=named, write={"onnx": partial(onnx.save, model)})


def keep_branches(case: str, model: onnx.ModelProto, lstm: nn.LSTM, inputs: Array) -> None:
    """Write a model that runs `lstm` in two branches. It is one layer, kept with the inputs of the first."""
    session, layers = start(model), []
    for ahead in (True, False):
        (layer,) = trace(lstm, case, (inputs if ahead else -inputs).astype(float)).values()
        (hidden,) = session.run(None, {"inputs": inputs[:, None], "ahead": np.array(ahead)})
        agree(layer.outputs[:, :HIDDEN], hidden.reshape(STEPS, -1), case)
        layers.append(layer)
    first, _ = layer_names(model.graph)
    keep(case, "onnx", inputs=inputs, layers={first: layers[0]}, write={"onnx": partial(onnx.save, model)})


EXPORTS = {
    "onnx_export_lstm": (partial(nn.LSTM, INPUT, HIDDEN, num_layers=2), {"dynamo": False}),
    "onnx_export_gru": (partial(nn.GRU, INPUT, HIDDEN, bidirectional=True), {"dynamo": False}),
    # Slice, Concat and Unsqueeze put the weights together.
    "onnx_export_unfolded": (
        partial(nn.LSTM, INPUT, HIDDEN), {"dynamo": False, "do_constant_folding": False},
    ),
    "onnx_export_dynamo": (partial(nn.LSTM, INPUT, HIDDEN, num_layers=2), {"dynamo": True, "verbose": False}),
}  # fmt: skip


def draw_module(case: str, build: Callable[[], nn.RNNBase]) -> tuple[nn.RNNBase, Array]:
    """Return a module and its inputs."""
    generator = torch.Generator().manual_seed(seed(case))
    module = build()
    draw_weights(module, generator)
    return module, torch.randn(STEPS, INPUT, generator=generator).numpy()


def build_export(case: str) -> None:
    """Write what torch exports."""
    build, options = EXPORTS[case]
    module, inputs = draw_module(case, build)
    fed = torch.from_numpy(inputs)[:, None]
    model = export(Wrapped(type(module).__name__.lower(), module), {"inputs": fed}, **options)
    with torch.no_grad():
        agree(start(model).run(None, {"inputs": fed.numpy()})[0], module(fed)[0], case)
    keep_exported(case, model, inputs, list(trace(module, case, inputs.astype(float)).values()))


def build_exported_branches(case: str) -> None:
    """Write what torch exports of a script, with weights that each branch puts together."""
    module, inputs = draw_module(case, partial(nn.LSTM, INPUT, HIDDEN))
    fed = {"inputs": torch.from_numpy(inputs)[:, None], "ahead": torch.tensor(True)}
    keep_branches(case, export(torch.jit.script(Branching(module)), fed, dynamo=False), module, inputs)


# ---------------------------------------------------------------------------------------------------


def save_external(path: Path) -> None:
    """Write a model whose weights are in a second file, and remove that."""
    data = path.with_suffix(".data")
    model = network(draw("LSTM", np.random.default_rng(seed(path.stem))))
    onnx.save(model, path, save_as_external_data=True, location=data.name, size_threshold=0)
    data.unlink()


def main() -> None:
    """Write all files."""
    for case in CASES:
        build(case)
    build_float16("onnx_float16")
    build_branches("onnx_if")
    for case in EXPORTS:
        build_export(case)
    build_exported_branches("onnx_export_if")
    refuse("onnx_external.onnx", save_external)


if __name__ == "__main__":
    main()
