"""Every line of every derivation holds, a wrong one is caught, and the known answers come out."""

import inspect
import re
from dataclasses import replace
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

import gradflow
from gradflow.derivations.derive import derive, get_topic_options
from gradflow.derivations.topics import ALL_TOPICS, DERIVATIONS
from gradflow.derivations.topics.complex_cells import derivative, sigmoid, slope
from gradflow.derivations.topics.line import FAR, ROUNDING, DerivationLine, verify_line
from gradflow.derivations.topics.network import DerivationNetwork
from gradflow.errors import DataError, NumericalError, UsageError
from gradflow.notation.formulas import find_relation, split_sides, split_spans
from gradflow.notation.tex import tex
from gradflow.registry import lookup
from tests.truths import EXERCISE, hippo_legs, jordan_blocks, jordan_norm, similar

JORDAN = "0.9 1; 0 0.9"
# topics as they may be asked for, beside their defaults
VARIANTS = {
    "one-step": ("expand", {"steps": 1}),
    "two-steps": ("expand", {"steps": 2}),
    "many-steps": ("expand", {"steps": 8}),
    "lstm": ("expand", {"cell": "lstm", "steps": 4}),
    "constant-jacobian": ("expand", {"cell": "rnn:activation=identity"}),
    "long-bptt": ("bptt", {"steps": 10}),
    "first-power": ("power", {"steps": 1}),
    "tenth-power": ("power", {"steps": 10}),
    "jordan": ("regimes", {"matrix": JORDAN}),
    "ones": ("regimes", {"matrix": "1 1; 0 1"}),
    "identity": ("regimes", {"matrix": np.eye(3)}),
    "rotation": ("regimes", {"matrix": "0 1; -1 0"}),
    "nilpotent": ("regimes", {"matrix": "0 1; 0 0"}),
    "zero": ("regimes", {"matrix": "0"}),
    "singular": ("regimes", {"matrix": "1 2; 2 4"}),
    "one-by-one": ("regimes", {"matrix": "0.5"}),
    "complex": ("regimes", {"matrix": "1+2j 1; 0 0.5j", "steps": 7}),
    "shear-of-size-five": ("regimes", {"matrix": similar(jordan_blocks((0.5, 3), (0.2, 2)), 0)}),
    "far-from-normal": ("regimes", {"matrix": hippo_legs(32)}),
    "lost-to-rounding": ("regimes", {"matrix": similar(jordan_blocks((0.0, 2)), 1)}),
    "power-of-a-rotation": ("power", {"matrix": "0.6 0.8; -0.8 0.6"}),
    "power-of-a-singular": ("power", {"matrix": "1 2; 2 4"}),
    "power-of-a-complex": ("power", {"matrix": "1j 1; 0 2"}),
}
ASKED = {**{name: (name, {}) for name in DERIVATIONS}, **VARIANTS}


def made(name, seed=0, **options):
    """Return a topic as it is, before anything is computed."""
    if "matrix" in options:
        options["matrix"] = gradflow.read_matrix(m) if isinstance(m := options["matrix"], str) else m
    return lookup(DERIVATIONS, name, "topic")(seed, **options)


def texts(topic):
    """Return every text of a topic, by where it stands."""
    found = {"title": topic.title, "statement": topic.statement, "answer": topic.answer}
    found |= {f"line {number}": line.reason for number, line in enumerate(topic.lines, 1)}
    return found | ({"slip": topic.slip} if topic.slip else {})


@pytest.fixture(params=ASKED, scope="module")
def topic(request):
    name, options = ASKED[request.param]
    return made(name, **options)


@pytest.mark.parametrize("name", [name for name in DERIVATIONS if "hidden" in get_topic_options(name)])
def test_every_line_of_every_topic_holds(name):
    for hidden, seed in ((1, 0), (5, 2)):
        found = derive(name, seed=seed, hidden=hidden)
        assert all(found.lines.holds)
        assert found.verified == len(found.lines.line) >= 7
        assert found.largest_error <= ROUNDING


