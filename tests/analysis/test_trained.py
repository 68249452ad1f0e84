"""Trained networks in a comparison: norms are those of the products of the frameworks' own Jacobians."""

import shutil
from functools import reduce

import numpy as np
import pytest

from gradflow.analysis.compare.compare import compare
from gradflow.errors import DataError, UsageError
from gradflow.layouts.checkpoint import from_state_dict, load
from gradflow.readers.arrays import read_arrays
from tests.layouts.test_files import CHECKPOINTS, FILES, expected
from tests.slow import central_differences


def layers(truth):
    return [name.removeprefix("states/") for name in truth.files if name.startswith("states/")]


def typed(path):
    """What a person types: the file, and what it does not say itself."""
    truth = expected(path)
    if "assume" in truth and path.suffix not in (".keras", ".onnx"):
        return f"{path}::{layers(truth)[0]}:{','.join(truth['assume'])}"
    return str(path)


def product_norms(jacobians, view):
    """log₁₀ of the spectral norms of J_T ⋯ J_{T−k+1}, or of J_k ⋯ J_1, and of the single step at each lag."""
    product, products, steps = np.eye(jacobians.shape[1]), [], []
    for jacobian in jacobians[::-1] if view == "backward" else jacobians:
        product = product @ jacobian if view == "backward" else jacobian @ product
        products.append(product)
        steps.append(jacobian)
    return (np.log10(np.linalg.norm(matrices, 2, axis=(1, 2))) for matrices in (products, steps))


def tolerance(truth):
    """What float32, or the central differences of ONNX's runtime, leave of a norm; else only rounding."""
    rough = truth["framework"] == "onnx" or truth["inputs"].dtype == np.float32
    return 1e-4 if rough else 1e-12


ALONE = [path for path in CHECKPOINTS if len(layers(expected(path))) == 1]


@pytest.mark.parametrize("path", ALONE, ids=lambda path: path.name)
def test_norms_are_those_of_the_products_of_the_frameworks_jacobians(path):
    for view in ("backward", "forward"):
        check_norms(path, view)


def check_norms(path, view):
    truth = expected(path)
    (name,) = layers(truth)
    jacobians = truth[f"jacobians/{name}"].astype(float)
    result = compare(typed(path), input=truth["inputs"], view=view)
    products, steps = product_norms(jacobians, view)
    assert result.flow.lag == list(range(1, len(jacobians) + 1))
    np.testing.assert_allclose(10.0**result.flow.log10_norm, 10.0**products, rtol=tolerance(truth))
    np.testing.assert_allclose(10.0**result.flow.log10_step_norm, 10.0**steps, rtol=tolerance(truth))
    np.testing.assert_array_equal(result.flow.log10_norm_low, result.flow.log10_norm_high)
    assert result.cells.state_size == [jacobians.shape[1]]
    assert (result.hidden, result.features) == (4, 3)


@pytest.mark.parametrize("name", ["keras_go_backwards.keras", "onnx_lstm_reverse.onnx"])
def test_a_backward_layer_goes_through_the_input_in_reverse(name):
    path = FILES / name
    truth = expected(path)
    (layer,) = layers(truth)
    np.testing.assert_array_equal(truth[f"fed/{layer}"], truth["inputs"][::-1])
    products, _ = product_norms(truth[f"jacobians/{layer}"].astype(float), "backward")
    turned = compare(str(path), input=truth["inputs"][::-1])
    assert np.abs(turned.flow.log10_norm - products).max() > 0.01


def test_the_backward_half_of_a_layer_goes_in_reverse_too():
    path = FILES / "torch_gru_bidirectional.pt"
    truth = expected(path)
    for layer in ("tagger.gru.l0", "tagger.gru.l0_reverse"):
        products, _ = product_norms(truth[f"jacobians/{layer}"], "backward")
        result = compare(f"{path}::{layer}", input=truth["inputs"])
        np.testing.assert_allclose(result.flow.log10_norm, products, rtol=1e-12)


