"""‖∂s_t/∂s_k‖ of every pair of steps k < t."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis.shared.product_norms import MAX_BATCHED_STATE, part_of
from gradflow.analysis.shared.quantiles import median
from gradflow.analysis.shared.trajectory import Trajectory
from gradflow.cells.base import Array
from gradflow.linalg.chain import ChainNorms, chain_norms
from gradflow.linalg.rounding import ROUNDING_COLUMNS, SUSPICIOUS_ERROR, RoundingColumns
from gradflow.linalg.scaled import log10_of
from gradflow.linalg.singular import gram_values
from gradflow.record import column


@dataclass(frozen=True, eq=False)
class PairMap:
    """One row for every pair of steps: the median over seeds."""

    cell: list[str] = column("the cell, as it was named")
    t: list[int] = column("the later step", unit="step")
    k: list[int] = column("the earlier step; 0 is the initial state", unit="step")
    log10_norm: NDArray[np.float64] = column("log₁₀ ‖∂s_t/∂s_k‖", log10=True)


class PairNorms(NamedTuple):
    """Of one draw, at [t, k] for k < t ≤ T."""

    log10: Array  # log₁₀ ‖∂s_t/∂s_k‖, nan elsewhere
    bounds: Array  # of bool: whether rounding left no digit, so that the number is an upper bound


def pair_norms(trajectory: Trajectory, block: str, norm: str, *, exact: bool) -> PairNorms:
    """Return the norm of ∂s_t/∂s_k for every pair of steps; the trajectory is one draw's."""
    if trajectory.cell.state_size <= MAX_BATCHED_STATE and not exact:
        return _measure_together(trajectory, block, norm)
    return _chains(trajectory, block, norm, exact=exact)


def _measure_together(trajectory: Trajectory, block: str, norm: str) -> PairNorms:
    """Extend all products by one step at once; recompute on its own each that may have lost digits."""
    steps, size = trajectory.steps, trajectory.size
    part = part_of(trajectory.cell, block, "forward")
    unit = np.eye(size, dtype=trajectory.dtype)[:, part.start]
    columns, rounding = unit.shape[1], RoundingColumns(unit.dtype, np.random.default_rng(0))
    unit = np.concatenate([unit, np.zeros((size, ROUNDING_COLUMNS + 1), unit.dtype)], axis=1)
    found = PairNorms(np.full((steps + 1, steps + 1), np.nan), np.zeros((steps + 1, steps + 1), bool))
    doubtful = np.zeros(steps, bool)
    products, exponents = np.empty((0, *unit.shape), unit.dtype), np.empty(0, np.int64)
    for t in range(1, steps + 1):
        products, exponents = np.concatenate([products, unit[None]]), np.append(exponents, 0)
        largest = np.abs(products[..., :columns]).max(axis=-1)
        products[..., -1] = rounding.noise(sqrt(columns) * largest)
        # p product, i row, j column: one multiplication with all columns side by side
        wide = products.transpose(1, 0, 2).reshape(size, -1)
        moved = trajectory.jacobian(t - 1).matmat(wide).reshape(size, t, -1).transpose(1, 0, 2)
        rounding.absorb(moved[..., columns:])
        shifts = np.frexp(np.abs(moved[..., :-1]).max(axis=(1, 2)))[1]
        products, exponents = np.ldexp(moved, -shifts[:, None, None]), exponents + shifts
        seen = products[:, part.rows]
        # A block may be far smaller than the whole: near 1 its squares neither under- nor overflow.
        near = np.frexp(np.abs(seen[..., :columns]).max(axis=(1, 2)))[1]
        sizes = _sizes(np.ldexp(seen[..., :columns], -near[:, None, None]), norm)
        found.log10[t, :t] = log10_of(sizes, exponents + near)
        with np.errstate(over="ignore"):  # inf stands for no digit
            lost = np.ldexp(rounding.sizes(seen[..., columns:]), -near)
        doubtful[:t] |= lost > SUSPICIOUS_ERROR[unit.dtype.itemsize] * sizes
    for k in np.flatnonzero(doubtful).tolist():

        def along(step: int, block: Array, first: int = k) -> Array:
            return trajectory.jacobian(first + step).matmat(block)

        norms = chain_norms(along, steps - k, unit[:, :columns], rows=part.rows)
        found.log10[k + 1 :, k], found.bounds[k + 1 :, k] = _choose_norm(norms, norm), norms.bounds
    return found


def _sizes(products: Array, norm: str) -> Array:
    if norm == "fro":
        return np.asarray(np.sqrt(np.einsum("pij,pij->p", products, products)))
    return np.sqrt(np.maximum(gram_values(products)[..., -1], 0.0))


def _choose_norm(norms: ChainNorms, norm: str) -> Array:
    return norms.frobenius if norm == "fro" else norms.two


def _chains(trajectory: Trajectory, block: str, norm: str, *, exact: bool) -> PairNorms:
    """One chain back from each t: large products lose their rank on the way, each at its own pace."""
    steps, size = trajectory.steps, trajectory.size
    part = part_of(trajectory.cell, block, "backward")
    unit = np.eye(size, dtype=trajectory.dtype)[:, part.start]
    found = PairNorms(np.full((steps + 1, steps + 1), np.nan), np.zeros((steps + 1, steps + 1), bool))
    factors = [trajectory.jacobian(place) for place in range(steps)]  # each is asked for by every later t
    for t in range(1, steps + 1):

        def back(k: int, columns: Array, last: int = t) -> Array:
            return factors[last - 1 - k].rmatmat(columns)

        norms = chain_norms(back, t, unit, rows=part.rows, exact=exact)
        found.log10[t, :t], found.bounds[t, :t] = _choose_norm(norms, norm)[::-1], norms.bounds[::-1]
    return found


def pair_table(cells: Sequence[str], maps: Sequence[Sequence[Array]]) -> PairMap:
    """Return the table of maps by cell and draw, as far as every draw goes."""
    rows: list[tuple[str, Array, Array, Array]] = []
    for cell, draws in zip(cells, maps, strict=True):
        steps = min(len(one) for one in draws)
        later, earlier = np.tril_indices(steps, -1)
        values = median([one[later, earlier] for one in draws])
        rows.append((cell, later, earlier, values))
    return PairMap(
        cell=[cell for cell, later, _, _ in rows for _ in later],
        t=[int(t) for _, later, _, _ in rows for t in later],
        k=[int(k) for _, _, earlier, _ in rows for k in earlier],
        log10_norm=np.concatenate([values for *_, values in rows]),
    )
