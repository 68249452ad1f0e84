"""The four terms of ∂c_t/∂c_{t−1} in an LSTM, and how much of it each carries (exercise 5-3d)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis.shared.quantiles import median
from gradflow.analysis.shared.trajectory import Trajectory
from gradflow.cells.base import Array, CellPaths
from gradflow.linalg.chain import CHAIN_TOLERANCE
from gradflow.linalg.floating import SMALLEST_NORMAL_DOUBLE
from gradflow.linalg.singular import LeadingSingularValue
from gradflow.record import column

PATHS = ("direct", "f", "i", "g")


@dataclass(frozen=True, eq=False)
class PathMeans:
    """What each path carries on average over the steps; medians over seeds."""

    cell: list[str] = column("the cell, as it was named")
    path: list[str] = column("direct, or through the gate f, i or g (the candidate)")
    layer: list[int] = column("the layer, from 1")
    log10_norm: NDArray[np.float64] = column(
        "log₁₀ of the term's spectral norm, averaged over steps", log10=True
    )
    share: NDArray[np.float64] = column(
        "the term's norm divided by the sum of all four norms, averaged over steps"
    )


@dataclass(frozen=True, eq=False)
class Paths:
    """What each path carries at every step, from the second on; medians over seeds."""

    cell: list[str] = column("the cell, as it was named")
    path: list[str] = column("direct, or through the gate f, i or g (the candidate)")
    layer: list[int] = column("the layer, from 1")
    step: list[int] = column("the step t, from 2", unit="step")
    log10_norm: NDArray[np.float64] = column("log₁₀ of the term's spectral norm", log10=True)
    share: NDArray[np.float64] = column("the term's norm divided by the sum of all four norms")


def path_norms(trajectory: Trajectory, *, exact: bool = False) -> list[Array]:
    """Return the norms of the four terms, layer by layer: each (T − 1, 4), in the order of `PATHS`.

    The trajectory is one draw's. Layers without a cell state are left out.
    """
    layers = trajectory.cell.split_layers(trajectory.states, trajectory.inputs)
    with np.errstate(over="ignore", under="ignore"):
        found = [cell.paths(states, inputs) for cell, states, inputs in layers]
    return [_norms(paths, exact=exact) for paths in found if paths is not None]


def _norms(paths: CellPaths, *, exact: bool) -> Array:
    norms = np.zeros((len(paths.direct), len(PATHS)))
    norms[:, 0] = np.abs(paths.direct).max(axis=-1)
    for column_, name in enumerate(PATHS[1:], 1):
        if name in paths.into:
            leading = LeadingSingularValue(
                np.random.default_rng(0), CHAIN_TOLERANCE[paths.delta.dtype.itemsize]
            )
            norms[:, column_] = [_norm(term, None if exact else leading) for term in terms(paths, name)]
    return norms


def _norm(term: Array, leading: LeadingSingularValue | None) -> float:
    """Return the spectral norm of a term of any size, from all its singular values without a search."""
    shift = int(np.frexp(np.abs(term).max(initial=0.0))[1])
    even = np.ldexp(term, -shift)
    norm = float(np.linalg.norm(even, 2)) if leading is None else leading.of(even).value
    return float(np.ldexp(norm, shift))


def terms(paths: CellPaths, name: str) -> Iterator[Array]:
    """Yield the term by way of one gate at each step from the second, shape (H, H)."""
    for into, delta in zip(paths.into[name], paths.delta, strict=True):
        through = paths.weight[name] * delta
        if name in paths.peephole:
            through = through + np.diag(paths.peephole[name])
        yield into[:, None] * through


class _Layer(NamedTuple):
    """One layer of one cell: norms and shares of shape (draws, T − 1, 4)."""

    cell: str
    layer: int
    norms: Array
    shares: Array


def path_tables(
    cells: Sequence[str], norms: Sequence[Sequence[list[Array]]]
) -> tuple[PathMeans | None, Paths | None]:
    """Return the tables (means, steps) of norms by cell, draw and layer; None where there are none."""
    found = [
        _layer(cell, number, several)
        for cell, draws in zip(cells, norms, strict=True)
        for number, several in enumerate(zip(*draws, strict=True), 1)
    ]
    layers = [layer for layer in found if layer.norms.shape[1]]
    if not layers:
        return None, None
    means = PathMeans(
        cell=[layer.cell for layer in layers for _ in PATHS],
        layer=[layer.layer for layer in layers for _ in PATHS],
        path=[path for _ in layers for path in PATHS],
        log10_norm=_log10([median(layer.norms.mean(axis=1)) for layer in layers]),
        share=np.concatenate([median(layer.shares.mean(axis=1)) for layer in layers]),
    )
    rows = [
        (layer, step + 2, path) for layer in layers for step in range(layer.norms.shape[1]) for path in PATHS
    ]
    return means, Paths(
        cell=[layer.cell for layer, _, _ in rows],
        layer=[layer.layer for layer, _, _ in rows],
        step=[step for _, step, _ in rows],
        path=[path for _, _, path in rows],
        log10_norm=_log10([median(layer.norms).ravel() for layer in layers]),
        share=np.concatenate([median(layer.shares).ravel() for layer in layers]),
    )


def _layer(cell: str, number: int, several: Sequence[Array]) -> _Layer:
    """Return the norms of one layer over all draws, as far as every draw goes, and their shares."""
    steps = min(len(one) for one in several)
    norms = np.stack([one[:steps] for one in several])
    return _Layer(
        cell, number, norms, norms / np.maximum(norms.sum(axis=-1, keepdims=True), SMALLEST_NORMAL_DOUBLE)
    )


def _log10(norms: Sequence[Array]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log10(np.concatenate(norms)))
