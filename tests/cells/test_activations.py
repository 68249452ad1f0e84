import math

import mpmath
import numpy as np
import pytest

from gradflow.cells.activations import ACTIVATION_FAMILIES, ACTIVATIONS, parse_activation
from gradflow.errors import UsageError

SELU_ALPHA, SELU_SCALE = mpmath.mpf(1.6732632423543772), mpmath.mpf(1.0507009873554805)
EXACT = {
    "tanh": mpmath.tanh,
    "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
    "relu": lambda z: max(z, mpmath.mpf(0)),
    "identity": lambda z: z,
    "erf": mpmath.erf,
    # with the parameters that ONNX has where none are given
    "affine": lambda z: z,
    "scaled_tanh": mpmath.tanh,
    "hard_sigmoid": lambda z: max(mpmath.mpf(0), min(mpmath.mpf(1), z / 5 + mpmath.mpf(1) / 2)),
    "leaky_relu": lambda z: z if z > 0 else z * mpmath.mpf(0.01),
    "thresholded_relu": lambda z: z if z > 1 else mpmath.mpf(0),
    "elu": lambda z: z if z > 0 else mpmath.expm1(z),
    "softsign": lambda z: z / (1 + abs(z)),
    "softplus": lambda z: mpmath.log1p(mpmath.exp(z)),
    "log_sigmoid": lambda z: -mpmath.log1p(mpmath.exp(-z)),
    "silu": lambda z: z / (1 + mpmath.exp(-z)),
    "swish": lambda z: z / (1 + mpmath.exp(-z)),
    "gelu": lambda z: z * mpmath.erfc(-z / mpmath.sqrt(2)) / 2,
    "gelu_tanh": lambda z: (
        z * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (z + mpmath.mpf("0.044715") * z**3))) / 2
    ),
    "mish": lambda z: z * mpmath.tanh(mpmath.log1p(mpmath.exp(z))),
    "selu": lambda z: SELU_SCALE * (z if z > 0 else SELU_ALPHA * mpmath.expm1(z)),
    "celu": lambda z: z if z > 0 else mpmath.expm1(z),
    "exponential": mpmath.exp,
    "clip": lambda z: max(mpmath.mpf(-1), min(mpmath.mpf(1), z)),
    "hard_silu": lambda z: z * max(mpmath.mpf(0), min(mpmath.mpf(1), z / 6 + mpmath.mpf(1) / 2)),
    "shrink": lambda z: z if abs(z) > 0.5 else mpmath.mpf(0),
    "tanh_shrink": lambda z: z - mpmath.tanh(z),
    "squareplus": lambda z: (z + mpmath.sqrt(z**2 + 4)) / 2,
    "sparse_plus": lambda z: z if z > 1 else max(z + 1, mpmath.mpf(0)) ** 2 / 4,
    # and with others
    "affine(2,-0.5)": lambda z: 2 * z - mpmath.mpf(1) / 2,
    "scaled_tanh(1.5,0.5)": lambda z: mpmath.mpf(3) / 2 * mpmath.tanh(z / 2),
    "hard_sigmoid(0.125,0.25)": lambda z: max(mpmath.mpf(0), min(mpmath.mpf(1), z / 8 + mpmath.mpf(1) / 4)),
    "elu(0.5)": lambda z: z if z > 0 else mpmath.expm1(z) / 2,
    "swish(-0.5)": lambda z: z / (1 + mpmath.exp(z / 2)),
    "swish(0)": lambda z: z / 2,
    "selu(1,-2)": lambda z: -2 * (z if z > 0 else mpmath.expm1(z)),
    "celu(2)": lambda z: z if z > 0 else 2 * mpmath.expm1(z / 2),
    "clip(0,6)": lambda z: max(mpmath.mpf(0), min(mpmath.mpf(6), z)),
    "shrink(0.5,0.5)": lambda z: mpmath.sign(z) * max(abs(z) - mpmath.mpf(1) / 2, mpmath.mpf(0)),
    "squareplus(0.25)": lambda z: (z + mpmath.sqrt(z**2 + mpmath.mpf(1) / 4)) / 2,
}
# The exponents −z²/2 and −2u of the functions that compute one, as sizes: the error of an exponential is that
# of its exponent.
EXPONENTS = {
    "gelu": lambda z: z**2 / 2,
    "gelu_tanh": lambda z: 2 * math.sqrt(2 / math.pi) * (z + 0.044715 * z**3),
}
EPS = np.finfo(float).eps
# far out the derivatives live on digits that 1 − tanh² has lost since z = 18
POINTS = [-345.0, -40.0, -18.5, -2.75, -1e-9, 0.25, 2.0, 18.5, 40.0, 345.0]