@pytest.mark.parametrize("asked", VARIANTS)
def test_every_line_of_every_variant_holds(asked):
    name, options = VARIANTS[asked]
    found = derive(name, **options)
    assert found.verified == len(found.lines.line)
    assert all(np.isfinite(abs(side)) for side in [*found.lines.left, *found.lines.right])


CELLS = [
    "rnn", "rnn:activation=sigmoid", "rnn:activation=relu,init=identity", "rnn:activation=erf",
    "rnn:layers=3", "rnn:init=ginibre,gain=30", "rnn:gain=0", "lstm", "lstm:layers=2", "lstm:peephole=on",
    "lstm:coupled=on", "lstm:peephole=on,coupled=on", "lstm:forget_gate=off", "lstm:projection=1",
    "lstm:init=chrono", "lstm:forget_bias=1000", "lstm:forget_bias=-1000",
    "lstm:peephole=on,projection=1,layers=2", "gru", "gru:reset=before", "gru:layers=2,reset=before",
    "gru:update_bias=30",
]  # fmt: skip


@pytest.mark.parametrize("name", ["power", "regimes", "expand"])
def test_steps_may_be_an_integer_of_numpy(name):
    whole, numpys = (derive(name, steps=kind(4)) for kind in (int, np.int64))
    assert numpys.lines.line == whole.lines.line
    assert all(numpys.lines.holds)


@pytest.mark.parametrize("cell", CELLS)
def test_expanded_sum_of_any_cell_holds(cell):
    for hidden, steps, seed in ((1, 1, 0), (3, 4, 2)):
        found = derive("expand", cell=cell, hidden=hidden, steps=steps, seed=seed)
        terms = steps * (steps + 1) // 2
        assert found.lines.formula[1 + terms].count("∂⁺") == terms
        assert found.largest_error <= ROUNDING


# slips of whoever writes a formula down
SLIPS = [
    ("W_f", "W_i"), ("W_i", "W_f"), ("W_c", "W_f"), ("W_o", "W_f"), ("W_n", "W_r"), ("W_r", "W_z"),
    ("W_z", "W_n"), ("U_f", "U_i"), ("b_o", "b_i"), ("a_f", "a_i"), ("a_i", "a_f"), ("a_c", "a_f"),
    ("a_z", "a_r"), ("a_n", "a_r"), ("σ′", "σ"), ("σ(", "σ′("), ("tanh′", "tanh"), ("tanh(", "tanh′("),
    ("fₜ", "iₜ"), ("iₜ", "fₜ"), ("oₜ", "iₜ"), ("C̃ₜ", "iₜ"), ("rₜ", "zₜ"), ("zₜ", "rₜ"), ("nₜ", "v"),
    ("ᵀ", ""), ("+", "−"), ("−", "+"), ("⊙", "·"), ("diag", ""), (" diag(δ)", ""), ("≠", "="), ("Q⁻¹", "Q"),
    ("ᵏ⁺¹", "ᵏ"), ("ₖ₋₁", "ₖ"), ("ₜ₋₁", "ₜ"), ("Wᵢⱼ", "Wⱼᵢ"), ("xⱼ", "xᵢ"), ("z₂", "z₁"), ("L₃", "L₂"),
    ("hₜ/∂hₖ", "hₖ/∂hₖ"), ("∂⁺hₖ", "dhₖ"), ("dhₖ", "∂⁺hₖ"), ("Λ", "Λ²"),
]  # fmt: skip
# what a slip leaves true: an identity, Q that is its own inverse, and the other weights that count too
STILL_TRUE = {"Cₜ = Cₜ", "QIQ = I", "W³⁰ = QΛ³⁰Q", "dCₜ/dW_f ≠ 0"}


def slips(formula):
    """Yield a formula with one slip in it, for each slip and each place."""
    for meant, written in SLIPS:
        pieces = formula.split(meant)
        for place in range(1, len(pieces)):
            yield meant.join(pieces[:place]) + written + meant.join(pieces[place:])
    for number in re.finditer(r"\d+(\.\d+)?", formula):
        yield formula[: number.start()] + ("8" if number[0] == "7" else "7") + formula[number.end() :]


