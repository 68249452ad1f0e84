"""LSTM and GRU next to the state 0, without input: J = diag(k) + diag(a) U, U random.

With U of variance r²/N the eigenvalues fill {z : ⟨r²a²/|z − k|²⟩ ≥ 1} as N → ∞, the mean over units
(Ahmadian, Fumarola & Miller 2015, section I); where k and a are the same for all units, the disc of radius
r a around k.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from gradflow.analysis.theories.case import Case, Prediction, log, radius, zero_state_radius
from gradflow.cells.activations import sigmoid
from gradflow.cells.base import Array, Layer
from gradflow.cells.gru import GRU
from gradflow.cells.initialization import HORIZON
from gradflow.cells.lstm import LSTM
from gradflow.errors import UsageError

SOURCE = "eigenvalues of J at h = c = 0; Ahmadian et al. 2015"
MEMORIES = 64  # nodes of the mean over chrono's memories


class Units(NamedTuple):
    """What units keep (k) and let through (a), and how many of them do so, adding up to 1."""

    kept: Array
    through: Array
    share: Array


def lstm(case: Case) -> list[Prediction]:
    """Return those of c' = f⊙c + i⊙g, h' = o⊙tanh c': k = σ(b_f), a = σ(b_i)σ(b_o), U = U_g."""
    if case.options.get("projection"):
        raise UsageError(f"{case.text!r}: no theory is known of a projection; leave it out")
    bias, share = _biases(case, "forget_bias", 1.0 if case.options.get("init") == "keras" else 0.0)
    if not case.options.get("forget_gate", True):
        kept, let_in = np.ones(1), sigmoid(np.zeros(1))
    elif case.options.get("coupled"):
        kept, let_in = sigmoid(bias), sigmoid(-bias)
    else:
        kept = sigmoid(bias)
        let_in = sigmoid(-bias if case.options.get("init") == "chrono" else np.zeros_like(bias))
    gates = 3 if case.options.get("coupled") or not case.options.get("forget_gate", True) else 4
    return _predictions(case, Units(kept, 0.5 * let_in, share), gates, "g", LSTM)


def gru(case: Case) -> list[Prediction]:
    """Return those of h' = (1 − z)⊙n + z⊙h: k = σ(b_z), a = (1 − σ(b_z))σ(b_r), U = U_n."""
    bias, share = _biases(case, "update_bias", 0.0)
    return _predictions(case, Units(sigmoid(bias), 0.5 * sigmoid(-bias), share), 3, "n", GRU)


def _biases(case: Case, name: str, default: float) -> tuple[Array, Array]:
    """Return the biases of the gate that keeps the state, and the share of the units that has each."""
    if case.options.get("init") == "chrono":  # ln u, u uniform on [1, horizon − 1]
        nodes, weights = np.polynomial.legendre.leggauss(MEMORIES)
        longest = float(case.options.get("horizon") or HORIZON)
        return np.log(1.0 + (longest - 2.0) * (nodes + 1.0) / 2.0), weights / 2.0
    return np.array([float(case.options.get(name, default))]), np.ones(1)


def _predictions(case: Case, units: Units, gates: int, candidate: str, kind: type[Layer]) -> list[Prediction]:
    scales = case.scales(gates)
    deviation = abs(case.gain) * scales.recurrent

    def candidate_weights(draw: int) -> Array:
        cell = case.cell(draw)
        assert isinstance(cell, kind)
        return cell.recurrent(candidate)

    critical = _critical_deviation(units)
    return [
        Prediction(
            "spectral_radius",
            deviation,
            case.radius_source(gates),
            lambda draw: radius(candidate_weights(draw)),
        ),
        Prediction(
            "zero_state_rate",
            log(edge(units, deviation)),
            SOURCE,
            lambda draw: log(zero_state_radius(case.cell(draw))),
        ),
        Prediction("critical_gain", None if critical is None else critical / scales.recurrent, SOURCE),
    ]


def edge(units: Units, deviation: float) -> float:
    """Return the largest modulus of an eigenvalue: where ⟨r²a²/(z − k)²⟩ = 1, z real and beyond all k.

    Examples
    --------
    >>> half = Units(np.array([0.5]), np.array([0.25]), np.ones(1))
    >>> round(edge(half, 1.0), 12)
    0.75
    """
    reach = deviation * float(units.through.max())
    outermost = float(units.kept.max())
    if reach == 0:
        return outermost

    def surplus(z: float) -> float:
        return float(units.share @ (deviation * units.through / (z - units.kept)) ** 2) - 1.0

    least = outermost + 1e-12 * reach
    return (
        float(brentq(surplus, least, outermost + 2.0 * reach, xtol=1e-15))
        if surplus(least) > 0
        else outermost
    )


def _critical_deviation(units: Units) -> float | None:
    """Return the deviation of U at which that is 1; None where units keep their state for ever."""
    if units.kept.max() >= 1:
        return None
    return 1.0 / math.sqrt(float(units.share @ (units.through / (1.0 - units.kept)) ** 2))
