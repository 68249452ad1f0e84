"""The states that `run` gives: those of the frameworks, in the order of the inputs."""

import numpy as np
import pytest

from gradflow import from_state_dict, run
from gradflow.errors import DataError, NumericalError, UsageError
from tests.layouts.test_files import CHECKPOINTS, STATES, expected, loaded

FEATURES, HIDDEN, STEPS = 3, 5, 12
DATA = np.random.default_rng(0).standard_normal((2, STEPS, FEATURES))
WHOLE = [path for path in CHECKPOINTS if len(loaded(path, expected(path)).networks) == 1]


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.name)
def test_states_are_those_of_the_framework(path):
    truth = expected(path)
    found = run(loaded(path, truth), truth["inputs"].astype(float))
    (network,) = loaded(path, truth).networks
    for layer in network.layers:
        states = truth[f"states/{layer.name}"][1:]
        ordered = states[::-1] if layer.direction == "backward" else states
        parts = [found.states[f"{layer.name}.{part}"] for part in layer.cell.parts]
        np.testing.assert_allclose(np.concatenate(parts, axis=-1), ordered, rtol=0, atol=STATES)


def test_there_are_files_of_several_frameworks():
    kinds = {path.name.partition("_")[0] for path in WHOLE}
    assert {"torch", "keras", "onnx"} <= kinds


def arrays(prefix, inputs, seed):
    draw = np.random.default_rng(seed).standard_normal
    shapes = {"weight_ih_l0": (4 * HIDDEN, inputs), "weight_hh_l0": (4 * HIDDEN, HIDDEN)}
    return {f"{prefix}.{name}": draw(shape) for name, shape in shapes.items()}


def two_networks(source="two"):
    return from_state_dict(arrays("enc", FEATURES, 1) | arrays("dec", HIDDEN, 2), name=source)


def test_a_chain_is_run_link_by_link():
    whole = run(two_networks(), DATA, chain="enc,dec")
    assert list(whole.states) == ["enc.h", "enc.c", "dec.h", "dec.c"]
    assert whole.layers.fed == ["input", "enc"]
    upper = run(from_state_dict(arrays("dec", HIDDEN, 2)), whole.states["enc.h"])
    np.testing.assert_array_equal(upper.states["dec.c"], whole.states["dec.c"])


def test_one_sequence_gives_states_without_an_axis_of_sequences():
    alone, batch = run(two_networks(), DATA[0]), run(two_networks(), DATA)
    assert (alone.sequences, batch.sequences, alone.steps) == (1, 2, STEPS)
    np.testing.assert_allclose(alone.states["enc.h"], batch.states["enc.h"][0], rtol=0, atol=1e-15)


def test_a_layer_whose_inputs_are_not_known_is_left_out_with_the_reason():
    found = run(two_networks(), DATA)
    assert found.layers.layer == ["enc"]
    (note,) = found.notes
    assert note.startswith("dec: left out, because the input has 3 features, it takes 5")


def test_a_file_has_the_states_and_the_record_its_names_and_size(tmp_path):
    file = tmp_path / "states.npz"
    found = run(two_networks(), DATA, output=file)
    with np.load(file) as written:
        assert {name: written[name].shape for name in written} == dict.fromkeys(
            ["enc.h", "enc.c"], (2, STEPS, HIDDEN)
        )
        np.testing.assert_array_equal(written["enc.c"], found.states["enc.c"])
    assert (found.size, found.arrays.name) == (file.stat().st_size, ["enc.h", "enc.c"])


def test_the_root_mean_square_of_huge_outputs_is_a_number():
    model = from_state_dict(
        {"weight_ih": np.full((1, 1), 1e200), "weight_hh": np.zeros((1, 1))}, assume={"activation": "relu"}
    )
    assert run(model, np.ones((3, 1))).layers.output_rms == pytest.approx([1e200])


def test_states_that_overflow_are_refused_and_nothing_is_written(tmp_path):
    model = from_state_dict(
        {"weight_ih": np.ones((1, 1)), "weight_hh": np.full((1, 1), 1e200)}, assume={"activation": "relu"}
    )
    with pytest.raises(NumericalError, match="leaves the range of a double at step 3"):
        run(model, np.ones((9, 1)), output=tmp_path / "states.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"input": "zero"}, UsageError, "'zero': expected a file or data"),
        ({"input": np.ones((4, 9))}, DataError, "enc: left out, because the input has 9"),
        ({"input": DATA, "key": "x"}, UsageError, "key x has no effect"),
        ({"input": DATA, "output": "states.txt"}, UsageError, "expected a file that ends with"),
        ({"input": DATA, "assume": {"activation": "relu"}}, UsageError, "has no effect on a checkpoint"),
        ({"input": 1j * DATA}, DataError, "the input is complex"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused_in_words(options, error, message):
    with pytest.raises(error, match=message):
        run(two_networks(), **options)
