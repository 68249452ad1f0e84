"""The simple recurrent network of random weights: circular law, mean-field theory, Pascanu's bound."""

import numpy as np

from gradflow.analysis.exponents import measured, orbit_of
from gradflow.analysis.mean_field import MeanField, normal_mean
from gradflow.analysis.orbit import PIECE
from gradflow.analysis.theories.case import ORTHOGONAL, Case, Prediction, log, radius, zero_state_radius
from gradflow.analysis.trajectory import follow
from gradflow.cells.activations import activation
from gradflow.cells.base import Array, affine
from gradflow.cells.rnn import RNN

MEAN_FIELD = "Sompolinsky et al. 1988; Molgedey et al. 1992; Chen et al. 2018"


def predictions(case: Case) -> list[Prediction]:
    """Return radius of W, rate at the state 0, variance, leading exponent, critical gain, and bound."""
    scales = case.scales(1)
    phi = activation(str(case.options.get("activation", "tanh")))
    deviation = abs(case.gain) * scales.recurrent
    field = MeanField(phi, deviation, scales.bias**2 + scales.inputs**2 * case.inputs.mean_square())
    exponent, variance, critical = field.exponent(), field.variance(), field.critical_deviation()
    source = case.radius_source(1)
    # of an orthogonal W all singular values are its radius; the largest of another is twice that
    spread = 1.0 if source == ORTHOGONAL else 2.0
    slope = normal_mean(lambda z: np.square(phi.slope(z)), scales.bias**2).value ** 0.5
    return [
        Prediction("spectral_radius", deviation, source, lambda draw: radius(_rnn(case, draw).weight_hh)),
        Prediction(
            "zero_state_rate",
            log(deviation * slope),
            f"ln(g φ′(0)); {source}",
            lambda draw: log(zero_state_radius(case.cell(draw))),
        ),
        Prediction(
            "variance",
            variance if np.isfinite(variance) else None,
            MEAN_FIELD,
            (lambda draw: _variance(case, draw)) if np.isfinite(variance) else None,
        ),
        Prediction(
            "largest_exponent", exponent.value, MEAN_FIELD, lambda draw: _largest(case, draw), exponent.error
        ),
        Prediction("critical_gain", None if critical is None else critical / scales.recurrent, MEAN_FIELD),
        Prediction(
            "rate_bound",
            log(phi.steepest * spread * deviation),
            "Pascanu et al. 2013, section 2.1; σ_max: Marchenko & Pastur 1967",
            lambda draw: log(float(_rnn(case, draw).step_bound())),
        ),
    ]


def _rnn(case: Case, draw: int) -> RNN:
    cell = case.cell(draw)
    assert isinstance(cell, RNN)
    return cell


def _largest(case: Case, draw: int) -> float:
    """Return the leading Lyapunov exponent of one draw."""
    assert case.spec is not None
    orbit = orbit_of(case.spec, case.hidden, case.inputs, case.seed, draw, count=1)
    (run,) = measured([orbit], 1, case.plan, seed=case.seed)
    return float(run.exponents()[0])


def _variance(case: Case, draw: int) -> float:
    """Return the mean square of one draw's pre-activations, the transient left out; inf past overflow."""
    assert case.spec is not None
    cell = _rnn(case, draw)
    orbit = orbit_of(case.spec, case.hidden, case.inputs, case.seed, draw, count=1)
    state, skipped, squares, points = orbit.state, 0, 0.0, 0
    wanted = case.plan.transient + case.plan.steps
    for inputs in case.inputs.stream(draw, PIECE):
        trajectory = follow(cell, inputs[: wanted - skipped - points], state)
        if trajectory.blow_up is not None:
            return np.inf
        z: Array = affine(cell.weight_hh, trajectory.states[:-1]) + cell.drive(trajectory.inputs)
        late = z[max(case.plan.transient - skipped, 0) :]
        with np.errstate(over="ignore"):
            squares += float(np.square(late).sum())
        points += len(late)
        skipped += len(z) - len(late)
        state = trajectory.states[-1]
        if skipped + points >= wanted:
            break
    return squares / (points * cell.state_size)
