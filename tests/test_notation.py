"""A formula and its LaTeX say the same, letter by letter, and whatever has no LaTeX is refused."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradflow.notation import ACCENTS, GREEK_NAMES, LATEX_SYMBOLS, RELATION_SIGNS, SUBSCRIPTS, SUPERSCRIPTS
from gradflow.notation.formulas import break_formula, find_relation, split_spans, strip_marks
from gradflow.notation.tex import display, tex

# as anybody types them who knows LaTeX
PAIRS = {
    "y = σ(Wx)": r"y = \sigma(Wx)",
    "∂hₜ/∂hₖ": r"\frac{\partial h_{t}}{\partial h_{k}}",
    "∂⁺hₖ/∂W": r"\frac{\partial^{+}h_{k}}{\partial W}",
    "dhₜ/dW": r"\frac{\mathrm{d}h_{t}}{\mathrm{d}W}",
    "diag(d)": r"\operatorname{diag}(d)",
    "∏ᵢ₌ₖ₊₁ᵗ diag(σ′(zᵢ)) W": r"\prod_{i=k+1}^{t} \operatorname{diag}(\sigma'(z_{i})) W",
    "Σₜ₌₀ᵀ Lₜ": r"\sum_{t=0}^{T} L_{t}",
    "hₖ₋₁ᵀ": r"h_{k-1}^{\top}",
    "x ∈ ℝⁿˣᵈ": r"x \in \mathbb{R}^{n\times d}",
    "C̃ₜ": r"\tilde{C}_{t}",
    "W_f hₜ₋₁ + b_f": r"W_{f} h_{t-1} + b_{f}",
    "x_C̃ₖ": r"x_{\tilde{C}k}",
    "xᵗ^σₖˣ": r"x_{k}^{t\sigma\times}",
    "x²ˣ′ᵗ": r"x^{\prime2\times t}",
    "x_{t−1}": r"x_{t-1}",
    "W^{2n}": r"W^{2n}",
    "1/(1 + e⁻ᶻ)": r"\frac{1}{1 + e^{-z}}",
    "e⁻ᶻ/(1 + e⁻ᶻ)²": r"\frac{e^{-z}}{(1 + e^{-z})^{2}}",
    "(a + b)/c": r"\frac{a + b}{c}",
    "diag(∏ᵢ fᵢ)": r"\operatorname{diag}\left(\prod_{i} f_{i}\right)",
    "(∂L/∂h)ᵀ": r"\left(\frac{\partial L}{\partial h}\right)^{\top}",
    "∂(f ⊙ C)/∂C": r"\frac{\partial(f \odot C)}{\partial C}",
    "f′ᵢ²": r"f_{i}^{\prime2}",
    "λ₁ⁿ v": r"\lambda_{1}^{n} v",
    "‖W‖ ≤ |λ|": r"\lVert W\rVert \leq \lvert\lambda\rvert",
    "[1, 2; 3, −4]": r"\begin{pmatrix} 1 & 2 \\ 3 & -4 \end{pmatrix}",
    "[h; C]": r"\begin{pmatrix} h \\ C \end{pmatrix}",
    "W³⁰ = 1.5e-07": r"W^{30} = 1.5 \times 10^{-7}",
    "1e+20": r"10^{20}",
    "tanh′(a_c) ≠ 0": r"\tanh'(a_{c}) \neq 0",
    "n → ∞": r"n \to \infty",
    "γ¹ = θ₂, …": r"\gamma^{1} = \theta_{2}, \dots",
}
LETTERS = st.sampled_from(["W", "h", "λ", "σ", "C̃", "x", "0.58", "12", "diag", "tanh"])
SCRIPTS = st.sampled_from(["", "ₜ", "ₜ₋₁", "²", "ᵀ", "′", "_f", "^{n+1}", "ᵢⱼ", "⁻¹"])
OPERATORS = st.sampled_from(["+", "−", "·", "⊙", "=", "≤", ","])


def bracketed(inner):
    shapes = st.sampled_from(["({})", "‖{}‖", "[{}; {}]", "∂({})/∂x", "({})/W"])
    return st.builds(lambda shape, one: shape.replace("{}", one), shapes, inner)


def sums(inner):
    return st.builds(
        lambda first, rest: first + "".join(f" {sign} {term}" for sign, term in rest),
        inner,
        st.lists(st.tuples(OPERATORS, inner), min_size=1, max_size=4),
    )


ATOMS = st.builds(lambda letter, script: letter + script, LETTERS, SCRIPTS)
FORMULAS = st.recursive(ATOMS, lambda inner: bracketed(inner) | sums(inner), max_leaves=8)


def check_balanced(latex):
    """Braces, brackets of any size and environments are closed, in the order in which they were opened."""
    opened = []
    for mark in re.findall(r"\\(?:begin|end)\{\w+\*?\}|\\left|\\right|\\lVert|\\rVert|\\[{}]|[{}]", latex):
        if mark in (r"\{", r"\}"):
            continue
        if mark.startswith((r"\begin", r"\left", r"\lVert")) or mark == "{":
            opened.append(mark)
            continue
        partner = {r"\right": r"\left", r"\rVert": r"\lVert", "}": "{"}
        assert opened.pop() == partner.get(mark, mark.replace("end", "begin"))
    assert opened == []


@pytest.mark.parametrize("formula", PAIRS)
def test_latex_is_as_typed_by_hand(formula):
    assert tex(formula) == PAIRS[formula]


@given(FORMULAS)
def test_latex_is_ascii_and_balanced(formula):
    found = tex(formula)
    assert found.isascii()
    check_balanced(found)


@given(FORMULAS, st.integers(1, 60))
def test_pieces_are_formulas_and_as_short_as_asked(formula, width):
    pieces = break_formula(formula, width)
    assert " ".join(pieces) == formula
    for piece in pieces:
        check_balanced(tex(piece))
        letters = [letter for letter in piece if not unicodedata.combining(letter)]
        if len(letters) > width:  # then there is no place to break it
            assert break_formula(piece, 1) == [piece]


@given(FORMULAS, st.integers(1, 60))
def test_display_sets_every_piece_on_its_own_line(formula, width):
    count = len(break_formula(formula, width))
    found = display(formula, width)
    check_balanced(found)
    assert found.startswith(r"\begin{aligned}") == (count > 1)
    assert found.count(r"\quad") == count - 1
    assert display(formula, 10**6) == tex(formula)


@pytest.mark.parametrize("scripts", [SUPERSCRIPTS, SUBSCRIPTS])
def test_every_script_is_the_one_that_unicode_says(scripts):
    named = {r"\top": "T", r"\times": "x", r"\mathsf{H}": "H", "-": "−"}
    for letter, meaning in scripts.items():
        assert unicodedata.normalize("NFKC", letter) == named.get(meaning, meaning)


def test_every_greek_letter_has_the_name_that_unicode_gives_it():
    for letter, name in GREEK_NAMES.items():
        told = unicodedata.name(letter).split()[-1].replace("LAMDA", "LAMBDA")
        assert told.lower() == name.removeprefix("var").lower()
        assert name[0].isupper() == letter.isupper()


@pytest.mark.parametrize(
    ("formula", "says"),
    [
        ("a ⊕ b", "'⊕' (U+2295)"),
        ("x = ☃", "U+2603"),
        ("a & b", "'&'"),
        ("$x$", "'$'"),
        ("\\alpha", "(U+005C)"),
        ("(a + b", "expected )"),
        ("a + b)", "no partner"),
        ("[a; b", "expected ]"),
        ("‖a", "expected ‖"),
        ("x_", "the end"),
        ("∂", "the end"),
        ("a/", "the end"),
        ("ý", "U+00FD"),
    ],
)
def test_unknown_letter_is_refused_with_its_place(formula, says):
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        tex(formula)
    assert repr(formula) in str(caught.value)


@pytest.mark.parametrize("sign", RELATION_SIGNS)
def test_relation_is_outside_of_brackets(sign):
    assert find_relation(f"‖a‖ {sign} (b = c) Σₖ₌₁ᵗ x_{{k=1}}") == sign


@pytest.mark.parametrize("formula", ["a + b", "a = b = c", "(a = b)", ""])
def test_formula_needs_exactly_one_relation(formula):
    with pytest.raises(ValueError, match="expected one of = ≠ ≤ <"):
        find_relation(formula)


@given(st.lists(st.text(st.characters(exclude_characters="$"), min_size=1), max_size=5))
def test_spans_lose_only_the_marks(parts):
    text = "$".join([*parts, *["x"] * (len(parts) % 2 == 0)])
    pieces = split_spans(text)
    assert "".join(piece for piece, _ in pieces) == strip_marks(text)
    assert strip_marks(text) == text.replace("$", "")


def test_mark_without_a_partner_is_refused():
    with pytest.raises(ValueError, match="no partner"):
        split_spans("a $b")


def test_no_letter_means_two_things():
    tables = [SUPERSCRIPTS, SUBSCRIPTS, LATEX_SYMBOLS, ACCENTS]
    letters = [letter for table in tables for letter in table]
    assert len(set(letters)) == len(letters)
