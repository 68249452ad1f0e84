"""A formula has the value that a textbook reads in it; whatever has none is an error."""

import re

import numpy as np
import pytest

from gradflow.notation.evaluate import Each, evaluate
from gradflow.notation.formulas import split_sides

RANDOM = np.random.default_rng(0)
W, V = RANDOM.standard_normal((2, 3, 3))
U = RANDOM.standard_normal((3, 4))
a, b, c = RANDOM.standard_normal((3, 3))
s = np.array(0.7)
SYMBOLS = {
    "W": W, "W_f": V, "W⁻¹": np.linalg.inv(W), "U": U, "a": a, "b": b, "C̃ₜ": c, "s": s, "I": np.eye(3),
    "tanh": np.tanh, "tanh′": lambda z: 1 / np.cosh(z) ** 2, "∂fₜ/∂Cₜ₋₁": W @ V, "k": np.array(3),
    **{f"h{sign}": k * a + b for k, sign in enumerate("₀₁₂₃")}, "h₁₀": 10 * a + b,
    **{f"J{sign}": W + k * V for k, sign in enumerate("₀₁₂₃")},
    "gₜ": dict(enumerate([a, b, c])), "pₜₖ": {(1, 2): a, (2, 1): b}, "∂y/∂x": V,
}  # fmt: skip
h = [k * a + b for k in range(4)]
J = [W + k * V for k in range(4)]


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("a + b", a + b),
        ("−a − b + C̃ₜ", -a - b + c),
        ("a − (b − C̃ₜ)", a - (b - c)),
        ("a + b ⊙ C̃ₜ", a + b * c),
        ("(a + b) ⊙ C̃ₜ", (a + b) * c),
        ("1 − a", 1 - a),
        ("(1 − a) ⊙ b", (1 - a) * b),
        ("s a + b", 0.7 * a + b),
        ("2 · W a", 2 * W @ a),
        ("W a ⊙ b", (W @ a) * b),
        ("a ⊙ W b", a * (W @ b)),
        ("W W_f + I", W @ V + np.eye(3)),
        ("1/2²", np.array(0.25)),
        ("a/2 + 1/2.5 b", a / 2 + b / 2.5),
        ("‖W‖ a", np.linalg.norm(W, 2) * a),
        ("‖a‖² − |s|", a @ a - 0.7),
        ("|a − b|", abs(a - b)),
        ("0.5³⁰ s", np.array(0.5**30 * 0.7)),
        ("s^{2 + 1}", np.array(0.343)),
        ("1.5e-3", np.array(0.0015)),
        ("[1, −2; s, 4] [0.5; 1]", np.array([-1.5, 4.35])),
        ("[a; b]", np.concatenate([a, b])),
        ("[W, a; aᵀ, [s]]", np.block([[W, a[:, None]], [a[None], np.full((1, 1), 0.7)]])),
        ("g₀ + g₂ − g₁", a + c - b),
        ("∂y/∂x a", V @ a),
        ("W (W_f + I)", W @ (V + np.eye(3))),
        ("W · W_f a", W @ V @ a),
        ("WW_fU", W @ V @ U),
        ("diag(a ⊙ b) W", np.diag(a * b) @ W),
        ("diag(a) + diag(b) · ∂fₜ/∂Cₜ₋₁", np.diag(a) + np.diag(b) @ W @ V),
        ("W diag(a) W_f", W @ np.diag(a) @ V),
        ("diag(C̃ₜ ⊙ tanh′(W a)) W_f diag(b)", np.diag(c / np.cosh(W @ a) ** 2) @ V @ np.diag(b)),
        ("tanh(a + b) ⊙ tanh(a)", np.tanh(a + b) * np.tanh(a)),
        ("Wᵀ", W.T),
        ("a bᵀ", np.outer(a, b)),
        ("aᵀ b", a[None] @ b),
        ("aᵀ W W_f", (a @ W @ V)[None]),
        ("W² W⁻¹", W),
        ("Wᵏ", W @ W @ W),
        ("Wᵏ⁻¹W¹", W @ W @ W),
        ("s²", np.array(0.49)),
        ("0.5 W", W / 2),
        ("1/4 W − (1/2 − s)² I", W / 4 - (0.5 - 0.7) ** 2 * np.eye(3)),
        ("0", np.array(0.0)),
        ("Σₖ₌₁³ hₖ ⊙ hₖ₋₁ + a", h[1] * h[0] + h[2] * h[1] + h[3] * h[2] + a),
        ("W Σₖ₌₁² hₖ", W @ (h[1] + h[2])),
        ("∏ᵢ₌₁³ Jᵢ", J[3] @ J[2] @ J[1]),
        ("(∏ᵢ₌₂³ Jᵢ) W", J[3] @ J[2] @ W),
        ("∏ᵢ₌₂³ Jᵢ W", J[3] @ W @ J[2] @ W),
        ("diag(∏ᵢ₌₁³ hᵢ)", np.diag(h[1] * h[2] * h[3])),
        ("∏ᵢ₌₃² Jᵢ", np.eye(3)),
        ("Σₜ₌₁² Σₖ₌₁ᵗ Jₜ hₖ", J[1] @ h[1] + J[2] @ h[1] + J[2] @ h[2]),
    ],
)
def test_value_is_that_of_the_same_expression_in_numpy(formula, expected):
    found = evaluate(formula, SYMBOLS)
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)


