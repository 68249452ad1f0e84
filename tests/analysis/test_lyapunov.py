"""Lyapunov spectra: closed forms, published attractors, theorems, and the sum rule in every run."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.linalg import expm

import gradflow
from gradflow.analysis.shared.exponents import INITIAL_STATE_SPREAD, RUN_BATCHES, Plan, pieces_of
from gradflow.cells import CELLS
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.errors import DataError, NumericalError, UsageError
from gradflow.layouts.network import Network, NetworkLayer
from tests.truths import CAT_MAP, newman

ROUNDING = 1e-10  # nats per step: sums of logarithms of some thousand steps


def whole(*arguments, within=ROUNDING, **options):
    """A run of the whole spectrum, sorted, that adds up to the mean of ln |det J|."""
    found = gradflow.lyapunov(*arguments, **options)
    exponents = found.exponents.exponent
    assert found.count == found.state_size == len(exponents)
    assert np.all(exponents[:-1] >= exponents[1:])
    assert not np.isnan(exponents).any()
    assert found.sum == exponents.sum()
    assert found.largest == exponents[0]
    assert found.sum_rule_error <= within
    if np.isfinite(found.sum):
        assert found.sum == pytest.approx(found.mean_log_abs_det, abs=within)
    else:
        assert found.mean_log_abs_det == -math.inf
    return found


def of(stack, *, transient=None, within=ROUNDING, **options):
    """The spectrum of given Jacobians, whose determinants are found here once more."""
    stack = np.asarray(stack, dtype=float)
    found = whole(jacobians=stack, transient=transient, within=within, **options)
    measured = stack[found.transient : found.transient + found.steps]
    expected = np.linalg.slogdet(measured)[1].mean()
    assert found.sum == expected or found.sum == pytest.approx(expected, abs=within)
    return found


def network(cell):
    """A trained network of a cell as it is."""
    return Network("n", ((NetworkLayer(cell, "torch", ()),),))


def sigma(z):
    return 1 / (1 + math.exp(-z))


@pytest.mark.parametrize("size", [2, 4, 8])
def test_normal_matrices_have_newmans_exponents_and_errors(size):
    steps, draws = 8000, 6
    expected, variance = newman(size)
    truth = np.sqrt(variance / steps)
    apart, ratios = [], []
    for seed in range(draws):
        stack = np.random.default_rng([seed, size]).standard_normal((steps, size, size))
        found = of(stack, transient=0)
        apart.append((found.exponents.exponent - expected) / truth)
        ratios.append((found.exponents.standard_error / truth) ** 2)
    apart = np.array(apart)
    # ln r_ii are independent, so these are normal: none of 84 past 4.5, their mean good to 1/√6
    assert np.abs(apart).max() < 4.5
    assert np.abs(apart.mean(axis=0)).max() < 4.5 / math.sqrt(draws)
    # squared errors of 64 batches scatter by √(2/63), and may be too large as the tests of batch means say
    scatter = 4 * math.sqrt(2 / (RUN_BATCHES - 1) / np.size(ratios))
    high = 1 + 2 * (1 + 2 * math.sqrt(2)) / math.sqrt(2 * math.pi * RUN_BATCHES)
    assert 1 - scatter < np.mean(ratios) < high + scatter


def test_leading_exponents_alone_are_those_of_the_whole_spectrum():
    # Both runs' columns go to the same directions: after t steps they differ as exp(−gap t), here by nothing.
    generator = np.random.default_rng(0)
    rows = np.exp(-0.5 * np.arange(16))[:, None]
    stack = rows * np.linalg.qr(generator.standard_normal((600, 16, 16)))[0]
    stack = np.linalg.qr(generator.standard_normal((16, 16)))[0] @ stack
    all_of_them = of(stack, transient=400)
    few = gradflow.lyapunov(jacobians=stack, transient=400, count=4)
    gaps = -np.diff(all_of_them.exponents.exponent[:5])
    assert gaps.min() * 400 > 40
    np.testing.assert_allclose(
        few.exponents.exponent, all_of_them.exponents.exponent[:4], rtol=0, atol=ROUNDING
    )
    assert (few.count, few.state_size) == (4, 16)
    assert (few.mean_log_abs_det, few.sum_rule_error, few.condition_growth) == (None, None, None)


def doubling_orbit(steps, seed=0):
    """y, 2y, 4y, … modulo 1 of a number with as many random digits as that needs."""
    bits = np.random.default_rng(seed).integers(0, 2, steps + 60)
    return np.lib.stride_tricks.sliding_window_view(bits, 60)[: steps + 1] @ 0.5 ** np.arange(1, 61)


def test_logistic_map_has_ln_2():
    # x = sin² πy: the slope 4(1 − 2x) is 4 cos 2πy, and 2 cos θ = sin 2θ/sin θ leaves but the two ends
    y = doubling_orbit(5000)
    x = np.sin(np.pi * y) ** 2
    np.testing.assert_allclose(x[1:], 4 * x[:-1] * (1 - x[:-1]), atol=1e-12)
    found = of((4 * np.cos(2 * np.pi * y[:-1]))[:, None, None], transient=0)
    ends = np.log(np.abs(np.sin(2 * np.pi * y)))
    assert found.largest == pytest.approx(math.log(2) + (ends[-1] - ends[0]) / 5000, abs=1e-9)
    assert found.largest == pytest.approx(math.log(2), abs=5e-3)
    assert found.verdict == "exploding"
    assert found.kaplan_yorke_dimension == 1.0


def test_tent_map_has_ln_2_without_any_error():
    slopes = np.where(doubling_orbit(2000) < 0.5, 2.0, -2.0)
    found = of(slopes[:, None, None])
    assert found.largest == pytest.approx(math.log(2), rel=1e-14)
    assert found.largest_standard_error <= 1e-14
    assert found.exponents.converged == [True]


def test_skew_tent_map_has_the_entropy_of_its_coin():
    # slopes 1/p and −1/q, independent with chances p and q: p ln(1/p) + q ln(1/q)
    p, steps = 0.3, 20000
    q = 1 - p
    slopes = np.where(np.random.default_rng(1).random(steps) < p, 1 / p, -1 / q)
    found = of(slopes[:, None, None], transient=0)
    entropy = -p * math.log(p) - q * math.log(q)
    error = math.sqrt(p * q / steps) * abs(math.log(q / p))
    assert found.largest == pytest.approx(entropy, abs=4.5 * error)
    assert found.entropy_rate == found.largest
    # one error of 64 batches: √(2/63)/2 of scatter, and the inflation
    assert 0.64 * error < found.largest_standard_error < 1.8 * error


def test_cat_map_has_the_logarithms_of_its_eigenvalues():
    found = of(np.tile(CAT_MAP, (300, 1, 1)), transient=30)
    expected = math.log((3 + math.sqrt(5)) / 2)
    assert expected == pytest.approx(0.9624236501, abs=5e-11)
    np.testing.assert_allclose(found.exponents.exponent, [expected, -expected], rtol=0, atol=1e-13)
    assert found.kaplan_yorke_dimension == pytest.approx(2.0, abs=1e-12)
    assert found.condition_growth == pytest.approx(2 * expected, abs=1e-12)


def test_bakers_map_has_the_rates_of_stretch_and_squeeze():
    p, q, a, b = 0.4, 0.6, 0.2, 0.3
    left = np.random.default_rng(3).random(6000) < p
    stack = np.zeros((6000, 2, 2))
    stack[:, 0, 0] = np.where(left, 1 / p, 1 / q)
    stack[:, 1, 1] = np.where(left, a, b)
    found = of(stack, transient=100)
    share = left[100:].mean()
    stretch = -share * math.log(p) - (1 - share) * math.log(q)
    squeeze = share * math.log(a) + (1 - share) * math.log(b)
    # after 100 steps the columns are the axes to exp(−100 gap)
    np.testing.assert_allclose(found.exponents.exponent, [stretch, squeeze], rtol=0, atol=1e-12)
    assert found.kaplan_yorke_dimension == pytest.approx(1 - stretch / squeeze, rel=1e-12)


def henon_orbit(steps, a=1.4, b=0.3):
    x, y, stack = 0.1, 0.1, np.empty((steps, 2, 2))
    for t in range(-100, steps):
        if t >= 0:
            stack[t] = [[-2 * a * x, 1.0], [b, 0.0]]
        x, y = 1 - a * x * x + y, b * x
    return stack


def test_henon_map_has_its_published_spectrum():
    # Sprott 2003: 0.41922, −1.62319, dimension 1.25827
    found = of(henon_orbit(30000))
    assert found.sum == pytest.approx(math.log(0.3), abs=1e-12)
    assert found.largest_standard_error < 0.004
    assert found.largest == pytest.approx(0.41922, abs=4 * found.largest_standard_error)
    by_lambda = (math.log(0.3) - 0.41922) ** -2 * -math.log(0.3)  # dD/dλ₁ of D = 1 + λ₁/(λ₁ − ln 0.3)
    allowed = 4 * by_lambda * found.largest_standard_error + 5e-6
    assert found.kaplan_yorke_dimension == pytest.approx(1.25827, abs=allowed)


def test_ikeda_map_squeezes_areas_by_u_squared_at_every_step():
    # z' = 1 + u z exp(i(0.4 − 6/(1 + |z|²))): area u² at every point; λ₁ = 0.508 at u = 0.9 (Sprott 2003)
    u, z, stack = 0.9, 0.1 + 0.1j, np.empty((12000, 2, 2))
    for t in range(-200, 12000):
        size = 1 + abs(z) ** 2
        turn = u * np.exp(1j * (0.4 - 6 / size))
        if t >= 0:
            # dz' = turn (dz + i z 12 Re(z̄ dz)/size²)
            for k, e in enumerate((1.0, 1j)):
                moved = turn * (e + 12j * z * (np.conj(z) * e).real / size**2)
                stack[t, :, k] = moved.real, moved.imag
        z = 1 + turn * z
    found = of(stack)
    assert found.sum == pytest.approx(2 * math.log(u), abs=1e-12)
    assert found.largest == pytest.approx(0.5076, abs=4 * found.largest_standard_error + 5e-4)
    assert found.largest_standard_error < 0.02


def lorenz(state):
    x, y, z = state
    return np.array([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])


def lorenz_tangent(state):
    x, y, z = state
    return np.array([[-10, 10, 0], [28 - z, -1, -x], [y, x, -8 / 3]])


def flow_orbit(field, state, dt, steps, settle=2000):
    """States at every half step, by Runge & Kutta's fourth order."""
    states = []
    for _ in range(2 * (settle + steps)):
        h = dt / 2
        k1 = field(state)
        k2 = field(state + h / 2 * k1)
        k3 = field(state + h / 2 * k2)
        k4 = field(state + h * k3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        states.append(state)
    return np.array(states[2 * settle :])


def test_lorenz_flow_has_its_published_spectrum():
    # Sprott 2003: 0.9056, 0, −14.5723 per unit of time, dimension 2.062. exp of the tangent at mid-step is of
    # second order in dt, and its determinant exp(−(σ + 1 + β) dt) exactly.
    dt, steps = 0.01, 50000
    middles = flow_orbit(lorenz, np.array([1.0, 1.0, 20.0]), dt, steps)[::2]
    stack = expm(dt * np.array([lorenz_tangent(state) for state in middles]))
    found = of(stack, transient=1000)
    exponents, errors = found.exponents.exponent / dt, found.exponents.standard_error / dt
    assert found.sum / dt == pytest.approx(-(10 + 1 + 8 / 3), abs=1e-9)
    assert errors.max() < 0.05
    assert np.all(np.abs(exponents - [0.9056, 0.0, -14.5723]) < 4 * errors + 0.01)
    assert found.kaplan_yorke_dimension == pytest.approx(2.062, abs=4 * errors[0] / 14.57 + 1e-3)
    assert found.entropy_rate / dt == pytest.approx(max(exponents[0], 0) + max(exponents[1], 0))


@pytest.mark.parametrize("order", [(0.5, 2.0), (2.0, 0.5)])
def test_diagonal_matrices_have_sorted_logarithms(order):
    found = of(np.tile(np.diag(order), (200, 1, 1)), transient=60)
    np.testing.assert_allclose(found.exponents.exponent, np.log([2.0, 0.5]), rtol=0, atol=1e-12)
    assert found.exponents.index == [1, 2]


@pytest.mark.parametrize(
    "diagonal", [(1e308, 1e-308), (1.0, 1e-308), (1e308, 1e-300), (1e308, 1.0, -1e-308), (-1e308,) * 2]
)
def test_diagonal_matrices_at_the_ends_of_a_doubles_range_have_sorted_logarithms(diagonal):
    found = gradflow.lyapunov(jacobians=np.tile(np.diag(diagonal), (60, 1, 1)), transient=6)
    expected = sorted((math.log(abs(entry)) for entry in diagonal), reverse=True)
    np.testing.assert_allclose(found.exponents.exponent, expected, atol=1e-11)
    assert not any("rounding" in note for note in found.notes)


def test_rotations_have_none():
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, 500)
    cos, sin = np.cos(angles), np.sin(angles)
    found = of(np.moveaxis(np.array([[cos, -sin], [sin, cos]]), -1, 0))
    np.testing.assert_allclose(found.exponents.exponent, 0, atol=1e-14)
    assert found.verdict == "stable"
    assert "neither grows nor shrinks" in found.conclusion
    # scaled, they have the logarithm of the scale
    scaled = of(np.moveaxis(0.7 * np.array([[cos, -sin], [sin, cos]]), -1, 0))
    np.testing.assert_allclose(scaled.exponents.exponent, math.log(0.7), atol=1e-14)
    assert scaled.horizon == pytest.approx(math.log(2.0**-52) / math.log(0.7), rel=1e-12)


