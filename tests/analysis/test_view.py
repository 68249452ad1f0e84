"""Blocks, norms and directions of Jacobian products: against dense products, many digits and closed forms."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gradflow
from gradflow.analysis.compare.measure import ComparisonQuestion, measure
from gradflow.analysis.compare.step_norms import measure_step_norms
from gradflow.analysis.shared.product_norms import View, parse_lags
from gradflow.cells.gru import GRU
from gradflow.cells.rnn import RNN
from gradflow.cells.spec import parse_cell
from gradflow.errors import UsageError
from gradflow.render import FORMATS

EPS = np.finfo(float).eps
SPECS = ["rnn", "lstm", "gru", "gru:reset=before", "lstm:layers=2", "lstm:projection=2,peephole=on"]
LARGE = ["rnn", "lstm:forget_bias=1", "gru", "lstm:layers=2", "lstm:projection=20,peephole=on"]
WIDTH = {"rnn": 90, "gru": 70, "lstm:layers=2": 20}  # 45 for others: 65 numbers or more in the state
DIRECTIONS = ["backward", "forward"]


def drawn(spec, hidden, steps, seed=0, features=3, scale=1.0):
    """A cell with fresh weights, and inputs for it."""
    generator = np.random.default_rng(seed)
    cell = parse_cell(spec).make(hidden, features, generator)
    return cell, scale * generator.standard_normal((steps, features))


def asked(
    cell, inputs, *, direction="backward", block="state", norm="2", lags=None, exact=False, initial=None
):
    """log₁₀ of one norm of one block of one draw at every lag."""
    lags = lags or tuple(range(1, len(inputs) + 1))
    question = ComparisonQuestion(View(direction, (block,), (norm,), lags, exact))
    return measure([cell], [inputs], question, initial)[0].log10_norms[block, norm]


def jacobians(cell, inputs, initial=None):
    """The factor of every step."""
    factor = cell.linearize(cell.run(inputs, initial), inputs)
    return [factor.at(t) for t in range(len(inputs))]


def products(matrices, direction):
    """P_k for every k: J_T ⋯ J_{T−k+1}, or J_k ⋯ J_1."""
    product, found = np.eye(len(matrices[0])), []
    for matrix in matrices if direction == "forward" else reversed(matrices):
        product = matrix @ product if direction == "forward" else product @ matrix
        found.append(product)
    return found


def part(cell, product, block):
    """∂x/∂y of a product for the block xy."""
    if block == "state":
        return product
    of, by = (np.arange(cell.state_size)[cell.parts[name]] for name in block)
    return product[np.ix_(of, by)]


def blocks_of(cell):
    names = cell.parts
    return ["state", *(to + of for to in names for of in names)]


def assert_norms(found, matrices, norm, within=1e-11):
    # a product of a dozen matrices and its norm are right to some n·eps, 1e-13; its blocks to a little less
    expected = [np.linalg.norm(matrix, {"2": 2, "fro": "fro"}[norm]) for matrix in matrices]
    np.testing.assert_allclose(10.0 ** np.asarray(found), expected, rtol=within, atol=1e-300)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("spec", SPECS)
def test_every_block_has_the_norms_of_the_dense_product(spec, direction):
    cell, inputs = drawn(spec, 3, 14)
    every = products([factor.todense() for factor in jacobians(cell, inputs)], direction)
    for block in blocks_of(cell):
        dense = [part(cell, product, block) for product in every]
        for norm in ("2", "fro"):
            for exact in (False, True):
                found = asked(cell, inputs, direction=direction, block=block, norm=norm, exact=exact)
                assert_norms(found, dense, norm)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("spec", LARGE)
def test_blocks_of_states_beyond_a_batch_have_the_norms_of_the_dense_product(spec, direction):
    cell, inputs = drawn(spec, WIDTH.get(spec, 45), 16)
    assert cell.state_size > 64
    every = products([factor.todense() for factor in jacobians(cell, inputs)], direction)
    for block in blocks_of(cell):
        dense = [part(cell, product, block) for product in every]
        for norm in ("2", "fro"):
            assert_norms(asked(cell, inputs, direction=direction, block=block, norm=norm), dense, norm, 1e-10)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("block", ["state", "hh", "hc", "ch", "cc"])
def test_few_lags_of_a_large_cell_have_the_norms_of_the_dense_product(block, direction):
    # 2 · 1 lag · 150 < n = 520: no product is formed
    cell, inputs = drawn("lstm:init=ginibre,forget_bias=1", 260, 3)
    every = products([factor.todense() for factor in jacobians(cell, inputs)], direction)
    found = asked(cell, inputs, direction=direction, block=block, lags=(1, 2))
    assert_norms(found[:2], [part(cell, product, block) for product in every[:2]], "2", 1e-9)
    assert np.isnan(found[2])


def test_few_lags_of_a_large_orthogonal_network_do_not_exceed_its_bound():
    # singular values close to one another: ‖J‖ = max φ′ to their spread, and never more than 1
    result = gradflow.compare(
        "rnn:init=orthogonal", hidden=512, steps=10, lags="1,2", seeds=1, input_scale=0.03
    )
    exact = gradflow.compare(
        "rnn:init=orthogonal", hidden=512, steps=2, lags="1,2", seeds=1, input_scale=0.03, view="forward"
    )
    for flow in (result.flow, exact.flow):
        assert np.all(flow.log10_norm <= flow.log10_bound)
        assert np.all(flow.log10_norm > -0.01)


# The smallest singular value ---------------------------------------------------------------------


def exact_step(cell, state, x):
    """One step of a cell by the formulas of its papers, all in the digits of mpmath; lists in, a list out."""

    def times(weight, vector):
        return list(mpmath.matrix(weight.tolist()) * mpmath.matrix(vector))

    def sigma(z):
        return 1 / (1 + mpmath.exp(-z))

    moved = [a + b for a, b in zip(times(cell.weight_ih, x), cell.bias.tolist(), strict=True)]
    if isinstance(cell, RNN):
        phi = {"tanh": mpmath.tanh, "sigmoid": sigma}[cell.activation]
        return [phi(a + b) for a, b in zip(moved, times(cell.weight_hh, state), strict=True)]
    if isinstance(cell, GRU):
        size = len(state)
        seen = times(cell.weight_hh, state)
        r, z = ([sigma(moved[k + m] + seen[k + m]) for k in range(size)] for m in (0, size))
        if cell.reset == "before":
            inner = times(cell.weight_hh[2 * size :], [a * b for a, b in zip(r, state, strict=True)])
        else:
            inner = [r[k] * (seen[2 * size + k] + cell.bias_hn[k]) for k in range(size)]
        n = [mpmath.tanh(moved[2 * size + k] + inner[k]) for k in range(size)]
        return [(1 - z[k]) * n[k] + z[k] * state[k] for k in range(size)]
    size = cell.output_size
    h, c = state[:size], state[size:]
    names = [name for name in "ifgo" if not (name == "i" and cell.coupled)]
    names = [name for name in names if name != "f" or cell.forget_gate]
    peephole = cell.peephole if cell.peephole is not None else np.zeros((4, len(c)))
    peeps = dict(zip([name for name in names if name != "g"], peephole.tolist(), strict=False))
    seen = [a + b for a, b in zip(moved, times(cell.weight_hh, h), strict=True)]
    z = {name: seen[k * len(c) : (k + 1) * len(c)] for k, name in enumerate(names)}
    cells, shown = [], []
    for k, before in enumerate(c):
        f = sigma(z["f"][k] + peeps["f"][k] * before) if cell.forget_gate else mpmath.mpf(1)
        i = 1 - f if cell.coupled else sigma(z["i"][k] + peeps["i"][k] * before)
        cells.append(f * before + i * mpmath.tanh(z["g"][k]))
        shown.append(sigma(z["o"][k] + peeps["o"][k] * cells[-1]) * mpmath.tanh(cells[-1]))
    return [*(shown if cell.weight_hr is None else times(cell.weight_hr, shown)), *cells]


def exact_jacobian(cell, state, x):
    """∂s'/∂s by a difference so small that half of the digits are right."""
    step = mpmath.mpf(10) ** (-mpmath.mp.dps // 2)
    state, x = [mpmath.mpf(v) for v in state.tolist()], [mpmath.mpf(v) for v in x.tolist()]
    base, columns = exact_step(cell, state, x), []
    for k in range(len(state)):
        moved = exact_step(cell, [*state[:k], state[k] + step, *state[k + 1 :]], x)
        columns.append([(a - b) / step for a, b in zip(moved, base, strict=True)])
    return mpmath.matrix(columns).T


def exact_ends(matrices, direction):
    """log₁₀ of the largest and the smallest singular value of the whole product."""
    product = mpmath.eye(matrices[0].rows)
    for matrix in matrices if direction == "forward" else reversed(matrices):
        product = matrix * product if direction == "forward" else product * matrix
    values = mpmath.svd_r(product, compute_uv=False)
    return float(mpmath.log10(max(values))), float(mpmath.log10(min(values)))


def test_the_cases_below_are_beyond_a_product_in_doubles():
    cell, inputs = drawn("lstm", 2, 60, seed=3)
    product = products([factor.todense() for factor in jacobians(cell, inputs)], "backward")[19]
    invented = np.linalg.svd(product, compute_uv=False)[-1]
    assert abs(invented - 10 ** asked(cell, inputs, norm="min")[19]) > 0.99 * invented


@pytest.mark.parametrize(
    ("spec", "hidden", "scale", "digits"),
    [
        ("rnn:gain=1.5", 3, 1.0, 200),
        ("lstm:coupled=on,peephole=on", 2, 1.0, 250),
        ("lstm:forget_gate=off", 2, 1.0, 250),
        ("lstm", 2, 30.0, 700),
        ("lstm:projection=2,peephole=on", 3, 1.0, 250),
        ("gru", 3, 1.0, 200),
        ("gru:reset=before", 3, 1.0, 200),
    ],
)
def test_smallest_singular_value_and_condition_are_those_of_many_digits(spec, hidden, scale, digits):
    steps = 12 if scale > 1 else 30
    cell, inputs = drawn(spec, hidden, steps, seed=3, scale=scale)
    states = cell.run(inputs)
    with mpmath.workdps(digits):
        matrices = [exact_jacobian(cell, s, x) for s, x in zip(states[:-1], inputs, strict=True)]
        expected = {
            (direction, lag): exact_ends(
                matrices[:lag] if direction == "forward" else matrices[-lag:], direction
            )
            for direction in DIRECTIONS
            for lag in (1, 7, steps)
        }
    # Every inverse may cost its condition number times rounding, once the scale of the rows is taken out.
    dense = [factor.todense() for factor in jacobians(cell, inputs)]
    conditions = [np.linalg.cond(one / np.abs(one).max(axis=1, keepdims=True)) for one in dense]
    within = min(1e-6, 50 * EPS * sum(conditions))
    for (direction, lag), (largest, least) in expected.items():
        smallest = asked(cell, inputs, direction=direction, norm="min")[lag - 1]
        condition = asked(cell, inputs, direction=direction, norm="cond")[lag - 1]
        assert 10 ** (smallest - least) == pytest.approx(1, rel=within)
        assert 10 ** (condition - (largest - least)) == pytest.approx(1, rel=within)


def test_smallest_singular_value_of_a_stack_is_that_of_the_inverses():
    # dense inverses of dense Jacobians, rescaled: what a stack's own solve never forms
    cell, inputs = drawn("gru:layers=2", 3, 30, seed=4)
    inverse, exponent, expected = np.eye(6), 0.0, []
    for factor in reversed(jacobians(cell, inputs)):
        inverse = np.linalg.inv(factor.todense()) @ inverse
        size = np.linalg.norm(inverse, 2)
        inverse, exponent = inverse / size, exponent + np.log10(size)
        expected.append(-exponent)
    np.testing.assert_allclose(asked(cell, inputs, norm="min"), expected, atol=1e-9)


def test_smallest_singular_value_of_a_state_beyond_a_batch_is_that_of_the_inverses():
    cell, inputs = drawn("rnn:init=orthogonal", 70, 25, seed=5)
    inverse, exponent, expected = np.eye(70), 0.0, []
    for factor in reversed(jacobians(cell, inputs)):
        inverse = np.linalg.solve(factor.todense(), inverse)
        size = np.linalg.norm(inverse, 2)
        inverse, exponent = inverse / size, exponent + np.log10(size)
        expected.append(-exponent)
    for exact in (False, True):
        np.testing.assert_allclose(asked(cell, inputs, norm="min", exact=exact), expected, atol=1e-9)


@pytest.mark.parametrize(("direction", "first"), [("backward", 6), ("forward", 5)])
def test_a_dead_unit_makes_the_product_singular_from_that_lag_on(direction, first):
    # of ten steps, unit 2 is dead at the fifth alone: the sixth from the end
    weights = 0.1 * np.random.default_rng(6).standard_normal((4, 4)) + 0.2 * np.eye(4)
    cell, inputs = RNN(np.eye(4), weights, np.zeros(4), "relu"), np.full((10, 4), 5.0)
    inputs[4, 2] = -50.0
    smallest = asked(cell, inputs, direction=direction, norm="min")
    condition = asked(cell, inputs, direction=direction, norm="cond")
    assert np.isfinite(smallest[: first - 1]).all()
    assert smallest[first - 1 :].tolist() == [-math.inf] * (11 - first)
    assert condition[first - 1 :].tolist() == [math.inf] * (11 - first)


def test_a_product_that_is_nothing_at_all_has_no_finite_condition():
    cell = RNN(np.zeros((3, 1)), np.eye(3), -np.ones(3), "relu")
    assert asked(cell, np.zeros((3, 1)), norm="cond").tolist() == [math.inf] * 3
    assert asked(cell, np.zeros((3, 1)), norm="min").tolist() == [-math.inf] * 3


@pytest.mark.parametrize(("size", "rank"), [(3, 1), (5, 2), (8, 7), (80, 3)])
def test_weights_of_deficient_rank_give_a_named_outcome_and_no_number(size, rank):
    # Rounded, such a matrix is regular by chance (its determinant in fractions is no 0): σ_min is neither
    # the 1e-17 that rounding made of it, nor an exact 0.
    for seed in range(10):
        generator = np.random.default_rng(seed)
        weights = generator.standard_normal((size, rank)) @ generator.standard_normal((rank, size)) / size
        cell, inputs = RNN(np.eye(size), weights, np.zeros(size)), generator.standard_normal((5, size))
        for norm in ("min", "cond"):
            assert np.isnan(asked(cell, inputs, norm=norm)).all()


@pytest.mark.parametrize("spec", ["gru", "gru:layers=2", "rnn", "lstm", "lstm:projection=2"])
def test_rows_near_the_least_double_end_in_a_named_outcome_or_a_number_but_in_no_crash(spec):
    # rows of a Jacobian so saturated that they are denormal: the inverse is out of range, not the record
    result = gradflow.compare(spec, hidden=3, steps=5, seeds=1, norm="2,min", input_scale=1000.0)
    largest, smallest = np.split(result.flow.log10_norm, 2)
    assert not np.isnan(largest).any()
    assert np.all(np.isnan(smallest) | (smallest <= largest))


# Directions, the direct path, single steps -------------------------------------------------------


@pytest.mark.parametrize("spec", [*SPECS, "rnn:init=orthogonal"])
def test_both_directions_agree_on_the_whole_product(spec):
    cell, inputs = drawn(spec, 3, 12)
    for norm in ("2", "fro", "min", "cond"):
        forward, backward = (asked(cell, inputs, direction=d, norm=norm)[-1] for d in DIRECTIONS[::-1])
        assert forward == pytest.approx(backward, abs=1e-10), norm


@pytest.mark.parametrize("spec", ["lstm", "gru"])
def test_direct_path_of_a_gate_that_stands_still_is_its_power(spec):
    # all weights 0: f = σ(b_f), z = σ(b_z), at every step
    cell, inputs = drawn(f"{spec}:{'forget_bias' if spec == 'lstm' else 'update_bias'}=2", 3, 100)
    cell = cell.with_weights(lambda weights: 0.0 * weights[0])
    bias = np.zeros_like(cell.bias)
    bias[3:6] = 2.0
    cell = type(cell)(cell.weight_ih, cell.weight_hh, bias)
    expected = np.arange(1, 101) * -math.log10(1 + math.exp(-2.0))
    for direction in DIRECTIONS:
        for norm, more in {"2": 0.0, "min": 0.0, "fro": math.log10(3) / 2}.items():
            found = asked(cell, inputs, direction=direction, block="direct", norm=norm)
            np.testing.assert_allclose(found, expected + more, rtol=1e-12)
        found = asked(cell, inputs, direction=direction, block="direct", norm="cond")
        np.testing.assert_allclose(found, 0, atol=1e-12)


@pytest.mark.parametrize("spec", ["lstm", "gru", "lstm:layers=2", "lstm:coupled=on"])
def test_direct_path_is_the_product_of_the_gates_that_keep(spec):
    cell, inputs = drawn(spec, 4, 15)
    gates = cell.gates(cell.run(inputs), inputs)
    kept = np.hstack([gate.values for gate in gates if gate.name == ("z" if spec == "gru" else "f")])
    for direction in DIRECTIONS:
        every = np.cumprod(kept if direction == "forward" else kept[::-1], axis=0)
        expected = {
            "2": every.max(axis=1),
            "min": every.min(axis=1),
            "fro": np.sqrt(np.sum(every**2, axis=1)),
            "cond": every.max(axis=1) / every.min(axis=1),
        }
        for norm, values in expected.items():
            found = asked(cell, inputs, direction=direction, block="direct", norm=norm)
            np.testing.assert_allclose(10**found, values, rtol=1e-12)


def test_direct_path_without_a_forget_gate_is_one():
    cell, inputs = drawn("lstm:forget_gate=off", 4, 10)
    assert asked(cell, inputs, block="direct").tolist() == [0.0] * 10


def test_product_of_h_jacobians_is_eighty_orders_below_the_true_block():
    cell, inputs = drawn("lstm:forget_bias=2", 16, 100, seed=1)
    dense = [factor.todense() for factor in jacobians(cell, inputs)]
    every = products(dense, "backward")
    found = asked(cell, inputs, block="hh")
    # the float64 product is right to n·eps of its largest block, and hh is within 1e-2 of that
    assert 10 ** (found[-1] - np.log10(np.linalg.norm(every[-1][:16, :16], 2))) == pytest.approx(1, rel=1e-9)
    naive = np.linalg.multi_dot([matrix[:16, :16] for matrix in reversed(dense)])
    assert found[-1] - np.log10(np.linalg.norm(naive, 2)) > 60


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("spec", "hidden"), [(spec, 3) for spec in SPECS] + [(spec, WIDTH.get(spec, 45)) for spec in LARGE]
)
def test_norm_of_a_step_is_that_of_its_jacobian(spec, hidden, direction):
    cell, inputs = drawn(spec, hidden, 6)
    question = ComparisonQuestion(View(direction, ("state",), ("2",), tuple(range(1, 7)), False))
    measured = measure_step_norms([cell], [inputs], question)[0]
    norms = [np.linalg.norm(factor.todense(), 2) for factor in jacobians(cell, inputs)]
    expected = norms if direction == "forward" else norms[::-1]
    np.testing.assert_allclose(10**measured.log10, expected, rtol=1e-10)
    assert (np.abs(10**measured.log10 / expected - 1) <= measured.error + 1e-13).all()


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("spec", "scale"),
    [
        ("rnn:init=orthogonal", 0.01),
        ("rnn:init=orthogonal", 1.0),
        ("rnn:init=identity,activation=relu", 1.0),
        ("rnn:init=ginibre,activation=relu", 1.0),
        ("lstm:init=identity,forget_bias=3", 0.1),
    ],
)
def test_norms_of_many_steps_are_right_however_close_their_singular_values(spec, scale, direction):
    # 70 steps are more than go at once
    cell, inputs = drawn(spec, 35 if "lstm" in spec else 70, 70, seed=2, scale=scale)
    question = ComparisonQuestion(View(direction, ("state",), ("2",), (1,), False))
    found = 10 ** measure_step_norms([cell], [inputs], question)[0].log10
    norms = np.array([np.linalg.norm(factor.todense(), 2) for factor in jacobians(cell, inputs)])
    np.testing.assert_allclose(found, norms if direction == "forward" else norms[::-1], rtol=1e-10)


