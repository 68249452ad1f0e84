"""The leaky recurrent network: the simple network at a = 1, the continuous-time network as a goes to 0."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

import gradflow
from gradflow.cells import CELLS
from gradflow.cells.base import Layer
from gradflow.cells.leaky import LeakyRNN
from gradflow.cells.spec import parse_cell
from gradflow.errors import DataError, UsageError
from gradflow.layouts.network import Network, NetworkLayer

RATES = np.array([0.05, 0.3, 1.0, 0.7, 1e-3])  # a of each unit


def network(cell):
    """A cell with arrays of its own, as every command but `init` takes it."""
    return Network("leaky", ((NetworkLayer(cell, "numpy", ()),),))


def linear(weight_hh, a):
    size = len(weight_hh)
    return LeakyRNN(np.zeros((size, 1)), weight_hh, np.zeros(size), a, "identity")


def drawn(seed=0, size=5, features=3, scale=1.3):
    generator = np.random.default_rng(seed)
    shapes = (size, features), (size, size), (size,)
    return [scale * generator.standard_normal(shape) / math.sqrt(size) for shape in shapes]


ASKED = {
    "compare": {"hidden": 6, "steps": 40, "seeds": 3},
    "lyapunov": {"hidden": 6, "steps": 200, "seeds": 2},
    "bptt": {"hidden": 6, "steps": 30, "parameter": "all"},
}


@pytest.mark.parametrize("options", ["", "activation=relu,gain=2", "layers=2,init=orthogonal", "gain=4"])
@pytest.mark.parametrize("command", ASKED)
def test_with_a_of_1_every_number_is_that_of_the_simple_network(command, options):
    texts = [
        gradflow.to_text(getattr(gradflow, command)(cell, **ASKED[command]), "json").replace(cell, "CELL")
        for cell in (f"rnn:{options}".rstrip(":"), ",".join(filter(None, ["leaky:a=1", options])))
    ]
    assert texts[0] == texts[1]


def test_without_recurrent_weights_every_exponent_is_that_of_the_leak():
    found = gradflow.lyapunov("leaky:a=0.3,gain=0", hidden=5, steps=200)
    np.testing.assert_allclose(found.exponents.exponent, math.log(0.7), rtol=1e-14)
    flow = gradflow.compare("leaky:a=0.3,gain=0", hidden=5, steps=50, seeds=2)
    np.testing.assert_allclose(flow.flow.log10_norm, np.asarray(flow.flow.lag) * math.log10(0.7), rtol=1e-12)


def test_each_unit_has_an_exponent_of_its_own_and_none_where_nothing_is_kept():
    cell = network(linear(np.zeros((5, 5)), RATES))
    found = gradflow.lyapunov(cell, steps=100, transient=1000, input="zero")
    expected = sorted((math.log1p(-a) for a in RATES if a < 1), reverse=True)
    np.testing.assert_allclose(found.exponents.exponent[:4], expected, rtol=1e-12)
    assert found.exponents.exponent[4] == -math.inf
    assert found.rank == 4


def test_a_diagonal_linear_network_has_the_exponents_of_its_entries():
    a, weights = np.array([0.1, 0.3, 1.0, 0.7, 0.5]), np.array([2.0, -0.9, -0.3, 0.4, 1.3])
    cell = network(linear(np.diag(weights), a))
    found = gradflow.lyapunov(cell, steps=100, transient=300, input="zero")
    expected = np.sort(np.log(np.abs(1 - a + a * weights)))[::-1]
    np.testing.assert_allclose(found.exponents.exponent, expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_eigenvalues_of_a_step_are_those_of_the_recurrent_weights_moved_towards_1(seed):
    weight = drawn(seed)[1]
    cell, nothing = linear(weight, 0.2), np.zeros((1, 1))
    found = np.linalg.eigvals(cell.linearize(cell.run(nothing), nothing).at(0).todense())
    expected = 0.8 + 0.2 * np.linalg.eigvals(weight)
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(expected), atol=1e-13)


def test_the_exponent_over_the_step_goes_to_that_of_the_differential_equation():
    # τ dh/dt = −h + W h, W normal with eigenvalues ν: the largest exponent is max Re ν − 1, and Euler's
    # steps of a = dt/τ are off by a first order of a
    generator = np.random.default_rng(2)
    q, _ = np.linalg.qr(generator.standard_normal((5, 5)))
    blocks = np.zeros((5, 5))
    blocks[:2, :2], blocks[2:4, 2:4] = [[0.6, -0.9], [0.9, 0.6]], [[-0.3, 2.0], [-2.0, -0.3]]
    blocks[4, 4] = -0.5
    weight, errors = q @ blocks @ q.T, []
    for a in (0.04, 0.02, 0.01, 0.005):
        flow = gradflow.compare(network(linear(weight, a)), steps=100, lags="100", input="zero").flow
        rate = flow.log10_norm[-1] * math.log(10) / 100
        assert rate == pytest.approx(math.log(abs(1 + a * (0.6 + 0.9j - 1))), rel=1e-10)
        errors.append(rate / a - (0.6 - 1))
    for coarse, fine in pairwise(errors):
        assert fine / coarse == pytest.approx(0.5, abs=0.01)


def test_jacobian_and_parameters_of_a_step_with_a_rate_for_each_unit():
    # by complex steps through the formula, written once more
    weights = drawn(4)
    generator = np.random.default_rng(5)
    h, x, asked = (generator.standard_normal(size) for size in (5, 3, 5))

    def following(h, x, weight_ih, weight_hh, bias):
        return (1 - RATES) * h + RATES * np.tanh(weight_hh @ h + weight_ih @ x + bias)

    def derivative(place):
        point = [h, x, *weights]
        found = np.zeros((5, point[place].size))
        for k in range(point[place].size):
            moved = [value.astype(complex) for value in point]
            moved[place].flat[k] += 1e-30j
            found[:, k] = following(*moved).imag / 1e-30
        return found

    cell = LeakyRNN(*weights, RATES)
    states = cell.run(x[None], h)
    np.testing.assert_allclose(states[1], following(h, x, *weights), rtol=1e-14)
    factor = cell.linearize(states, x[None]).at(0)
    np.testing.assert_allclose(factor.todense(), derivative(0), atol=1e-15)
    np.testing.assert_allclose(factor.input_matmat(np.eye(3)), derivative(1), atol=1e-15)
    pulled = factor.pull(asked[:, None])
    np.testing.assert_allclose(pulled.state[:, 0], asked @ derivative(0), atol=1e-14)
    (uses,) = cell.uses(states, x[None])
    for place, name in enumerate(("weight_ih", "weight_hh", "bias"), 2):
        (use,) = uses[name]
        seen = np.ones(1) if use.seen is None else use.seen[0]
        expected = (asked @ derivative(place)).reshape(5, -1)
        np.testing.assert_allclose(np.outer(pulled.signals[0][:, 0], seen), expected, atol=1e-14)


@pytest.mark.parametrize("cell", ["leaky:a=0.3", "leaky:layers=2,gain=3", "leaky:activation=sigmoid"])
def test_the_gradient_of_the_loss_is_that_of_differences(cell):
    found = gradflow.bptt(cell, hidden=6, steps=40, parameter="all")
    assert found.difference_error < 1e-7


def test_no_step_is_larger_than_its_bound_and_a_multiple_of_the_identity_reaches_it():
    for seed in range(20):
        weights = drawn(seed, scale=3.0)
        cell = LeakyRNN(*weights, RATES)
        inputs = np.random.default_rng(seed).standard_normal((10, 3))
        factor = cell.linearize(cell.run(inputs), inputs)
        norms = [np.linalg.norm(factor.at(t).todense(), 2) for t in range(10)]
        assert max(norms) <= cell.step_bound() * (1 + 1e-14)
    even = linear(1.7 * np.eye(4), 0.2)
    assert even.step_bound() == pytest.approx(0.8 + 0.2 * 1.7, rel=1e-15)


@pytest.mark.parametrize("horizon", [50, 200])
def test_the_leak_is_tuned_until_a_gradient_is_stable(horizon):
    found = gradflow.init("leaky:a=0.5", hidden=16, features=4, horizon=horizon, seeds=2)
    assert (found.parameter, found.verdict, found.constructor) == ("a", "stable", None)
    again = parse_cell(f"leaky:a={found.value!r}")  # the value is one that the cell takes
    assert again.options["a"] == found.value < 0.5


def test_a_leak_that_is_nearly_enough_is_left_alone():
    # nothing but the leak: over N steps (1 − a)^(N − 1) is left
    found = gradflow.init("leaky:a=0.01,gain=0", hidden=4, features=2, horizon=50, seeds=1)
    assert (found.value, found.trials.value.size) == (0.01, 0)
    assert found.log10_norm_ratio == pytest.approx(49 * math.log10(0.99), rel=1e-5)


def test_every_term_of_the_expanded_gradient_is_verified():
    assert gradflow.derive("expand", cell="leaky:a=0.4,layers=2").verified > 0


@pytest.mark.parametrize("layout", ["torch", "keras"])
def test_a_framework_without_such_a_cell_is_named(layout, tmp_path):
    path = tmp_path / "weights.npz"
    with pytest.raises(
        DataError, match=f"(?i)^leaky: {layout} has no leaky cell; expected rnn, lstm or gru$"
    ):
        gradflow.init("leaky", hidden=3, horizon=4, output=path, layout=layout)
    assert not path.exists()


@pytest.mark.parametrize(
    ("a", "message"),
    [
        (0.0, r"a=0\.0: expected a number over 0"),
        (-1.0, r"a=-1\.0: expected"),
        (math.nan, "a=nan: expected"),
        (math.inf, "a=inf: expected"),
        (1 + 2**-52, r"a=1\.0000000000000002: expected"),
        ([0.5, 0.5, 2.0, 0.5, 0.5], r"a=2\.0: expected"),
        ([0.5, 0.5], r"a has the shape \(2,\); expected a number, or one for each unit, \(5,\)"),
    ],
)
def test_a_that_is_out_of_range_is_refused(a, message):
    with pytest.raises(UsageError, match=message):
        LeakyRNN(*drawn(), np.array(a))


def test_a_that_a_smaller_type_rounds_to_0_is_refused():
    with pytest.raises(UsageError, match="a=1e-50 is 0 in float32: expected"):
        parse_cell("leaky:a=1e-50").make(2, 2, np.random.default_rng(0)).astype(np.dtype(np.float32))


@dataclass(frozen=True, eq=False)
class Scratch(Layer):
    """A cell that has nothing but what a cell needs: h' = W h + U x + b."""

    weight_ih: np.ndarray
    weight_hh: np.ndarray
    bias: np.ndarray

    @property
    def gate_names(self):
        return ["h"]

    @property
    def _inner(self):
        return LeakyRNN(self.weight_ih, self.weight_hh, self.bias, 1.0, "identity")

    def step(self, state, drive):
        return self._inner.step(state, drive)

    def linearize(self, states, inputs):
        return self._inner.linearize(states, inputs)

    def uses(self, states, inputs):
        return self._inner.uses(states, inputs)

    @classmethod
    def random(cls, hidden_size, input_size, generator, *, scale: float = 0.5):
        return cls(np.ones((hidden_size, input_size)), scale * np.eye(hidden_size), np.zeros(hidden_size))


def test_a_new_cell_works_where_it_can_and_elsewhere_a_line_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(CELLS, "scratch", f"{__name__}:Scratch")
    assert gradflow.compare("scratch", steps=10, seeds=1).cells.rate == pytest.approx([math.log(0.5)])
    assert gradflow.lyapunov("scratch:scale=2", steps=20).largest == pytest.approx(math.log(2))
    assert gradflow.bptt("scratch", steps=10).difference_error < 1e-7
    for command, options, message in (
        ("init", {}, "init has nothing to tune"),
        ("theory", {}, "no theory is known of the cell 'scratch'; expected one of rnn, "),
        ("compare", {"block": "direct"}, "no gate that multiplies its state"),
        ("compare", {"gate_steps": True}, "gate steps has no effect"),
    ):
        with pytest.raises(UsageError, match=message):
            getattr(gradflow, command)("scratch", **options)
    with pytest.raises(UsageError, match="scratch: no derivation of this cell is known"):
        gradflow.derive("expand", cell="scratch")
