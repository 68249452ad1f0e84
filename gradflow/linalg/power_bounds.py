"""Certified bounds of the norms of powers: what rounding, eigenvalues and other powers leave open."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.enclosure import CONFIDENCE, EPS
from gradflow.linalg.scaled import LOG10_2

Real = NDArray[np.float64]

NORM_ERROR = 2.0  # of a computed spectral norm, in units of n·eps


class NormBounds(NamedTuple):
    """log₁₀ ‖Wᵏ‖₂ of several powers: as computed, and between which bounds it lies; (rows,) each.

    ``moved`` is log₁₀ of how far rounding may have moved the power itself, as a norm.
    """

    computed: Real
    low: Real
    high: Real
    moved: Real


class SchurBound(NamedTuple):
    """What bounds Wᵏ by its Schur form D + N: log₁₀ of an upper bound of ρ and of ‖N‖_F, and the n rows."""

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
            # terms that nearly cancel each other leave their own rounding
            sums += 16 * EPS * np.abs(np.where(rest < 0, 0.0, spectral)).max(axis=1, keepdims=True)
        return np.asarray(np.where(np.isfinite(top), sums, top)[:, 0])


class ModalBound(NamedTuple):
    """A bound ``condition · radius**k`` of ‖Wᵏ‖, as log₁₀ of both: κ(Q) and what |Λ| may be."""

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
    """Return bounds of ‖Wᵏ‖₂ for every k of ``steps``, the sharpest of what is known.

    - Rounding moves the norm by no more than the error of the power.
    - It moves each entry by at most ((1 + u)ᵏ − 1) |W|ᵏ, u the rounding of one product (Higham 2002, section
    18.1):
      for a W without negative entries a relative error, however the powers cancel. Underflow comes on top.
    - ‖Wᵏ‖ ≤ κ(Q) |Λ|ᵏ, where W is diagonalizable; the sum of `SchurBound` always; ‖W^(qa + r)‖ ≤ ‖Wᵃ‖^q ‖Wʳ‖;
    and ρᵏ ≤ ‖Wᵏ‖.

    Parameters
    ----------
    steps : list of int
        0, 1, 2, … without a gap to 1000 or the last, ascending.
    log2_norms, log2_errors, log2_underflows : array (rows,)
        Of the computed powers, of what rounding and underflow may have done to each, and of what underflow
        alone may have done.
    log2_majorants : array (rows,), optional
        Of the powers of |W|; ``log2_norms`` itself where W is not negative; None where they were not
        computed.
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
    unit = math.log2(1.0 + CONFIDENCE * math.sqrt(size) * EPS)
    errors = log2_errors
    if log2_majorants is not None:
        # a computed 0 may have underflowed: only the error of the power says how far it is from 0
        there = log2_norms > -np.inf
        # the computed powers of |W| may themselves be short by (1 − u)ᵏ
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
    itself = math.log2(1.0 + NORM_ERROR * size * EPS)
    low, high = _rounded((low - itself) * LOG10_2, -1.0), _rounded((high + itself) * LOG10_2, 1.0)
    if modal is not None:
        high = np.minimum(high, _rounded(modal.log10_condition + exponents * modal.log10_radius, 1.0))
    high = np.minimum(high, _rounded(schur.log10_norms(steps), 1.0))
    high = np.minimum(high, _rounded(_submultiplicative(steps, high), 1.0))
    high[exponents == 0] = low[exponents == 0] = 0.0  # the identity
    if math.isfinite(log10_radius):
        low = np.maximum(low, _rounded(exponents * log10_radius, -1.0))
    return NormBounds(log2_norms * LOG10_2, low, high, errors * LOG10_2)


def _rounded(bounds: Real, direction: float) -> Real:
    """Return bounds moved up or down by what rounding may have cost them."""
    with np.errstate(invalid="ignore"):
        moved = bounds + direction * 8 * EPS * (1.0 + np.abs(bounds))
    return np.where(np.isfinite(bounds), moved, bounds)


def _log2_difference(log2_norms: Real, log2_errors: Real) -> Real:
    """Return log₂ max(2^a − 2^b, 0)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rest = -np.expm1((log2_errors - log2_norms) * math.log(2.0))
        return np.where(log2_errors < log2_norms, log2_norms + np.log2(np.maximum(rest, 0.0)), -np.inf)


def _log2_expm1(log2_power: Real) -> Real:
    """Return log₂ (2^x − 1) for x ≥ 0, of any size."""
    with np.errstate(divide="ignore", over="ignore"):
        near = np.log2(np.expm1(np.minimum(log2_power, 50.0) * math.log(2.0)))
    return np.where(log2_power < 50.0, near, log2_power)


def _submultiplicative(steps: list[int], high: Real) -> Real:
    """Return q·log‖Wᵃ‖ + log‖Wʳ‖, k = qa + r, for the a with the smallest growth a step."""
    consecutive = next((k for k, step in enumerate(steps) if step != k), len(steps))
    if consecutive < 2:
        return high
    rates = high[1:consecutive] / np.arange(1, consecutive)
    base = 1 + int(np.argmin(rates))
    rest = np.array([high[k % base] for k in steps])
    quotients = np.array([float(k // base) for k in steps])
    with np.errstate(invalid="ignore"):
        return np.where(quotients > 0, quotients * high[base] + rest, rest)
