"""Formulas are worth their numbers as they are printed: another formula beside the same numbers is caught."""

from dataclasses import replace

import numpy as np
import pytest

import gradflow.analysis.derivations.cell_gradient as cell_gradient
from gradflow.analysis.derivations import DERIVATIONS
from gradflow.analysis.derivations.line import Line, printed, verified
from gradflow.analysis.derive import derive
from gradflow.errors import NumericalError
from gradflow.notation.formulas import halves, relation
from gradflow.registry import lookup

# topic: the lines whose left and whose right side is evaluated; whoever writes another line says so here
EVALUATED = {
    "jacobian": ({2, 3, 5, 6, 7, 8, 9}, {2, 4, 5, 6, 7, 8, 9}),
    "bptt": ({*range(1, 15)} - {5}, {*range(1, 15)} - {5}),
    "power": ({*range(1, 13)}, {*range(1, 13)}),
    "carousel": ({2, 3, 4, 7, 8, 9}, {*range(2, 10)}),
    "cell-gradient": ({*range(1, 24)} - {6, 7, 14}, {*range(1, 28)} - {14, 24, 25}),
    "gru": ({1, 2, 4, 7, 9}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 11}),
}
# slips of whoever writes a formula down
SLIPS = [
    ("W_f", "W_i"), ("W_i", "W_f"), ("W_c", "W_f"), ("W_n", "W_r"), ("W_r", "W_z"), ("W_z", "W_n"),
    ("σ′", "σ"), ("tanh′", "tanh"), ("ᵀ", ""), ("fₜ", "iₜ"), ("iₜ", "fₜ"), ("C̃ₜ", "iₜ"), ("a_f", "a_i"),
    ("a_i", "a_f"), ("a_z", "a_r"), ("rₜ", "zₜ"), ("zₜ", "rₜ"), ("nₜ", "v"), ("+", "−"), ("−", "+"),
    ("ₖ₋₁", "ₖ"), (" diag(δ)", ""), ("Q⁻¹", "Q"), ("ᵏ⁺¹", "ᵏ"), ("hₜ/∂hₖ", "hₖ/∂hₖ"), ("∂⁺hₖ", "dhₖ"),
    ("dhₖ", "∂⁺hₖ"),
]  # fmt: skip


def topic_of(name):
    return lookup(DERIVATIONS, name, "topic")(0)


@pytest.fixture(params=EVALUATED)
def named(request):
    topic = topic_of(request.param)
    return request.param, topic, topic.symbols(topic.case)


def with_right(line, right):
    left, _ = halves(line.formula)
    return replace(line, formula=f"{left} {relation(line.formula)} {right}")


def test_every_topic_with_symbols_is_here():
    assert [name for name in DERIVATIONS if topic_of(name).symbols] == [*EVALUATED]


def test_sides_that_are_evaluated_are_these(named):
    name, topic, symbols = named
    sides = [printed(line, topic.case, symbols) for line in topic.lines]
    for which in (0, 1):
        found = {number for number, both in enumerate(sides, 1) if both[which] is not None}
        assert found == EVALUATED[name][which]


def test_another_sign_of_an_evaluated_side_is_caught(named):
    name, topic, symbols = named
    for number, line in enumerate(topic.lines, 1):
        left, right = halves(line.formula)
        if number in EVALUATED[name][1]:
            wrong = with_right(line, "1" if right == "0" else f"−({right})")
            with pytest.raises(NumericalError, match=rf"^{name}, line {number}: .*right side says"):
                verified(name, number, wrong, topic.case, symbols)
        if number in EVALUATED[name][0]:
            wrong = replace(line, formula=f"2 · ({left}) {relation(line.formula)} {right}")
            with pytest.raises(NumericalError, match="left side says"):
                verified(name, number, wrong, topic.case, symbols)


