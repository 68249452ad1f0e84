"""The norm ‖∂s_t/∂s_k‖ for every pair of steps k < t."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis.shared.product_norms import part_of
from gradflow.analysis.shared.quantiles import median
from gradflow.analysis.shared.trajectory import Trajectory
from gradflow.cells.base import Array
from gradflow.linalg.chain import ChainNorms, chain_norms
from gradflow.linalg.gram_norms import spectral_norms
from gradflow.linalg.rounding import ROUNDING_COLUMNS, SUSPICIOUS_ERROR, RoundingColumns
from gradflow.linalg.scaled import log10_of
from gradflow.record import column
from gradflow.table import Table

MAX_STACKED_STATE = 24  # state sizes up to which the products of all pairs are extended together


@dataclass(frozen=True, eq=False, repr=False)
class PairMap(Table):
    """One row for every pair of steps: the median over seeds."""

    cell: list[str] = column("the cell, as it was named")
    t: list[int] = column("the later step", unit="step")
    k: list[int] = column("the earlier step; 0 is the initial state", unit="step")
    log10_norm: NDArray[np.float64] = column("log₁₀ ‖∂s_t/∂s_k‖", log10=True)


class PairNorms(NamedTuple):
    """The norms of one draw: arrays (T + 1, T + 1) with an entry at [t, k] for k < t ≤ T."""

    log10: Array  # log₁₀ ‖∂s_t/∂s_k‖, nan elsewhere
    bounds: Array  # bool: where rounding leaves no digit, so that the norm is an upper bound


def measure_pairs(trajectory: Trajectory, block: str, norm: str, *, exact: bool) -> PairNorms:
    """Return the norm of ∂s_t/∂s_k for every pair of steps along the trajectory of one draw."""
    if trajectory.cell.state_size <= MAX_STACKED_STATE and not exact:
        return _measure_together(trajectory, block, norm)
    return _measure_chains(trajectory, block, norm, exact=exact)


def _measure_together(trajectory: Trajectory, block: str, norm: str) -> PairNorms:
    """Extend all products together, step by step; then recompute each that may have lost digits."""
    steps, size = trajectory.steps, trajectory.size
    part = part_of(trajectory.cell, block, "forward")
    unit = np.eye(size, dtype=trajectory.dtype)[:, part.start]
    columns, rounding = unit.shape[1], RoundingColumns(unit.dtype, np.random.default_rng(0))
    unit = np.concatenate([unit, np.zeros((size, ROUNDING_COLUMNS + 1), unit.dtype)], axis=1)
    pairs = PairNorms(np.full((steps + 1, steps + 1), np.nan), np.zeros((steps + 1, steps + 1), bool))
    doubtful = np.zeros(steps, bool)
    products, exponents = np.empty((0, *unit.shape), unit.dtype), np.empty(0, np.int64)
    for t in range(1, steps + 1):
        products, exponents = np.concatenate([products, unit[None]]), np.append(exponents, 0)
        largest = np.abs(products[..., :columns]).max(axis=-1)
        products[..., -1] = rounding.noise(sqrt(columns) * largest)
        # p product, i row, j column: one multiplication with all columns side by side
        side_by_side = products.transpose(1, 0, 2).reshape(size, -1)
        extended = trajectory.jacobian(t - 1).matmat(side_by_side).reshape(size, t, -1).transpose(1, 0, 2)
        rounding.absorb(extended[..., columns:])
        shifts = np.frexp(np.abs(extended[..., :-1]).max(axis=(1, 2)))[1]
        products, exponents = np.ldexp(extended, -shifts[:, None, None]), exponents + shifts
        rows = products[:, part.rows]
        # A block can be far smaller than the whole product. Scaled to near 1, its squares stay in range.
        row_shifts = np.frexp(np.abs(rows[..., :columns]).max(axis=(1, 2)))[1]
        block_norms = _compute_norms(np.ldexp(rows[..., :columns], -row_shifts[:, None, None]), norm)
        pairs.log10[t, :t] = log10_of(block_norms, exponents + row_shifts)
        with np.errstate(over="ignore"):  # inf: no digit is left
            lost = np.ldexp(rounding.sizes(rows[..., columns:]), -row_shifts)
        doubtful[:t] |= lost > SUSPICIOUS_ERROR[unit.dtype.itemsize] * block_norms
    for k in np.flatnonzero(doubtful).tolist():

        def along(step: int, block: Array, first: int = k) -> Array:
            return trajectory.jacobian(first + step).matmat(block)

        norms = chain_norms(along, steps - k, unit[:, :columns], rows=part.rows)
        pairs.log10[k + 1 :, k], pairs.bounds[k + 1 :, k] = _choose_norm(norms, norm), norms.bounds
    return pairs


def _compute_norms(products: Array, norm: str) -> Array:
    if norm == "fro":
        return np.asarray(np.sqrt(np.einsum("pij,pij->p", products, products)))
    return spectral_norms(products)


def _choose_norm(norms: ChainNorms, norm: str) -> Array:
    return norms.frobenius if norm == "fro" else norms.two


def _measure_chains(trajectory: Trajectory, block: str, norm: str, *, exact: bool) -> PairNorms:
    """Measure a chain back from each t, because large products lose rank after different numbers of steps."""
    steps, size = trajectory.steps, trajectory.size
    part = part_of(trajectory.cell, block, "backward")
    unit = np.eye(size, dtype=trajectory.dtype)[:, part.start]
    pairs = PairNorms(np.full((steps + 1, steps + 1), np.nan), np.zeros((steps + 1, steps + 1), bool))
    factors = [trajectory.jacobian(place) for place in range(steps)]  # every later t needs each of them
    for t in range(1, steps + 1):

        def back(k: int, columns: Array, last: int = t) -> Array:
            return factors[last - 1 - k].rmatmat(columns)

        norms = chain_norms(back, t, unit, rows=part.rows, exact=exact)
        pairs.log10[t, :t], pairs.bounds[t, :t] = _choose_norm(norms, norm)[::-1], norms.bounds[::-1]
    return pairs


def pair_table(cells: Sequence[str], maps: Sequence[Sequence[Array]]) -> PairMap:
    """Return the table of maps, given by cell and draw, up to the last step that every draw reaches."""
    rows: list[tuple[str, Array, Array, Array]] = []
    for cell, draws in zip(cells, maps, strict=True):
        steps = min(len(norms) for norms in draws)
        later, earlier = np.tril_indices(steps, -1)
        values = median([norms[later, earlier] for norms in draws])
        rows.append((cell, later, earlier, values))
    return PairMap(
        cell=[cell for cell, later, _, _ in rows for _ in later],
        t=[int(t) for _, later, _, _ in rows for t in later],
        k=[int(k) for _, _, earlier, _ in rows for k in earlier],
        log10_norm=np.concatenate([values for *_, values in rows]),
    )
