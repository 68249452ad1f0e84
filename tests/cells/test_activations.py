import mpmath
import numpy as np
import pytest

from gradflow.cells.activations import ACTIVATION_FAMILIES, ACTIVATIONS, parse_activation
from gradflow.errors import UsageError

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
    # and with others
    "affine(2,-0.5)": lambda z: 2 * z - mpmath.mpf(1) / 2,
    "scaled_tanh(1.5,0.5)": lambda z: mpmath.mpf(3) / 2 * mpmath.tanh(z / 2),
    "hard_sigmoid(0.125,0.25)": lambda z: max(mpmath.mpf(0), min(mpmath.mpf(1), z / 8 + mpmath.mpf(1) / 4)),
    "elu(0.5)": lambda z: z if z > 0 else mpmath.expm1(z) / 2,
}
# far out the derivatives live on digits that 1 − tanh² has lost since z = 18
POINTS = [-345.0, -40.0, -18.5, -3.0, -1e-9, 0.25, 2.0, 18.5, 40.0, 345.0]


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
    found = parse_activation(name)
    assert float(found.value(np.array(z))) == pytest.approx(value, rel=2e-15)
    assert float(found.slope(np.array(z))) == pytest.approx(slope, rel=1e-14)
    assert float(found.rest(np.array(z))) == pytest.approx(
        rest, rel=2e-15, abs=0 if name == "sigmoid" else 1e-15
    )
    assert abs(found.slope(np.array(z))) <= found.steepest
    assert found.low <= found.value(np.array(z)) <= found.high


def test_relu_is_flat_at_zero_as_the_frameworks_have_it():
    assert ACTIVATIONS["relu"].slope(np.array([0.0]))[0] == 0.0


@pytest.mark.parametrize(
    "name", ["tanhh", "elu(", "elu()", "elu(a)", "elu(1,2)", "elu(nan)", "tanh(1)", "(1)", ""]
)
def test_unknown_activations_are_refused_by_name(name):
    with pytest.raises(UsageError, match="activation"):
        parse_activation(name)
