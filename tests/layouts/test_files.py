"""Checkpoints of real frameworks: states and Jacobians equal those that the frameworks computed.

The files, and what belongs to them, are written by the scripts in tests/oracles (``make oracles``).
"""

import pickle
from pathlib import Path

import numpy as np
import pytest

from gradflow import load
from gradflow.layouts import LAYOUTS

FILES = Path(__file__).parent.parent / "oracles" / "files"
CHECKPOINTS = sorted(path for path in FILES.iterdir() if path.is_file() and "expected" not in path.name)
STATES, JACOBIANS = 1e-6, 1e-5  # The accuracy of frameworks in float32.


# TensorFlow 1, AllenNLP and bilm-tf cannot be installed any more, and rate networks are in scripts: a test
# of each of these layouts writes their formulas a second time instead. Leaves of Equinox have no names, so
# they are read only on request: test_equinox.py reads them.
WITHOUT_FILES = {"tensorflow1", "elmo", "rate", "equinox_leaves"}


def expected(path):
    return np.load(FILES / f"{path.name.partition('.')[0]}.expected.npz")


def loaded(path, truth):
    given = dict(one.split("=") for one in truth["assume"]) if "assume" in truth else {}
    needed = dict.fromkeys(given) if path.suffix in (".keras", ".onnx") else given
    return load(path, assume={name: value for name, value in needed.items() if value})


@pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda path: path.name)
def test_states_and_jacobians_equal_the_frameworks(path):
    truth = expected(path)
    layers = {layer.name: layer for layer in loaded(path, truth).layers}
    names = {name.partition("/")[2] for name in truth.files if name.startswith("states/")}
    assert set(layers) == names
    for name, layer in layers.items():
        assert layer.framework == truth["framework"]
        fed = truth[f"fed/{name}"].astype(float)
        states = layer.cell.run(fed)
        np.testing.assert_allclose(states, truth[f"states/{name}"], rtol=0, atol=STATES)
        steps = layer.cell.linearize(states, fed)
        jacobians = np.array([steps.at(t).todense() for t in range(len(fed))])
        np.testing.assert_allclose(jacobians, truth[f"jacobians/{name}"], rtol=0, atol=JACOBIANS)


@pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda path: path.name)
def test_checkpoints_can_be_sent_to_a_process(path):
    checkpoint = loaded(path, expected(path))
    sent = pickle.loads(pickle.dumps(checkpoint))
    assert repr(sent) == repr(checkpoint)
    for layer, received in zip(checkpoint.layers, sent.layers, strict=True):
        inputs = np.ones((2, layer.cell.input_size))
        np.testing.assert_array_equal(received.cell.run(inputs), layer.cell.run(inputs))


def test_every_layout_has_a_checkpoint_that_its_framework_wrote():
    assert {str(expected(path)["framework"]) for path in CHECKPOINTS} == set(LAYOUTS) - WITHOUT_FILES


# Files of weights alone do not say what follows what.
CHAINS = [
    path
    for path in CHECKPOINTS
    if path.suffix == ".keras" or (path.suffix == ".h5" and ".weights" not in path.name)
]


@pytest.mark.parametrize("path", CHAINS, ids=lambda path: path.name)
def test_networks_are_fed_what_the_frameworks_feed_them(path):
    truth = expected(path)
    outputs = {"": truth["inputs"].astype(float)[None]}
    for network in loaded(path, truth).networks:  # In these files each one follows those that feed it.
        if network.feed is None:
            fed = outputs[""]
        else:
            fed = network.feed.compute({source: outputs[source] for source in network.feed.sources})
        outputs[network.name] = run_network(network, fed[0])[None]
        for layer in network.levels[0]:
            order = -1 if layer.direction == "backward" else 1
            np.testing.assert_allclose(fed[0, ::order], truth[f"fed/{layer.name}"], rtol=0, atol=STATES)


def run_network(network, fed):
    """Return the outputs (T, size) of the highest level, in the order of the inputs."""
    for level in network.levels:
        parts = []
        for layer in level:
            order = -1 if layer.direction == "backward" else 1
            states = layer.cell.run(fed[::order])
            parts.append(states[1:, : layer.cell.output_size][::order])
        fed = np.concatenate(parts, axis=-1)
    return fed