WITHOUT_VALUE = [
    "", "x", "a + x", "W_i a", "Wᵢⱼ", "h", "h₁₁", "h₄", "a′", "ã", "dW", "∂a/∂b", "a/b", "tanh", "tanh a",
    "sinh(a)", "1/0", "W⁻²", "Wᵐ", "aᵢ", "a ⊙ b · W", "[a, W; b]", "‖x‖", "(a", "a)", "a + ", "Σₖ hₖ",
    "Σₖ₌₁ⁿ hₖ", "∏ᵢ₌₁⁴ Jᵢ", "a = b", "Σₖ₌₂¹ hₖ", "diag(x)", "tanh′", "W(W_f + I)", "(W)₁₂", "W₁₂", "g₃",
    "g₋₁", "p₁", "a₀", "a₄", "W^{0.5}", "Σ hₖ",
]  # fmt: skip


def test_what_has_no_value_is_an_error():
    for formula in WITHOUT_VALUE:
        with pytest.raises(ValueError, match=r"\S"):
            evaluate(formula, SYMBOLS)


@pytest.mark.parametrize(
    ("formula", "says"),
    [
        ("a + ∂fₜ/∂Cₖ", "no symbol for '∂fₜ/∂Cₖ'"),
        ("a/b", "a fraction needs a number other than 0 under it: 'a/b'"),
        ("a ⊙ b · W", "expected brackets"),
        ("W(a)", "Expected a blank after 'W'"),
        ("(W)₁₂", r"1 indices for an array of shape (3, 3): '(W)₁₂'"),
        ("a₄", "no such entry in an array of shape (3,): 'a₄'"),
        ("Σₖ hₖ", "expected an index with its bounds"),
    ],
)
def test_error_says_what_is_wrong_and_where(formula, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        evaluate(formula, SYMBOLS)


@pytest.mark.parametrize(
    ("formula", "says"),
    [
        ("a b", "a product of shapes"),
        ("a W", "a product"),
        ("U a", "a product"),
        ("W + a", "a sum"),
        ("W + 1", "a sum"),
        ("a ⊙ W", "a product ⊙"),
        ("diag(W)", "diag"),
        ("a²", "no power"),
        ("U²", "no power"),
    ],
)
def test_error_names_shapes_that_do_not_fit(formula, says):
    with pytest.raises(ValueError, match=says + r".*\("):
        evaluate(formula, SYMBOLS)


def value(formula, **letters):
    """Return the value with numbers, arrays of numbers or ranges in place of letters."""
    each = {
        name: Each(one) if np.ndim(one) and not isinstance(one, range) else one
        for name, one in letters.items()
    }
    return evaluate(formula, SYMBOLS | each)


def test_index_of_two_digits_is_one_index():
    np.testing.assert_array_equal(value("h₁₀"), 10 * a + b)


def test_several_values_of_letters_give_axes():
    np.testing.assert_array_equal(value("hₖ₋₁", k=3), h[2])
    np.testing.assert_array_equal(value("hₖ + hₖ₊₁", k=np.arange(3))[2], h[2] + h[3])
    np.testing.assert_array_equal(value("Wᵢⱼ", i=[1, 2, 3], j=[1, 2, 3]), W)
    np.testing.assert_array_equal(value("(W)ᵢⱼ", i=[1, 3], j=2), W[[0, 2], 1])
    np.testing.assert_allclose(value("sᵗ⁻ᵏ I", t=5, k=3), 0.49 * np.eye(3), rtol=1e-15)
    np.testing.assert_array_equal(value("∏ᵢ₌ₖ₊₁ᵗ Jᵢ", t=3, k=np.arange(3))[1], J[3] @ J[2])


def test_families_and_entries_are_found_by_index():
    np.testing.assert_array_equal(value("gₜ₋₁", t=[1, 3]), [a, c])
    np.testing.assert_array_equal(value("pᵢⱼ", i=2, j=1), b)
    np.testing.assert_array_equal(value("∂yᵢ/∂xⱼ", i=[1, 2, 3], j=[1, 2, 3]), V)
    np.testing.assert_allclose(value("Σⱼ Wᵢⱼ aⱼ", i=[1, 2, 3], j=range(1, 4)), W @ a, rtol=1e-14)


def test_family_may_be_a_function_of_its_indices():
    families = {"qₜ": [a, b, c].__getitem__, "∂qₜ/∂qₖ": lambda t, k: {(2, 1): W, (1, 0): V}[t, k]}
    symbols = SYMBOLS | families
    np.testing.assert_array_equal(evaluate("∂qₜ/∂qₜ₋₁ q₀", symbols | {"t": Each([1, 2])}), [V @ a, W @ a])
    for missing in ("q₃", "q₋₁", "qₙ", "∂q₁/∂q₂", "q"):
        with pytest.raises(ValueError, match=f"no symbol for '{missing}'"):
            evaluate(missing, symbols)


def test_empty_product_is_the_identity_or_ones():
    np.testing.assert_array_equal(evaluate("diag(∏ᵢ₌₃² hᵢ) W", SYMBOLS), W)
    np.testing.assert_array_equal(evaluate("(∏ᵢ₌₃² Jᵢ) W", SYMBOLS), W)


def test_letter_is_bound_entry_by_entry():
    np.testing.assert_allclose(value("1 − tanh(z)²", z=W), 1 / np.cosh(W) ** 2, rtol=1e-13)


def test_halves_are_the_two_sides():
    assert split_sides("Σₜ₌₁ᵀ (a = b) ≠ ‖c‖") == ("Σₜ₌₁ᵀ (a = b)", "‖c‖")
