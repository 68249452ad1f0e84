"""The simple recurrent network with random weights: circular law, mean-field theory, Pascanu's bound."""

import math

import numpy as np

from gradflow.analysis.shared.exponents import measure_exponents, orbit_of
from gradflow.analysis.theory.driven_field import DrivenField
from gradflow.analysis.theory.extrapolation import EDGE_BIAS, MeasurementBias
from gradflow.analysis.theory.mean_field import MeanField, normal_mean
from gradflow.analysis.theory.network_bias import NetworkBias
from gradflow.analysis.theory.subjects.case import (
    ORTHOGONAL,
    Prediction,
    SubjectTheory,
    TheoryCase,
    log,
    measure_zero_state_rate,
)
from gradflow.cells.activations import Activation, parse_activation
from gradflow.cells.base import affine
from gradflow.cells.rnn import RNN
from gradflow.linalg.norms import spectral_radius

MEAN_FIELD = "Molgedey et al. 1992; Chen et al. 2018"
STEP_BY_STEP = "the same, step by step along the inputs"
# The largest singular value differs from the edge of its law by N^−2/3 (Johnstone 2001, theorem 1.1).
SINGULAR_BIAS = MeasurementBias(power=2.0 / 3.0)


def predictions(case: TheoryCase) -> list[Prediction]:
    """Return the predictions: radius, rate at the state 0, variance, exponent, critical gain and bound."""
    scales, phi = case.scales(1), parse_activation(str(case.options.get("activation", "tanh")))
    deviation = abs(case.gain) * scales.recurrent
    source = case.radius_source(1)
    # the largest singular value of an orthogonal W is its radius; that of another W is twice the radius
    spread = 1.0 if source == ORTHOGONAL else 2.0
    # all eigenvalues of an orthogonal W are on the edge, and biases of variance 1/N move them by 1/N
    edge = MeasurementBias() if source == ORTHOGONAL else EDGE_BIAS
    slope = normal_mean(lambda z: np.square(phi.slope(z)), scales.bias**2).value ** 0.5
    return [
        Prediction("spectral_radius", lambda: deviation, source, _measure_radius, find_bias=lambda: edge),
        Prediction(
            "zero_state_rate",
            lambda: log(deviation * slope),
            f"ln(g φ′(0)); {source}",
            measure_zero_state_rate,
            find_bias=lambda: edge,
        ),
        *_mean_field(case, phi, deviation),
        Prediction(
            "rate_bound",
            lambda: log(phi.steepest * spread * deviation),
            "Pascanu et al. 2013, section 2.1; σ_max: Marchenko & Pastur 1967",
            _measure_rate_bound,
            is_bound=True,
            find_bias=lambda: SINGULAR_BIAS,
        ),
    ]


def _mean_field(case: TheoryCase, phi: Activation, deviation: float) -> list[Prediction]:
    """Return variance, leading exponent and critical gain.

    For drawn inputs there are predictions for noise of their mean strength, and others along the drawn
    inputs, because with few features the strength differs from step to step. For data there are only the
    latter.
    """
    scales, squares = case.scales(1), case.squares()
    drives = scales.bias**2 + scales.inputs**2 * squares
    field = MeanField(phi, deviation, scales.bias**2 + scales.inputs**2 * case.inputs.mean_square())

    def critical(found: float | None) -> float | None:
        return None if found is None else found / scales.recurrent

    noise_variance = scales.inputs**2 * case.inputs.mean_square_change()
    bias = NetworkBias(field, noise_variance, case.plan, is_averaged=True)
    noise = [
        Prediction(
            "variance",
            lambda: _finite(field.variance()),
            MEAN_FIELD,
            _measure_variance,
            find_bias=bias.find_variance_bias,
        ),
        Prediction(
            "largest_exponent",
            field.exponent,
            MEAN_FIELD,
            _measure_exponent,
            find_bias=bias.find_exponent_bias,
        ),
        Prediction("critical_gain", lambda: critical(field.critical_deviation()), MEAN_FIELD),
    ]
    if np.ptp(drives) == 0 or deviation == 0:
        return noise
    driven = DrivenField(phi, deviation, drives, case.plan.transient)
    bias_along = bias._replace(is_averaged=False)
    along = [
        Prediction(
            "variance",
            driven.variance,
            STEP_BY_STEP,
            _measure_variance,
            find_bias=bias_along.find_variance_bias,
        ),
        Prediction(
            "largest_exponent",
            driven.exponent,
            STEP_BY_STEP,
            _measure_exponent,
            find_bias=bias_along.find_exponent_bias,
        ),
        Prediction(
            "critical_gain",
            lambda: critical(driven.critical_deviation(field.critical_deviation())),
            STEP_BY_STEP,
        ),
    ]
    if case.inputs.kind == "data":
        return along
    named = [one._replace(quantity=f"{one.quantity}_along_inputs") for one in along]
    return [noise[0], named[0], noise[1], named[1], noise[2]]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _rnn(case: TheoryCase, draw: int) -> RNN:
    cell = case.cell(draw)
    assert isinstance(cell, RNN)
    return cell


def _measure_radius(case: TheoryCase, draw: int) -> float:
    """Return the spectral radius of one draw's recurrent weights."""
    return spectral_radius(_rnn(case, draw).weight_hh)


def _measure_rate_bound(case: TheoryCase, draw: int) -> float:
    """Return ln of the bound of one draw's Jacobian."""
    return log(float(_rnn(case, draw).step_bound()))


def _measure_exponent(case: TheoryCase, draw: int) -> float:
    """Return the leading Lyapunov exponent of one draw."""
    assert case.spec is not None
    orbit = orbit_of(case.spec, case.hidden, case.inputs, case.seed, draw, count=1)
    (run,) = measure_exponents([orbit], 1, case.plan, seed=case.seed)
    return float(run.exponents()[0])


def _measure_variance(case: TheoryCase, draw: int) -> float:
    """Return the mean square of the pre-activations of one draw after the transient; inf on overflow."""
    assert case.spec is not None
    cell = _rnn(case, draw)
    orbit = orbit_of(case.spec, case.hidden, case.inputs, case.seed, draw, count=1)
    first, last = case.plan.transient, case.plan.transient + case.plan.steps
    done, squares = 0, 0.0
    for trajectory in orbit.trajectories():
        z = affine(cell.weight_hh, trajectory.states[:-1]) + cell.drive(trajectory.inputs)
        with np.errstate(over="ignore"):
            squares += float(np.square(z[max(first - done, 0) : last - done]).sum())
        done += len(z)
        if done >= last:
            break
    return squares / (case.plan.steps * cell.state_size) if done >= last else math.inf


RNN_THEORY = SubjectTheory(predictions, reads_inputs=True)