@pytest.mark.parametrize(("eigenvalue", "steps"), [(0.9, 3000), (1.0, 100), (1.1, 1000)])
def test_a_jordan_block_tends_to_the_logarithm_of_its_eigenvalue(eigenvalue, steps):
    # a column leaves λ^T (q₁ + T q₂/λ, q₂): never more than λ^T (2 + T/λ), and the other takes it back
    found = of(np.tile([[eigenvalue, 1.0], [0.0, eigenvalue]], (steps, 1, 1)), transient=0)
    apart = found.exponents.exponent - math.log(eigenvalue)
    limit = math.log(2 + steps / eigenvalue) / steps
    assert 0 < apart[0] < limit
    assert -limit < apart[1] < 0


ONE, TWO, THREE = np.array([[[1.0, 2.0], [0.0, 1.0]], [[1.0, 0.0], [3.0, 1.0]], [[2.0, 1.0], [1.0, 0.2]]])


def test_order_is_that_of_time():
    # round and round J₃ J₂ J₁: a third of the logarithms of its eigenvalues, which J₁ J₂ J₃ has others of
    def expected(product):
        return np.sort(np.log(np.abs(np.linalg.eigvals(product))) / 3)[::-1]

    stack = np.tile([ONE, TWO, THREE], (200, 1, 1))
    cases = {
        "forward": (stack, expected(THREE @ TWO @ ONE)),
        "reversed": (stack[::-1], expected(ONE @ TWO @ THREE)),
        "transposed": (stack.transpose(0, 2, 1), expected(ONE @ TWO @ THREE)),
    }
    for given, truth in cases.values():
        found = of(given, transient=60, steps=540)
        np.testing.assert_allclose(found.exponents.exponent, truth, rtol=0, atol=1e-12)
    assert abs(cases["forward"][1][0] - cases["reversed"][1][0]) > 0.05


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_a_scale_shifts_every_exponent_by_its_logarithm(scale):
    stack = np.random.default_rng(0).standard_normal((300, 5, 5))
    plain, scaled = of(stack), of(scale * stack)
    np.testing.assert_allclose(
        scaled.exponents.exponent - math.log(scale), plain.exponents.exponent, rtol=0, atol=ROUNDING
    )


