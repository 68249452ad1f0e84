"""From a formula in Unicode to its LaTeX."""

import re
from collections.abc import Iterable

from gradflow.notation import ACCENTS, BARS, LATEX_NAMES, LATEX_SYMBOLS, SUPERSCRIPTS
from gradflow.notation.formulas import break_formula
from gradflow.notation.syntax import Node, Row, parse

MAX_LINE_LETTERS = 64  # letters of a formula on one line of a page
_POWER_OF_TEN = re.compile(r"([\d.]+)e([+-]?)0*(\d+)")
_WORD_MEETS_LETTER = re.compile(r"\\[a-zA-Z]+$")
_BLANKS = re.compile(r" {2,}")


def tex(formula: str) -> str:
    r"""Return the LaTeX of a formula: pure ASCII, for math mode with amsmath and amssymb.

    Raises
    ------
    ValueError
        If a letter is not part of the notation, or if a bracket has no partner.

    Examples
    --------
    >>> print(tex("∂hₜ/∂hₖ = ∏ᵢ₌ₖ₊₁ᵗ diag(σ′(zᵢ)) W"))
    \frac{\partial h_{t}}{\partial h_{k}} = \prod_{i=k+1}^{t} \operatorname{diag}(\sigma'(z_{i})) W
    """
    return _row(parse(formula))


def display(formula: str, width: int = MAX_LINE_LETTERS) -> str:
    r"""Return the LaTeX of a displayed formula, in lines of about ``width`` letters.

    Examples
    --------
    >>> print(display("a = (b + c) d + e", 14))
    \begin{aligned} & a = (b + c) d \\ & \quad + e \end{aligned}
    """
    first, *rest = map(tex, break_formula(formula, width))
    if not rest:
        return first
    lines = r" \\ & \quad ".join([first, *rest])
    return rf"\begin{{aligned}} & {lines} \end{{aligned}}"


def _row(row: Row) -> str:
    return _join_parts(map(_node, row)).strip()


def _node(node: Node) -> str:
    """Return the LaTeX of a node with its scripts."""
    if node.text == "/":
        above, below = (_inside(part) for (part,) in node.parts)
        return rf"\frac{{{above}}}{{{below}}}"
    scripts = _scripts(node)
    if node.text in ("∂", "d") and node.parts:
        sign = r"\partial" if node.text == "∂" else r"\mathrm{d}"
        return _join_parts([sign + scripts, _row(node.parts[0])])
    return _base(node) + scripts


def _inside(node: Node) -> str:
    """Return the LaTeX of a part of a fraction, without its outer brackets."""
    return _row(node.parts[0]) if node.text == "(" and node.bare else _node(node)


def _base(node: Node) -> str:
    text = node.text
    if text == "(":
        return _brackets(_row(node.parts[0]))
    if text == "{":
        return _row(node.parts[0])
    if text == "[":
        lines = r" \\ ".join(" & ".join(map(_row, line.parts)) for (line,) in node.parts)
        return rf"\begin{{pmatrix}} {lines} \end{{pmatrix}}"
    if text in BARS:
        opening, closing = BARS[text]
        return _join_parts([opening, _row(node.parts[0]), closing])
    if number := _POWER_OF_TEN.fullmatch(text):
        digits, sign, exponent = number.groups()
        factor = "" if digits == "1" else rf"{digits} \times "
        return rf"{factor}10^{{{sign.strip('+')}{exponent}}}"
    base = {**LATEX_NAMES, **LATEX_SYMBOLS}.get(text) or SUPERSCRIPTS.get(text, text)
    for accent in node.accents:
        base = f"{ACCENTS[accent]}{{{base}}}"
    return base


def _scripts(node: Node) -> str:
    primes, below, above = node.primes, _row(node.below), _row(node.above)
    if primes and above:
        primes, above = 0, _join_parts([r"\prime"] * primes + [above])
    return "'" * primes + (f"_{{{below}}}" if below else "") + (f"^{{{above}}}" if above else "")


def _brackets(inside: str) -> str:
    """Return round brackets that are as tall as their content."""
    tall = any(word in inside for word in (r"\frac", r"\begin", r"\sum", r"\prod"))
    return _join_parts([r"\left(", inside, r"\right)"]) if tall else f"({inside})"


def _join_parts(parts: Iterable[str]) -> str:
    """Return the parts joined, with a blank between a control word and a letter."""
    joined = ""
    for part in parts:
        if part[:1].isalpha() and _WORD_MEETS_LETTER.search(joined):
            joined += " "
        joined += part
    return _BLANKS.sub(" ", joined)
