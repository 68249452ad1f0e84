"""Cells as Keras weights, compared with what Keras wrote and with a twin that computes as Keras documents."""

import ast
import math
from dataclasses import replace
from itertools import permutations, product
from types import SimpleNamespace

import numpy as np
import pytest

from gradflow import from_state_dict, load
from gradflow.analysis.init.init import init
from gradflow.cells.activations import ACTIVATION_FAMILIES, parse_activation
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.cells.spec import parse_cell
from gradflow.errors import DataError
from gradflow.layouts import EXPORTERS
from gradflow.layouts.exports import export_cells
from gradflow.layouts.keras_defaults import KERAS_ACTIVATIONS
from gradflow.registry import lookup
from tests.layouts.test_files import CHECKPOINTS, STATES, expected, loaded

HIDDEN, FEATURES, STEPS = 4, 3, 12
NAMES = ["kernel", "recurrent_kernel", "bias"]
# cuDNN orders its kernels differently, a layer without bias has no array for it, others have no tanh.
OTHERWISE = ("cudnn", "no_bias", "hard_sigmoid", "relu_lstm", "activations")
FROM_KERAS = [
    path
    for path in CHECKPOINTS
    if path.name.startswith("keras_") and not any(word in path.name for word in OTHERWISE)
]
SPECS = [
    "rnn",
    "rnn:init=orthogonal",
    "lstm",
    "lstm:init=chrono",
    "gru",
    "gru:init=chrono",
    "gru:reset=before",
]


def made(spec, seed=0, features=FEATURES):
    return parse_cell(spec).make(HIDDEN, features, np.random.default_rng(seed))


def draws(seed=1, features=FEATURES):
    return np.random.default_rng(seed).standard_normal((STEPS, features))


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def simple_rnn(arrays, inputs):
    """keras.layers.SimpleRNN: tanh(x kernel + h recurrent_kernel + bias)."""
    kernel, recurrent, bias = arrays
    h, states = np.zeros(len(recurrent)), []
    for x in inputs:
        h = np.tanh(x @ kernel + h @ recurrent + bias)
        states.append(h)
    return np.array(states)


def lstm(arrays, inputs):
    """keras.layers.LSTM: columns i, f, c, o side by side."""
    kernel, recurrent, bias = arrays
    h, c, states = np.zeros(len(recurrent)), np.zeros(len(recurrent)), []
    for x in inputs:
        i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.array(states)


def gru(arrays, inputs):
    """keras.layers.GRU: columns z, r, h; a bias (2, 3H) with reset_after, and (3H) without."""
    kernel, recurrent, bias = arrays
    after = bias.ndim == 2
    outer, inner = bias if after else (bias, np.zeros_like(bias))
    h, states = np.zeros(len(recurrent)), []
    for x in inputs:
        z_x, r_x, n_x = np.split(x @ kernel + outer, 3)
        z_u, r_u, n_u = np.split(recurrent, 3, axis=1)
        z_b, r_b, n_b = np.split(inner, 3)
        z, r = sigmoid(z_x + h @ z_u + z_b), sigmoid(r_x + h @ r_u + r_b)
        n = np.tanh(n_x + r * (h @ n_u + n_b)) if after else np.tanh(n_x + (r * h) @ n_u)
        h = z * h + (1 - z) * n
        states.append(h)
    return np.array(states)


TWINS = {"rnn": simple_rnn, "lstm": lstm, "gru": gru}


def kind(spec):
    return spec.partition(":")[0]


def export(cells, layout="keras"):
    """Return the expressions that make the modules of a framework, and all arrays by their full names."""
    modules = export_cells(lookup(EXPORTERS, layout, "layout"), cells)
    arrays = {
        f"{module.path}{module.separator}{name}": array
        for module in modules
        for name, array in module.arrays.items()
    }
    return [module.constructor for module in modules], arrays


def arrays_of(cells):
    return list(export(cells)[1].values())


@pytest.mark.parametrize("spec", SPECS)
def test_twin_computes_the_states_of_the_cell(spec):
    cell = made(spec)
    states = cell.run(draws())[1:, :HIDDEN]
    np.testing.assert_allclose(TWINS[kind(spec)](arrays_of([cell]), draws()), states, rtol=0, atol=1e-13)