def test_what_leaves_the_doubles_within_one_step_is_no_number():
    # what is left of the first step is ones/3, and nine times 8e307/3 is too much
    stack = np.array([1.0, 8e307, 1.0])[:, None, None] * np.ones((3, 9, 9))
    with pytest.raises(NumericalError, match="overflows within one step"):
        gradflow.lyapunov(jacobians=stack, transient=0)


NORMAL = np.random.default_rng(0).standard_normal((40, 4, 4))
RANKS = {
    "zero": (0 * NORMAL, 0),
    "zero_at_last": (NORMAL * (np.arange(40) < 39)[:, None, None], 0),
    "rank_one": (np.tile(np.outer([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]), (40, 1, 1)), 1),
    "nilpotent": (np.tile(np.eye(5, k=1), (40, 1, 1)), 0),
    "dead_unit": (np.r_[1.0, 1.0, 0.0, 1.0][:, None] * NORMAL, 3),
    "identity_and_nothing": (np.tile(np.diag([1.0, 0.0, 1.0]), (40, 1, 1)), 2),
}


@pytest.mark.parametrize(("stack", "rank"), RANKS.values(), ids=RANKS)
def test_directions_that_die_are_minus_infinity_and_counted(stack, rank):
    for transient in (0, 10):
        check_dead_directions(stack, rank, transient)