@pytest.mark.parametrize("name", DERIVATIONS)
def test_every_slip_in_an_equation_is_caught(name):
    topic = made(name)
    symbols, planted = topic.symbols, 0
    for number, line in enumerate(topic.lines, 1):
        if find_relation(line.formula) in "≤<":
            continue
        for formula in slips(line.formula):
            planted += 1
            if formula not in STILL_TRUE:
                with pytest.raises(NumericalError, match=rf"^{name}, line {number}: "):
                    verify_line(name, number, replace(line, formula=formula), symbols)
    assert planted >= 8


@pytest.mark.parametrize(
    ("name", "number", "meant", "written"),
    [
        ("cell-gradient", 8, "diag(C̃ₜ ⊙ σ′(a_i)) W_i diag(δ)", "diag(iₜ ⊙ σ(a_i)) W_f diag(δ)"),
        ("cell-gradient", 8, "W_f diag(δ)", "diag(δ) W_f"),
        ("cell-gradient", 14, "[0, I] (∏ᵢ₌ₖ₊₁ᵗ Jᵢ)", "(∏ᵢ₌ₖ₊₁ᵗ Jᵢ)"),
        ("jacobian", 8, "diag(σ′(Wx)) W", "W diag(σ′(Wx))"),
        ("jacobian", 10, "‖W‖/4", "‖W‖/400"),
        ("bptt", 10, "λₖᵀ", "λₖ"),
        ("bptt", 7, "diag(σ′(zᵢ)) W", "W diag(σ′(zᵢ))"),
        ("gru", 7, "(hₜ₋₁ − nₜ)", "(nₜ − hₜ₋₁)"),
        ("power", 4, "QΛᵏQ⁻¹", "Q⁻¹ΛᵏQ"),
        ("regimes", 5, "0.0203478", "0.0203488"),
        ("gates", 21, "min Cₜ < 0", "0 < min Cₜ"),
    ],
)
def test_rearranged_formula_is_caught(name, number, meant, written):
    topic = made(name)
    line = topic.lines[number - 1]
    assert meant in line.formula
    with pytest.raises(NumericalError, match=rf"^{name}, line {number}: "):
        verify_line(name, number, replace(line, formula=line.formula.replace(meant, written)), topic.symbols)


def test_wrong_sign_and_reversed_inequality_are_caught(topic):
    symbols = topic.symbols
    for number, line in enumerate(topic.lines, 1):
        sign = find_relation(line.formula)
        if sign == "=" and verify_line("topic", number, line, symbols).left != 0:
            left, right = split_sides(line.formula)
            with pytest.raises(NumericalError, match="does not hold"):
                verify_line("topic", number, replace(line, formula=f"{left} = −({right})"), symbols)
        if sign in "≤<" and verify_line("topic", number, line, symbols).difference > 1e-6:
            left, right = split_sides(line.formula)
            with pytest.raises(NumericalError, match="does not hold"):
                verify_line("topic", number, replace(line, formula=f"{right} {sign} {left}"), symbols)


def test_wrong_side_of_unequal_ones_is_caught(topic):
    for number, line in enumerate(topic.lines, 1):
        if find_relation(line.formula) != "≠":
            continue
        left, right = split_sides(line.formula)
        wrong = {"left": f"2 ({left}) ≠ {right}", "right": f"{left} ≠ 2 ({right})"}
        for side, value in (("left", left), ("right", right)):
            if value != "0":
                with pytest.raises(NumericalError, match=rf"^topic, line {number}: .*: the {side} side is"):
                    verify_line("topic", number, replace(line, formula=wrong[side]), topic.symbols)


def verify(formula, **symbols):
    return verify_line("topic", 1, DerivationLine(formula, ""), symbols)


