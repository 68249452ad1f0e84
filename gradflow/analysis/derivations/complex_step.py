"""Derivatives without a formula for them: by a step along the imaginary axis (Squire & Trapp 1998).

f(x + ih) = f(x) + ih f′(x) + O(h²), and with h = 1e-30 nothing is left of the rest: Im f(x + ih)/h is f′(x)
to the last digit, for there is no difference that could cancel. f must be analytic: it may take no modulus,
no transpose with a conjugate, no maximum.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from gradflow.analysis.derivations.line import Array

STEP = 1e-30


def derivative(function: Callable[[Array], Array], point: Array) -> Array:
    """Return ∂f/∂x, shape (*f(x).shape, *x.shape).

    Examples
    --------
    >>> derivative(lambda x: x**3, np.array([2.0, 5.0]))
    array([[12.,  0.],
           [ 0., 75.]])
    """
    columns = []
    for place in np.ndindex(point.shape):
        moved = point.astype(np.complex128)
        moved[place] += 1j * STEP
        columns.append(np.asarray(function(moved)).imag / STEP)
    stacked = np.stack(columns, axis=-1)
    return stacked.reshape(*stacked.shape[:-1], *point.shape)


def slope(function: Callable[[Array], Array], point: Array) -> Array:
    """Return f′(x) entry by entry, of a function that takes each entry by itself."""
    return np.asarray(function(point + 1j * STEP).imag / STEP)


def sigmoid_slope(z: Array) -> Array:
    """Return σ′(z) = σ(z)(1 − σ(z)), the second factor as σ(−z): next to 1 a difference has no digits."""
    return sigmoid(z) * sigmoid(-z)


def tanh_slope(z: Array) -> Array:
    """Return tanh′(z) = 1 − tanh(z)² as 1/cosh(z)²."""
    return np.asarray(np.cosh(z) ** -2.0)


def sigmoid(z: Array) -> Array:
    """Return 1/(1 + e^−z), as the sheet has it, for complex z too."""
    return np.asarray(1.0 / (1.0 + np.exp(-z)))


# for `gradflow.notation.evaluate`: slopes are complex steps there, not the formulas above
FUNCTIONS = {"σ": sigmoid, "σ′": partial(slope, sigmoid), "tanh": np.tanh, "tanh′": partial(slope, np.tanh)}
