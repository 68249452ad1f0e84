"""A gradient taken apart by lag, step by step, as tests want it; cells whose parts are known."""

from typing import NamedTuple

import numpy as np

from gradflow.analysis.bptt import truncation as lag_account
from gradflow.analysis.bptt.losses import RANDOM_LOSS, Objective
from gradflow.analysis.bptt.parameters import choose_blocks
from gradflow.analysis.bptt.sweep import Streams, Unrolled
from gradflow.analysis.bptt.truncation import MIN_REMAINING_SHARE, Account, Lag, Pairs
from gradflow.analysis.shared.trajectory import follow
from gradflow.cells.rnn import RNN
from gradflow.layouts.network import Network, NetworkLayer
from gradflow.linalg.scaled import shift_exponents
from gradflow.linalg.underflow import UnderflowWatch

# what is left behind a window is had by streams of its own, by passes now and then, or by streams from the
# first pass on
ROUTES = {
    "streams": {"MAX_STREAMED_STATE": 10**9},
    "passes": {"MAX_STREAMED_STATE": 0, "MIN_LAGS_PER_PASS": 0},
    "turning": {"MAX_STREAMED_STATE": 0, "MIN_LAGS_PER_PASS": 10**9},
}
# a difference is trusted down to MIN_REMAINING_SHARE of its terms: that leaves 33 of 53 bits, less a few
LEFT = {
    "streams": 1e-12,
    "passes": 8 * 2.0**-53 / MIN_REMAINING_SHARE,
    "turning": 8 * 2.0**-53 / MIN_REMAINING_SHARE,
}


def choose(monkeypatch, route):
    """Go one way for all sizes of a state."""
    for name, value in ROUTES[route].items():
        monkeypatch.setattr(lag_account, name, value)


class Sweep(NamedTuple):
    """What came out, arrays as doubles."""

    value: float
    whole: np.ndarray
    parts: np.ndarray  # (lags, numbers)
    lags: list[Lag]
    pairs: Pairs | None

    def column(self, name):
        values = [getattr(lag, name) for lag in self.lags]
        return np.array([value.value() for value in values] if name == "error" else values)

    def logs(self):
        return np.array([lag.norm.log10() for lag in self.lags])


def swept(cell, inputs, loss, wanted, parameter, initial=None, pairs=False):
    """Take a gradient apart; inputs and what the loss wants are of one sequence, or of a batch."""
    inputs, wanted = (np.asarray(array, float) for array in (inputs, wanted))
    if inputs.ndim == 2:
        inputs, wanted = inputs[None], wanted[None]
    trajectory = follow(cell, inputs, initial)
    assert trajectory.blow_up is None
    objective = Objective(trajectory, loss, wanted)
    blocks = choose_blocks(cell, trajectory.states, trajectory.inputs, parameter)
    factor = trajectory.linearize_steps(0, trajectory.steps).lay_side_by_side()
    unrolled = Unrolled(factor, blocks, trajectory.steps, len(inputs), UnderflowWatch())
    with np.errstate(over="ignore", under="ignore"):
        streams = Streams(*unrolled.without_layers_below(objective.asked()))
        account = Account(streams)
        noted = Pairs(account) if pairs else None
        parts, lags = [], []
        for _ in range(trajectory.steps):
            part = streams.advance()
            if noted:
                noted.enter(part)
            parts.append(part.gradient())
            lags.append(account.enter(parts[-1]))
        whole = shift_exponents(account.whole.array, account.whole.exponent)
        rows = np.array([shift_exponents(part.array, part.exponent) for part in parts])
    return Sweep(objective.value(), whole, rows, lags, noted)


def linear(weight, features=1):
    """h' = W h, fed with nothing and without a bias: both are there, and 0."""
    weight = np.array(weight, float)
    return RNN(np.zeros((len(weight), features)), weight, np.zeros(len(weight)), "identity")


def planted(parts):
    """The sweep of a gradient whose part at each lag is a row of ``parts``, but for rounding of differences.

    Of the bias of h' = h = 0: the part at a lag is Σ ∂L_t/∂h_t over t > lag.
    """
    parts = np.array(parts, float)
    slopes = parts - np.vstack([parts[1:], np.zeros_like(parts[:1])])
    steps, size = parts.shape
    return swept(linear(np.eye(size)), np.zeros((steps, 1)), RANDOM_LOSS, steps * slopes, "bias")


def planted_targets(parts):
    """Targets of the loss ``mean`` for which the same parts come out, where T is a power of two."""
    parts = np.array(parts, float)
    return -len(parts) * (parts - np.vstack([parts[1:], np.zeros_like(parts[:1])]))


def network(*cells, direction="forward"):
    """A trained network of layers as they are."""
    return Network("n", tuple((NetworkLayer(cell, "torch", (), direction),) for cell in cells))