@pytest.mark.parametrize(
    ("formula", "left", "right", "says"),
    [
        ("a = b", np.ones(2), np.ones(3), r"shape \(2,\).*\(3,\)"),
        ("a = b", np.ones((2, 1)), np.ones(2), "shape"),
        ("a = b b", np.ones(2), np.ones(2), "a product of shapes"),
        ("a = c", np.ones(2), np.ones(2), "no symbol for 'c'"),
        ("a = b", np.inf, np.inf, "leaves the range of a double"),
        ("a = b", np.array([1.0, np.nan]), np.zeros(2), "leaves the range of a double"),
        ("a < b", 1.0, 1.0, "does not hold"),
        ("a ≤ b", np.array([0.0, 1.0]), np.array([1.0, 0.9]), r"at \[2\]"),
        ("a = b", np.array([[0.0, 5.0], [1.0, 0.0]]), np.array([[0.0, 5.0], [2.0, 0.0]]), r"at \[2,1\]"),
        ("a ≠ b", 1.0, 1.0 + 1e-12, "expected at least"),
    ],
)
def test_sides_that_do_not_fit_are_an_error(formula, left, right, says):
    with pytest.raises(NumericalError, match=f"^topic, line 1: {formula}.*{says}"):
        verify(formula, a=left, b=right)


def test_difference_is_of_the_worst_entry_and_the_largest_is_shown():
    found = verify("a = b", a=np.array([1.0, -4.0, 2.0]), b=np.array([1.0 + 1e-12, -4.0, 2.0]))
    assert (found.entry, found.left, found.right) == ("[2]", -4.0, -4.0)
    assert found.difference == pytest.approx(1e-12 / 4, rel=1e-3)
    assert verify("a = b", a=2.0, b=2.0).entry is None


def test_gradient_by_a_matrix_is_that_matrix():
    assert verify("a = b", a=np.ones((2, 3)), b=np.ones((1, 2, 3))).entry == "[1,1]"


def test_formula_beside_a_side_of_unequal_ones_must_agree_with_it():
    line = DerivationLine("a ≠ b", "", checks={"right": "c"})
    assert verify_line("topic", 1, line, {"a": 1.0, "b": 2.0, "c": 2.0}).relation == "≠"
    with pytest.raises(NumericalError, match="the right side is 3; expected 2, the value of c"):
        verify_line("topic", 1, line, {"a": 1.0, "b": 3.0, "c": 2.0})


def test_wrong_line_fails_the_command(monkeypatch):
    import gradflow.derivations.topics.jacobian as jacobian

    right = "∂y/∂x = diag(σ′(Wx)) W\n"
    assert jacobian.TEXT.count(right) == 1
    monkeypatch.setattr(jacobian, "TEXT", jacobian.TEXT.replace(right, "∂y/∂x = diag(σ(Wx)) W\n"))
    for topic in ("jacobian", "all"):
        with pytest.raises(NumericalError, match=r"^jacobian, line 8: ∂y/∂x = diag.* does not hold"):
            derive(topic)


def test_formulas_and_texts_use_the_notation_and_name_lines_that_there_are(topic):
    for line in topic.lines:
        assert tex(line.formula).isascii()
        assert find_relation(line.formula)
    for text in texts(topic).values():
        for piece, formula in split_spans(text):
            # a terminal of few letters has the LaTeX of formulas, and of all else the letters themselves
            assert tex(piece).isascii() if formula else piece.isascii()
    check_references(topic)


def check_references(topic):
    """Reasons speak of earlier lines, and texts of lines that there are."""
    for number, line in enumerate(topic.lines, 1):
        assert all(int(other) < number for other in re.findall(r"\((\d+)\)", line.reason))
    for text in texts(topic).values():
        for first, last in re.findall(r"[Ll]ines? (\d+)(?: (?:to|and) (\d+))?", text):
            assert 1 <= int(first) <= int(last or first) <= len(topic.lines)


def test_answer_stands_alone(topic):
    assert not re.search(r"[Ll]ines? \d|\(\d+\)|last line", topic.answer)


@pytest.mark.parametrize(("name", "number"), [("expand", 8), ("cell-gradient", 8), ("gru", 7)])
def test_answer_has_the_formula_that_was_asked_for(name, number):
    found = derive(name)
    right = found.lines.formula[number - 1].partition(" = ")[2]
    assert right in found.topics.answer[0]
    assert not re.search(r"\d\.\d", found.topics.answer[0])


