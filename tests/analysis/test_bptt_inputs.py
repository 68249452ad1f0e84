"""What a gradient is taken of: targets of any form, batches of data, networks of files, what is refused."""

import math

import numpy as np
import pytest

import gradflow
from gradflow.analysis.bptt.bptt import DEFAULT_SEQUENCES
from gradflow.analysis.shared.arguments import MAX_MAP_STEPS
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.errors import DataError, UsageError
from gradflow.layouts.checkpoint import load
from tests.analysis.taken_apart import network
from tests.layouts.test_files import FILES, expected

SMALL = {"hidden": 4, "features": 3, "steps": 8}
GENERATOR = np.random.default_rng(6)
INPUTS = GENERATOR.standard_normal((5, 8, 3))
TARGETS = GENERATOR.standard_normal((5, 8, 4))


def same(one, other):
    """Two records that differ in what was asked alone."""
    assert one.log10_gradient_norm == other.log10_gradient_norm
    assert one.loss == other.loss
    for name in ("log10_norm", "share", "truncation_error", "truncation_cosine"):
        np.testing.assert_array_equal(getattr(one.lags, name), getattr(other.lags, name))
    return True


@pytest.mark.parametrize("loss", ["mean", "final"])
def test_targets_of_any_form_are_the_same(loss, tmp_path):
    np.save(tmp_path / "y.npy", TARGETS[0])
    np.savetxt(tmp_path / "y.txt", TARGETS[0], fmt="%.17g")
    np.savez(tmp_path / "y.npz", y=TARGETS[0], other=np.eye(2))
    longer = np.vstack([TARGETS[0], np.ones((3, 4))])
    options = {"loss": loss, **SMALL}
    expected = gradflow.bptt("gru", targets=TARGETS[0], **options)
    assert expected.params["targets"] == "array of shape (8, 4)"
    forms = [TARGETS[0].tolist(), TARGETS[:1], longer, tmp_path / "y.npy", str(tmp_path / "y.txt")]
    for form in forms:
        assert same(gradflow.bptt("gru", targets=form, **options), expected)
    keyed = gradflow.bptt("gru", targets=tmp_path / "y.npz", targets_key="y", **options)
    assert same(keyed, expected)
    assert keyed.params["targets"] == str(tmp_path / "y.npz")
    assert expected.loss != gradflow.bptt("gru", **options).loss


def test_the_last_step_alone_needs_no_more_than_its_own_targets():
    options = {"loss": "final", **SMALL}
    expected = gradflow.bptt("gru", targets=TARGETS[0], **options)
    for form in (TARGETS[0, -1], TARGETS[0, -1:], TARGETS[0, -1:][None]):
        assert same(gradflow.bptt("gru", targets=form, **options), expected)
    batch = gradflow.bptt("gru", targets=TARGETS, batch=5, **options)
    assert same(gradflow.bptt("gru", targets=TARGETS[:, -1:], batch=5, **options), batch)


def test_targets_that_are_reached_leave_no_gradient():
    cell = RNN(np.ones((2, 3)), 0.3 * np.eye(2), np.ones(2))
    outputs = cell.run(INPUTS[0])[1:]
    found = gradflow.bptt(network(cell), input=INPUTS[0], targets=outputs)
    assert (found.loss, found.gradient_norm) == (0, 0)


def test_a_loss_is_the_mean_over_sequences_of_what_it_says():
    cell = RNN(np.ones((2, 3)), 0.3 * np.eye(2), np.ones(2))
    outputs, targets = cell.run(INPUTS)[:, 1:], TARGETS[..., :2]
    squares = np.square(outputs - targets).sum(axis=-1) / 2
    found = gradflow.bptt(network(cell), input=INPUTS, targets=targets)
    assert found.loss == pytest.approx(squares.mean(), rel=1e-14)
    final = gradflow.bptt(network(cell), input=INPUTS, targets=targets, loss="final")
    assert final.loss == pytest.approx(squares[:, -1].mean(), rel=1e-14)
    assert found.batch == len(INPUTS) == 5