def test_a_step_that_is_exactly_nothing_is_so_among_others():
    cell, inputs = RNN(np.eye(80), 0.5 * np.eye(80), np.zeros(80), "relu"), np.ones((6, 80))
    inputs[2] = -9.0
    question = ComparisonQuestion(View("forward", ("state",), ("2",), (1,), False))
    found = measure_step_norms([cell], [inputs], question)[0].log10
    np.testing.assert_allclose(np.delete(found, 2), math.log10(0.5), rtol=1e-12)
    assert found[2] == -math.inf


@pytest.mark.parametrize("hidden", [4, 80, 320])
def test_norms_at_either_end_of_the_doubles_are_right(hidden):
    # orthogonal weights, no input: the norm is gain^k, by batch, chain and without products
    for gain in (1e-300, 1e-170, 1e170, 1e300):
        check_powers_of(gain, hidden)


def check_powers_of(gain, hidden):
    cell, _ = drawn(f"rnn:activation=identity,init=orthogonal,gain={gain}", hidden, 1)
    cell = RNN(cell.weight_ih, cell.weight_hh, np.zeros(hidden), "identity")
    question = ComparisonQuestion(View("backward", ("state",), ("2",), (1, 2), False))
    measured = measure([cell], [np.zeros((2, 3))], question)[0]
    expected = math.log10(gain) * np.array([1, 2])
    np.testing.assert_allclose(measured.log10_norms["state", "2"], expected, rtol=1e-11)
    steps = measure_step_norms([cell], [np.zeros((2, 3))], question)[0]
    np.testing.assert_allclose(steps.log10, expected[0], rtol=1e-11)


