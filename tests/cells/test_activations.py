import mpmath
import numpy as np
import pytest

from gradflow.cells.activations import ACTIVATIONS

EXACT = {
    "tanh": mpmath.tanh,
    "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
    "relu": lambda z: max(z, mpmath.mpf(0)),
    "identity": lambda z: z,
}
# far out the derivatives live on digits that 1 − tanh² has lost since z = 18
POINTS = [-345.0, -40.0, -18.5, -3.0, -1e-9, 0.25, 2.0, 18.5, 40.0, 345.0]


@pytest.mark.parametrize("z", POINTS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_and_slope_to_the_last_digits(name, z):
    with mpmath.workdps(400):
        value = float(EXACT[name](mpmath.mpf(z)))
        slope = float(mpmath.diff(EXACT[name], mpmath.mpf(z), h=mpmath.mpf(10) ** -150))
    activation = ACTIVATIONS[name]
    assert float(activation.value(np.array(z))) == pytest.approx(value, rel=2e-15)
    assert float(activation.slope(np.array(z))) == pytest.approx(slope, rel=1e-14)


def test_relu_is_flat_at_zero_as_the_frameworks_have_it():
    assert ACTIVATIONS["relu"].slope(np.array([0.0]))[0] == 0.0