def swapped(array, order):
    """Return an array with its gates, which are side by side, in another order."""
    blocks = np.split(array, len(order), axis=-1)
    return np.concatenate([blocks[k] for k in order], axis=-1)


@pytest.mark.parametrize("spec", ["lstm", "gru", "gru:reset=before"])
def test_twin_depends_on_the_order_of_gates(spec):
    cell, count = made(spec), {"lstm": 4, "gru": 3}[kind(spec)]
    states = cell.run(draws())[1:, :HIDDEN]
    orders = [order for order in permutations(range(count)) if list(order) != sorted(order)]
    for order in orders:
        moved = [swapped(array, order) for array in arrays_of([cell])]
        assert np.abs(TWINS[kind(spec)](moved, draws()) - states).max() > 1e-3, order


@pytest.mark.parametrize("spec", ["lstm", "gru", "gru:reset=before"])
def test_each_array_is_in_the_same_order(spec):
    cell, count = made(spec), {"lstm": 4, "gru": 3}[kind(spec)]
    states, arrays = cell.run(draws())[1:, :HIDDEN], arrays_of([cell])
    for place, order in product(range(3), [(1, 0, *range(2, count)), (0, 2, 1, *range(3, count))]):
        moved = [swapped(array, order) if k == place else array for k, array in enumerate(arrays)]
        assert np.abs(TWINS[kind(spec)](moved, draws()) - states).max() > 1e-3, order


# One number for each gate.
MARKS = {"i": 1.0, "f": 2.0, "g": 3.0, "o": 4.0, "r": 5.0, "z": 6.0, "n": 7.0}
KERAS = {"lstm": "ifgo", "gru": "zrn"}


@pytest.mark.parametrize("spec", ["lstm", "gru", "gru:reset=before"])
def test_gates_stand_as_keras_documents_them(spec):
    cell = made(spec)
    marks = np.repeat([MARKS[name] for name in cell.gate_names], HIDDEN)
    marked = cell.replace_arrays(
        weight_ih=np.tile(marks[:, None], FEATURES), weight_hh=np.tile(marks[:, None], HIDDEN), bias=marks
    )
    kernel, recurrent, bias = arrays_of([marked])
    wanted = np.repeat([MARKS[name] for name in KERAS[kind(spec)]], HIDDEN)
    np.testing.assert_array_equal(kernel, np.tile(wanted, (FEATURES, 1)))
    np.testing.assert_array_equal(recurrent, np.tile(wanted, (HIDDEN, 1)))
    np.testing.assert_array_equal(bias[0] if bias.ndim == 2 else bias, wanted)


def test_arrays_fit_set_weights():
    for spec in SPECS:
        gates = {"rnn": 1, "lstm": 4, "gru": 3}[kind(spec)]
        _, found = export([made(spec)])
        name = {"rnn": "simple_rnn"}.get(kind(spec), kind(spec))
        assert list(found) == [f"{name}/{name}_cell/{array}" for array in NAMES]
        rows = gates * HIDDEN
        bias = (2, rows) if kind(spec) == "gru" and "before" not in spec else (rows,)
        assert [array.shape for array in found.values()] == [(FEATURES, rows), (HIDDEN, rows), bias]


def test_layers_are_named_as_keras_names_them():
    cells = [made("gru"), made("gru", features=HIDDEN), made("gru", features=HIDDEN)]
    constructors, arrays = export(cells)
    assert list(arrays) == [
        f"{name}/gru_cell/{array}" for name in ("gru", "gru_1", "gru_2") for array in NAMES
    ]
    assert constructors == [f"keras.layers.GRU({HIDDEN}, return_sequences=True)"] * 3


