"""What every cell of a comparison is fed: draws, nothing, a constant, or somebody's data."""

import math
from pathlib import Path

import numpy as np
import pytest

import gradflow
from gradflow.analysis.shared.inputs import Inputs
from gradflow.errors import DataError, UsageError
from gradflow.readers.cifar10 import RECORD_BYTES

COMMON = {"hidden": 3, "seeds": 2}


def inputs(source=None, *, count=10, **options):
    given = {"key": None, "format": None, "steps": None, "features": None, "scale": None, "seed": 0}
    return Inputs.of(source, count=count, **{**given, **options})


@pytest.mark.parametrize("source", [None, "normal"])
def test_normal_inputs_are_those_of_the_seed_and_the_draw(source):
    found = inputs(source, steps=7, features=4, seed=5, scale=0.5)
    for draw in range(3):
        expected = np.random.default_rng([5, draw, 0]).standard_normal((7, 4))
        np.testing.assert_array_equal(found.draw(draw), 0.5 * expected)


def test_unless_asked_otherwise_there_are_a_hundred_steps_of_thirty_two_features():
    assert inputs().draw(0).shape == (100, 32)


def test_zero_is_nothing_and_constant_is_the_scale():
    np.testing.assert_array_equal(inputs("zero", steps=3, features=2).draw(4), np.zeros((3, 2)))
    np.testing.assert_array_equal(inputs("constant", steps=3, features=2).draw(4), np.ones((3, 2)))
    np.testing.assert_array_equal(
        inputs("constant", steps=3, features=2, scale=-0.3).draw(4), np.full((3, 2), -0.3)
    )


@pytest.mark.parametrize(("name", "data"), [("zero", None), ("constant", 2.5)])
def test_named_inputs_are_what_the_same_data_are(name, data):
    named = gradflow.compare("gru", input=name, steps=6, features=4, input_scale=data, **COMMON)
    given = gradflow.compare("gru", input=np.full((6, 4), data or 0.0), **COMMON)
    np.testing.assert_array_equal(named.flow.log10_norm, given.flow.log10_norm)
    assert named.params["input"] == name


def test_a_file_that_bears_the_name_of_an_input_is_reached_by_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = np.random.default_rng(0).standard_normal((5, 4))
    with open("zero", "wb") as stream:
        np.save(stream, data)
    nothing = gradflow.compare("rnn", input="zero", steps=5, features=4, **COMMON)
    for path in ("./zero", Path("zero"), tmp_path / "zero"):
        from_file = gradflow.compare("rnn", input=path, **COMMON)
        given = gradflow.compare("rnn", input=data, **COMMON)
        np.testing.assert_array_equal(from_file.flow.log10_norm, given.flow.log10_norm)
        assert not np.array_equal(from_file.flow.log10_norm, nothing.flow.log10_norm)


def test_a_batch_is_gone_through_in_turn():
    data = np.arange(24.0).reshape(3, 4, 2)
    found = inputs(data)
    for draw in range(7):
        np.testing.assert_array_equal(found.draw(draw), data[draw % 3])


