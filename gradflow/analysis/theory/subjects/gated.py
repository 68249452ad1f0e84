"""LSTM and GRU at the state 0, without input: J = diag(k) + diag(a) U, with a random U.

If the entries of U have the variance r²/N, the eigenvalues fill {z : ⟨r²a²/|z − k|²⟩ ≥ 1} as N → ∞, where ⟨·⟩
is the mean over units (Ahmadian, Fumarola & Miller 2015, section I).
"""

import math
from functools import partial
from typing import NamedTuple

import numpy as np

from gradflow.analysis.theory.extrapolation import EDGE_BIAS
from gradflow.analysis.theory.subjects.case import (
    Prediction,
    SubjectTheory,
    TheoryCase,
    log,
    measure_zero_state_rate,
)
from gradflow.cells.activations import sigmoid
from gradflow.cells.base import Layer
from gradflow.cells.gru import GRU
from gradflow.cells.initialization import DEFAULT_CHRONO_HORIZON
from gradflow.cells.lstm import LSTM
from gradflow.errors import UsageError
from gradflow.linalg.norms import spectral_radius

GATED_SOURCE = "eigenvalues of J at h = c = 0; Ahmadian et al. 2015"


class Alike(NamedTuple):
    """Units with equal k and a: the eigenvalues fill a disc of radius r a around k."""

    kept: float
    through: float

    def edge(self, deviation: float) -> float:
        """Return the largest modulus of an eigenvalue."""
        return self.kept + deviation * self.through

    def critical(self) -> float | None:
        """Return the r at which the largest modulus is 1, or None if k ≥ 1 or a = 0."""
        return (1.0 - self.kept) / self.through if self.kept < 1 and self.through > 0 else None


class Spread(NamedTuple):
    """Units of chrono initialization: k = u/(1 + u), a = ½/(1 + u), u uniform on [1, T − 1].

    With w = z − 1 the mean of r²a²/(z − k)² is (r²/4)/((1 + 2w)(1 + Tw)) (Tallec & Ollivier 2018 for k and
    a).
    """

    longest: float

    def edge(self, deviation: float) -> float:
        """Return the largest modulus of an eigenvalue: the z beyond every k at which the mean is 1."""
        # 2T w² + (T + 2) w + 1 − r²/4 = 0, the larger root
        half = (self.longest + 2.0) / 2.0
        rest = 1.0 - deviation**2 / 4.0
        return 1.0 - rest / half / (1.0 + math.sqrt(1.0 - 2.0 * self.longest / half * rest / half))

    def critical(self) -> float:
        """Return the r at which the largest modulus is 1."""
        return 2.0


def lstm(case: TheoryCase) -> list[Prediction]:
    """Return the predictions for c' = f⊙c + i⊙g, h' = o⊙tanh c': k = σ(b_f), a = σ(b_i)σ(b_o), U = U_g."""
    if case.options.get("projection"):
        raise UsageError(f"{case.text!r}: no theory is known for a projection; leave it out")
    coupled, gated = bool(case.options.get("coupled")), bool(case.options.get("forget_gate", True))
    kept, rest = _kept(case, "forget_bias", 1.0 if case.options.get("init") == "keras" else 0.0)
    units: Alike | Spread
    if case.options.get("init") == "chrono":
        units = Spread(float(case.options.get("horizon") or DEFAULT_CHRONO_HORIZON))
    elif not gated:
        units = Alike(1.0, 0.25)
    else:
        units = Alike(kept, 0.5 * (rest if coupled else 0.5))
    return _predictions(case, units, 3 if coupled or not gated else 4, "g", LSTM)


def gru(case: TheoryCase) -> list[Prediction]:
    """Return the predictions for h' = (1 − z)⊙n + z⊙h: k = σ(b_z), a = (1 − σ(b_z))σ(b_r), U = U_n."""
    if case.options.get("init") == "chrono":
        return _predictions(
            case, Spread(float(case.options.get("horizon") or DEFAULT_CHRONO_HORIZON)), 3, "n", GRU
        )
    kept, rest = _kept(case, "update_bias", 0.0)
    return _predictions(case, Alike(kept, 0.5 * rest), 3, "n", GRU)


def _kept(case: TheoryCase, name: str, default: float) -> tuple[float, float]:
    """Return σ(b) and 1 − σ(b) of the gate that keeps the state; biases of torch are 0 as N → ∞."""
    given = case.options.get(name)
    kept, rest = sigmoid(np.array([1.0, -1.0]) * (default if given is None else float(given))).tolist()
    return kept, rest


def _predictions(
    case: TheoryCase, units: Alike | Spread, gates: int, candidate: str, kind: type[Layer]
) -> list[Prediction]:
    scales = case.scales(gates)
    deviation = abs(case.gain) * scales.recurrent
    critical = units.critical()
    return [
        Prediction(
            "spectral_radius",
            lambda: deviation,
            case.radius_source(gates),
            partial(_measure_candidate_radius, kind, candidate),
            find_bias=lambda: EDGE_BIAS,
        ),
        Prediction(
            "zero_state_rate",
            lambda: log(units.edge(deviation)),
            GATED_SOURCE,
            measure_zero_state_rate,
            find_bias=lambda: EDGE_BIAS,
        ),
        Prediction(
            "critical_gain", lambda: None if critical is None else critical / scales.recurrent, GATED_SOURCE
        ),
    ]


def _measure_candidate_radius(kind: type[Layer], candidate: str, case: TheoryCase, draw: int) -> float:
    """Return the spectral radius of the recurrent weights of one draw's candidate state."""
    cell = case.cell(draw)
    assert isinstance(cell, kind)
    return spectral_radius(cell.recurrent(candidate))


LSTM_THEORY, GRU_THEORY = SubjectTheory(lstm), SubjectTheory(gru)
