"""Checkpoints of real frameworks: states and Jacobians equal those that the frameworks computed.

The files, and what belongs to them, are written by the scripts in tests/oracles (``make oracles``).
"""

from pathlib import Path

import numpy as np
import pytest

from gradflow import load
from gradflow.layouts import LAYOUTS

FILES = Path(__file__).parent.parent / "oracles" / "files"
CHECKPOINTS = sorted(path for path in FILES.iterdir() if path.is_file() and "expected" not in path.name)
STATES, JACOBIANS = 1e-6, 1e-5  # The accuracy of frameworks in float32.


# No file was written by TensorFlow 1: test_tensorflow1.py writes its formulas a second time instead.
WITHOUT_FILES = {"tensorflow1"}


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


def test_every_layout_has_a_checkpoint_that_its_framework_wrote():
    assert {str(expected(path)["framework"]) for path in CHECKPOINTS} == set(LAYOUTS) - WITHOUT_FILES