@pytest.mark.parametrize(
    ("source", "options", "part"),
    [
        ("zero", {"key": "x"}, "'x'"),
        (None, {"input_format": "cifar10-rows"}, "'cifar10-rows'"),
        ("constant", {"input_format": "cifar10-rows"}, "'cifar10-rows'"),
        (np.zeros((5, 2)), {"input_format": "cifar10-rows"}, "'cifar10-rows'"),
        (None, {"steps": 0}, "steps 0"),
        (None, {"steps": 2.5}, "steps 2.5"),
        (None, {"features": 0}, "features 0"),
        (None, {"input_scale": math.inf}, "input scale inf"),
        (np.zeros((5, 2)), {"steps": 6}, "steps 6: the input has 5"),
        (np.zeros((5, 2)), {"features": 3}, "features 3 has no effect with an input, which has 2"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_value(source, options, part):
    with pytest.raises(UsageError, match=part):
        gradflow.compare("rnn", input=source, **{**COMMON, **options})


@pytest.fixture
def cifar(tmp_path):
    """A file of five images, and those images (5, 3, 1024)."""
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (5, 3, 1024), np.uint8)
    labels = np.array([[9], [0], [3], [3], [7]], np.uint8)
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(np.hstack([labels, images.reshape(5, -1)]).tobytes())
    assert path.stat().st_size == 5 * RECORD_BYTES
    return path, images


def test_images_are_spread_over_the_seeds_and_the_rest_is_told(cifar):
    path, images = cifar
    sequences = images.reshape(5, 3, 32, 32).transpose(0, 2, 3, 1).reshape(5, 32, 96) / 255
    found = inputs(path, format="cifar10-rows", count=3)
    assert (found.steps, found.features) == (32, 96)
    for draw in range(3):
        np.testing.assert_array_equal(found.draw(draw), sequences[draw])
    result = gradflow.compare("rnn", input=path, input_format="cifar10-rows", hidden=4, seeds=3)
    given = gradflow.compare("rnn", input=sequences[:3], hidden=4, seeds=3)
    np.testing.assert_array_equal(result.flow.log10_norm, given.flow.log10_norm)
    assert result.flow.lag == list(range(1, 33))
    assert result.params["input_format"] == "cifar10-rows"


def test_pixels_are_a_thousand_steps_that_may_be_cut_short(cifar):
    path, images = cifar
    found = inputs(str(path), format="cifar10-pixels", steps=100, count=9, scale=2.0)
    assert (found.steps, found.features) == (100, 3)
    np.testing.assert_allclose(found.draw(6), 2 * (images[1, :, :100].T / 255), rtol=1e-15)  # in turn


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"input_format": "cifar10"}, "'cifar10'"),
        ({"input_format": "cifar10-rows", "key": "x"}, "no key"),
        ({"input_format": "cifar10-rows", "steps": 33}, "steps 33: the input has 32"),
        (
            {"input_format": "cifar10-pixels", "features": 96},
            "features 96 has no effect with an input, which has 3",
        ),
    ],
)
def test_an_image_file_asked_for_wrongly_is_refused_with_the_value(cifar, options, part):
    with pytest.raises(UsageError, match=part):
        gradflow.compare("rnn", input=cifar[0], **COMMON, **options)


def test_an_image_file_without_its_format_is_not_guessed_at(cifar):
    with pytest.raises(DataError):
        gradflow.compare("rnn", input=cifar[0], **COMMON)


def test_mean_square_of_normal_inputs_is_what_draws_have():
    # |x|² is scale² χ² of as many degrees of freedom as features: variance 2 F scale⁴
    found = inputs(steps=20_000, features=6, scale=1.5, seed=3)
    assert found.mean_square() == pytest.approx(1.5**2 * 6, rel=1e-15)
    sample = np.square(found.draw(0)).sum(axis=1).mean()
    assert abs(sample - found.mean_square()) < 5 * 1.5**2 * math.sqrt(2 * 6 / 20_000)


@pytest.mark.parametrize("scale", [0.0, 0.3, -2.0])
@pytest.mark.parametrize("source", ["zero", "constant", "data"])
def test_mean_square_of_inputs_that_are_not_drawn_is_their_own(source, scale):
    data = np.random.default_rng(4).standard_normal((5, 3))
    given = {"source": data} if source == "data" else {"source": source, "features": 3}
    found = inputs(**given, steps=5, scale=None if source == "zero" else scale)
    expected = np.mean([sum(x * x for x in step) for step in found.draw(0)])
    assert found.mean_square() == pytest.approx(expected, rel=1e-14, abs=0)


def test_mean_square_of_a_batch_is_over_all_its_sequences():
    data = np.random.default_rng(6).standard_normal((4, 5, 2))
    every = np.concatenate([inputs(data).draw(draw) for draw in range(4)])
    assert inputs(data).mean_square() == pytest.approx(np.square(every).sum() / 20, rel=1e-14)
    shorter = inputs(data, steps=2)
    assert shorter.mean_square() == pytest.approx(np.square(data[:, :2]).sum() / 8, rel=1e-14)


@pytest.mark.parametrize("function", [gradflow.inspect, gradflow.compare])
def test_inputs_that_may_be_tokens_are_noted(function):
    model = {"weight_ih_l0": np.full((4, 8), 0.1), "weight_hh_l0": 0.5 * np.eye(4)}
    tokens = np.random.default_rng(0).integers(0, 50, (3, 20, 8))
    features = np.random.default_rng(0).standard_normal((3, 20, 8))
    for inputs, noted in ((tokens, True), (features, False), (tokens % 2, False)):
        notes = function(model, input=inputs).notes
        assert any("If they are tokens" in note for note in notes) == noted