def check_dead_directions(stack, rank, transient):
    found = of(stack, transient=transient)
    living = [True] * rank + [False] * (found.count - rank)
    assert np.isfinite(found.exponents.exponent).tolist() == living
    assert found.rank == rank
    assert found.exponents.standard_error[rank:].tolist() == [0.0] * (found.count - rank)
    assert not np.isnan(found.exponents.standard_error).any()
    assert not np.isnan(found.history.exponent).any()
    assert found.condition_growth == math.inf
    assert found.sum_rule_error == 0
    dead = "1 exponent is" if found.count - rank == 1 else f"{found.count - rank} exponents are"
    assert any(note.startswith(f"{dead} -inf") for note in found.notes)
    if rank == 0:
        assert found.verdict == "vanishing"
        assert "exactly 0" in found.conclusion


def test_a_rank_one_stack_keeps_the_one_exponent_it_has():
    # u vᵀ at every step: ln |v·u|
    found = of(np.tile(np.outer([1.0, 2.0, 3.0], [1.0, -2.0, 0.5]), (50, 1, 1)), transient=1)
    assert found.largest == pytest.approx(math.log(1.5), abs=1e-13)


@pytest.mark.parametrize(
    ("a", "b", "count"),
    [(1237, 981, 1), *((a, b, k) for a, b in [(30011, 20012), (1234577, 987659)] for k in (1, 2))],
)
def test_jacobians_whose_entries_cancel_claim_no_more_than_rounding_leaves(a, b, count):
    # J = ½ (1 + u vᵀ), u = (a, b), v·u = 1 of integers: eigenvalues 1 and ½ exactly, in doubles too
    x = pow(a, -1, b)
    y = (1 - x * a) // b
    doubled = [[1 + a * x, a * y], [b * x, 1 + b * y]]
    assert doubled[0][0] + doubled[1][1] == 3
    assert doubled[0][0] * doubled[1][1] - doubled[0][1] * doubled[1][0] == 2
    assert max(abs(entry) for row in doubled for entry in row) < 2**53
    stack = np.tile(np.array(doubled, dtype=float) / 2, (600, 1, 1))
    found = gradflow.lyapunov(jacobians=stack, count=count)
    assert found.verdict in ("stable", "borderline")
    assert found.largest_low <= 0 <= found.largest_high
    exponents, errors = found.exponents.exponent, found.exponents.standard_error
    for exponent, error, truth in zip(exponents, errors, [0.0, -math.log(2)], strict=False):
        assert error == math.inf or abs(exponent - truth) <= 2 * error
    told = any("rounding decides" in note for note in found.notes)
    assert told == (a > 10000)
    if told:
        assert found.verdict == "borderline"
        assert "ill-conditioned" in found.conclusion
        assert not any(found.exponents.converged)
        assert (found.steps_to_decide, found.entropy_rate) == (None, None)


def test_a_short_run_whose_columns_are_not_in_order_yet_is_not_blamed_on_rounding():
    found = gradflow.lyapunov("lstm:forget_bias=5", hidden=16, features=3, steps=16, seed=1)
    exponents = found.exponents.exponent
    assert found.sum_rule_error < 1e-10
    assert not any("rounding decides" in note for note in found.notes)
    assert (found.exponents.standard_error < np.ptp(exponents)).all()