REFUSED = [
    (UsageError, {"loss": "random", "targets": TARGETS[0]}, "no targets"),
    (UsageError, {"loss": "men"}, "did you mean 'mean'"),
    (UsageError, {"targets_key": "y"}, "targets key 'y'"),
    (DataError, {"targets": TARGETS[0, :7]}, "7×4: expected 8×4"),
    (DataError, {"targets": TARGETS[0, :, :3]}, "8×3: expected 8×4"),
    (DataError, {"targets": TARGETS[0, -1]}, "shape 4: expected 8×4"),
    (DataError, {"targets": TARGETS[0, :1]}, "1×4: expected 8×4"),
    (DataError, {"targets": TARGETS[:2], "batch": 3}, "2×8×4: expected 3×8×4"),
    (DataError, {"targets": TARGETS[0], "batch": 2}, "8×4: expected 2×8×4"),
    (DataError, {"targets": TARGETS[0] + 1j}, "complex"),
    (DataError, {"targets": np.full((8, 4), np.nan)}, "nan"),
    (DataError, {"targets": [[1.0], [2.0, 3.0]]}, "rectangle"),
    (DataError, {"targets": TARGETS[None]}, "dimensions"),
    (DataError, {"targets": 1.0}, "dimensions"),
    (DataError, {"targets": "nowhere.npy"}, "no such file"),
    (UsageError, {"parameter": "weight_hhx"}, "did you mean 'weight_hh'"),
    (UsageError, {"parameter": "layer2.weight_hh"}, "unknown parameter"),
    (UsageError, {"pair_map": True, "batch": 2}, "map of 2 sequences"),
    (UsageError, {"pair_map": True, "steps": MAX_MAP_STEPS + 1}, f"map of {MAX_MAP_STEPS + 1} steps"),
    (UsageError, {"batch": 0}, "batch 0"),
    (UsageError, {"steps": 0}, "steps 0"),
    (UsageError, {"hidden": 0}, "hidden 0"),
    (UsageError, {"features": 0}, "features 0"),
    (UsageError, {"features": 2.0}, "features 2.0"),
    (UsageError, {"seed": -1}, "seed -1"),
    (UsageError, {"input_scale": math.nan}, "input scale nan"),
    (UsageError, {"input": INPUTS, "batch": 6, "features": None}, "batch 6: the input has 5"),
    (UsageError, {"input": INPUTS, "features": 3}, "features 3 has no effect with an input"),
    (UsageError, {"input": INPUTS, "steps": 9}, "steps 9: the input has 8"),
    (DataError, {"input": np.zeros((8, 0)), "features": None}, "no entries"),
    (UsageError, {"key": "x"}, "key 'x'"),
]


@pytest.mark.parametrize(("error", "given", "says"), REFUSED)
def test_what_cannot_be_asked_is_refused_with_the_value(error, given, says):
    with pytest.raises(error, match=says):
        gradflow.bptt("gru", **{**SMALL, **given})


@pytest.mark.parametrize("cell", ["rmn", "lstm:forgot_bias=1", "nowhere.pt::lstm"])
def test_an_unknown_cell_is_refused(cell):
    with pytest.raises((UsageError, DataError)):
        gradflow.bptt(cell, **SMALL)


# ---- batches of data


def test_of_data_the_first_sequences_are_used_and_the_rest_is_told():
    options = {"hidden": 4, "targets": TARGETS}
    everything = gradflow.bptt("rnn", input=INPUTS, **options)
    assert (everything.batch, everything.notes) == (5, ())
    two = gradflow.bptt("rnn", input=INPUTS, batch=2, **options)
    assert any("5 input sequences" in note for note in two.notes)
    assert same(two, gradflow.bptt("rnn", input=INPUTS[:2], **options))
    many = gradflow.bptt("rnn", hidden=2, input=np.ones((DEFAULT_SEQUENCES + 8, 3, 1)))
    assert (many.batch, len(many.notes)) == (DEFAULT_SEQUENCES, 1)