def test_only_the_candidate_has_an_inner_bias():
    cell = made("gru")
    outer, inner = arrays_of([cell])[2]
    np.testing.assert_array_equal(inner[: 2 * HIDDEN], 0)
    np.testing.assert_array_equal(inner[2 * HIDDEN :], cell.bias_hn)
    np.testing.assert_array_equal(outer[2 * HIDDEN :], cell.bias[2 * HIDDEN :])
    without = GRU(cell.weight_ih, cell.weight_hh, cell.bias)
    outer, inner = arrays_of([without])[2]
    np.testing.assert_array_equal(inner, 0)
    np.testing.assert_array_equal(outer[2 * HIDDEN :], cell.bias[2 * HIDDEN :])


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("layout", EXPORTERS)
def test_written_arrays_read_back_as_the_cell(spec, layout):
    if layout == "torch" and "before" in spec:
        with pytest.raises(DataError, match="reset gate before"):
            export([made(spec)], "torch")
        return
    cell = made(spec)
    # The arrays of an ONNX node do not say where its reset gate is.
    assume = {"reset": "before"} if layout == "onnx" and "before" in spec else None
    (network,) = from_state_dict(export([cell], layout)[1], assume=assume).networks
    (layer,) = network.layers
    assert layer.framework == layout
    weights, others = cell.weights(), layer.cell.weights()
    assert list(weights) == list(others)
    for name, weight in weights.items():
        np.testing.assert_array_equal(others[name], weight)
    assert getattr(layer.cell, "reset", None) == getattr(cell, "reset", None)


@pytest.mark.parametrize("path", FROM_KERAS, ids=lambda path: path.name)
def test_arrays_equal_those_of_keras(path):
    for layer in loaded(path, expected(path)).layers:
        # An .h5 names the arrays and sorts them by name; the other files number them.
        by_name = {array.name.rpartition("/")[2].partition(":")[0]: array for array in layer.stored}
        names = NAMES if "kernel" in by_name else ["0", "1", "2"]
        stored = [by_name[name].read_numbers() for name in names]
        found = arrays_of([layer.cell])
        for array, old in zip(found[:2], stored[:2], strict=True):
            np.testing.assert_array_equal(array, old)
        if found[2].ndim == 1:
            np.testing.assert_array_equal(found[2], stored[2])
        else:  # The two biases of Keras are added where they act as one.
            size = 2 * layer.cell.hidden_size
            np.testing.assert_array_equal(
                found[2].sum(axis=0)[:size], np.asarray(stored[2].sum(axis=0))[:size]
            )
            np.testing.assert_array_equal(found[2][:, size:], stored[2][:, size:])


@pytest.mark.parametrize("path", FROM_KERAS, ids=lambda path: path.name)
def test_twin_computes_the_states_of_keras(path):
    truth, compared = expected(path), 0
    for layer in loaded(path, truth).layers:
        if getattr(layer.cell, "activation", "tanh") == "tanh":
            twin = TWINS[layer.kind](arrays_of([layer.cell]), truth[f"fed/{layer.name}"].astype(float))
            size = layer.cell.hidden_size
            np.testing.assert_allclose(twin, truth[f"states/{layer.name}"][1:, :size], rtol=0, atol=STATES)
            compared += 1
    assert compared or "relu" in path.name


@pytest.mark.parametrize("name", KERAS_ACTIVATIONS)
def test_simple_rnn_has_the_activation_of_keras(name):
    weights = np.ones((HIDDEN, FEATURES)), np.ones((HIDDEN, HIDDEN)), np.ones(HIDDEN)
    (constructor,), arrays = export([RNN(*weights, KERAS_ACTIVATIONS[name])])
    call = ast.parse(constructor, mode="eval").body
    assert ast.unparse(call.func) == "keras.layers.SimpleRNN"
    assert [ast.literal_eval(argument) for argument in call.args] == [HIDDEN]
    told = {item.arg: ast.literal_eval(item.value) for item in call.keywords}
    assert KERAS_ACTIVATIONS[told.get("activation", "tanh")] == KERAS_ACTIVATIONS[name]
    (network,) = from_state_dict(arrays, assume={"activation": KERAS_ACTIVATIONS[name]}).networks
    assert parse_activation(network.make_cell().activation) is parse_activation(KERAS_ACTIVATIONS[name])


@pytest.mark.parametrize(
    ("spec", "constructor"),
    [
        ("lstm", "keras.layers.LSTM(4, return_sequences=True)"),
        ("gru", "keras.layers.GRU(4, return_sequences=True)"),
        ("gru:reset=before", "keras.layers.GRU(4, return_sequences=True, reset_after=False)"),
        ("rnn", "keras.layers.SimpleRNN(4, return_sequences=True)"),
    ],
)
def test_constructor_omits_the_defaults_of_keras(spec, constructor):
    assert export([made(spec)])[0] == [constructor]