def test_a_direction_that_only_rounding_makes_fast_does_not_lead():
    # 3/2 beside ¾ and ½, whose eigenvectors are parallel to 13 digits: all of it exact in doubles
    vectors = np.array([[1272046, -1993295463], [2055, -3220184]], dtype=object)
    inverse = np.array([[-3220184, 1993295463], [-2055, 1272046]], dtype=object)
    assert (vectors @ inverse == np.eye(2, dtype=int)).all()
    block = vectors @ np.diag([Fraction(3, 4), Fraction(1, 2)]) @ inverse
    stack = np.zeros((1500, 3, 3))
    stack[:, :2, :2], stack[:, 2, 2] = block.astype(float), 1.5
    assert (stack[0, :2, :2].astype(object) == block).all()
    found = gradflow.lyapunov(jacobians=stack)
    assert found.verdict in ("exploding", "borderline")
    assert found.largest_low <= math.log(1.5) <= found.largest_high


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("p", "q"), [(7, 9), (31, 29), (37, 39), (307, 411)])
def test_a_matrix_and_its_inverse_in_turns_grow_by_no_more_than_the_stated_error(p, q, count):
    there = np.array([[1.0 + p * q, p], [q, 1.0]])
    back = np.array([[1.0, -p], [-q, 1.0 + p * q]])
    assert np.array_equal(there @ back, np.eye(2))
    found = gradflow.lyapunov(jacobians=np.array([there, back] * 740), count=count, transient=200)
    assert found.verdict in ("stable", "borderline")
    assert np.all(np.abs(found.exponents.exponent) <= 2 * found.exponents.standard_error)
    assert found.exponents.converged == [True] * count or max(p, q) > 100


@pytest.mark.parametrize(
    ("diagonal", "says"),
    [
        ((2.0, 0.5), "doubles every step; 1 of the 2 exponents computed is positive"),
        ((2.0, 3.0), "2 of the 2 exponents computed are positive"),
        ((0.5, 0.25), "halves every step."),
        ((4.0,), "doubles every 0.5 steps; it is the only exponent computed"),
    ],
)
def test_a_conclusion_counts_steps_and_exponents_in_the_singular_and_the_plural(diagonal, says):
    assert says in of(np.tile(np.diag(diagonal), (200, 1, 1)), transient=100).conclusion


@pytest.mark.parametrize("gain", [0.7, 1.0, 1.2])
def test_a_linear_network_of_orthogonal_weights_has_the_logarithm_of_its_gain(gain):
    found = whole(f"rnn:activation=identity,init=orthogonal,gain={gain}", hidden=12, input="zero")
    np.testing.assert_allclose(found.exponents.exponent, math.log(gain), rtol=0, atol=1e-13)
    assert found.rank == 12
    assert np.ptp(found.history.exponent) < 1e-12


def test_scalar_tanh_settles_at_its_fixed_point():
    cell = RNN(np.zeros((1, 1)), np.array([[2.0]]), np.zeros(1))
    found = whole(network(cell), input="zero")
    # contracted by 0.166 at each of 100 steps of transient
    assert found.largest == pytest.approx(-1.793528506542228, abs=1e-13)
    assert found.kaplan_yorke_dimension == 0
    assert found.entropy_rate == 0


@pytest.mark.parametrize("forget", [-3.0, 0.0, 1.0, 5.0])
def test_a_bias_only_lstm_keeps_its_cell_state_at_the_forget_gate_and_nothing_else(forget):
    bias = np.repeat([0.3, forget, 0.2, -0.1], 3)
    cell = LSTM(np.zeros((12, 2)), np.zeros((12, 3)), bias)
    found = whole(network(cell))
    np.testing.assert_allclose(found.exponents.exponent[:3], math.log(sigma(forget)), rtol=0, atol=1e-13)
    assert found.exponents.exponent[3:].tolist() == [-math.inf] * 3
    assert found.rank == 3


@pytest.mark.parametrize("update", [-2.0, 0.0, 3.0])
def test_a_bias_only_gru_keeps_its_state_at_the_update_gate(update):
    cell = GRU(np.zeros((12, 2)), np.zeros((12, 4)), np.repeat([0.1, update, 0.4], 4), np.zeros(4))
    found = whole(network(cell))
    np.testing.assert_allclose(found.exponents.exponent, math.log(sigma(update)), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "spec",
    [
        *CELLS, *(f"{name}:layers=2" for name in CELLS), "rnn:gain=3", "rnn:init=ginibre,gain=2",
        "rnn:activation=sigmoid", "lstm:forget_bias=3", "lstm:coupled=on", "lstm:peephole=on",
        "lstm:forget_gate=off", "lstm:layers=3", "gru:reset=before", "gru:update_bias=2",
    ],
)  # fmt: skip
def test_every_cell_obeys_the_sum_rule(spec):
    found = whole(spec, hidden=10, features=4, steps=200)
    assert found.rank == found.state_size
    assert np.isfinite(found.exponents.standard_error).all()


@pytest.mark.parametrize(("bias", "layers"), [(-10, 1), (-30, 2), (-60, 1)])
def test_an_lstm_that_forgets_all_keeps_the_digits_of_what_is_left(bias, layers):
    found = whole(f"lstm:forget_bias={bias},layers={layers}", hidden=8, features=4, steps=200)
    assert found.rank == found.state_size == 16 * layers
    # σ(b_f) of H directions a layer: their volume is not lost in that of the others
    assert found.exponents.exponent[-1] < bias / 2