@pytest.mark.parametrize(
    ("matrix", "steps", "says"),
    [
        (
            None,
            None,
            "eigenvalues are $0.9$ and $0.4$, and $W³⁰ = [0.0152608, 0.0203478; 0.0203478, 0.0271303]$",
        ),
        (JORDAN, None, "eigenvalues are $0.9$ and $0.9$, and $W³⁰ = [0.0423912, 1.41304; 0, 0.0423912]$"),
        ("0 1; -1 0", 3, "eigenvalues are $1i$ and $−1i$, and $W³ = [0, −1; 1, 0]$"),
        ("-0.5", 2, "only eigenvalue is $−0.5$, and $W² = [0.25]$"),
        (np.diag([3.0, 1, 1, 1, 0.5]), 2, "The largest $|λᵢ|$ is $3$."),
        (similar(jordan_blocks((0.0, 2)), 1), 3, "(known to within "),
    ],
)
def test_answer_names_eigenvalues_and_the_power(matrix, steps, says):
    assert says in derive("regimes", matrix=matrix, steps=steps).topics.answer[0]


@pytest.mark.parametrize("name", ["bptt", "regimes", "carousel", "cell-gradient"])
def test_mistake_of_the_sheet_is_stated_and_shown(name):
    found = derive(name)
    assert found.topics.slip[0]
    assert any(sign == "≠" for sign in found.lines.relation)


@cache
def whole_sheet():
    return derive("all")


def test_topics_are_in_the_order_of_the_sheet():
    found = whole_sheet()
    assert found.topics.topic == list(DERIVATIONS)
    *of_the_sheet, beyond = found.topics.exercise
    assert of_the_sheet == sorted(of_the_sheet)
    assert beyond == "5-3, GRU"
    assert all(found.topics.statement)
    assert all(found.topics.answer)
    assert list(dict.fromkeys(found.lines.topic)) == list(DERIVATIONS)
    for name in DERIVATIONS:
        numbers = [n for n, topic in zip(found.lines.line, found.lines.topic, strict=True) if topic == name]
        assert numbers == list(range(1, len(numbers) + 1))


def test_list_has_every_topic_and_its_options():
    found = derive(list=True)
    assert found.lines is None
    assert found.topics.topic == list(DERIVATIONS)
    for name, options in zip(found.topics.topic, found.topics.options, strict=True):
        parameters = inspect.signature(lookup(DERIVATIONS, name, "topic")).parameters.values()
        assert options.split(", ") == [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]


def test_seed_changes_the_numbers_and_no_formula():
    first, other = whole_sheet(), derive("all", seed=1)
    fixed = [name == "regimes" for name in first.lines.topic]
    same = [a == b for a, b in zip(first.lines.left, other.lines.left, strict=True)]
    assert [one for one, it in zip(same, fixed, strict=True) if it] == [True] * sum(fixed)
    assert not all(same)
    assert first.lines.formula == other.lines.formula


def test_progress_counts_every_line_once():
    seen = []
    found = derive("gates", progress=lambda *counts: seen.append(counts))
    assert seen == [(done, found.verified) for done in range(found.verified + 1)]


# What is known of the answers, line by line of those that have it.


def values(found, formula):
    place = found.lines.formula.index(formula)
    return found.lines.left[place], found.lines.right[place]


def test_thirtieth_power_is_the_known_one():
    found = derive("regimes")
    (formula,) = (one for one in found.lines.formula if one.startswith("W³⁰ = [") and "+" not in one)
    entries = [float(entry) for entry in re.findall(r"[\d.]+", formula.split("=")[1])]
    assert entries == pytest.approx([0.01526082, 0.02034776, 0.02034776, 0.02713034], rel=3e-6)
    exact = [[Fraction(58, 100), Fraction(24, 100)], [Fraction(24, 100), Fraction(72, 100)]]
    power = np.linalg.matrix_power(np.array(exact, dtype=object), 30)
    assert float(power[1][1]) == pytest.approx(values(found, formula)[0], rel=1e-13)


