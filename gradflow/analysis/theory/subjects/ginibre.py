"""Products of independent matrices with normal entries of deviation gain/√N (Newman 1986)."""

import math

import numpy as np

from gradflow.analysis.shared.exponents import measure_exponents
from gradflow.analysis.shared.orbit import StreamOrbit
from gradflow.analysis.theory.extrapolation import EDGE_BIAS
from gradflow.analysis.theory.subjects.case import (
    CIRCULAR_LAW,
    Prediction,
    SubjectTheory,
    TheoryCase,
    log,
)
from gradflow.cells.base import Array
from gradflow.linalg.ensembles import ginibre
from gradflow.linalg.norms import spectral_radius

NEWMAN = "Newman 1986"


def predictions(case: TheoryCase) -> list[Prediction]:
    """Return the radius of one matrix, and λ_i = ln(gain/√N) + ½[ln 2 + ψ((N − i + 1)/2)] of the product."""
    from scipy.special import digamma  # here, because its import is slow

    size, gain = case.hidden, abs(case.gain)
    places = np.arange(1, size + 1)
    newman = log(gain / math.sqrt(size)) + 0.5 * (math.log(2.0) + digamma((size - places + 1) / 2.0))

    def predict(entry: int) -> Prediction:
        return Prediction(
            f"exponent_{entry + 1}",
            lambda: float(newman[entry]),
            NEWMAN,
            _measure_exponents,
            entry,
            exact=True,
        )

    radius = Prediction(
        "spectral_radius", lambda: gain, CIRCULAR_LAW, _measure_radius, find_bias=lambda: EDGE_BIAS
    )
    return [radius, *(predict(entry) for entry in range(size))]


def _measure_radius(case: TheoryCase, draw: int) -> float:
    """Return the spectral radius of the first matrix of one draw."""
    generator = np.random.default_rng([case.seed, draw, 1])
    return spectral_radius(ginibre(case.hidden, abs(case.gain), generator))


def _measure_exponents(case: TheoryCase, draw: int) -> Array:
    """Return the exponents of one product of as many matrices as the plan has steps."""
    size, gain = case.hidden, abs(case.gain)
    generator = np.random.default_rng([case.seed, draw, 1])
    orbit = StreamOrbit(size, lambda: ginibre(size, gain, generator))
    (run,) = measure_exponents([orbit], size, case.plan, seed=case.seed + draw)
    return run.exponents()


GINIBRE_THEORY = SubjectTheory(predictions, is_cell=False)