@pytest.mark.parametrize("scale", [1e1, 3e1, 1e2])
def test_a_saturated_network_keeps_the_digits_of_its_slopes(scale):
    # slopes down to sech² of some hundreds
    found = whole("rnn", hidden=8, features=8, steps=200, input_scale=scale)
    assert found.rank == 8
    assert found.largest < -1


def test_a_gate_that_is_shut_for_good_kills_its_half_of_the_state():
    # σ(−1000) is 0 in doubles: of [h; c] nothing comes through c
    found = whole("lstm:forget_bias=-1000", hidden=6, features=3, steps=300)
    assert found.rank == 6
    assert any("singular" in note for note in found.notes)
    both = whole("lstm:forget_bias=-1000,layers=2", hidden=6, features=3, steps=300)
    assert both.rank == 12


def test_dead_units_are_minus_infinity():
    # h = 0 with a bias of −1 never wakes up
    cell = RNN(
        np.zeros((3, 2)), np.random.default_rng(0).standard_normal((3, 3)), np.r_[1.0, -1e3, 1.0], "relu"
    )
    weights = 0.1 * np.abs(cell.weight_hh)
    found = whole(network(cell.replace_arrays(weight_hh=weights)))
    living = np.linalg.eigvals(weights[np.ix_([0, 2], [0, 2])])
    np.testing.assert_allclose(
        np.exp(found.exponents.exponent[:2]), np.sort(np.abs(living))[::-1], rtol=1e-10
    )
    assert found.exponents.exponent[2] == -math.inf
    dead = whole(network(cell.replace_arrays(bias=np.full(3, -1e3))))
    assert dead.exponents.exponent.tolist() == [-math.inf] * 3
    assert dead.verdict == "vanishing"


@pytest.mark.parametrize("spec", ["rnn:gain=1", "gru", "lstm", "rnn:layers=2"])
def test_the_leading_exponent_is_the_rate_that_compare_measures(spec):
    # the same weights along the same inputs from another state, which a contraction forgets
    options = {"hidden": 3, "features": 2, "seed": 5}
    norms = gradflow.compare(spec, view="forward", steps=500, seeds=1, **options).flow
    by_lag = dict(zip(norms.lag, norms.log10_norm, strict=True))
    expected = (by_lag[500] - by_lag[200]) / 300 * math.log(10)
    found = whole(spec, transient=200, steps=300, **options)
    assert found.largest < -0.05  # orbits are together after 200 steps, to exp(−10)
    gap = -np.diff(found.exponents.exponent[:2])[0]
    # singular vectors settle as exp(−gap t), as does the column that is carried along
    allowed = (math.exp(-2 * gap * 200) + math.exp(200 * found.largest)) * 100 + 1e-9
    assert found.largest == pytest.approx(expected, abs=allowed)
    assert allowed < 1e-2


def test_weights_and_inputs_of_a_draw_are_those_of_compare():
    data = np.random.default_rng(0).standard_normal((400, 3))
    cell = gradflow.lyapunov("gru", hidden=5, input=data, transient=50)
    rerun = gradflow.lyapunov("gru", hidden=5, input=data, transient=50, steps=350)
    np.testing.assert_array_equal(cell.exponents.exponent, rerun.exponents.exponent)
    assert (cell.steps, cell.transient) == (350, 50)


@pytest.mark.parametrize(("gain", "expected"), [(2.0, 0.154724)])
def test_a_large_random_network_has_the_mean_field_exponent(gain, expected):
    # ½ ln(g² ∫Dz sech⁴(√q z)), less about 4/N; draws scatter by as much as they show
    size = 100
    found = gradflow.lyapunov(
        f"rnn:init=ginibre,gain={gain}", hidden=size, features=1, input="zero", count=1, seeds=4, steps=1000
    )
    allowed = 4 * found.largest_standard_error + 4 / size
    assert found.largest == pytest.approx(expected - 4 / size, abs=allowed)
    assert found.largest > 0
    assert found.verdict == "exploding"


def test_exponents_of_several_draws_are_the_mean_of_each_alone():
    # of a batch of data, which a draw takes its part of: seeds of their own draw other weights
    data = np.random.default_rng(1).standard_normal((3, 300, 2))
    cell = network(RNN(np.eye(2), np.array([[0.7, 0.1], [0.1, 0.2]]), np.zeros(2)))
    alone = [whole(cell, input=part).exponents.exponent for part in data]
    together = whole(cell, input=data, seeds=3)
    # each draw starts elsewhere, which 30 steps of 0.75 or less make 1e-4, and 270 that are measured 1e-6
    np.testing.assert_allclose(together.exponents.exponent, np.mean(alone, axis=0), rtol=0, atol=1e-5)
    spread = np.std(alone, axis=0, ddof=1) / math.sqrt(3)
    assert np.all(together.exponents.standard_error > 0.9 * spread)
    assert together.seeds == 3