def test_printed_decomposition_is_of_another_matrix():
    found = derive("regimes")
    assert found.lines.formula[:2] == ["Q_sΛ_sQ_s⁻¹ ≠ W", "Q_s⁻¹Λ_sQ_s = W"]
    assert found.lines.entry[0] == "[1,2]"
    assert (found.lines.left[0], found.lines.right[0]) == (pytest.approx(-0.24, rel=1e-15), 0.24)
    assert "[0.58, −0.24; −0.24, 0.72]" in found.lines.reason[0]
    assert "swapped" in found.topics.slip[0]
    assert gradflow.power(EXERCISE, claim_vectors="0.8 -0.6; 0.6 0.8", claim_values="0.4 0.9").claim_slip


def test_other_matrix_has_no_mistake_of_the_sheet():
    assert derive("regimes", matrix="0.5 0; 0 0.2").topics.slip == [None]


def test_bounds_of_a_jordan_block_need_no_eigenvectors():
    found = derive("regimes", matrix=JORDAN)
    assert not any("QΛ" in formula or "κ" in formula for formula in found.lines.formula)
    (lower,) = (k for k, formula in enumerate(found.lines.formula) if formula == "ρ³⁰ ≤ ‖W³⁰‖")
    assert found.lines.left[lower] == pytest.approx(0.9**30, rel=1e-12)
    assert found.lines.right[lower] == pytest.approx(jordan_norm(0.9, 30), rel=1e-12)
    assert found.lines.right[lower + 1] == pytest.approx(0.9**30 + 30 * 0.9**29, rel=1e-9)


@pytest.mark.parametrize(
    ("matrix", "formula", "says"),
    [
        ("1 1; 0 1", r"1000 < ‖W[⁰-⁹¹²³]+‖", "grows like a power"),
        (JORDAN, r"‖W[⁰-⁹¹²³]+‖ < 0.001", "→ 0"),
        ("1.2 0; 5 0.1", r"1000 < ‖W[⁰-⁹¹²³]+‖", "→ ∞"),
        ("0 1 5; 0 0 1; 0 0 0", "W³ = 0", "Wⁿ = 0"),
        ("0 1; -1 0", None, "neither vanishes nor explodes"),
    ],
)
def test_each_regime_has_its_consequence(matrix, formula, says):
    found = derive("regimes", matrix=matrix)
    if formula is not None:
        assert [one for one in found.lines.formula if re.fullmatch(formula, one)]
    assert says in found.topics.answer[0]


def test_eigenvalues_of_a_rotation_are_complex():
    found = derive("regimes", matrix="0.6 0.8; -0.8 0.6", steps=3)
    (reason,) = (one for one in found.lines.reason if "eigenvalues in" in one)
    assert "$0.6 + 0.8i, 0.6 − 0.8i$" in reason


def test_carousel_is_the_identity_and_a_gate_under_1_forgets():
    found = derive("carousel", hidden=4, seed=3)
    assert values(found, "∂Cₜ/∂Cₖ = I") == (1.0, 1.0)
    assert found.lines.difference[found.lines.formula.index("∂Cₜ/∂Cₖ = I")] == 0.0
    half_life = (1 / (1 + np.exp(-1.0))) ** 10
    assert values(found, "∂Cₜ/∂Cₖ = σ(b_f)ᵗ⁻ᵏ I")[0] == pytest.approx(half_life, rel=1e-14)
    assert f"{half_life:.4f}" in found.lines.reason[found.lines.formula.index("∂Cₜ/∂Cₖ = σ(b_f)ᵗ⁻ᵏ I")]


def test_gates_alone_are_always_positive():
    found = derive("gates", hidden=5)
    positive = [formula for formula in found.lines.formula if formula.startswith("0 <")]
    assert positive == ["0 < fₜ", "0 < iₜ", "0 < oₜ"]
    for quantity in ("C̃ₜ", "hₜ", "Cₜ"):
        assert values(found, f"min {quantity} < 0")[0] < 0


