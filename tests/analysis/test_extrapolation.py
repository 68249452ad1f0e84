"""Limits N → ∞ and deviations: known laws, for true predictions and for wrong ones."""

import math
from statistics import NormalDist

import mpmath
import numpy as np
import pytest

import gradflow
from gradflow.analysis.theory.deviation import compute_deviation
from gradflow.analysis.theory.extrapolation import (
    EDGE_BIAS,
    MeasuredQuantity,
    MeasurementBias,
    extrapolate,
)


def measure(values):
    """Mean and standard error of draws, as theory reports them."""
    return MeasuredQuantity(values.mean(), values.std(ddof=1) / math.sqrt(len(values)), len(values))


def deviate(draw, hidden, seeds, bias, shift=0.0, runs=300):
    """Deviations of runs from the limit 1, or from a prediction that is off by ``shift``."""
    generator, sizes = np.random.default_rng(7), (hidden, hidden // 2, hidden // 4)
    deviations = []
    for _ in range(runs):
        limit = extrapolate(sizes, [measure(draw(generator, size, seeds)) for size in sizes], bias)
        difference = limit.value - (1.0 + shift)
        deviations.append(compute_deviation(difference, limit.error, limit.degrees_of_freedom))
    return np.abs(deviations)


def draw_radii(generator, size, seeds):
    """Spectral radii of complex normal matrices: N|ν|² are independent Γ(k) over k = 1 … N (Kostlan 1992)."""
    return np.sqrt(generator.gamma(np.arange(1, size + 1), size=(seeds, size)).max(axis=1) / size)


def draw_power(power, amplitude):
    """Draws with the mean 1 + amplitude N^−power, which scatter by 1/√N."""

    def draw(generator, size, seeds):
        return 1.0 + amplitude * size**-power + generator.standard_normal(seeds) / math.sqrt(size)

    return draw


# --- the limit


@pytest.mark.parametrize("power", [0.5, 2 / 3, 1.0])
@pytest.mark.parametrize("errors", [(0.1, 0.1, 0.1), (0.1, 0.01, 1.0), (0.1, 0.0, 0.2), (0.0, 0.1, 0.1)])
def test_means_on_a_line_have_its_intercept_as_limit_whatever_their_errors(power, errors):
    sizes = (96, 48, 24)
    means = [MeasuredQuantity(3.0 - 5.0 * n**-power, e, 4) for n, e in zip(sizes, errors, strict=True)]
    limit = extrapolate(sizes, means, MeasurementBias(power=power))
    assert limit.value == pytest.approx(3.0, rel=1e-12)
    # r = 2^power: (r v₁ − v₂) / (r − 1)
    ratio = 2.0**power
    standard = math.hypot(ratio * errors[0], errors[1]) / (ratio - 1)
    other = (math.sqrt(2) * means[0].mean - means[1].mean) / (math.sqrt(2) - 1)
    assert limit.error == pytest.approx(math.hypot(standard, limit.value - other), rel=1e-9)


def test_means_of_a_parabola_are_off_by_less_than_the_error():
    sizes = (128, 64, 32)
    means = [MeasuredQuantity(1.0 + 3.0 / n - 40.0 / n**2, 1e-9, 10) for n in sizes]
    limit = extrapolate(sizes, means, MeasurementBias())
    # 2(3/N − 40/N²) − (6/N − 160/N²) = 80/N²
    assert limit.value - 1.0 == pytest.approx(80 / 128**2, rel=1e-6)
    assert abs(limit.value - 1.0) < limit.error


def test_degrees_of_freedom_are_those_of_welch_and_satterthwaite():
    # equal means at all sizes: no difference between lines; parts (2e)² and e², each of n − 1 degrees
    means = [MeasuredQuantity(1.0, 0.1, 5)] * 3
    limit = extrapolate((128, 64, 32), means, MeasurementBias())
    assert limit.error == pytest.approx(0.1 * math.sqrt(5), rel=1e-12)
    assert limit.degrees_of_freedom == pytest.approx(25 / (16 / 4 + 1 / 4), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 1e-90, 1e100, 1e200])
def test_units_change_the_limit_as_they_do_the_measurements(scale):
    measured = [MeasuredQuantity(2.0, 0.1, 5), MeasuredQuantity(3.0, 0.2, 4), MeasuredQuantity(4.0, 0.3, 7)]
    scaled = [one._replace(mean=one.mean * scale, error=one.error * scale) for one in measured]
    value, error, degrees = extrapolate((64, 32, 16), measured, EDGE_BIAS)
    found = extrapolate((64, 32, 16), scaled, EDGE_BIAS)
    assert found == pytest.approx((value * scale, error * scale, degrees), rel=1e-12, abs=0.0)


@pytest.mark.parametrize(
    ("sizes", "measured", "bias"),
    [
        ((16,), [MeasuredQuantity(1.0, 0.1, 5)], MeasurementBias()),
        ((64, 32, 16), [MeasuredQuantity(1.0, 0.1, 5)] * 3, MeasurementBias(min_size=17)),
        ((64, 32, 16), [MeasuredQuantity(1.0, math.nan, 1)] * 3, MeasurementBias()),
        ((64, 32, 16), [MeasuredQuantity(-math.inf, math.nan, 5)] * 3, MeasurementBias()),
        ((64, 32, 16), [*[MeasuredQuantity(1.0, 0.1, 5)] * 2, MeasuredQuantity(1.0, 0.1, 4, 1)], EDGE_BIAS),
    ],
)
def test_there_is_no_limit_without_sizes_errors_or_all_draws(sizes, measured, bias):
    assert all(math.isnan(number) for number in extrapolate(sizes, measured, bias))


