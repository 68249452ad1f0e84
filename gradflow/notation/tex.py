"""From a formula in Unicode to its LaTeX."""

import re
from typing import NamedTuple

from gradflow.notation import ACCENTS, BARS, CLOSING, NAMES, PRIME, SUBSCRIPTS, SUPERSCRIPTS, SYMBOLS
from gradflow.notation.formulas import broken

WIDE = 64  # letters of a formula on one line of a page
_NAME = re.compile("|".join(sorted(NAMES, key=len, reverse=True)))
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(?:e([+-]?)0*(\d+))?")
_WORD_MEETS_LETTER = re.compile(r"\\[a-zA-Z]+$")
_BLANKS = re.compile(r" {2,}")


def tex(formula: str) -> str:
    r"""Return the LaTeX of a formula: pure ASCII, for math mode with amsmath and amssymb.

    Raises
    ------
    ValueError
        For a letter that has no place in the notation, or a bracket without its partner.

    Examples
    --------
    >>> print(tex("∂hₜ/∂hₖ = ∏ᵢ₌ₖ₊₁ᵗ diag(σ′(zᵢ)) W"))
    \frac{\partial h_{t}}{\partial h_{k}} = \prod_{i=k+1}^{t} \operatorname{diag}(\sigma'(z_{i})) W
    """
    reader = _Reader(formula)
    found = reader.sequence("")
    if reader.place < len(formula):
        raise reader.error("a bracket has no partner")
    return found.strip()


def display(formula: str, width: int = WIDE) -> str:
    r"""Return the LaTeX of a formula that stands by itself, in lines of about ``width`` letters.

    Examples
    --------
    >>> print(display("a = (b + c) d + e", 14))
    \begin{aligned} & a = (b + c) d \\ & \quad + e \end{aligned}
    """
    first, *rest = map(tex, broken(formula, width))
    if not rest:
        return first
    lines = r" \\ & \quad ".join([first, *rest])
    return rf"\begin{{aligned}} & {lines} \end{{aligned}}"


class _Item(NamedTuple):
    """The LaTeX of one thing, and what it is inside of a bare pair of brackets."""

    tex: str
    inside: str


class _Reader:
    """Reads a formula from left to right."""

    def __init__(self, formula: str) -> None:
        self.formula, self.place = formula, 0

    def error(self, what: str) -> ValueError:
        return ValueError(f"{self.formula!r}, letter {self.place + 1}: {what}")

    @property
    def next(self) -> str:
        return self.formula[self.place : self.place + 1]

    def sequence(self, ends: str) -> str:
        """Return all that stands before one of ``ends``, or before a bracket that was never opened."""
        parts = []
        while self.next and self.next not in ends and self.next not in CLOSING:
            parts.append(self._term())
        return _joined(parts)

    def _term(self) -> str:
        if self.next == " ":
            self.place += 1
            return " "
        item = self._item()
        if self.next != "/":
            return item.tex
        self.place += 1
        return rf"\frac{{{item.inside}}}{{{self._item().inside}}}"

    def _item(self) -> _Item:
        if self.next == "∂" or self._differential():
            sign = r"\partial" if self.next == "∂" else r"\mathrm{d}"
            self.place += 1
            found = _joined([sign + self._scripts(), self._item().tex])
            return _Item(found, found)
        inside = None
        start = self.place
        if self.next == "(":
            inside = self._enclosed(")")
            base = _brackets(inside)
        elif self.next == "[":
            base = self._matrix()
        elif self.next in BARS:
            opening, closing = BARS[self.next]
            base = _joined([opening, self._enclosed(self.next), closing])
        else:
            base = self._atom()
        whole = base + self._scripts(counted=self.formula[start] in "Σ∏")
        return _Item(whole, inside if inside is not None and whole == base else whole)

    def _differential(self) -> bool:
        """Return whether a d that begins no name stands before a letter."""
        after = self.formula[self.place + 1 : self.place + 2]
        return self.next == "d" and after.isalpha() and not _NAME.match(self.formula, self.place)

    def _enclosed(self, closing: str) -> str:
        self.place += 1
        found = self.sequence(closing).strip()
        self._take(closing)
        return found

    def _take(self, letter: str) -> None:
        if self.next != letter:
            raise self.error(f"expected {letter}")
        self.place += 1

    def _matrix(self) -> str:
        rows: list[list[str]] = [[]]
        self.place += 1
        while True:
            rows[-1].append(self.sequence(",;]").strip())
            if self.next not in (",", ";"):
                break
            if self.next == ";":
                rows.append([])
            self.place += 1
        self._take("]")
        lines = r" \\ ".join(" & ".join(row) for row in rows)
        return rf"\begin{{pmatrix}} {lines} \end{{pmatrix}}"

    def _atom(self) -> str:
        if number := _NUMBER.match(self.formula, self.place):
            self.place = number.end()
            digits, sign, exponent = number.groups()
            if exponent is None:
                return digits
            factor = "" if digits == "1" else rf"{digits} \times "
            return rf"{factor}10^{{{sign.strip('+')}{exponent}}}"
        if name := _NAME.match(self.formula, self.place):
            self.place = name.end()
            return NAMES[name[0]]
        letter = self.next
        base = letter if letter.isascii() and letter.isalpha() else SYMBOLS.get(letter)
        if base is None:
            told = f"{letter!r} (U+{ord(letter):04X})" if letter else "the end"
            raise self.error(f"{told} is no part of the notation")
        self.place += 1
        while self.next in ACCENTS:
            base = f"{ACCENTS[self.next]}{{{base}}}"
            self.place += 1
        return base

    def _scripts(self, *, counted: bool = False) -> str:
        """Return what hangs on a letter; on a sum or product, that which is ``counted``, ᵀ is its last T."""
        primes, above, below = 0, "", ""
        while self.next:
            if self.next == PRIME:
                primes += 1
                self.place += 1
            elif self.next in SUPERSCRIPTS:
                above += self._run({**SUPERSCRIPTS, "ᵀ": "T"} if counted else SUPERSCRIPTS)
            elif self.next in SUBSCRIPTS:
                below += self._run(SUBSCRIPTS)
            elif self.next == "^":
                above += self._script()
            elif self.next == "_":
                below += self._script()
            else:
                break
        if primes and above:
            primes, above = 0, _joined([r"\prime"] * primes + [above])
        return "'" * primes + (f"_{{{below}}}" if below else "") + (f"^{{{above}}}" if above else "")

    def _run(self, letters: dict[str, str]) -> str:
        parts = []
        while self.next in letters:
            parts.append(letters[self.next])
            self.place += 1
        return _joined(parts)

    def _script(self) -> str:
        """Return what stands after _ or ^: a letter, or all between braces."""
        self.place += 1
        return self._enclosed("}") if self.next == "{" else self._atom()


def _brackets(inside: str) -> str:
    """Return round brackets, as tall as what is inside."""
    tall = any(word in inside for word in (r"\frac", r"\begin", r"\sum", r"\prod"))
    return _joined([r"\left(", inside, r"\right)"]) if tall else f"({inside})"


def _joined(parts: list[str]) -> str:
    """Return the parts as one, a blank where a control word meets a letter."""
    found = ""
    for part in parts:
        if part[:1].isalpha() and _WORD_MEETS_LETTER.search(found):
            found += " "
        found += part
    return _BLANKS.sub(" ", found)
