"""The four terms of ∂c_t/∂c_{t−1} in an LSTM, and how much of it each carries (exercise 5-3d)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis.quantiles import median
from gradflow.analysis.trajectory import Trajectory
from gradflow.cells.base import Array, CellPaths
from gradflow.linalg.chain import TOLERANCE
from gradflow.linalg.singular import LeadingSingularValue
from gradflow.record import column

PATHS = ("direct", "f", "i", "g")


@dataclass(frozen=True, eq=False)
class PathMeans:
    """What each path carries on average over the steps; medians over seeds."""

    cell: list[str] = column("the cell, as it was asked for")
    layer: list[int] = column("the layer, from 1")
    path: list[str] = column("direct, or by way of the gate f, i or g (the candidate)")
    log10_norm: NDArray[np.float64] = column(
        "log₁₀ of the term's spectral norm, its mean over steps", log10=True
    )
    share: NDArray[np.float64] = column("the norm's share of the four norms' sum, mean over steps")


@dataclass(frozen=True, eq=False)
class Paths:
    """What each path carries at every step, from the second on; medians over seeds."""

    cell: list[str] = column("the cell, as it was asked for")
    layer: list[int] = column("the layer, from 1")
    step: list[int] = column("the step t, from 2", unit="step")
    path: list[str] = column("direct, or by way of the gate f, i or g (the candidate)")
    log10_norm: NDArray[np.float64] = column("log₁₀ of the term's spectral norm", log10=True)
    share: NDArray[np.float64] = column("the norm's share of the four norms' sum")


def path_norms(trajectory: Trajectory) -> list[Array]:
    """Return the norms of the four terms, layer by layer: each (T − 1, 4), in the order of `PATHS`.

    The trajectory is one draw's. Layers without a cell state are left out.
    """
    layers = trajectory.cell.layered(trajectory.states, trajectory.inputs)
    found = [cell.paths(states, inputs) for cell, states, inputs in layers]
    return [_norms(paths) for paths in found if paths is not None]


def _norms(paths: CellPaths) -> Array:
    norms = np.zeros((len(paths.direct), len(PATHS)))
    norms[:, 0] = np.abs(paths.direct).max(axis=-1)
    for column_, name in enumerate(PATHS[1:], 1):
        if name in paths.into:
            leading = LeadingSingularValue(np.random.default_rng(0), TOLERANCE[paths.delta.dtype.itemsize])
            norms[:, column_] = [leading.of(term).value for term in terms(paths, name)]
    return norms


def terms(paths: CellPaths, name: str) -> Iterator[Array]:
    """Yield the term by way of one gate at each step from the second, shape (H, H)."""
    for into, delta in zip(paths.into[name], paths.delta, strict=True):
        through = paths.weight[name] * delta
        if name in paths.peephole:
            through = through + np.diag(paths.peephole[name])
        yield into[:, None] * through


def path_tables(
    cells: Sequence[str], norms: Sequence[Sequence[list[Array]]]
) -> tuple[PathMeans | None, Paths | None]:
    """Return the tables (means, steps) of norms by cell, draw and layer; None where there are none."""
    means: list[tuple[Any, ...]] = []
    steps: list[tuple[Any, ...]] = []
    for cell, draws in zip(cells, norms, strict=True):
        for layer, several in enumerate(zip(*draws, strict=True), 1):
            count = min(len(one) for one in several)
            if not count:
                continue
            every = np.stack([one[:count] for one in several])  # draw, step, path
            shares = every / np.maximum(every.sum(axis=-1, keepdims=True), np.finfo(np.float64).tiny)
            norm, share = median(every), median(shares)
            averaged = median(every.mean(axis=1)), median(shares.mean(axis=1))
            means += [
                (cell, layer, path, *values)
                for path, *values in zip(PATHS, *map(np.ndarray.tolist, averaged), strict=True)
            ]
            steps += [
                (cell, layer, step + 2, path, float(norm[step, k]), float(share[step, k]))
                for step in range(count)
                for k, path in enumerate(PATHS)
            ]
    if not steps:
        return None, None
    of_means, of_steps = (
        [[*values] for values in zip(*means, strict=True)],
        [[*v] for v in zip(*steps, strict=True)],
    )
    *names, norms, shares = of_means
    averaged = PathMeans(*names, log10_norm=_log10(norms), share=np.array(shares))
    *names, norms, shares = of_steps
    return averaged, Paths(*names, log10_norm=_log10(norms), share=np.array(shares))


def _log10(norms: Sequence[float]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.log10(np.array(norms, np.float64))