# What the expressions of activations use of keras.ops, as Keras documents it.
KERAS_OPS = SimpleNamespace(
    clip=np.clip,
    where=np.where,
    tanh=np.tanh,
    erf=np.vectorize(math.erf),
    elu=lambda z, alpha: np.where(z > 0, z, alpha * np.expm1(z)),
    leaky_relu=lambda z, slope: np.where(z > 0, z, slope * z),
)
UNNAMED = [
    "affine(0.5,0.1)",
    "scaled_tanh(0.8,1.3)",
    "hard_sigmoid(0.2,0.5)",
    "leaky_relu(0.03)",
    "thresholded_relu(0.4)",
    "elu(0.7)",
    "erf",
]


@pytest.mark.parametrize("name", UNNAMED)
def test_an_activation_without_a_name_in_keras_is_an_expression_that_computes_it(name):
    cell = replace(made("lstm"), activation=name, output_activation=name, gate_activation=name)
    call = ast.parse(export([cell])[0][0], mode="eval").body
    told = {item.arg: item.value for item in call.keywords}
    z, keras = np.linspace(-6, 6, 121), SimpleNamespace(ops=KERAS_OPS)
    for option in ("activation", "recurrent_activation"):
        function = eval(ast.unparse(told[option]), {"keras": keras})
        np.testing.assert_allclose(function(z), parse_activation(name).value(z), rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", ACTIVATION_FAMILIES)
def test_every_activation_with_parameters_has_an_expression(name):
    cell = made("rnn")
    parameters = ACTIVATION_FAMILIES[name][1]
    odd = f"{name}({','.join(str(value + 0.25) for value in parameters)})" if parameters else name
    assert export([replace(cell, activation=odd)])[0][0].count("activation=") == 1


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("lstm:peephole=on", "no LSTM with peepholes"),
        ("lstm:coupled=on", "no LSTM with coupled gates"),
        ("lstm:forget_gate=off", "no LSTM with no forget gate"),
        ("lstm:projection=2", "no LSTM with a projection"),
        ("leaky", "no leaky cell"),
    ],
)
def test_cells_that_keras_lacks_are_refused(spec, words):
    with pytest.raises(DataError, match=words):
        export([made(spec)])
    with pytest.raises(DataError, match=words):
        export([made("lstm"), made(spec, features=HIDDEN)])


def test_an_lstm_with_two_activations_is_refused():
    with pytest.raises(DataError, match="no LSTM with activation tanh of the candidate, but relu of c"):
        export([replace(made("lstm"), output_activation="relu")])


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("spec", ["rnn", "lstm", "gru", "gru:reset=before"])
def test_layouts_of_one_seed_hold_the_same_cell(spec, suffix, tmp_path):
    cells = {}
    for layout in EXPORTERS:
        if (layout, spec) == ("torch", "gru:reset=before"):
            continue
        file = tmp_path / f"{layout}.{suffix}"
        # A plain rnn keeps its gradient over a few steps only.
        horizon = 3 if spec == "rnn" else 20
        init(spec, hidden=HIDDEN, features=FEATURES, horizon=horizon, seeds=1, output=file, layout=layout)
        assume = {"reset": "before"} if (layout, spec) == ("onnx", "gru:reset=before") else None
        (layer,) = load(file, assume=assume).layers
        assert layer.framework == layout
        cells[layout] = layer.cell
    for cell in cells.values():
        twin = TWINS[kind(spec)](arrays_of([cell]), draws())
        np.testing.assert_allclose(twin, cells["keras"].run(draws())[1:, :HIDDEN], rtol=0, atol=1e-13)


def test_writing_does_not_change_the_cell():
    for cell in (made("lstm"), made("gru"), made("rnn")):
        before = {name: weight.copy() for name, weight in cell.weights().items()}
        for layout in EXPORTERS:
            export([cell], layout)
        for name, weight in cell.weights().items():
            np.testing.assert_array_equal(weight, before[name])
    assert {LSTM, GRU, RNN} == {type(made(name)) for name in TWINS}