def test_every_slip_in_an_evaluated_side_is_caught(named):
    name, topic, symbols = named
    for number, line in enumerate(topic.lines, 1):
        _, right = halves(line.formula)
        if number not in EVALUATED[name][1]:
            continue
        for meant, written in SLIPS:
            pieces = right.split(meant)
            for place in range(1, len(pieces)):
                slip = meant.join(pieces[:place]) + written + meant.join(pieces[place:])
                assert caught(name, number, with_right(line, slip), topic.case, symbols), slip


def caught(name, number, line, case, symbols):
    """Return whether a formula is refused, or at least no longer among those that are evaluated."""
    try:
        verified(name, number, line, case, symbols)
    except NumericalError as error:
        return "the formula" in str(error)
    return printed(line, case, symbols)[1] is None


@pytest.mark.parametrize(
    ("name", "number", "meant", "written"),
    [
        ("cell-gradient", 8, "W_f", "W_i"),
        ("cell-gradient", 8, "σ′(a_i)", "σ(a_i)"),
        ("cell-gradient", 8, "diag(fₜ)", "diag(iₜ)"),
        ("cell-gradient", 8, "+ diag(C̃ₜ", "− diag(C̃ₜ"),
        ("cell-gradient", 8, "diag(C̃ₜ ⊙ σ′(a_i)) W_i diag(δ)", "diag(iₜ ⊙ σ(a_i)) W_f diag(δ)"),
        ("cell-gradient", 8, "W_f diag(δ)", "diag(δ) W_f"),
        ("cell-gradient", 10, "+ fₜ +", "+ iₜ +"),
        ("cell-gradient", 11, "diag(δ)", "diag(fₜ)"),
        ("jacobian", 8, "diag(σ′(Wx)) W", "W diag(σ′(Wx))"),
        ("bptt", 11, "hₖ₋₁ᵀ", "hₖ₋₁"),
        ("bptt", 7, "diag(σ′(zᵢ)) W", "W diag(σ′(zᵢ))"),
        ("gru", 7, "(hₜ₋₁ − nₜ)", "(nₜ − hₜ₋₁)"),
        ("power", 4, "QΛᵏQ⁻¹", "Q⁻¹ΛᵏQ"),
    ],
)
def test_a_wrong_formula_beside_right_numbers_is_an_error(name, number, meant, written):
    topic = topic_of(name)
    line = topic.lines[number - 1]
    assert meant in line.formula
    wrong = replace(line, formula=line.formula.replace(meant, written))
    verified(name, number, wrong, topic.case)  # without symbols nothing ties a formula to its numbers
    with pytest.raises(NumericalError, match=rf"^{name}, line {number}: .*: the formula"):
        verified(name, number, wrong, topic.case, topic.symbols(topic.case))


def test_command_fails_on_a_wrong_formula(monkeypatch):
    *lines, last = cell_gradient.STEPWISE[:8]
    wrong = replace(last, formula=last.formula.replace("W_f", "W_i"))
    monkeypatch.setattr(cell_gradient, "STEPWISE", (*lines, wrong, *cell_gradient.STEPWISE[8:]))
    with pytest.raises(
        NumericalError,
        match=r"^cell-gradient, line 8: .*the formula's right side says \S+, its numbers \S+ at",
    ):
        derive("cell-gradient")


def test_shapes_of_formula_and_numbers_are_the_same():
    line = Line("a = b", "", lambda case: (case, case))
    with pytest.raises(NumericalError, match=r"right side has shape \(2,\), its numbers \(3,\)"):
        verified("topic", 1, line, np.ones(3), {"b": np.ones(2)})
    verified("topic", 1, line, np.ones(3), {"b": np.ones((1, 3))})  # a row
    with pytest.raises(NumericalError, match="the formula has a product of shapes"):
        verified("topic", 1, replace(line, formula="a = b b"), np.ones(3), {"b": np.ones(3)})


def test_inequalities_are_not_evaluated():
    line = Line("a < b", "", lambda case: (0.0, case))
    assert printed(line, 1.0, {"a": np.array(5.0), "b": np.array(4.0)}) == (None, None)