def test_a_batch_of_the_same_sequence_is_that_sequence():
    alone = gradflow.bptt("lstm", hidden=4, input=INPUTS[0], targets=TARGETS[0])
    inputs, targets = (np.tile(array[:1], (4, 1, 1)) for array in (INPUTS, TARGETS))
    five = gradflow.bptt("lstm", hidden=4, input=inputs, targets=targets)
    np.testing.assert_allclose(five.lags.log10_norm[:-1], alone.lags.log10_norm[:-1], rtol=0, atol=1e-13)
    np.testing.assert_allclose(five.lags.share, alone.lags.share, rtol=0, atol=1e-13)


def test_drawn_sequences_of_a_batch_differ_and_the_first_is_that_of_one():
    one, two = (gradflow.bptt("rnn", batch=batch, **SMALL) for batch in (1, 2))
    doubled = gradflow.bptt("rnn", batch=1, **{**SMALL, "seed": 1})
    assert len({one.loss, two.loss, doubled.loss}) == 3


# ---- trained networks


def test_a_backward_layer_has_inputs_and_targets_from_the_last_to_the_first():
    cell = LSTM(*(GENERATOR.standard_normal(shape) for shape in ((16, 3), (16, 4), 16)))
    turned = gradflow.bptt(network(cell), input=INPUTS[0, ::-1], targets=TARGETS[0, ::-1])
    found = gradflow.bptt(network(cell, direction="backward"), input=INPUTS[0], targets=TARGETS[0])
    assert same(found, turned)
    # its last step is the first of the data
    final = gradflow.bptt(
        network(cell, direction="backward"), input=INPUTS[0], targets=TARGETS[0], loss="final"
    )
    states = cell.run(INPUTS[0, ::-1])
    expected = np.square(states[-1, :4] - TARGETS[0, 0]).sum() / 2
    assert final.loss == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("layer", ["tagger.gru.l0", "tagger.gru.l0_reverse"])
def test_half_a_layer_of_a_file_is_that_cell(layer):
    path = FILES / "torch_gru_bidirectional.pt"
    truth = expected(path)
    found = gradflow.bptt(f"{path}::{layer}", input=truth["inputs"], parameter="all")
    own = load(path)[layer]
    assert same(gradflow.bptt(own, input=truth["inputs"], parameter="all"), found)
    cell = own.make_cell()
    fed = truth["inputs"][::-1] if layer.endswith("reverse") else truth["inputs"]
    np.testing.assert_array_equal(fed, truth[f"fed/{layer}"])
    forward = gradflow.bptt(network(cell), input=fed, parameter="all", loss="random")
    assert same(gradflow.bptt(own, input=truth["inputs"], parameter="all", loss="random"), forward)
    assert found.difference_error < 1e-8


def test_layers_of_a_file_have_gradients_by_layer():
    path = FILES / "torch_lstm_stacked.pt"
    inputs = expected(path)["inputs"]
    norms = {}
    for parameter in ("layer1.weight_hh", "layer2.weight_hh", "weight_hh"):
        found = gradflow.bptt(str(path), input=inputs, parameter=parameter)
        assert found.difference_error < 1e-8
        norms[parameter] = found.gradient_norm
    together = math.hypot(norms["layer1.weight_hh"], norms["layer2.weight_hh"])
    assert norms["weight_hh"] == pytest.approx(together, rel=1e-12)


def test_a_network_takes_its_own_features_unless_data_are_given():
    cell = RNN(np.ones((2, 3)), 0.3 * np.eye(2), np.ones(2))
    found = gradflow.bptt(network(cell), steps=5)
    assert (found.hidden, found.features, found.steps) == (2, 3, 5)
    with pytest.raises(UsageError, match="expected inputs with 3 features"):
        gradflow.bptt(network(cell), input=np.ones((5, 2)))


def test_a_network_that_runs_in_both_directions_is_refused():
    with pytest.raises(UsageError, match="choose"):
        gradflow.bptt(str(FILES / "torch_gru_bidirectional.pt"), steps=4)