def test_product_is_exact_over_one_step_alone():
    found = derive("cell-gradient", seed=5)
    lags = [k for k, formula in enumerate(found.lines.formula) if re.match("dCₜ/dCₜ₋[₂-₅] ≠ ∏", formula)]
    assert len(lags) == 4
    assert all(found.lines.difference[k] > FAR for k in lags)
    in_full = next(
        k for k, formula in enumerate(found.lines.formula) if "W_c diag(δ)" in formula and "W_f" in formula
    )
    assert found.lines.relation[in_full] == "="
    for k in lags:
        share = re.search(r"steps: ([\d.e-]+) relative", found.lines.reason[k])[1]
        assert float(share) == pytest.approx(found.lines.difference[k], rel=0.06)


def test_double_sum_of_the_sheet_is_wrong():
    found = derive("bptt", hidden=4, seed=2)
    signs = dict(zip(found.lines.formula, found.lines.relation, strict=True))
    assert signs["∂L/∂W = Σₜ₌₁ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₜ · ∂hₜ/∂hₖ · ∂⁺hₖ/∂W"] == "="
    assert signs["∂L/∂W ≠ Σₜ₌₁ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₖ · ∂hₜ/∂hₖ · ∂⁺hₖ/∂W"] == "≠"


# Derivatives by complex steps.


def test_complex_step_is_right_to_the_last_digit():
    x = np.array([0.3, -2.0, 5.0, 30.0])
    np.testing.assert_allclose(derivative(np.tanh, x), np.diag(1 / np.cosh(x) ** 2), rtol=1e-15, atol=0)
    np.testing.assert_allclose(slope(sigmoid, x), np.exp(-x) / (1 + np.exp(-x)) ** 2, rtol=1e-15)
    np.testing.assert_allclose(slope(np.tanh, x), 1 / np.cosh(x) ** 2, rtol=1e-15)


def test_derivative_by_a_matrix_has_the_axes_of_both():
    A, x = np.arange(6.0).reshape(2, 3), np.array([1.0, 2.0, 3.0])
    found = derivative(lambda A: A @ x, A)
    np.testing.assert_array_equal(found, np.einsum("ij,l->ijl", np.eye(2), x))


@pytest.mark.parametrize("cell", CELLS)
def test_cells_written_twice_are_the_same_cells(cell):
    net = DerivationNetwork.draw_fresh(cell, seed=4, hidden=3, steps=5)
    for t in range(1, 6):
        np.testing.assert_allclose(net.points[t]["s"], net.own_states[t], rtol=1e-13, atol=1e-15)
        for own, complex_step in (
            (net.own_jacobian(t, t - 1), net.by_state("s", t, t - 1)),
            (net.own_immediate(t), net.by_copy("s", t, t)),
        ):
            np.testing.assert_allclose(complex_step, own, rtol=0, atol=1e-13 * abs(own).max())


@pytest.mark.parametrize("draw", [DerivationNetwork.draw_lstm, DerivationNetwork.draw_gru])
def test_gates_written_twice_are_the_same_gates(draw):
    net = draw(3, 2, 6)
    for name, family in net.own.items():
        for t, value in family.items():
            np.testing.assert_allclose(net.points[t][name], value, rtol=1e-13, atol=1e-15)


def test_there_is_no_way_forward_in_time():
    net = DerivationNetwork.draw_sheet(seed=0, hidden=2, steps=3)
    for t, k in ((1, 2), (4, 1), (1, -1)):
        for derive_by in (lambda t, k: net.by_state("s", t, k), net.own_jacobian):
            with pytest.raises(LookupError, match=f"from step {k} to step {t} of 3"):
                derive_by(t, k)


# What is refused.


