"""Roots: those of closed forms, and the steps of `scipy.optimize.brentq`."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import brentq

from gradflow.analysis.shared.root import find_root

FUNCTIONS: dict[str, tuple[Callable[[float], float], float, float]] = {
    "cosine": (lambda x: math.cos(x) - x, 0.0, 1.0),
    "jump": (lambda x: 1.0 if x > 0.3 else -1.0, 0.0, 1.0),
    "jump with plateau": (lambda x: max(-1.0, min(1.0, 1e9 * (x - 0.7))), 2.0, -1.0),
    "triple root": (lambda x: (x - 1.0) ** 3, -3.0, 7.0),
    "exponential": (lambda x: math.exp(x) - 1e-3, -50.0, 3.0),
    "ends at 0": (lambda x: x, 0.0, 1.0),
    "tiny": (lambda x: 1e-300 * (x - 0.1), -1.0, 1.0),
    "arcsinh": (lambda x: math.asinh(1e6 * (x - 2.5)), 0.0, 8.0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("steps", [3, 20, 200])
def test_the_points_are_those_of_scipy(name: str, steps: int) -> None:
    function, one, other = FUNCTIONS[name]

    def visit(points: list[float]) -> Callable[[float], float]:
        def visited(x: float) -> float:
            points.append(x)
            return function(x)

        return visited

    own: list[float] = []
    theirs: list[float] = []
    root = find_root(visit(own), one, other, tolerance=1e-9, steps=steps)
    expected = brentq(visit(theirs), one, other, xtol=1e-9, maxiter=steps, disp=False)
    assert own == theirs
    assert root == expected


def test_the_root_of_random_cubics_is_found() -> None:
    for places in np.random.default_rng(0).uniform(-2.0, 2.0, (200, 3)):

        def cubic(x: float, places: np.ndarray = places) -> float:
            return float(np.prod(x - places))

        root = find_root(cubic, -3.0, 3.0, tolerance=1e-12)
        assert np.abs(root - places).min() < 1e-11 or abs(cubic(root)) < 1e-15


def test_equal_signs_are_an_error() -> None:
    with pytest.raises(ValueError, match="same sign"):
        find_root(lambda x: x * x + 1.0, -1.0, 1.0, tolerance=1e-9)