# --- the deviation


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.7062), (2, 4.30265), (4, 2.77645), (9, 2.26216), (29, 2.04523)]
)
def test_deviation_of_a_two_sided_5_percent_point_of_student_is_1_96(degrees, quantile):
    # quantiles of the tables
    assert compute_deviation(quantile, 1.0, degrees) == pytest.approx(NormalDist().inv_cdf(0.975), rel=2e-6)
    assert compute_deviation(-3 * quantile, 3.0, degrees) == pytest.approx(-1.959964, rel=2e-6)


@pytest.mark.parametrize(("ratio", "degrees"), [(30.0, 3.5), (8.0, 50), (1e5, 9), (1e-6, 2)])
def test_deviation_has_the_tail_of_student_to_sixty_digits(ratio, degrees):
    with mpmath.workdps(60):
        x = degrees / (degrees + mpmath.mpf(ratio) ** 2)
        tail = mpmath.betainc(mpmath.mpf(degrees) / 2, 0.5, 0, x, regularized=True) / 2
        found = compute_deviation(ratio, 1.0, degrees)
        assert float(mpmath.erfc(found / mpmath.sqrt(2)) / 2 / tail) == pytest.approx(1.0, rel=1e-9)


def test_deviation_is_the_ratio_where_the_error_is_known_and_finite_where_no_double_holds_its_tail():
    assert compute_deviation(-7.0, 2.0, math.inf) == pytest.approx(-3.5, rel=1e-12)
    assert 38 < compute_deviation(1e300, 1.0, math.inf) < 39
    assert -39 < compute_deviation(-1e300, 1e-8, 9) < -38


# --- true predictions and wrong ones


@pytest.mark.parametrize("hidden", [32, 128])
@pytest.mark.parametrize("seeds", [2, 3, 10, 100])
def test_radii_of_known_law_seldom_deviate_from_the_circular_law(hidden, seeds):
    deviations = deviate(draw_radii, hidden, seeds, EDGE_BIAS)
    assert (deviations > 3).mean() < 0.01
    assert deviations.max() < 5


@pytest.mark.parametrize("power", [0.5, 0.75, 1.0, 2.0])
@pytest.mark.parametrize("amplitude", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("seeds", [2, 4, 30])
def test_powers_of_the_size_seldom_deviate_from_their_limit(power, amplitude, seeds):
    deviations = deviate(draw_power(power, amplitude), 64, seeds, MeasurementBias())
    assert (deviations > 3).mean() < 0.01
    assert deviations.max() < 5


def test_wrong_predictions_are_refuted():
    assert (deviate(draw_radii, 512, 30, EDGE_BIAS, shift=0.2, runs=40) > 3).all()
    assert (deviate(draw_power(1.0, -1.0), 128, 100, MeasurementBias(), shift=0.5, runs=40) > 3).all()


@pytest.mark.parametrize(
    "options",
    [
        # below the transition an exponent is the logarithm of a spectral radius: power ½
        {"gain": 0.5, "input": "zero", "hidden": 64, "seeds": 40, "steps": 60},
        {"gain": 0.5, "input": "constant", "hidden": 64, "seeds": 40, "steps": 60},
        # few draws, of which some small networks are not chaotic
        {"gain": 1.5, "input": "zero", "hidden": 32, "seeds": 3, "steps": 200},
        # a run that is too short for its state to forget where it began
        {"gain": 2.0, "input": "zero", "hidden": 64, "seeds": 30, "steps": 10, "transient": 0},
        # every eigenvalue of an orthogonal matrix is on the edge: power 1
        {"init": "orthogonal", "gain": 0.8, "hidden": 64, "seeds": 40, "steps": 20},
    ],
)
def test_no_quantity_of_a_network_deviates_from_a_true_prediction(options):
    cell = f"rnn:init={options.pop('init', 'ginibre')}"
    found = gradflow.theory(cell, **options).predictions
    measured = np.isfinite(found.deviation)
    assert measured.sum() >= 4
    assert np.abs(found.deviation[measured]).max() < 3


@pytest.mark.parametrize(("gain", "enough"), [(0.9, 361), (1.0, None), (1.1, 444)])
def test_next_to_a_transition_finite_networks_have_no_limit(gain, enough):
    # |ln gain|⁻², times 4
    found = gradflow.theory("rnn:init=ginibre", gain=gain, input="zero", hidden=64, seeds=2, steps=20)
    table = found.predictions
    has_limit = dict(zip(table.quantity, np.isfinite(table.extrapolated), strict=True))
    assert not has_limit["largest_exponent"]
    assert not has_limit["variance"]
    assert has_limit["spectral_radius"]
    (note,) = [note for note in found.notes if "N → ∞" in note]
    assert "other side" in note
    assert (
        "no size would do" if enough is None else f"`hidden` {4 * math.ceil(math.log(gain) ** -2)}"
    ) in note
    assert enough is None or abs(4 * math.log(gain) ** -2 - enough) < 4