def test_every_activation_has_its_exact_twin():
    assert {*ACTIVATIONS, *ACTIVATION_FAMILIES} <= set(EXACT)


@pytest.mark.parametrize("name", EXACT)
def test_value_and_slope_to_the_last_digits(name):
    for z in POINTS:
        check_last_digits(name, z)


def check_last_digits(name, z):
    with mpmath.workdps(400):
        value = float(EXACT[name](mpmath.mpf(z)))
        slope = float(mpmath.diff(EXACT[name], mpmath.mpf(z), h=mpmath.mpf(10) ** -150))
        rest = float(1 - EXACT[name](mpmath.mpf(z)))
        # z² in an exponent is rounded to half a unit in the last place.
        exponent = EXPONENTS.get(name, lambda z: 0.0)(abs(z))
    found = parse_activation(name)
    smallest = np.finfo(float).tiny  # Below it, doubles have fewer digits.
    assert float(found.value(np.array(z))) == pytest.approx(value, rel=2e-15 + exponent * EPS, abs=smallest)
    assert float(found.slope(np.array(z))) == pytest.approx(slope, rel=1e-14 + exponent * EPS, abs=smallest)
    assert float(found.rest(np.array(z))) == pytest.approx(
        rest, rel=2e-15, abs=0 if name == "sigmoid" else 1e-15
    )
    assert abs(found.slope(np.array(z))) <= found.steepest
    assert found.low <= found.value(np.array(z)) <= found.high


def test_relu_is_flat_at_zero_as_the_frameworks_have_it():
    assert ACTIVATIONS["relu"].slope(np.array([0.0]))[0] == 0.0


@pytest.mark.parametrize(
    "name",
    [
        "tanhh",
        "elu(",
        "elu()",
        "elu(a)",
        "elu(1,2)",
        "elu(nan)",
        "tanh(1)",
        "(1)",
        "",
        "celu(0)",
        "clip(1,0)",
        "squareplus(0)",
    ],
)
def test_unknown_activations_are_refused_by_name(name):
    with pytest.raises(UsageError, match="activation"):
        parse_activation(name)


@pytest.mark.parametrize("name", EXACT)
def test_steepest_slope_is_reached_and_never_exceeded(name):
    found = parse_activation(name)
    far = [-1e4, np.nextafter(3.0, 0.0), 1e4]  # Some slopes come close to their largest one only here.
    z = np.append(np.linspace(-12.0, 12.0, 48001), [0.0] if name == "exponential" else far)
    slopes, values = np.abs(found.slope(z)), found.value(z)
    assert slopes.max() <= found.steepest * (1 + 1e-15)
    assert slopes.max() >= (found.steepest if np.isfinite(found.steepest) else 1e5) * (1 - 1e-6)
    assert values.min() >= found.low
    assert values.max() <= found.high


def test_far_out_and_in_float32_nothing_is_nan():
    for name in sorted({*EXACT} - {"exponential"}):
        found = parse_activation(name)
        for z in (np.array([-1e150, 1e150]), np.array([-3e4, 0.3, 3e4], np.float32)):
            assert np.isfinite(found.value(z)).all(), name
            assert np.isfinite(found.slope(z)).all(), name
            assert found.value(z).dtype == found.slope(z).dtype == z.dtype, name