# Bounds ------------------------------------------------------------------------------------------


def assert_bounded(cell, inputs, block, norms):
    question = ComparisonQuestion(View("backward", (block,), norms, tuple(range(1, len(inputs) + 1)), False))
    measured = measure([cell], [inputs], question)[0]
    for norm in norms:
        assert np.all(measured.log10_norms[block, norm] <= measured.log10_bounds[block, norm])


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["tanh", "sigmoid", "relu", "identity"]),
    st.sampled_from(["torch", "ginibre", "orthogonal", "identity"]),
    st.floats(0.1, 5.0),
    st.integers(1, 10),
    st.sampled_from(["float64", "float32"]),
    st.sampled_from([0.0, 1.0]),
)
def test_no_norm_of_a_simple_network_exceeds_its_bound(seed, activation, init, gain, hidden, dtype, scale):
    cell, inputs = drawn(
        f"rnn:activation={activation},init={init},gain={gain}", hidden, 20, seed, scale=scale
    )
    norms = ("2", "fro", "min") if dtype == "float64" else ("2", "fro")
    assert_bounded(cell.astype(np.dtype(dtype)), inputs.astype(dtype), "state", norms)


@pytest.mark.parametrize("activation", ["identity", "tanh"])
def test_no_norm_of_a_network_beyond_a_batch_exceeds_its_bound(activation):
    cell, inputs = drawn(f"rnn:activation={activation},init=orthogonal", 80, 40, scale=0.0)
    assert_bounded(cell, inputs, "state", ("2", "fro", "min"))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["lstm", "gru", "lstm:coupled=on"]), st.integers(1, 10))
