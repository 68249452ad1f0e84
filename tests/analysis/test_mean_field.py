"""Mean-field theory of wide networks against closed forms (erf, relu, identity) and mpmath's quadrature."""

import math
from itertools import product

import mpmath
import numpy as np
import pytest
from scipy.optimize import brentq

from gradflow.analysis.theory.mean_field import MeanField, normal_mean
from gradflow.cells.activations import ACTIVATIONS, parse_activation

# φ and φ′ by mpmath, and where they are not smooth
TWINS = {
    "tanh": (mpmath.tanh, lambda x: mpmath.sech(x) ** 2, ()),
    "sigmoid": (
        lambda x: 1 / (1 + mpmath.exp(-x)),
        lambda x: mpmath.exp(-x) / (1 + mpmath.exp(-x)) ** 2,
        (),
    ),
    "erf": (mpmath.erf, lambda x: 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x * x), ()),
    "softsign": (lambda x: x / (1 + abs(x)), lambda x: (1 + abs(x)) ** -2, ()),
    "elu": (lambda x: x if x > 0 else mpmath.expm1(x), lambda x: 1 if x > 0 else mpmath.exp(x), ()),
    "leaky_relu": (lambda x: x if x > 0 else x / 100, lambda x: 1 if x > 0 else mpmath.mpf("0.01"), ()),
    "hard_sigmoid": (
        lambda x: min(max(x / 5 + mpmath.mpf("0.5"), 0), 1),
        lambda x: mpmath.mpf("0.2") if abs(x) < 2.5 else 0,
        (2.5,),
    ),
}
VARIANCES = [1e-20, 0.05, 1.0, 15.99, 16.0, 16.01, 400.0]
TOLERANCE = 1e-11  # eleven digits of a mean, as the module says
# some hundreds of units in the last place: of nodes and weights, of a function that is steep at a node, and
# of a sum of up to a thousand terms
ROUNDING = 5e-14
TANH, ERF, RELU, IDENTITY = (ACTIVATIONS[name] for name in ("tanh", "erf", "relu", "identity"))


def normal_twin(function, variance, kinks=()):
    """⟨f(√q z)⟩ by mpmath's double exponential rule between all places where f may be steep or not smooth."""
    with mpmath.workdps(18):
        root = mpmath.sqrt(variance)
        places = {width / root for width in (*kinks, 1, 4, 16, 64)} | {mpmath.mpf(end) for end in (1, 4, 14)}
        ends = sorted(place for place in places if place <= 14)
        ends = [-end for end in reversed(ends)] + [0] + ends
        scale = function(root) or 1  # mpmath's own tolerance is absolute
        return float(scale * mpmath.quad(lambda z: function(root * z) / scale * mpmath.npdf(z), ends))


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        *product(["tanh"], VARIANCES),
        *product(["hard_sigmoid"], [1e-20, 1.0, 16.01]),
        *product(["sigmoid", "erf", "softsign", "elu", "leaky_relu"], [0.05, 16.01]),
        *product(["erf", "softsign", "leaky_relu", "hard_sigmoid"], [1e6]),
    ],
)
def test_normal_means_are_mpmaths_within_the_error_they_state(name, variance):
    phi = parse_activation(name)
    for own, twin in zip((phi.value, phi.slope), TWINS[name][:2], strict=True):
        mean = normal_mean(lambda z, own=own: np.square(own(z)), variance)
        expected = normal_twin(lambda x, twin=twin: twin(x) ** 2, variance, TWINS[name][2])
        assert mean.error <= TOLERANCE
        assert abs(mean.value - expected) <= (mean.error + ROUNDING) * expected


@pytest.mark.parametrize("half", [0, 1, 2, 3, 5])
def test_normal_means_of_powers_are_the_moments(half):
    # ⟨z^2k⟩ = (2k − 1)!! q^k; what is past 12 deviations is under 1e-20 of it
    for variance in (1e-20, 0.3, 9.0, 16.0, 17.0, 1e4):
        expected = math.prod(range(1, 2 * half, 2)) * variance**half
        mean = normal_mean(lambda z: z ** (2 * half), variance)
        assert mean.value == pytest.approx(expected, rel=TOLERANCE + ROUNDING, abs=0)


def test_normal_mean_at_variance_0_is_the_value_at_0():
    assert normal_mean(lambda z: np.cos(z) + 1.0, 0.0).value == pytest.approx(2.0, rel=ROUNDING)


@pytest.mark.parametrize("variance", [*VARIANCES, 1e4, 1e6, 1e9])
def test_means_of_erf_are_the_closed_forms(variance):
    # ⟨erf(√q z)²⟩ = (2/π) asin(2q/(1 + 2q)), ⟨erf′(√q z)²⟩ = (4/π)/√(1 + 4q) (Williams 1998)
    square = normal_mean(lambda z: np.square(ERF.value(z)), variance).value
    slope = normal_mean(lambda z: np.square(ERF.slope(z)), variance).value
    assert square == pytest.approx(erf_square(variance), rel=TOLERANCE + ROUNDING)
    assert slope == pytest.approx(4 / math.pi / math.sqrt(1 + 4 * variance), rel=TOLERANCE + ROUNDING)


