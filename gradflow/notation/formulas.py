"""What is seen of a formula without reading it: its sides, its pieces, and the text around it."""

import unicodedata

from gradflow.notation import MARK, PRODUCTS, RELATIONS, SUMS
from gradflow.notation.syntax import parse


def plain(text: str) -> str:
    """Return a text without the marks of its formulas.

    Examples
    --------
    >>> plain("by $σ′ = σ(1 − σ)$ and (a)")
    'by σ′ = σ(1 − σ) and (a)'
    """
    return text.replace(MARK, "")


def spans(text: str) -> list[tuple[str, bool]]:
    """Return a text piece by piece, each with whether it is a formula.

    Examples
    --------
    >>> spans("by $σ′$ alone")
    [('by ', False), ('σ′', True), (' alone', False)]
    """
    pieces = text.split(MARK)
    if len(pieces) % 2 == 0:
        raise ValueError(f"{text!r}: a {MARK} has no partner")
    return [(piece, bool(place % 2)) for place, piece in enumerate(pieces) if piece]


def relation(formula: str) -> str:
    """Return the sign that stands between the two sides of a formula, one of `RELATIONS`.

    Examples
    --------
    >>> relation("Σₜ₌₁ᵀ aₜ ≤ ‖b‖")
    '≤'
    """
    found = [sign for _, sign in _outside(formula) if sign in RELATIONS]
    if len(found) != 1:
        raise ValueError(f"{formula!r}: expected one of {' '.join(RELATIONS)} outside of brackets")
    return found[0]


def halves(formula: str) -> tuple[str, str]:
    """Return what stands on either side of the relation of a formula.

    Examples
    --------
    >>> halves("Mᵏ⁺¹ = MᵏM")
    ('Mᵏ⁺¹', 'MᵏM')
    """
    sign = relation(formula)
    place = next(place for place, letter in _outside(formula) if letter == sign)
    return formula[:place].strip(), formula[place + 1 :].strip()


def broken(formula: str, width: int) -> list[str]:
    """Return a formula in pieces of ``width`` letters, where breaks before relations and operators allow it.

    It is broken before a product only where a term is too long by itself. No bracket is broken, so each piece
    is a formula of its own.

    Examples
    --------
    >>> broken("a = (b + c) d + e · f", 14)
    ['a = (b + c) d', '+ e · f']
    """
    pieces = _filled(_before(formula, RELATIONS + SUMS), width)
    return [part for piece in pieces for part in _filled(_before(piece, RELATIONS + SUMS + PRODUCTS), width)]


def _before(formula: str, signs: str) -> list[str]:
    """Return a formula cut before each of ``signs`` that stands outside of brackets, after a blank."""
    places = [place for place, sign in _outside(formula) if sign in signs and formula[:place].endswith(" ")]
    return [formula[start:end] for start, end in zip([0, *places], [*places, None], strict=True)]


def _filled(parts: list[str], width: int) -> list[str]:
    """Return parts joined to pieces of at most ``width`` letters, as far as each part lets them."""
    pieces = [parts[0]]
    for part in parts[1:]:
        if _letters((pieces[-1] + part).rstrip()) <= width:
            pieces[-1] += part
        else:
            pieces.append(part)
    return [piece.rstrip() for piece in pieces]


def _letters(text: str) -> int:
    return sum(not unicodedata.combining(letter) for letter in text)


def _outside(formula: str) -> list[tuple[int, str]]:
    """Return the place and the letter of all that stands outside of brackets, bars and fractions."""
    return [(node.start, node.text) for node in parse(formula) if not node.parts]