def test_a_tolerance_is_kept_by_every_standard_error():
    loose = whole("gru", hidden=6, features=2, steps=128)
    tolerance = 0.4 * loose.exponents.standard_error.max()
    tight = whole("gru", hidden=6, features=2, steps=128, tolerance=tolerance)
    assert np.all(tight.exponents.standard_error <= tolerance)
    assert tight.steps > loose.steps
    assert tight.steps % 128 == 0
    assert tight.params["tolerance"] == tolerance
    # nor does it go on when there is no need to
    enough = whole("gru", hidden=6, features=2, steps=128, tolerance=1.001 * tolerance / 0.4)
    # than to see it twice, in a run that is long enough: once is chance
    assert 256 <= enough.steps <= 512
    assert enough.steps < tight.steps


def test_a_tolerance_that_data_cannot_keep_is_said():
    stack = np.random.default_rng(0).standard_normal((200, 2, 2))
    found = of(stack, tolerance=1e-6)
    assert found.exponents.converged == [False, False]
    assert any("not within the tolerance 1e-06" in note for note in found.notes)


@pytest.mark.parametrize("steps", [1, 7])
def test_too_few_steps_have_exponents_and_no_errors(steps):
    stack = np.random.default_rng(0).standard_normal((steps, 3, 3))
    found = of(stack, transient=0)
    assert np.isnan(found.exponents.standard_error).all()
    assert found.exponents.converged == [False] * 3
    assert any("at least 8" in note for note in found.notes)


def test_history_ends_at_the_exponents():
    found = of(np.random.default_rng(0).standard_normal((500, 3, 3)))
    table = found.history
    last = max(table.step)
    assert last == found.steps
    ends = [e for e, step in zip(table.exponent, table.step, strict=True) if step == last]
    np.testing.assert_allclose(ends, found.exponents.exponent, rtol=0, atol=1e-13)
    assert sorted(set(table.index)) == [1, 2, 3]


def test_all_of_a_stack_is_measured_unless_a_transient_is_asked_for():
    stack = np.random.default_rng(0).standard_normal((200, 2, 2))
    found = of(stack)
    assert (found.transient, found.steps, found.params["transient"]) == (0, 200, 0)
    assert found.sum == pytest.approx(np.linalg.slogdet(stack)[1].mean(), abs=1e-13)
    assert found.to_json() == of(stack, transient=0).to_json()
    early = of(stack, steps=50)
    assert (early.transient, early.steps) == (0, 50)
    late = of(stack, transient=20)
    assert (late.transient, late.steps) == (20, 180)
    assert gradflow.lyapunov(jacobians=[[[2.0]]]).largest == math.log(2)  # a tenth of a step is none to lose


def test_cells_and_inputs_settle_over_a_tenth():
    data = np.random.default_rng(0).standard_normal((200, 3))
    for options in ({"input": data}, {"steps": 180}):
        found = gradflow.lyapunov("gru", hidden=4, **options)
        assert (found.transient, found.steps) == ((20, 180) if "input" in options else (18, 180))


