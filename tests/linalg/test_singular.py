"""The leading singular value of matrices that change: known values, abrupt and slow changes, the fallback."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradflow.linalg import joint_lanczos, singular
from gradflow.linalg.joint_lanczos import leading_singular_values
from gradflow.linalg.singular import LeadingSingularValue

# What the class promises when nothing else is said; n·eps of rounding is under a hundredth of it.
TOLERANCE = 1e-11


def searcher(seed=0):
    return LeadingSingularValue(np.random.default_rng(seed), TOLERANCE)


def assert_right(found, expected):
    """Right to the tolerance, and the error it states bounds the true one (with 1e-12 for rounding)."""
    assert found.value == pytest.approx(expected, rel=TOLERANCE)
    assert abs(found.value / expected - 1) <= found.error + 1e-12


def turned(values, seed=0):
    """A matrix with these singular values and no basis in plain sight."""
    generator = np.random.default_rng(seed)
    left, _ = np.linalg.qr(generator.standard_normal((len(values), len(values))))
    right, _ = np.linalg.qr(generator.standard_normal((len(values), len(values))))
    return left * values @ right.T


@pytest.mark.parametrize(
    "spread",
    [
        lambda n: np.linspace(1, 3, n),
        lambda n: 2.0 ** -np.arange(n),
        lambda n: np.r_[3.0, np.ones(n - 1)],
        lambda n: np.r_[3.0, 3.0, np.linspace(0, 1, n - 2)],
        lambda n: 3.0 - 1e-9 * np.arange(n),
        lambda n: np.r_[3.0, 3.0 * (1 - 1e-13) * np.ones(n - 1)],
    ],
    ids=["even", "geometric", "one_apart", "double", "cluster", "orthogonal_to_rounding"],
)
def test_a_known_largest_singular_value_is_found(spread):
    for size in (10, 24, 25, 40, 100, 200):
        values = spread(size)
        assert_right(searcher().of(np.diag(values)), values.max())
        assert_right(searcher().of(turned(values)), values.max())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 90), st.integers(1, 90))
def test_rectangular_matrices_have_the_norm_of_the_full_decomposition(seed, rows, columns):
    matrix = np.random.default_rng(seed).standard_normal((rows, columns))
    assert_right(searcher(seed).of(matrix), np.linalg.norm(matrix, 2))


def test_a_slowly_rotating_matrix_is_followed():
    size, leading = 60, searcher()
    angles = 0.05 * np.arange(40)
    base = turned(np.linspace(0.5, 2, size))
    for angle in angles:
        rotation = np.eye(size)
        rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        assert_right(leading.of(base @ rotation), 2.0)


@pytest.mark.parametrize("size", [40, 100, 200])
def test_a_leading_vector_that_jumps_to_an_orthogonal_one_is_found(size):
    values = np.r_[2.0, 1.0, np.linspace(0, 0.9, size - 2)]
    for seed in range(5):
        leading = searcher(seed)
        for shift in (0, 0, 0, 7, 7, 7, 1):
            assert_right(leading.of(np.diag(np.roll(values, shift))), 2.0)


@pytest.mark.parametrize("size", [40, 100, 250])
@pytest.mark.parametrize("closeness", [1e-2, 1e-3, 1e-4, 1e-6])
def test_two_singular_values_that_cross_slowly_give_the_larger_at_once(size, closeness):
    # The residual of the pair that used to lead is small too: it must not be taken for the largest one.
    for seed, rest in product(range(3), (0.001, 0.5, 0.9)):
        others = rest * np.linspace(0.1, 1, size - 2)
        leading = searcher(seed)
        for _ in range(4):
            leading.of(np.diag(np.r_[1.0, 1 - 30 * closeness, others]))
        assert_right(leading.of(np.diag(np.r_[1.0, 1 + closeness, others])), 1 + closeness)


@pytest.mark.parametrize("shape", [(1, 1), (5, 90), (90, 5), (30, 90), (90, 30), (60, 60)])
def test_rank_one_and_zero(shape):
    generator = np.random.default_rng(1)
    left, right = generator.standard_normal(shape[0]), generator.standard_normal(shape[1])
    leading = searcher()
    expected = np.linalg.norm(left) * np.linalg.norm(right)
    assert_right(leading.of(np.outer(left, right)), expected)
    assert leading.of(np.zeros(shape)).value == 0
    # and it has not lost its way afterwards
    assert_right(leading.of(np.outer(left, right)), expected)


def test_a_turn_of_the_basis_keeps_the_search_right():
    generator, leading = np.random.default_rng(2), searcher()
    matrix = turned(np.linspace(0.1, 2, 50))
    basis, _ = np.linalg.qr(generator.standard_normal((50, 50)))
    assert_right(leading.of(matrix), 2.0)
    leading.turn((matrix @ basis)[:, :40])
    kept = (matrix @ basis)[:, :40]
    assert_right(leading.of(kept), np.linalg.norm(kept, 2))


def test_a_search_that_is_cut_short_falls_back_on_all_singular_values(monkeypatch):
    # 60 values within a relative 1e-4 are not told apart in three steps of Lanczos
    monkeypatch.setattr(singular, "MAX_LANCZOS_STEPS", 3)
    monkeypatch.setattr(LeadingSingularValue.of_operator, "__defaults__", (3,))
    grams = []
    plain = singular._root_of_largest
    monkeypatch.setattr(singular, "_root_of_largest", lambda gram: grams.append(1) or plain(gram))
    values = np.linspace(2 - 1e-4, 2, 60)
    assert_right(searcher().of(turned(values)), 2.0)
    assert grams


def test_an_operator_cut_short_owns_up_to_its_error():
    values = np.linspace(1, 2, 80)
    matrix = turned(values)
    found = searcher().of_operator(matrix.__matmul__, matrix.T.__matmul__, matrix.shape, matrix.dtype, 4)
    assert found.error > TOLERANCE
    assert 0 < 1 - found.value / 2 <= found.error


@pytest.mark.parametrize("gap", [1e-12, 1e-9, 1e-6, 1e-4])
def test_a_long_search_among_values_close_together_stays_under_the_norm(gap):
    # what is left after each orthogonalisation is small, and must be orthogonal all the same
    values = 1 - gap * np.arange(200) ** 2 / 200
    matrix = turned(values)
    found = searcher().of_operator(matrix.__matmul__, matrix.T.__matmul__, matrix.shape, matrix.dtype, 120)
    assert found.value <= 1 + 1e-12
    assert 1 - found.value <= found.error + 1e-12


def test_float32_is_right_to_its_own_precision():
    matrix = turned(np.linspace(0.1, 2, 90)).astype(np.float32)
    leading = LeadingSingularValue(np.random.default_rng(0), 1e-6)
    # n·eps of float32
    assert leading.of(matrix).value == pytest.approx(2.0, rel=90 * 1.2e-7)


@pytest.mark.parametrize(("chance", "steps"), [(0.3, 3), (0.05, 6), (0.05, 12)])
@pytest.mark.parametrize(
    "values",
    [np.linspace(0.1, 1, 200), 1 - 1e-4 * np.arange(200), np.r_[1.0, np.full(99, 0.9)], np.ones(50)],
    ids=["even", "close", "one_apart", "equal"],
)
def test_the_error_of_many_operators_holds_but_for_the_chance_allowed(monkeypatch, chance, steps, values):
    # each of 2000 has a start of its own; whether its error holds is a matter of that start alone
    monkeypatch.setattr(joint_lanczos, "MAX_JOINT_LANCZOS_STEPS", steps)
    scale = values[:, None]
    leading = leading_singular_values(
        lambda v: scale * v,
        lambda u: scale * u,
        (len(values), 2000),
        np.dtype(float),
        0.0,
        allowed_error=0.0,
        chance=chance,
    )
    wrong = leading.values * (1 + leading.errors) < values.max()
    assert wrong.mean() <= chance
    assert (leading.values <= values.max() * (1 + 1e-14)).all()


def test_errors_of_many_operators_end_where_the_iteration_does():
    # an operator of rank 2, one that is 0 and a multiple of the identity: nothing is left to find
    generator = np.random.default_rng(5)
    low = generator.standard_normal((40, 2)) @ generator.standard_normal((2, 40))
    operators = np.stack([low, np.zeros((40, 40)), 3 * np.eye(40)])
    leading = leading_singular_values(
        lambda v: np.einsum("pij,jp->ip", operators, v),
        lambda u: np.einsum("pij,ip->jp", operators, u),
        (40, 3), np.dtype(float), 1e-9, allowed_error=1.0, chance=1e-6,
    )  # fmt: skip
    np.testing.assert_allclose(leading.values, [np.linalg.norm(low, 2), 0.0, 3.0], rtol=1e-12)
    assert (leading.errors < 1e-7).all()


@pytest.mark.parametrize("size", [60, 120, 250])
@pytest.mark.parametrize("closeness", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("rest", [0.02, 0.1, 0.3])
def test_a_frobenius_norm_proves_no_value_that_the_search_has_not_seen(size, closeness, rest):
    # the leading vector of the last search is that of the second value now, and the rest is small
    others = rest * np.linspace(0.1, 1, size - 3)
    for seed in range(3):
        leading = searcher(seed)
        for values in (
            np.r_[1.0, 1 - 30 * closeness, 0.7, others],
            np.r_[1.0, 1 + closeness, 0.7, others],
            np.r_[0.5, 0.5, 1.0, others],
        ):
            assert_right(leading.of(np.diag(values), np.linalg.norm(values)), values.max())


def test_the_room_that_is_not_seen_bounds_the_largest_value():
    # λ_max of [[Θ², c], [cᵀ, R]] with ‖R‖ = unseen, against the bound θ² + c²/room
    generator = np.random.default_rng(0)
    for _ in range(200):
        squares = np.sort(generator.uniform(0.0, 1.0, 5)) ** 2
        couplings = generator.uniform(0.0, 0.2, 5)
        unseen = float(generator.uniform(0.0, squares[-1]))
        room = singular._find_unseen_room(squares, couplings, unseen)
        if room > 0:
            whole = np.diag(np.r_[squares, unseen])
            whole[:5, 5] = whole[5, :5] = couplings
            bound = squares[-1] + couplings[-1] ** 2 / room
            assert np.linalg.eigvalsh(whole)[-1] <= bound * (1 + 1e-14)
