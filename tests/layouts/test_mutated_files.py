"""Checkpoints of real frameworks with a few bytes changed give cells or one error, and write nothing."""

import os
import random
from pathlib import Path

import numpy as np
import pytest

from gradflow import load
from gradflow.errors import GradflowError
from tests.layouts.test_files import CHECKPOINTS
from tests.readers.test_hostile import mutated

MUTATIONS = 40
SMALL = sorted(CHECKPOINTS, key=lambda path: path.stat().st_size)
# The smallest file of every container and framework. torch has two containers of the same suffix.
CHOSEN = {
    (path.suffix, path.name.partition("_")[0], path.read_bytes()[:2]): path for path in reversed(SMALL)
}.values()


@pytest.mark.parametrize("path", CHOSEN, ids=lambda path: path.name)
def test_mutated_checkpoint_runs_or_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADFLOW_MAX_BYTES", "2000000")
    monkeypatch.chdir(tmp_path)
    generator, content = random.Random(f"mutations of {path.name}"), path.read_bytes()
    outcomes = {"read": 0, "refused": 0}
    for _ in range(MUTATIONS):
        Path(path.name).write_bytes(mutated(content, generator))
        try:
            layers = load(path.name).layers
        except GradflowError as error:
            layers, message = [], str(error)
        else:
            message = ""
        outcomes["refused" if message else "read"] += 1
        assert message.isprintable()
        for layer in layers:
            with np.errstate(all="ignore"):
                states = layer.cell.run(np.zeros((2, layer.cell.input_size)))
            assert states.shape == (3, layer.cell.state_size)
    assert outcomes["refused"]
    assert outcomes["read"] or path.suffix == ".keras"  # The checksums of .keras detect every change.
    assert os.listdir() == [path.name]