def erf_square(variance):
    return 2 / math.pi * math.asin(2 * variance / (1 + 2 * variance))


def erf_fixed_point(deviation, drive):
    """Return q and dF/dq there, F(q) = σ²(2/π) asin(2q/(1 + 2q)) + s, by bisection on the closed form."""
    q = brentq(
        lambda q: deviation**2 * erf_square(q) + drive - q, drive or 1e-6, drive + deviation**2, xtol=1e-16
    )
    return q, deviation**2 * 4 / math.pi / ((1 + 2 * q) * math.sqrt(1 + 4 * q))


@pytest.mark.parametrize(
    ("deviation", "drive"),
    [(0.2, 0.0), (0.2, 1.0), (1.0, 0.0), (1.0, 1e-6), (1.5, 0.1), (4.0, 30.0), (40.0, 0.0), (40.0, 1e4)],
)
def test_variance_and_exponent_of_erf_are_those_of_its_closed_form(deviation, drive):
    field = MeanField(ERF, deviation, drive)
    if drive == 0 and deviation < math.sqrt(math.pi) / 2:
        assert field.variance() == 0
        expected = math.log(deviation * 2 / math.sqrt(math.pi))
        assert field.exponent().value == pytest.approx(expected, abs=1e-13)
        return
    q, slope = erf_fixed_point(deviation, drive)
    error = TOLERANCE * q / (1 - slope)  # that of a mean, as the fixed point magnifies it
    assert field.variance() == pytest.approx(q, abs=error)
    expected = 0.5 * math.log(deviation**2 * 4 / math.pi / math.sqrt(1 + 4 * q))
    assert field.exponent().value == pytest.approx(expected, abs=TOLERANCE + error / (1 + 4 * q))


@pytest.mark.parametrize(
    ("gain", "drive", "expected"),
    # Sompolinsky, Crisanti & Sommers 1988 without input; Molgedey et al. 1992 with noise
    [(1.5, 0.0, 0.065217), (2.0, 0.0, 0.154724), (3.0, 0.0, 0.310249), (1.0, 1.0, -0.459549)],
)
def test_exponents_of_tanh_are_the_published_ones_to_their_six_digits(gain, drive, expected):
    assert MeanField(TANH, gain, drive).exponent().value == pytest.approx(expected, abs=6e-7)


@pytest.mark.parametrize(
    ("name", "deviation", "drive"),
    [("tanh", 1.1, 0.5), ("tanh", 0.9, 3e4), ("sigmoid", 1.3, 1e-3), ("softsign", 0.5, 20.0),
     ("elu", 1.1, 0.5)],
)  # fmt: skip
def test_variance_reproduces_itself_by_mpmaths_quadrature(name, deviation, drive):
    variance = MeanField(parse_activation(name), deviation, drive).variance()
    assert variance >= drive
    square = normal_twin(lambda x: TWINS[name][0](x) ** 2, variance, TWINS[name][2])
    assert deviation**2 * square + drive == pytest.approx(variance, rel=2 * TOLERANCE)


@pytest.mark.parametrize("gain", [1.05, 1.5, 3.0, 30.0])
def test_state_of_a_chaotic_tanh_network_is_the_positive_variance_and_not_0(gain):
    # F(q)/q falls from g² to 0: one positive fixed point, below the bound of F, g²
    variance = MeanField(TANH, gain, 0.0).variance()
    assert 0 < variance < gain**2
    square = normal_twin(lambda x: mpmath.tanh(x) ** 2, variance)
    # the tolerance of the mean, magnified near the critical gain by 1/(1 − F′) ≈ 1/(g² − 1)
    assert gain**2 * square == pytest.approx(variance, rel=2 * TOLERANCE)


@pytest.mark.parametrize("gain", [0.0, 0.1, 0.9, 0.999])
def test_tanh_network_below_its_critical_gain_dies_out_at_the_rate_of_the_state_0(gain):
    field = MeanField(TANH, gain, 0.0)
    assert field.variance() == 0
    assert field.exponent().value == (-math.inf if gain == 0 else pytest.approx(math.log(gain), abs=1e-13))


@pytest.mark.parametrize("drive", [1e-8, 0.3, 1.0, 700.0])
@pytest.mark.parametrize("deviation", [0.1, 1.0, 1.3])
def test_variance_of_relu_is_the_drive_over_one_less_half_its_gain(deviation, drive):
    # ⟨relu²⟩ = q/2: q = s/(1 − σ²/2); a mean's tolerance is magnified by the same denominator
    room = 1 - deviation**2 / 2
    found = MeanField(RELU, deviation, drive).variance()
    assert found == pytest.approx(drive / room, rel=(TOLERANCE + ROUNDING) / room)


