"""The norms and shares of the four terms of ∂c_t/∂c_{t−1} in an LSTM."""

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
from gradflow.table import Table

PATHS = ("direct", "f", "i", "g")


@dataclass(frozen=True, eq=False, repr=False)
class PathMeans(Table):
    """Norm and share of each path, averaged over the steps; medians over seeds."""

    cell: list[str] = column("the cell, as it was named")
    path: list[str] = column("direct, or through the gate f, i or g (the candidate)")
    layer: list[int] = column("the layer, from 1")
    log10_norm: NDArray[np.float64] = column(
        "log₁₀ of the term's spectral norm, averaged over steps", log10=True
    )
    share: NDArray[np.float64] = column(
        "the term's norm divided by the sum of all four norms, averaged over steps"
    )


@dataclass(frozen=True, eq=False, repr=False)
class Paths(Table):
    """Norm and share of each path at every step from the second; medians over seeds."""

    cell: list[str] = column("the cell, as it was named")
    path: list[str] = column("direct, or through the gate f, i or g (the candidate)")
    layer: list[int] = column("the layer, from 1")
    step: list[int] = column("the step t, from 2", unit="step")
    log10_norm: NDArray[np.float64] = column("log₁₀ of the term's spectral norm", log10=True)
    share: NDArray[np.float64] = column("the term's norm divided by the sum of all four norms")


def measure_paths(trajectory: Trajectory, *, exact: bool = False) -> list[Array]:
    """Return the norms of the four terms, one array (T − 1, 4) for each layer, in the order of `PATHS`.

    The trajectory is that of one draw. Layers without a cell state have no array.
    """
    layers = trajectory.cell.split_layers(trajectory.states, trajectory.inputs)
    with np.errstate(over="ignore", under="ignore"):
        paths_by_layer = [cell.paths(states, inputs) for cell, states, inputs in layers]
    return [_measure_terms(paths, exact=exact) for paths in paths_by_layer if paths is not None]


def _measure_terms(paths: CellPaths, *, exact: bool) -> Array:
    norms = np.zeros((len(paths.direct), len(PATHS)))
    norms[:, 0] = np.abs(paths.direct).max(axis=-1)
    for place, name in enumerate(PATHS[1:], 1):
        if name in paths.into:
            leading = LeadingSingularValue(
                np.random.default_rng(0), CHAIN_TOLERANCE[paths.delta.dtype.itemsize]
            )
            norms[:, place] = [
                _measure_norm(term, None if exact else leading) for term in make_terms(paths, name)
            ]
    return norms


def _measure_norm(term: Array, leading: LeadingSingularValue | None) -> float:
    """Return the spectral norm of a term: by the search ``leading``, or else from all singular values."""
    shift = int(np.frexp(np.abs(term).max(initial=0.0))[1])
    scaled = np.ldexp(term, -shift)
    norm = float(np.linalg.norm(scaled, 2)) if leading is None else leading.of(scaled).value
    return float(np.ldexp(norm, shift))


def make_terms(paths: CellPaths, name: str) -> Iterator[Array]:
    """Yield the term of the path through one gate at each step from the second, shape (H, H)."""
    for into, delta in zip(paths.into[name], paths.delta, strict=True):
        derivative = paths.weight[name] * delta
        if name in paths.peephole:
            derivative = derivative + np.diag(paths.peephole[name])
        yield into[:, None] * derivative


class _LayerPaths(NamedTuple):
    """The norms and shares of the paths in one layer of one cell, each of shape (draws, T − 1, 4)."""

    cell: str
    layer: int
    norms: Array
    shares: Array


def path_tables(
    cells: Sequence[str], norms: Sequence[Sequence[list[Array]]]
) -> tuple[PathMeans | None, Paths | None]:
    """Return the tables of means and of steps, given norms by cell, draw and layer; None without any path."""
    all_layers = [
        _join_draws(cell, number, draws_of_layer)
        for cell, draws in zip(cells, norms, strict=True)
        for number, draws_of_layer in enumerate(zip(*draws, strict=True), 1)
    ]
    layers = [layer for layer in all_layers if layer.norms.shape[1]]
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


def _join_draws(cell: str, number: int, draws: Sequence[Array]) -> _LayerPaths:
    """Return norms and shares of one layer for all draws, up to the last step that every draw reaches."""
    steps = min(len(draw) for draw in draws)
    norms = np.stack([draw[:steps] for draw in draws])
    return _LayerPaths(
        cell, number, norms, norms / np.maximum(norms.sum(axis=-1, keepdims=True), SMALLEST_NORMAL_DOUBLE)
    )


def _log10(norms: Sequence[Array]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log10(np.concatenate(norms)))
