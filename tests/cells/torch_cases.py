"""The cases of tests/oracles/torch_cells.npz: cells with torch's weights, and what torch made of them."""

from pathlib import Path

import numpy as np

from gradflow.cells.spec import parse_cell
from gradflow.cells.stack import Stack

ORACLE = np.load(Path(__file__).parents[1] / "oracles" / "torch_cells.npz")
CASES = sorted({name.partition("|")[0] for name in ORACLE.files})


def restored(case):
    """The cell of a case, made of the weights that torch had."""
    spec = parse_cell(case)
    flags = {name: value for name, value in spec.options.items() if name not in ("peephole", "projection")}
    layers = []
    for k in range(spec.layers):
        start = f"{case}|layer{k}."
        weights = {name.removeprefix(start): ORACLE[name] for name in ORACLE.files if name.startswith(start)}
        layers.append(spec.kind(**weights, **flags))
    return layers[0] if len(layers) == 1 else Stack(tuple(layers))


def relative_difference(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)