def test_no_norm_of_the_direct_path_exceeds_its_bound(seed, spec, hidden):
    cell, inputs = drawn(spec, hidden, 20, seed)
    assert_bounded(cell, inputs, "direct", ("2", "fro", "min"))


def test_bound_of_the_record_is_the_median_of_the_seeds_bounds():
    spec = "rnn:gain=2"
    result = gradflow.compare(spec, hidden=5, steps=6, seeds=3, features=2)
    norms = []
    for seed in range(3):
        cell = parse_cell(spec).make(5, 2, np.random.default_rng([0, seed, 1]))
        norms.append(math.log10(np.linalg.norm(cell.weight_hh, 2)))
    np.testing.assert_allclose(result.flow.log10_bound, np.arange(1, 7) * np.median(norms), rtol=1e-12)
    assert np.all(result.flow.log10_norm <= result.flow.log10_bound)


# What is asked for -------------------------------------------------------------------------------


def test_lags_are_all_or_spaced_by_the_root_of_two_or_as_listed():
    assert parse_lags("all", 5) == (1, 2, 3, 4, 5)
    assert parse_lags("log", 1) == (1,)
    assert parse_lags("log", 100) == (1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 100)
    assert parse_lags("10, 1,10,3", 10) == (1, 3, 10)
    assert parse_lags([7, 2], 10) == (2, 7)


