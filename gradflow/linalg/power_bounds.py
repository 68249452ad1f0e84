"""Certified bounds of the norms of powers, from rounding errors, eigenvalues and other powers."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.enclosure import SUM_ERROR_UNITS
from gradflow.linalg.floating import DOUBLE_EPS
from gradflow.linalg.scaled import LOG10_2

Real = NDArray[np.float64]

NORM_ERROR = 2.0  # relative error of a computed spectral norm, in units of n·eps


class NormBounds(NamedTuple):
    """log₁₀ ‖Wᵏ‖₂ of several powers, (rows,): the computed value, and a lower and an upper bound.

    ``moved`` is log₁₀ of a bound of the norm of the rounding of the power itself.
    """

    computed: Real
    low: Real
    high: Real
    moved: Real


class SchurBound(NamedTuple):
    """A bound of Wᵏ by its Schur form D + N: log₁₀ of upper bounds of ρ and of ‖N‖_F, and the n rows."""

    log10_radius: float
    log10_departure: float
    size: int

    def log10_norms(self, steps: list[int]) -> Real:
        """Return log₁₀ Σ_j C(k, j) ρ^(k−j) ‖N‖^j, j < n, for every k; C(k, j) ≤ kʲ/j! (Henrici 1962)."""
        exponents = np.array([float(k) for k in steps])[:, None]
        terms = np.arange(self.size)
        factorials = np.cumsum(np.log10(np.maximum(terms, 1)))
        rest = exponents - terms
        with np.errstate(divide="ignore", invalid="ignore"):
            spectral = np.where(rest > 0, rest * self.log10_radius, 0.0)
            coupled = terms * (np.log10(exponents) + self.log10_departure) - factorials
            logs = np.where(rest < 0, -np.inf, spectral + np.where(terms > 0, coupled, 0.0))
            top = logs.max(axis=1, keepdims=True)
            sums = top + np.log10(np.sum(10.0 ** (logs - top), axis=1, keepdims=True))
            # Terms that nearly cancel leave their rounding.
            sums += 16 * DOUBLE_EPS * np.abs(np.where(rest < 0, 0.0, spectral)).max(axis=1, keepdims=True)
        return np.asarray(np.where(np.isfinite(top), sums, top)[:, 0])


class ModalBound(NamedTuple):
    """A bound ``condition · radius**k`` of ‖Wᵏ‖: log₁₀ of κ(Q) and of an upper bound of |Λ|."""

    log10_condition: float
    log10_radius: float


def bound_norms(
    steps: list[int],
    log2_norms: Real,
    log2_errors: Real,
    log2_underflows: Real,
    log2_majorants: Real | None,
    size: int,
    modal: ModalBound | None,
    schur: SchurBound,
    log10_radius: float,
) -> NormBounds:
    """Return the sharpest known bounds of ‖Wᵏ‖₂ for every k of ``steps``.

    - Rounding changes the norm by at most the error of the power.
    - It changes each entry by at most ((1 + u)ᵏ − 1) |W|ᵏ, where u is the rounding of one product (Higham
      2002, section 18.1). For a W without negative entries this is a relative error, because nothing cancels.
      Underflow is added.
    - ‖Wᵏ‖ ≤ κ(Q) |Λ|ᵏ if W is diagonalizable. The sum of `SchurBound` and ‖W^(qa + r)‖ ≤ ‖Wᵃ‖^q ‖Wʳ‖ always
      hold, and so does ρᵏ ≤ ‖Wᵏ‖.

    Parameters
    ----------
    steps : list of int
        0, 1, 2, … without a gap to 1000 or the last, ascending.
    log2_norms, log2_errors, log2_underflows : array (rows,)
        Norms of the computed powers, and bounds of the errors that rounding and underflow together, and
        underflow alone, may have caused in each.
    log2_majorants : array (rows,), optional
        Norms of the powers of |W|. They are ``log2_norms`` itself if W is not negative, and None if they were
        not computed.
    size : int
        n.
    modal : ModalBound, optional
    schur : SchurBound
    log10_radius : float
        log₁₀ of a lower bound of ρ.
    """
    exponents = np.array([float(k) for k in steps])
    high = np.logaddexp2(log2_norms, log2_errors)
    low = _log2_difference(log2_norms, log2_errors)
    unit = math.log2(1.0 + SUM_ERROR_UNITS * math.sqrt(size) * DOUBLE_EPS)
    errors = log2_errors
    if log2_majorants is not None:
        # A computed 0 may have underflowed: only the error of the power bounds its distance from 0.
        there = log2_norms > -np.inf
        # The computed powers of |W| may be too small themselves, by (1 − u)ᵏ.
        moved = log2_majorants + exponents * unit + _log2_expm1(exponents * unit)
        moved = np.logaddexp2(moved, log2_underflows)
        errors = np.where(there, np.minimum(errors, moved), errors)
        if np.array_equal(log2_majorants, log2_norms):
            least = _log2_difference(log2_norms, log2_underflows) - exponents * unit
            most = np.logaddexp2(log2_norms, log2_underflows) + exponents * unit
        else:
            least, most = _log2_difference(log2_norms, moved), np.logaddexp2(log2_norms, moved)
        low = np.where(there, np.maximum(low, least), low)
        high = np.where(there, np.minimum(high, most), high)
    itself = math.log2(1.0 + NORM_ERROR * size * DOUBLE_EPS)
    low, high = _widen_bounds((low - itself) * LOG10_2, -1.0), _widen_bounds((high + itself) * LOG10_2, 1.0)
    if modal is not None:
        high = np.minimum(high, _widen_bounds(modal.log10_condition + exponents * modal.log10_radius, 1.0))
    high = np.minimum(high, _widen_bounds(schur.log10_norms(steps), 1.0))
    high = np.minimum(high, _widen_bounds(_submultiplicative(steps, high), 1.0))
    high[exponents == 0] = low[exponents == 0] = 0.0  # the identity
    if math.isfinite(log10_radius):
        floor = _widen_bounds(exponents * log10_radius, -1.0)
        if (floor <= high).all():  # a bound of ρ that contradicts the powers proves nothing
            low = np.maximum(low, floor)
    return NormBounds(log2_norms * LOG10_2, low, high, errors * LOG10_2)


def _widen_bounds(bounds: Real, direction: float) -> Real:
    """Return bounds, raised or lowered by the rounding that they may have."""
    with np.errstate(invalid="ignore"):
        moved = bounds + direction * 8 * DOUBLE_EPS * (1.0 + np.abs(bounds))
    return np.where(np.isfinite(bounds), moved, bounds)


def _log2_difference(log2_norms: Real, log2_errors: Real) -> Real:
    """Return log₂ max(2^a − 2^b, 0)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rest = -np.expm1((log2_errors - log2_norms) * math.log(2.0))
        return np.where(log2_errors < log2_norms, log2_norms + np.log2(np.maximum(rest, 0.0)), -np.inf)


def _log2_expm1(log2_power: Real) -> Real:
    """Return log₂ (2^x − 1) for x ≥ 0 of any size."""
    with np.errstate(divide="ignore", over="ignore"):
        near = np.log2(np.expm1(np.minimum(log2_power, 50.0) * math.log(2.0)))
    return np.where(log2_power < 50.0, near, log2_power)


def _submultiplicative(steps: list[int], high: Real) -> Real:
    """Return q·log‖Wᵃ‖ + log‖Wʳ‖, k = qa + r, for the a with the smallest growth per step."""
    consecutive = next((k for k, step in enumerate(steps) if step != k), len(steps))
    if consecutive < 2:
        return high
    rates = high[1:consecutive] / np.arange(1, consecutive)
    base = 1 + int(np.argmin(rates))
    rest = np.array([high[k % base] for k in steps])
    quotients = np.array([float(k // base) for k in steps])
    with np.errstate(invalid="ignore"):
        return np.where(quotients > 0, quotients * high[base] + rest, rest)
