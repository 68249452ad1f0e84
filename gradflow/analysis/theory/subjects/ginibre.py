"""Products of independent matrices with normal entries of deviation gain/√N (Newman 1986)."""

import math
from functools import cache

import numpy as np
from scipy.special import digamma

from gradflow.analysis.shared.exponents import Plan, measured
from gradflow.analysis.shared.orbit import StreamOrbit
from gradflow.analysis.theory.subjects.case import CIRCULAR_LAW, Prediction, SubjectTheory, TheoryCase, log
from gradflow.cells.base import Array
from gradflow.linalg.ensembles import ginibre
from gradflow.linalg.norms import spectral_radius

NEWMAN = "Newman 1986"


def predictions(case: TheoryCase) -> list[Prediction]:
    """Return the radius of one matrix, and λ_i = ln(gain/√N) + ½[ln 2 + ψ((N − i + 1)/2)] of the product."""
    size, gain = case.hidden, abs(case.gain)
    places = np.arange(1, size + 1)
    newman = log(gain / math.sqrt(size)) + 0.5 * (math.log(2.0) + digamma((size - places + 1) / 2.0))

    @cache
    def exponents(draw: int) -> Array:
        return _exponents(size, gain, case.plan, case.seed, draw)

    def measure(place: int) -> Prediction:
        return Prediction(
            f"exponent_{place}",
            lambda: float(newman[place - 1]),
            NEWMAN,
            lambda draw: float(exponents(draw)[place - 1]),
            exact=True,
        )

    single = Prediction(
        "spectral_radius",
        lambda: gain,
        CIRCULAR_LAW,
        lambda draw: spectral_radius(ginibre(size, gain, np.random.default_rng([case.seed, draw, 1]))),
    )
    return [single, *(measure(int(place)) for place in places)]


def _exponents(size: int, gain: float, plan: Plan, seed: int, draw: int) -> Array:
    """Return the exponents of one product of as many matrices as the plan has steps."""
    generator = np.random.default_rng([seed, draw, 1])
    orbit = StreamOrbit(size, lambda: ginibre(size, gain, generator))
    (run,) = measured([orbit], size, plan, seed=seed + draw)
    return run.exponents()


GINIBRE_THEORY = SubjectTheory(predictions, is_cell=False)
