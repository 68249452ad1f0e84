"""The sides and pieces of a formula, and the formulas of a text, without their values."""

import unicodedata

from gradflow.notation import FORMULA_MARK, PRODUCT_SIGNS, RELATION_SIGNS, SUM_SIGNS
from gradflow.notation.syntax import parse


def strip_marks(text: str) -> str:
    """Return a text without the marks of its formulas.

    Examples
    --------
    >>> strip_marks("by $σ′ = σ(1 − σ)$ and (a)")
    'by σ′ = σ(1 − σ) and (a)'
    """
    return text.replace(FORMULA_MARK, "")


def split_spans(text: str) -> list[tuple[str, bool]]:
    """Return the pieces of a text, each with whether it is a formula.

    Examples
    --------
    >>> split_spans("by $σ′$ alone")
    [('by ', False), ('σ′', True), (' alone', False)]
    """
    pieces = text.split(FORMULA_MARK)
    if len(pieces) % 2 == 0:
        raise ValueError(f"{text!r}: a {FORMULA_MARK} has no partner")
    return [(piece, bool(place % 2)) for place, piece in enumerate(pieces) if piece]


def find_relation(formula: str) -> str:
    """Return the sign between the two sides of a formula, one of `RELATION_SIGNS`.

    Examples
    --------
    >>> find_relation("Σₜ₌₁ᵀ aₜ ≤ ‖b‖")
    '≤'
    """
    signs = [node.text for node in parse(formula) if node.text in RELATION_SIGNS]
    if len(signs) != 1:
        raise ValueError(f"{formula!r}: expected one of {' '.join(RELATION_SIGNS)} outside of brackets")
    return signs[0]


def split_sides(formula: str) -> tuple[str, str]:
    """Return the two sides of a formula.

    Examples
    --------
    >>> split_sides("Mᵏ⁺¹ = MᵏM")
    ('Mᵏ⁺¹', 'MᵏM')
    """
    left, right = _cut_before(formula, find_relation(formula))
    return left.strip(), right[1:].strip()


def break_formula(formula: str, width: int) -> list[str]:
    """Return a formula in pieces of ``width`` letters, if breaks before relations and operators allow that.

    A break before a product is used only if a term is too long by itself. No bracket is broken, so each piece
    is a formula of its own.

    Examples
    --------
    >>> break_formula("a = (b + c) d + e · f", 14)
    ['a = (b + c) d', '+ e · f']
    """
    pieces = _fill_lines(_cut_before(formula, RELATION_SIGNS + SUM_SIGNS), width)
    return [
        part
        for piece in pieces
        for part in _fill_lines(_cut_before(piece, RELATION_SIGNS + SUM_SIGNS + PRODUCT_SIGNS), width)
    ]


def _cut_before(formula: str, signs: str) -> list[str]:
    """Return a formula, cut before each of ``signs`` that follows a blank and is outside of brackets."""
    pieces, before = [""], ""
    for node in parse(formula):
        if node.text in signs and before == " ":
            pieces.append("")
        pieces[-1] += node.source
        before = node.text
    return pieces


def _fill_lines(parts: list[str], width: int) -> list[str]:
    """Return the parts joined to pieces of at most ``width`` letters; a longer part is its own piece."""
    pieces = [parts[0]]
    for part in parts[1:]:
        if _count_letters((pieces[-1] + part).rstrip()) <= width:
            pieces[-1] += part
        else:
            pieces.append(part)
    return [piece.rstrip() for piece in pieces]


def _count_letters(text: str) -> int:
    return sum(not unicodedata.combining(letter) for letter in text)