def test_the_same_seed_gives_the_same_numbers_and_another_others():
    one, two, other = (whole("rnn", hidden=4, features=2, steps=60, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.exponents.exponent, two.exponents.exponent)
    np.testing.assert_array_equal(one.exponents.standard_error, two.exponents.standard_error)
    assert np.abs(one.exponents.exponent - other.exponents.exponent).max() > 1e-3


def test_progress_counts_every_piece_and_changes_nothing():
    seen = []
    plain = whole("rnn", hidden=4, features=2, steps=100)
    found = whole("rnn", hidden=4, features=2, steps=100, progress=lambda *counts: seen.append(counts))
    np.testing.assert_array_equal(found.exponents.exponent, plain.exponents.exponent)
    # a transient of 10 steps and 32 batches of the others, from the first state and from other states
    assert seen == [(done, 2 * (10 + 32)) for done in range(2 * (10 + 32) + 1)]


def test_pieces_cover_the_transient_and_the_steps_once():
    for transient, steps in ((0, 1), (10, 100), (7, 31), (100, 1000)):
        pieces = pieces_of(Plan(transient, steps))
        assert sum(length for measures, length in pieces if not measures) == transient
        assert sum(length for measures, length in pieces if measures) == steps
        assert pieces == sorted(pieces, key=lambda piece: piece[0])  # the transient is first


def test_the_first_state_is_near_zero_but_not_there():
    # at 0 a tanh network of gain 2 without input would stay for ever: ln 2 instead of the fixed point's
    cell = RNN(np.zeros((1, 1)), np.array([[2.0]]), np.zeros(1))
    found = whole(network(cell), input="zero", transient=0, steps=1)
    assert math.log(2 * math.cosh(2 * 6 * INITIAL_STATE_SPREAD) ** -2) < found.largest < math.log(2)


def test_a_backward_layer_goes_through_its_inputs_from_the_last_to_the_first():
    cell = RNN(np.eye(2), np.array([[0.5, 0.4], [-0.3, 0.6]]), np.zeros(2))
    data = np.random.default_rng(1).standard_normal((300, 2)) * np.linspace(0.1, 3, 300)[:, None]
    backward = Network("n", ((NetworkLayer(cell, "torch", (), "backward"),),))
    options = {"steps": 60, "transient": 100}
    found = whole(backward, input=data, **options)
    turned = whole(network(cell), input=data[::-1], **options)
    np.testing.assert_array_equal(found.exponents.exponent, turned.exponents.exponent)
    assert abs(found.largest - whole(network(cell), input=data, **options).largest) > 0.01


STACK = np.random.default_rng(0).standard_normal((20, 2, 2))
REFUSED = {
    "nothing": ({}, "expected a cell or Jacobians"),
    "both": ({"cell": "rnn", "jacobians": STACK}, "expected a cell or Jacobians"),
    "count_of_a_stack": ({"jacobians": STACK, "count": 3}, "count 3: the state has 2"),
    "count_of_a_cell": ({"cell": "lstm", "hidden": 2, "count": 5}, "count 5: the state has 4"),
    "count_0": ({"jacobians": STACK, "count": 0}, "count 0"),
    "steps_0": ({"cell": "rnn", "steps": 0}, "steps 0"),
    "transient_negative": ({"cell": "rnn", "transient": -1}, "transient -1"),
    "seeds_0": ({"cell": "rnn", "seeds": 0}, "seeds 0"),
    "tolerance_0": ({"cell": "rnn", "tolerance": 0.0}, "tolerance 0"),
    "tolerance_nan": ({"cell": "rnn", "tolerance": math.nan}, "tolerance nan"),
    "more_steps_than_data": ({"jacobians": STACK, "steps": 21}, "the data have 20"),
    "transient_of_all": ({"jacobians": STACK, "transient": 20}, "the data have 20"),
    "not_square": ({"jacobians": np.ones((5, 2, 3))}, "5×2×3"),
    "hidden": ({"jacobians": STACK, "hidden": 3}, "hidden 3 has no effect beside Jacobians"),
    "features": ({"jacobians": STACK, "features": 3}, "features 3 has no effect beside Jacobians"),
    "input": ({"jacobians": STACK, "input": "zero"}, "input zero has no effect beside Jacobians"),
    "input_scale": (
        {"jacobians": STACK, "input_scale": 2.0}, "input scale 2.0 has no effect beside"),
    "seeds": ({"jacobians": STACK, "seeds": 2}, "seeds 2 has no effect beside Jacobians"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "says"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_question_is_refused_with_what_is_wrong(given, says):
    with pytest.raises(UsageError, match=says):
        gradflow.lyapunov(**given)


@pytest.mark.parametrize(
    "stack",
    [STACK + 1j, np.where(STACK > 1, np.nan, STACK), np.where(STACK > 1, np.inf, STACK), STACK[0], STACK[:0]],
)
def test_jacobians_that_are_no_real_numbers_or_none_are_refused(stack):
    with pytest.raises(DataError):
        gradflow.lyapunov(jacobians=stack)


def test_a_state_that_overflows_within_the_transient_is_refused_with_the_step():
    with pytest.raises(NumericalError, match="step 11, within the transient of 50"):
        gradflow.lyapunov(
            "rnn:activation=identity,init=orthogonal,gain=1e30", hidden=3, input="zero", transient=50
        )


def test_a_tolerance_does_not_hide_that_a_state_overflows_within_the_transient():
    options = {"hidden": 4, "steps": 300, "transient": 250, "tolerance": 1e-3}
    with pytest.raises(gradflow.GradflowError, match="overflows at step"):
        gradflow.lyapunov("rnn:activation=relu,init=ginibre,gain=100", **options)


def test_a_tolerance_ends_with_an_orbit_that_has_ended():
    # one of the draws overflows at step 156 and can be no better known: the others are not run on for it
    found = gradflow.lyapunov(
        "rnn:activation=relu,init=ginibre,gain=100", hidden=2, seeds=4, input="zero", tolerance=0.01
    )
    assert found.blow_up_step is not None
    assert max(found.history.step) <= 1000


def test_a_direction_that_dies_in_the_transient_is_none_of_the_run_s():
    jacobians = np.random.default_rng(0).standard_normal((200, 3, 3))
    jacobians[0, :, 2] = 0
    found = gradflow.lyapunov(jacobians=jacobians, transient=20)
    assert found.rank == 3
    assert found.sum_rule_error < 1e-11
    assert gradflow.lyapunov(jacobians=jacobians, transient=0).rank == 2


@pytest.mark.parametrize("size", [2, 3, 5])
def test_an_orthogonal_map_fills_its_whole_space_and_never_ends(size):
    turn = np.linalg.qr(np.random.default_rng(size).standard_normal((size, size)))[0]
    found = gradflow.lyapunov(jacobians=np.tile(turn, (100, 1, 1)))
    assert (found.kaplan_yorke_dimension, found.entropy_rate, found.horizon) == (size, 0.0, math.inf)


@pytest.mark.parametrize("seed", range(3))
def test_an_exponent_that_may_lie_past_the_limit_of_stable_is_borderline(seed):
    # e^(0.0048 · 1000) is over 100, and the noise lets the estimate lie below the limit of 0.0046
    steps = 0.0048 + 0.016 * np.random.default_rng(seed).standard_normal(1000)
    found = gradflow.lyapunov(jacobians=np.exp(steps)[:, None, None])
    limit = math.log(100) / 1000
    assert found.largest_low < limit < found.largest_high
    assert 0 < found.exponents.exponent[0] < limit
    assert found.verdict == "borderline"
    assert "perhaps by more than a factor of 100 over 1000 steps" in found.conclusion
    assert found.steps_to_decide is None