@pytest.mark.parametrize(
    ("lags", "part"),
    [
        ("0", "0"),
        ("11", "11"),
        ("-1", "-1"),
        ("", "''"),
        ("a", "'a'"),
        ("1.5", "'1.5'"),
        ([], "empty"),
        (["x"], "x"),
    ],
)
def test_lags_out_of_reach_are_refused_with_the_value(lags, part):
    with pytest.raises(UsageError, match=part):
        parse_lags(lags, 10)


@pytest.mark.parametrize(
    ("spec", "options", "part"),
    [
        ("rnn", {"block": "cc"}, "block 'cc': the state has no part 'c'"),
        ("gru", {"block": "hc"}, "block 'hc': the state has no part 'c'"),
        ("rnn", {"block": "direct"}, "block 'direct'"),
        ("lstm", {"block": "hh", "norm": "min"}, "norm 'min' of block 'hh'"),
        ("lstm", {"block": "state,cc", "norm": "2,cond"}, "norm 'cond' of block 'cc'"),
        ("lstm", {"block": "hx"}, "'hx'"),
        ("lstm", {"norm": "3"}, "'3'"),
        ("lstm", {"norm": []}, "the list is empty"),
        ("lstm", {"block": []}, "the list is empty"),
        ("lstm", {"view": "sideways"}, "'sideways'"),
        ("lstm", {"dtype": "float16"}, "'float16'"),
        ("lstm", {"lags": "200"}, "200"),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_value(spec, options, part):
    with pytest.raises(UsageError, match=part):
        gradflow.compare(spec, hidden=3, steps=5, seeds=1, **options)


def test_each_series_among_many_is_what_it_is_alone():
    blocks, norms = ["state", "hh", "cc", "direct"], ["2", "fro"]
    common = {"hidden": 4, "steps": 9, "seeds": 3}
    result = gradflow.compare("lstm", "lstm:layers=2", block=blocks, norm=norms, **common)
    series = list(zip(result.flow.cell, result.flow.block, result.flow.kind, strict=True))
    assert len(series) == 2 * 4 * 2 * 9
    assert list(zip(result.cells.cell, result.cells.block, result.cells.kind, strict=True)) == [
        *dict.fromkeys(series)
    ]
    for cell, block, norm in dict.fromkeys(series):
        alone = gradflow.compare(cell, block=block, norm=norm, **common)
        places = [k for k, one in enumerate(series) if one == (cell, block, norm)]
        np.testing.assert_allclose(result.flow.log10_norm[places], alone.flow.log10_norm, rtol=1e-12)
        assert [result.flow.lag[k] for k in places] == list(range(1, 10))


@pytest.mark.parametrize(("hidden", "norm"), [(5, "2"), (5, "min"), (80, "2"), (80, "fro")])
def test_fewer_lags_are_the_same_numbers(hidden, norm):
    common = {"hidden": hidden, "steps": 30, "seeds": 2, "norm": norm}
    every = gradflow.compare("gru", **common)
    few = gradflow.compare("gru", lags="log", **common)
    assert few.flow.lag == list(parse_lags("log", 30))
    places = np.array(few.flow.lag) - 1
    np.testing.assert_allclose(few.flow.log10_norm, every.flow.log10_norm[places], atol=1e-10)
    np.testing.assert_allclose(few.flow.log10_step_norm, every.flow.log10_step_norm[places], atol=1e-10)


@pytest.mark.parametrize(("spec", "hidden"), [("lstm:forget_bias=1", 5), ("rnn:gain=1.5", 80), ("gru", 80)])
def test_exact_agrees_with_the_shortcuts(spec, hidden):
    common = {"hidden": hidden, "steps": 60, "seeds": 2, "norm": "2,fro"}
    quick, exact = (gradflow.compare(spec, exact=flag, **common) for flag in (False, True))
    for name in ("log10_norm", "log10_norm_low", "log10_norm_high", "log10_step_norm"):
        apart = getattr(quick.flow, name) - getattr(exact.flow, name)
        assert np.abs(np.expm1(apart * math.log(10))).max() < 1e-10
    assert np.all(quick.cells.norm_error < 1e-10)


@pytest.mark.parametrize(("spec", "hidden"), [("rnn", 8), ("lstm", 8), ("gru", 8), ("lstm", 40)])
def test_float32_is_near_float64(spec, hidden):
    common = {"hidden": hidden, "steps": 20, "seeds": 2, "view": "forward"}
    single, double = (gradflow.compare(spec, dtype=dtype, **common) for dtype in ("float32", "float64"))
    apart = single.flow.log10_norm - double.flow.log10_norm
    assert np.abs(np.expm1(apart * math.log(10))).max() < 1e-3
    assert np.abs(apart).max() > 0


@pytest.mark.parametrize("hidden", [4, 80])
def test_slopes_too_small_for_the_squares_of_float32_are_no_zeros(hidden):
    # tanh′ at 25 ± 1 is 4e^−50 or so, 1e-21: a float32, though its square is none
    cell, _ = drawn("rnn:init=orthogonal", hidden, 1)
    cell = RNN(cell.weight_ih, cell.weight_hh, np.full(hidden, 25.0))
    double, single = (
        asked(cell.astype(np.dtype(kind)), np.zeros((8, 3), kind)) for kind in ("float64", "float32")
    )
    assert double[-1] < -100
    # z is near 25 to 2e-6, e^−2z to 4e-6, and eight of them to 3e-5
    np.testing.assert_allclose(single, double, rtol=0, atol=1e-4)


# Blow-up -----------------------------------------------------------------------------------------

GROWING = "rnn:activation=relu,gain=20"


@pytest.mark.parametrize("hidden", [6, 70])
def test_a_state_that_blows_up_ends_the_lags_and_spoils_no_number(hidden):
    common = {"hidden": hidden, "seeds": 2, "view": "forward", "norm": "2,fro"}
    result = gradflow.compare(GROWING, steps=800, **common)
    (step,) = set(result.cells.blow_up_step)
    assert set(result.cells.verdict) == {"exploding"}
    assert result.flow.lag == [*range(1, step)] * 2
    shorter = gradflow.compare(GROWING, steps=step - 1, **common)
    assert shorter.cells.blow_up_step == [None, None]
    apart = result.flow.log10_norm - shorter.flow.log10_norm
    assert np.abs(np.expm1(apart * math.log(10))).max() < 1e-10
    assert any("the state overflows" in note for note in result.notes)


def test_a_blow_up_of_gain_three_is_an_outcome_too():
    result = gradflow.compare("rnn:activation=relu,gain=3", hidden=32, steps=5000, seeds=1, lags="log")
    assert result.cells.verdict == ["exploding"]
    assert 1 < result.cells.blow_up_step[0] <= 5000
    assert max(result.flow.lag) < result.cells.blow_up_step[0]
    assert np.isfinite(result.flow.log10_norm).all()


@pytest.mark.parametrize(
    ("hidden", "scale", "options"),
    [
        (4, 1.0, {}),
        (4, 1e300, {"norm": "2,fro,min,cond"}),
        (4, 1.0, {"pair_map": True}),
        (80, 1.0, {"norm": "2,fro,min,cond"}),
        (80, 1e300, {"pair_map": True}),
        (80, 1.0, {"exact": True}),
    ],
)
def test_a_blow_up_at_the_first_steps_is_an_outcome_in_every_format(hidden, options, scale):
    # of scale 1e300 the first state is finite, the second is not: one lag is left
    result = gradflow.compare(
        "rnn:activation=identity,gain=1e200", hidden=hidden, steps=6, seeds=2, input_scale=scale, **options
    )
    (step,) = set(result.cells.blow_up_step)
    assert step <= 3
    assert set(result.flow.lag) == set(range(1, step))
    assert {*result.cells.verdict} <= {"exploding", None}
    for name in FORMATS:
        assert gradflow.to_text(result, name)


def test_a_state_that_is_never_finite_leaves_no_lag_and_every_format():
    result = gradflow.compare(
        "rnn:activation=identity,gain=1e200",
        "gru",
        hidden=4,
        seeds=2,
        input=np.full((5, 12), 1e308),
        input_scale=1.7,
    )
    assert result.cells.blow_up_step == [1, None]
    assert result.cells.verdict[0] == "exploding"
    assert set(result.flow.cell) == {"gru"}
    for name in FORMATS:
        assert gradflow.to_text(result, name)


def test_a_cell_that_blows_up_leaves_the_one_beside_it_alone():
    common = {"hidden": 6, "steps": 400, "seeds": 2}
    both = gradflow.compare(GROWING, "gru", **common)
    alone = gradflow.compare("gru", **common)
    assert both.cells.blow_up_step[0] is not None
    assert both.cells.blow_up_step[1] is None
    np.testing.assert_array_equal(both.flow.log10_norm[-400:], alone.flow.log10_norm)
    for name in FORMATS:
        assert gradflow.to_text(both, name)


def test_the_norm_of_a_step_past_the_range_of_a_double_has_its_logarithm():
    # the second layer sees the first through a product whose entries, 1.7e308, a double just holds
    arrays = {
        "weight_ih_l0": np.ones((2, 1)),
        "weight_hh_l0": np.full((2, 2), 8.5e297),
        "weight_ih_l1": np.full((2, 2), 1e10),
        "weight_hh_l1": np.ones((2, 2)),
    }
    cell = gradflow.from_state_dict(arrays, assume={"activation": "identity"})["rnn"]
    for norm in ("2", "min"):
        found = gradflow.compare(cell, steps=1, input="zero", norm=norm).flow
        assert found.log10_step_norm[0] == pytest.approx(np.log10(1.7) + np.log10(2) + 308, rel=1e-14)


# Digits that are lost, and those that are not ----------------------------------------------------


def two_relu_blocks(size, steps, kill, direction, seed=0):
    """A relu network of blocks with gains 1.5 and 0.9, units in random order; an input ends the first."""
    generator = np.random.default_rng(seed)
    weight, drive = np.zeros((2 * size, 2 * size)), np.zeros((2 * size, 2))
    weight[:size, :size] = 1.5 * np.eye(size)[generator.permutation(size)]
    weight[size:, size:] = 0.9 * np.eye(size)[generator.permutation(size)]
    drive[:size] = [1.0, -1e280]
    order = generator.permutation(2 * size)
    inputs = np.tile([1.0, 0.0], (steps, 1))
    inputs[kill - 1 if direction == "forward" else steps - kill, 1] = 1.0
    return RNN(drive[order], weight[np.ix_(order, order)], np.zeros(2 * size), "relu"), inputs


@pytest.mark.parametrize(
    ("size", "exact", "seeds", "direction"),
    [
        (3, False, 2, "forward"),
        (3, False, 2, "backward"),
        (3, True, 1, "backward"),
        (13, False, 1, "forward"),
    ],
)
def test_a_block_that_dies_at_lag_1500_leaves_the_other_with_all_its_digits(size, exact, seeds, direction):
    drawn_cells = [two_relu_blocks(size, 1600, 1500, direction, seed) for seed in range(seeds)]
    question = ComparisonQuestion(View(direction, ("state",), ("2",), tuple(range(1, 1601)), exact))
    cells, inputs = zip(*drawn_cells, strict=True)
    for found in measure(cells, inputs, question, np.ones(2 * size)):
        lags = np.arange(1, 1601)
        expected = np.where(lags < 1500, np.log10(1.5), np.log10(0.9)) * lags
        apart = np.abs(np.expm1((found.log10_norms["state", "2"] - expected) * np.log(10)))
        assert apart.max() <= found.errors["state", "2"] + 1e-13
        assert found.errors["state", "2"] < 1e-9
        assert not found.upper_bounds["state", "2"].any()


def test_a_product_that_cancels_is_told_as_an_upper_bound_from_the_lag_where_it_does():
    arrays = {"weight_ih": np.ones((2, 1)), "weight_hh": np.array([[1.0, -1.0], [1.0, -1.0]])}
    cell = gradflow.from_state_dict(arrays, assume={"activation": "identity"})["rnn"]
    result = gradflow.compare(cell, steps=6, input="zero", norm="2,fro")
    assert result.cells.bound_from == [2, 2]
    assert np.isfinite(result.flow.log10_norm).all()
    assert result.cells.norm_error[0] < 1e-12
    assert "at most" in result.conclusion
    assert any("from lag 2 on" in note and "upper bound" in note for note in result.notes)
    mapped = gradflow.compare(cell, steps=6, input="zero", pair_map=True, seeds=1)
    assert np.isfinite(mapped.map.log10_norm).all()
    assert any("15 norms of the map are upper bounds" in note for note in mapped.notes)


@pytest.mark.parametrize(
    ("spec", "hidden"), [("rnn", 6), ("lstm:forget_bias=1", 60), ("gru", 6), ("rnn:init=orthogonal", 60)]
)
def test_the_error_of_float32_bounds_what_it_is_off(spec, hidden):
    common = {"hidden": hidden, "steps": 40, "seeds": 1, "norm": "2,fro"}
    single, double = (gradflow.compare(spec, dtype=dtype, **common) for dtype in ("float32", "float64"))
    apart = np.abs(np.expm1((single.flow.log10_norm - double.flow.log10_norm) * np.log(10))).reshape(2, -1)
    assert np.all(apart.max(axis=1) <= single.cells.norm_error)
    assert np.all(single.cells.norm_error < 5e-3)