@pytest.mark.parametrize(
    ("topic", "options", "says"),
    [
        ("jacobin", {}, "did you mean 'jacobian'"),
        (None, {"seed": 3}, "seed needs a topic: jacobian"),
        (None, {"answer": True}, "answer needs a topic: jacobian"),
        ("5-9", {}, "'5-9'\\. Valid: .* or a number of the sheet: 5-1a; 5-1b"),
        ("52c", {}, "did you mean '5-2c'"),
        ("5/2", {}, "did you mean '5-2'"),
        ("5-2d", {}, "did you mean '5-2'"),
        ("5", {}, "did you mean '5-1', '5-2' or '5-3'"),
        ("LSTM", {}, "did you mean 'gates', 'carousel' or 'cell-gradient'"),
        ("lsmt", {}, "did you mean 'gates', 'carousel' or 'cell-gradient'"),
        ("vanishing", {}, "did you mean 'regimes'"),
        ("the", {}, "'the'\\. Valid"),
        ("", {}, "''\\. Valid"),
        ("power", {"answer": True, "checks": True}, "exclude each other"),
        ("jacobian", {"steps": 3}, "jacobian takes no steps.*bptt, expand, power, regimes"),
        ("gates", {"cell": "lstm"}, "gates takes no cell.*it is for expand"),
        ("carousel", {"matrix": "1"}, "carousel takes no matrix.*power, regimes"),
        ("regimes", {"hidden": 2}, "regimes takes no hidden"),
        ("power", {"hidden": 2, "matrix": "1"}, "hidden 2 is for random parameters"),
        ("power", {"matrix": "1 1; 0 1"}, "power: the matrix is not diagonalizable.*regimes takes any"),
        ("power", {"matrix": hippo_legs(32)}, r"power: .*nearly dependent, κ\(Q\)"),
        ("power", {"matrix": "1 2 3"}, "1×3; expected a square one"),
        ("power", {"matrix": "1e100"}, "entries up to 1e\\+100"),
        ("regimes", {"matrix": np.eye(101)}, "101 rows"),
        ("regimes", {"key": "W"}, "key 'W' picks an array of a file"),
        ("expand", {"steps": 9}, "expand: steps 9: expected an integer from 1 to 8"),
        ("expand", {"cell": "lstmm"}, "expand: unknown cell 'lstmm'; did you mean 'lstm'"),
        ("expand", {"cell": "lstm:projection=9"}, "expand: .*projection=9"),
        ("bptt", {"steps": 1}, "bptt: steps 1: expected an integer from 2 to 10"),
        ("power", {"steps": 0}, "power: steps 0"),
        ("regimes", {"steps": 1001}, "regimes: steps 1001"),
        ("jacobian", {"hidden": 0}, "hidden 0: expected an integer from 1 to 16"),
        ("jacobian", {"hidden": 17}, "hidden 17"),
        ("jacobian", {"seed": -1}, "seed -1"),
        ("jacobian", {"list": True}, "list shows every topic"),
        (None, {"list": True, "steps": 2}, "list shows every topic"),
        (ALL_TOPICS, {"steps": 9}, "steps 9"),
    ],
)
def test_bad_option_is_refused(topic, options, says):
    with pytest.raises(UsageError, match=says):
        derive(topic, **options)


def test_unreadable_matrix_is_refused():
    with pytest.raises(DataError, match="nowhere"):
        derive("regimes", matrix="nowhere.npy")


def test_power_past_a_double_is_refused():
    with pytest.raises(
        NumericalError, match="a side leaves the range of a double; expected numbers nearer 1, or fewer steps"
    ):
        derive("regimes", matrix="0.1", steps=900)


def test_all_passes_options_to_the_topics_that_take_them():
    found = derive("all", hidden=2, steps=3, matrix="0.5 0.1; 0 0.4")
    titles = dict(zip(found.topics.topic, found.topics.title, strict=True))
    assert "T = 3" in titles["expand"]
    assert "W³ = QΛ³Q⁻¹" in found.lines.formula
    assert "M³ = QΛ³Q⁻¹" in found.lines.formula


def test_params_hold_the_defaults():
    for name in DERIVATIONS:
        params = derive(name).params
        for option, default in get_topic_options(name).items():
            assert params[option] == default


@pytest.mark.parametrize("steps", [3, 4])
def test_tiny_and_huge_terms_hold(steps):
    for cell in ("rnn:gain=1e3", "rnn:gain=1e-100", *(f"gru:update_bias={b}" for b in range(16, 28))):
        assert all(derive("expand", cell=cell, steps=steps).lines.holds), cell


@pytest.mark.parametrize("seed", [131, 314])
def test_signs_of_a_single_unit_hold_for_any_seed(seed):
    assert all(derive("gates", hidden=1, seed=seed).lines.holds)


def test_smallest_matrix_is_taken():
    assert all(derive("power", matrix="1e-60").lines.holds)