class TorchStack:
    """The two layers of torch_lstm_stacked.pt, by the formulas of torch.nn.LSTM; the state is h, c, h, c."""

    path = FILES / "torch_lstm_stacked.pt"

    def __init__(self):
        self.weights = {name: stored.read_numbers() for name, stored in read_arrays(self.path).items()}

    def run(self, state, inputs):
        h, c, h_above, c_above = np.split(state, 4)
        for x in inputs:
            h, c = self.step(0, x, h, c)
            h_above, c_above = self.step(1, h, h_above, c_above)
        return np.concatenate([h, c, h_above, c_above])

    def step(self, layer, x, h, c):
        w_i, w_h, b_i, b_h = (
            self.weights[f"encoder.lstm.{name}_l{layer}"]
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        i, f, g, o = np.split(w_i @ x + b_i + w_h @ h + b_h, 4)
        i, f, o = (1 / (1 + np.exp(-z)) for z in (i, f, o))
        c = f * c + i * np.tanh(g)
        return o * np.tanh(c), c


@pytest.mark.parametrize("view", ["backward", "forward"])
def test_stacked_layers_are_one_cell_whose_blocks_are_the_layers_own(view):
    twin, truth = TorchStack(), expected(TorchStack.path)
    inputs, steps = truth["inputs"], len(truth["inputs"])
    states = np.hstack([truth[f"states/{name}"] for name in layers(truth)])
    norms = []
    for lag in range(1, steps + 1):
        start = steps - lag if view == "backward" else 0
        stretch = inputs[start : start + lag]
        product = central_differences(lambda s, fed=stretch: twin.run(s, fed), states[start])
        # the lower layer knows nothing of the upper one
        np.testing.assert_allclose(product[:8, 8:], 0, atol=1e-9)
        assert np.linalg.norm(product[8:, :8], 2) > 0.01
        for rows, name in ((slice(8), layers(truth)[0]), (slice(8, 16), layers(truth)[1])):
            own = reduce(np.matmul, truth[f"jacobians/{name}"][start : start + lag][::-1])
            np.testing.assert_allclose(product[rows, rows], own, atol=1e-9)
        norms.append(np.linalg.norm(product, 2))
    result = compare(str(twin.path), input=inputs, view=view)
    np.testing.assert_allclose(10.0**result.flow.log10_norm, norms, rtol=1e-8)
    assert result.cells.state_size == [16]
    for name in layers(truth):
        alone = compare(f"{twin.path}::{name}", input=truth[f"fed/{name}"], view=view)
        own, _ = product_norms(truth[f"jacobians/{name}"], view)
        np.testing.assert_allclose(alone.flow.log10_norm, own, rtol=1e-10)
        assert np.all(result.flow.log10_norm >= alone.flow.log10_norm)


def keras_stack(kinds):
    """Cells of Keras one above the other, 3 → 4 → 5, as it names them."""
    draw, arrays = np.random.default_rng(8), {}
    for kind, features, units in zip(kinds, (3, 4), (4, 5), strict=True):
        gates = {"lstm": 4, "gru": 3}[kind]
        for name, shape in {
            "kernel": (features, gates * units),
            "recurrent_kernel": (units, gates * units),
            "bias": (2, 3 * units) if kind == "gru" else (4 * units,),
        }.items():
            arrays[f"deep/stacked_rnn_cells/{kind}_cell/{name}"] = draw.uniform(-0.8, 0.8, shape)
    return from_state_dict(arrays).networks[0]


@pytest.mark.parametrize("kinds", [("gru", "lstm"), ("lstm", "gru")])
def test_layers_of_two_kinds_are_one_cell(kinds):
    network, inputs = keras_stack(kinds), np.random.default_rng(9).standard_normal((6, 3))
    cell = network.make_cell()
    result = compare(network, input=inputs, view="forward")
    norms = [
        np.linalg.norm(
            central_differences(lambda s, k=k: cell.run(inputs[:k], s)[-1], np.zeros(cell.state_size)), 2
        )
        for k in range(1, 7)
    ]
    np.testing.assert_allclose(10.0**result.flow.log10_norm, norms, rtol=1e-8)
    assert result.cells.state_size == [
        sum({"gru": 1, "lstm": 2}[kind] * n for kind, n in zip(kinds, (4, 5), strict=True))
    ]


@pytest.mark.parametrize(
    ("name", "hidden", "features", "size"),
    [
        ("torch_lstm.pt", 4, 3, 8),
        ("torch_lstm_projection.pt", 4, 3, 6),
        ("torch_lstm_stacked.pt", 4, 3, 16),
        ("keras_two.keras::second", 5, 2, 10),
        ("keras_stacked.keras", 4, 3, 14),
    ],
)
def test_hidden_size_and_features_are_those_of_the_checkpoint(name, hidden, features, size):
    text = f"{FILES}/{name}"
    result = compare(text, "rnn", steps=4, seeds=1)
    assert (result.hidden, result.features) == (hidden, features)
    assert result.cells.state_size == [size, hidden]
    assert (result.params["hidden"], result.params["features"]) == (hidden, None)
    wider = compare("rnn", text, steps=4, seeds=1, hidden=9)
    assert wider.cells.state_size == [9, size]


TORCH, KERAS = FILES / "torch_lstm.pt", FILES / "keras_two.keras"


@pytest.mark.parametrize(
    ("cells", "options", "words"),
    [
        ([TORCH], {"features": 5}, "features 5 has no effect with a checkpoint"),
        ([TORCH], {"hidden": 5}, "hidden 5 has no effect without a fresh cell"),
        ([TORCH], {"input": np.zeros((4, 2))}, "expected inputs with 3 features, but the input has 2"),
        ([TORCH, f"{KERAS}::second"], {}, "second': expected inputs with 2 features, but the input has 3"),
        (
            [FILES / "torch_gru_bidirectional.pt"],
            {},
            r"choose a layer: tagger\.gru\.l0, tagger\.gru\.l0_reverse",
        ),
        ([KERAS], {}, "contains several networks; choose one with ::NAME: first, second"),
        ([f"{KERAS}::third"], {}, "unknown layer 'third'.*first, second"),
        ([f"{TORCH}::lstm:activation=relu"], {}, "file itself says what activation is"),
        ([f"{TORCH}::lstm:activation"], {}, "expected option=value"),
        ([f"{TORCH}::lstm:layers=2"], {}, "unknown assumption 'layers'"),
        ([TORCH, TORCH], {}, "is named twice"),
        ([np.eye(2)], {}, "an array of shape .* is not a cell"),
    ],
)
def test_what_cannot_be_compared_is_refused(cells, options, words):
    given = [cell if isinstance(cell, np.ndarray) else str(cell) for cell in cells]
    with pytest.raises(UsageError, match=words):
        compare(*given, **options)


@pytest.mark.parametrize("name", ["absent.pt", "absent.npz::lstm", "refused/onnx_external.onnx"])
def test_a_file_that_cannot_be_read_is_refused_by_name(name):
    with pytest.raises(DataError, match=name.partition("::")[0]):
        compare(f"{FILES}/{name}")


def test_what_is_said_of_a_layer_is_what_it_computes():
    path = FILES / "torch_rnn_relu.pt"
    truth = expected(path)
    relu, _ = product_norms(truth["jacobians/rnn"], "backward")
    result = compare(
        f"{path}::rnn:activation=relu", f"{path}::rnn", f"{path}::rnn:activation=tanh", input=truth["inputs"]
    )
    said, assumed, tanh = result.flow.log10_norm.reshape(3, -1)
    np.testing.assert_allclose(said, relu, rtol=1e-12)
    np.testing.assert_array_equal(assumed, tanh)
    assert np.abs(said - assumed).max() > 0.01


def test_a_network_may_be_given_as_an_object():
    truth = expected(TORCH)
    (network,) = load(TORCH).networks
    given = compare(network, input=truth["inputs"])
    np.testing.assert_array_equal(
        given.flow.log10_norm, compare(str(TORCH), input=truth["inputs"]).flow.log10_norm
    )
    assert given.cells.cell == given.params["cells"] == ["lstm"]


def test_a_file_of_that_very_name_is_meant_before_a_layer_in_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(TORCH, "odd::lstm")
    assert compare("odd::lstm", steps=3, seeds=1).cells.state_size == [8]


def test_beside_fresh_cells_each_has_what_it_has_alone():
    truth = expected(TORCH)
    options = {"input": np.tile(truth["inputs"], (3, 1)), "seeds": 3}
    cells = [f"{TORCH}::lstm", "lstm:forget_bias=1", "gru"]
    beside = compare(*cells, **options, hidden=4, paths=True)
    for cell in cells:
        fresh = {} if "::" in cell else {"hidden": 4}
        # paths are for a cell that has some, so a gru takes one with it
        alone = compare(*([cell] if "lstm" in cell else [cell, "lstm"]), **options, **fresh, paths=True)
        for table in ("flow", "cells", "gates", "path_means", "paths"):
            ours, theirs = getattr(beside, table).to_dict(), getattr(alone, table).to_dict()
            rows = [k for k, one in enumerate(ours["cell"]) if one == cell]
            own = [k for k, one in enumerate(theirs["cell"]) if one == cell]
            assert len(own) == len(rows)
            assert bool(rows) == ((cell, table[:4]) != ("gru", "path"))
            for column, values in theirs.items():
                np.testing.assert_array_equal([ours[column][k] for k in rows], [values[k] for k in own])
    # one and the same network on one input is the same in every draw
    spread = np.abs(beside.flow.log10_norm_high - beside.flow.log10_norm_low).reshape(3, -1).max(axis=1)
    assert spread[0] == 0
    assert spread[1] > 0
    # of one draw they are parts of a whole
    shares = beside.paths.share.reshape(2, 17, 4)[0]
    np.testing.assert_allclose(shares.sum(axis=-1), 1, rtol=1e-12)


def test_a_trained_network_on_one_input_is_measured_once():
    totals = []

    def progress(done, total):
        totals.append(total)

    # exact: each draw is a piece of work
    compare(str(TORCH), "gru", input=expected(TORCH)["inputs"], seeds=5, exact=True, progress=progress)
    assert set(totals) == {1 + 5}
    totals.clear()
    compare(str(TORCH), "gru", steps=6, seeds=5, exact=True, progress=progress)
    assert set(totals) == {5 + 5}


def test_every_sequence_of_a_batch_is_a_draw_of_a_trained_network():
    batch = np.random.default_rng(3).standard_normal((2, 9, 3))
    both = compare(str(TORCH), input=batch, seeds=2)
    each = [compare(str(TORCH), input=one).flow.log10_norm for one in batch]
    np.testing.assert_allclose(both.flow.log10_norm, np.mean(each, axis=0), rtol=1e-12)
    assert np.abs(each[0] - each[1]).max() > 0.01


def test_a_name_may_hold_a_colon_and_options_still_follow(tmp_path):
    arrays = {f"a:b.{name}": np.eye(4) for name in ("weight_ih", "weight_hh")}
    np.savez(tmp_path / "model.npz", **arrays)
    inputs = np.ones((5, 4))
    plain = compare(f"{tmp_path}/model.npz::a:b", input=inputs)
    relu = compare(f"{tmp_path}/model.npz::a:b:activation=relu", input=inputs)
    # tanh is contracting, and a relu of positive sums is the identity
    assert plain.flow.log10_norm[-1] < -1
    np.testing.assert_allclose(relu.flow.log10_norm, 0.0, atol=1e-12)


def test_what_is_assumed_may_have_parameters_of_its_own(tmp_path):
    arrays = {f"rnn.{name}": np.eye(4) for name in ("weight_ih", "weight_hh")}
    np.savez(tmp_path / "model.npz", **arrays)
    found = compare(f"{tmp_path}/model.npz::rnn:activation=hard_sigmoid(0.125,0.5)", input=np.ones((3, 4)))
    # z stays within 0.5 ± 1 of its line, of slope 1/8
    np.testing.assert_allclose(found.flow.log10_norm, np.log10(0.125) * np.arange(1, 4), rtol=1e-12)
