"""Random weights of a gated network, as the derivations draw them."""

import numpy as np

from gradflow.analysis.derivations.line import Array

SATURATED = 1000.0  # a bias at which σ is 1 to the last digit

ByGate = dict[str, Array]


def drawn_gates(names: str, hidden: int, generator: np.random.Generator) -> tuple[ByGate, ByGate, ByGate]:
    """Return W (n, n), U (n, n + 1) and b (n) by gate: W so large that the ways through gates are seen."""
    return (
        {g: generator.standard_normal((hidden, hidden)) * 1.5 / np.sqrt(hidden) for g in names},
        {g: generator.standard_normal((hidden, hidden + 1)) / np.sqrt(hidden + 1) for g in names},
        {g: generator.standard_normal(hidden) / 2 for g in names},
    )
