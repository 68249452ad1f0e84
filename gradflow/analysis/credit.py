"""How much of a gradient is left after many steps of one layer, from as few norms as tell it."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gradflow.analysis.pace import ARRIVES
from gradflow.analysis.trajectory import Trajectory, follow
from gradflow.analysis.view import LARGE, ProductNorms, View, product_log10_norms
from gradflow.cells.base import Array
from gradflow.layouts.network import Layer, Network
from gradflow.linalg.floating import FORMATS, outside


class Credit(NamedTuple):
    """What became of a gradient on its way back through one layer.

    ``log10_credit`` is log₁₀ of the norm at the lag asked for over that at lag 1, nan where the state
    overflows before; ``rate`` is the growth over the second half of all lags, in nats per step.
    """

    rate: float
    log10_credit: float
    horizon_float32: int | None
    blow_up: int | None
    error: float
    horizon_sought: bool = True  # not of a very large state, whose norms are had at few lags alone
    is_bound: bool = False  # rounding has left no digit of a norm, and an upper bound of it is taken

    @property
    def arrives(self) -> bool:
        """Whether the gradient arrives within a factor of 100."""
        return self.blow_up is None and abs(self.log10_credit) <= ARRIVES

    @property
    def arrival(self) -> str:
        """What became of the credit, in a word of `ARRIVALS`."""
        return "arrives" if self.arrives else "lost" if self.vanishes else "inflated"

    @property
    def vanishes(self) -> bool:
        """Whether less than a hundredth arrives."""
        return self.blow_up is None and self.log10_credit < -ARRIVES


def credit(trajectory: Trajectory, length: int) -> Credit:
    """Return what is left of a gradient ``length`` steps back from the end of a trajectory.

    Examples
    --------
    >>> from gradflow.cells.rnn import RNN
    >>> halving = RNN(np.ones((1, 1)), np.array([[0.5]]), np.zeros(1), "identity")
    >>> found = credit(follow(halving, np.zeros((200, 1))), 11)
    >>> round(found.rate, 6), round(10**found.log10_credit * 1024, 6), found.horizon_float32
    (-0.693147, 1.0, 127)
    """
    steps = trajectory.steps
    if steps == 0:
        return Credit(math.nan, math.nan, None, trajectory.blow_up, 0.0)
    half = steps // 2
    reached = min(length, steps)
    lags = tuple(sorted({1, reached, steps, *([half] if half else [])}))
    spectral, frobenius = _norms(trajectory, lags)
    norms, bounds = spectral.log10, None if frobenius is None else frobenius.log10
    start = norms[half - 1] if half else 0.0
    ended = np.isneginf(norms[-1])
    rate = -math.inf if ended else float(norms[-1] - start) / (steps - half) * math.log(10)
    kept = norms[reached - 1] - norms[0] if not np.isneginf(norms[0]) else -math.inf
    whole = trajectory.blow_up is None
    return Credit(
        rate=rate,
        log10_credit=float(kept) if whole or reached == length else math.nan,
        horizon_float32=None if bounds is None else _horizon(trajectory, bounds),
        blow_up=trajectory.blow_up,
        error=spectral.error,
        horizon_sought=bounds is not None,
        is_bound=bool(spectral.bounds[[lag - 1 for lag in lags]].any()),
    )


def trajectories(network: Network, inputs: Array) -> Iterator[tuple[Layer, Trajectory, bool]]:
    """Yield each layer of a network with its way, and whether it was fed what the network would feed it.

    A level is fed the outputs of the one below, all directions side by side. Where a state overflows there is
    no such output, and the level is fed unit normal draws instead.
    """
    genuine = True
    for level in network.levels:
        outputs, whole = [], True
        for layer in level:
            backward = layer.direction == "backward"
            trajectory = follow(layer.cell, inputs[::-1] if backward else inputs)
            shown = trajectory.states[1:, : layer.cell.output_size]
            outputs.append(shown[::-1] if backward else shown)
            whole &= trajectory.blow_up is None
            yield layer, trajectory, genuine
        genuine &= whole
        if genuine:
            inputs = np.concatenate(outputs, axis=-1)
        else:
            width = sum(layer.cell.output_size for layer in level)
            inputs = np.random.default_rng(0).standard_normal((len(inputs), width))


def _norms(trajectory: Trajectory, lags: tuple[int, ...]) -> tuple[ProductNorms, ProductNorms | None]:
    """Return the spectral norms at the lags, and where they are to be had Frobenius norms at every lag."""
    several = ("2",) if trajectory.size >= LARGE else ("2", "fro")
    view = View("backward", ("state",), several, lags, exact=False)
    found = product_log10_norms(trajectory, view, "state")
    return found["2"], found.get("fro")


def _horizon(trajectory: Trajectory, bounds: Array) -> int | None:
    """Return the first lag at which the spectral norm is outside float32's normal numbers.

    The Frobenius norm is at most √n of it and never under it, so few lags are left to look at.
    """
    ends = FORMATS["float32"]
    slack = 0.5 * math.log10(trajectory.size)
    lags = range(1, trajectory.steps + 1)
    first = next(
        (k for k in lags if outside(bounds[k - 1] - slack, ends) or outside(bounds[k - 1], ends)), None
    )
    if first is None:
        return None
    low, high = (math.log10(end) for end in ends)
    certain = (k for k in lags if bounds[k - 1] < low or bounds[k - 1] - slack > high)
    last = next(certain, trajectory.steps)
    end = Trajectory(
        trajectory.cell, trajectory.inputs[-last:], trajectory.states[-last - 1 :], None, underflow=False
    )
    norms = _norms(end, tuple(range(first, last + 1)))[0].log10
    return next((k for k in range(first, last + 1) if outside(norms[k - 1], ends)), None)