@pytest.mark.parametrize("drive", [0.0, 1.0])
@pytest.mark.parametrize("deviation", [0.3, 1.0, 1.4, 1.5, 8.0])
def test_exponent_of_relu_is_half_the_logarithm_of_half_its_gain_at_any_scale(deviation, drive):
    field = MeanField(RELU, deviation, drive)
    assert field.exponent().value == pytest.approx(0.5 * math.log(deviation**2 / 2), abs=TOLERANCE)
    if deviation > math.sqrt(2):
        assert field.variance() == math.inf
    elif drive == 0:
        assert field.variance() == 0


@pytest.mark.parametrize("drive", [0.0, 2.0])
@pytest.mark.parametrize("deviation", [0.25, 0.99, 1.5, 20.0])
def test_exponent_of_a_linear_network_is_the_logarithm_of_its_deviation(deviation, drive):
    field = MeanField(IDENTITY, deviation, drive)
    assert field.exponent().value == pytest.approx(math.log(deviation), abs=TOLERANCE)
    if deviation > 1:
        assert field.variance() == math.inf
    else:
        room = 1 - deviation**2
        assert field.variance() == pytest.approx(drive / room, rel=(TOLERANCE + ROUNDING) / room)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("tanh", 1.0), ("erf", math.sqrt(math.pi) / 2), ("relu", math.sqrt(2)), ("identity", 1.0),
     ("softsign", 1.0), ("leaky_relu", math.sqrt(2 / 1.0001))],
)  # fmt: skip
def test_without_drive_the_critical_deviation_is_where_the_state_0_turns_unstable(name, expected):
    phi = parse_activation(name)
    assert MeanField(phi, 1.7, 0.0).critical_deviation() == pytest.approx(expected, rel=1e-12)
    below, above = (MeanField(phi, expected * side, 0.0).exponent().value for side in (0.99, 1.01))
    assert below < 0 < above


@pytest.mark.parametrize(
    ("name", "drive"),
    [("tanh", 1e-4), ("tanh", 50.0), ("erf", 0.1), ("sigmoid", 1.0), ("softsign", 1.0)],
)
def test_with_drive_the_exponent_crosses_0_at_the_critical_deviation(name, drive):
    field = MeanField(parse_activation(name), 1.0, drive)
    critical = field.critical_deviation()
    at = field._replace(deviation=critical)
    # the root is bracketed to 1e-12 in ln σ, of which λ is at most some 1 times as large
    assert at.exponent().value == pytest.approx(0.0, abs=1e-11)
    assert at._replace(deviation=critical * 0.99).exponent().value < 0
    assert at._replace(deviation=critical * 1.01).exponent().value > 0


@pytest.mark.parametrize("drive", [1e-4, 0.1, 1.0, 50.0])
def test_critical_deviation_of_erf_is_that_of_its_closed_form(drive):
    # λ = 0 where σ²(4/π) = √(1 + 4q): σ as a function of q, into q = σ²(2/π) asin(2q/(1 + 2q)) + s
    def surplus(q):
        return math.sqrt(1 + 4 * q) / 2 * math.asin(2 * q / (1 + 2 * q)) + drive - q

    q = brentq(surplus, drive, 1e6, xtol=1e-15, rtol=1e-14)
    expected = math.sqrt(math.pi / 4 * math.sqrt(1 + 4 * q))
    assert MeanField(ERF, 1.0, drive).critical_deviation() == pytest.approx(expected, rel=1e-9)


def test_relu_turns_critical_at_the_root_of_2_whatever_drives_it():
    for drive in (0.0, 1e-3, 1.0, 1e3):
        # past √2 the variance is cut off, at 1e12: short of it by some s/1e12 the network is still driven
        assert MeanField(RELU, 1.0, drive).critical_deviation() == pytest.approx(math.sqrt(2), abs=1e-9)


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_noise_always_calms_and_gain_always_excites_a_saturating_network(name):
    # Molgedey et al. 1992: ⟨φ′²⟩ falls with q, and q grows with s
    phi, drives, gains = parse_activation(name), [0.01, 0.1, 0.5, 2.0, 10.0, 100.0], [0.3, 0.7, 1.2, 2.0, 5.0]
    exponents = np.array([[MeanField(phi, g, s).exponent().value for s in drives] for g in gains])
    variances = np.array([[MeanField(phi, g, s).variance() for s in drives] for g in gains])
    assert (np.diff(exponents, axis=1) < 0).all()
    assert (np.diff(exponents, axis=0) > 0).all()
    assert (np.diff(variances, axis=1) > 0).all()
    assert (np.diff(variances, axis=0) > 0).all()


def test_variance_without_end_is_not_met_by_a_bounded_activation():
    for gain in (1.0, 100.0):
        for drive in (0.0, 1.0, 1e8):
            assert MeanField(TANH, gain, drive).variance() <= gain**2 + drive
