"""`gradflow run`: the file that it writes, and what it says."""

import numpy as np
import pytest

import gradflow

FEATURES, HIDDEN = 3, 5


def arrays(prefix, inputs, seed):
    draw = np.random.default_rng(seed).standard_normal
    shapes = {"weight_ih_l0": (4 * HIDDEN, inputs), "weight_hh_l0": (4 * HIDDEN, HIDDEN)}
    return {f"{prefix}.{name}": draw(shape) for name, shape in shapes.items()}


@pytest.fixture
def files(tmp_path):
    np.savez(tmp_path / "two.npz", **arrays("enc", FEATURES, 1), **arrays("dec", HIDDEN, 2))
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((12, FEATURES)))
    return tmp_path


def test_the_file_has_the_states_and_stdout_the_report(cli, files):
    target = files / "states.npz"
    command = ("run", files / "two.npz::dec", "--input", files / "x.npy", "--chain", "order")
    outcome = cli(*command, "-o", target, "-f", "json")
    assert (outcome.code, outcome.err) == (0, "")
    assert [row["fed"] for row in outcome.object["tables"]["layers"]] == ["enc"]
    truth = gradflow.run(files / "two.npz", files / "x.npy", chain="order").states
    with np.load(target) as written:
        assert list(written) == ["dec.h", "dec.c"]
        np.testing.assert_array_equal(written["dec.h"], truth["dec.h"])


def test_an_older_file_is_unchanged_after_an_error(cli, files):
    target = files / "states.npz"
    target.write_bytes(b"older")
    outcome = cli("run", files / "two.npz", "--input", files / "two.npz", "-o", target)
    assert outcome.code == 1
    assert target.read_bytes() == b"older"


@pytest.mark.parametrize("target", ["two.npz", "x.npz", "link.npz"])
def test_the_source_and_the_input_are_never_overwritten(cli, files, target):
    np.savez(files / "x.npz", np.load(files / "x.npy"))
    (files / "link.npz").symlink_to("two.npz")
    before = (files / target).read_bytes()
    outcome = cli("run", files / "two.npz::enc", "--input", files / "x.npz", "-o", files / target)
    assert (outcome.code, "would be overwritten" in outcome.err) == (2, True)
    assert (files / target).read_bytes() == before


def test_a_file_of_keras_weights_takes_no_states(cli, files):
    outcome = cli("run", files / "two.npz", "--input", files / "x.npy", "-o", files / "states.weights.h5")
    assert outcome.code == 2
    assert outcome.err.endswith("expected a file that ends with .safetensors or .npz\n")


def test_without_an_input_the_command_names_the_option(cli, files):
    outcome = cli("run", files / "two.npz")
    assert outcome.code == 2
    assert "--input" in outcome.err
