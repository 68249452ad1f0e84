"""The parser of formulas: from Unicode to a syntax tree, which `tex` writes and `evaluate` computes."""

import re
from dataclasses import dataclass
from functools import lru_cache

from gradflow.notation import (
    ACCENTS,
    BARS,
    CLOSING,
    LATEX_NAMES,
    LATEX_SYMBOLS,
    PRIME_SIGN,
    SUBSCRIPTS,
    SUPERSCRIPTS,
)

REPEATED_SIGNS = "Σ∏"
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_NAME = re.compile("|".join(sorted(LATEX_NAMES, key=len, reverse=True)))
_TOKEN = re.compile(r"\d+|.")
# Script letters as letters on the line: a minus, a cross, and ᵀ and ᴴ, which have no other form.
_LINE_LETTERS = {"-": "−", r"\times": "×", r"\top": "ᵀ", r"\mathsf{H}": "ᴴ"}


@dataclass(frozen=True)
class Node:
    """One element of a formula, with its scripts.

    Attributes
    ----------
    text : str
        A letter, number, name, sign or blank; the opening bracket or bar of an enclosure; ``/`` for a
        fraction; ``∂`` or ``d`` for a differential; ``,`` for one row of a matrix.
    parts : tuple of rows
        The enclosed row; numerator and denominator; the symbol of a differential; the rows of a matrix, each
        one node, and the entries of such a row.
    accents, primes, below, above
        Its scripts. A script after ``_`` or ``^`` is one node, ``{``, and not an index.
    source : str
        The node as it is written in the formula.
    under : str
        The scripts below it as they are written.
    stem : str
        The node as it is written, without the scripts above it.
    """

    text: str
    parts: tuple["Row", ...] = ()
    accents: str = ""
    primes: int = 0
    below: "Row" = ()
    above: "Row" = ()
    source: str = ""
    under: str = ""
    stem: str = ""

    @property
    def bare(self) -> bool:
        """Whether the node has no scripts."""
        return not (self.primes or self.below or self.above)


Row = tuple[Node, ...]


@lru_cache(maxsize=4096)
def parse(formula: str) -> Row:
    """Return the nodes of a formula, from left to right, with the blanks.

    Raises
    ------
    ValueError
        If a letter is not part of the notation, or if a bracket has no partner.

    Examples
    --------
    >>> [node.text for node in parse("∂h/∂x = (a + b) W")]
    ['/', ' ', '=', ' ', '(', ' ', 'W']
    """
    parser = _Parser(formula)
    row = parser.row("")
    if parser.place < len(formula):
        raise parser.error("a bracket has no partner")
    return row


class _Parser:
    """Reads a formula from left to right."""

    def __init__(self, formula: str) -> None:
        self.formula, self.place = formula, 0

    def error(self, what: str) -> ValueError:
        return ValueError(f"{self.formula!r}, letter {self.place + 1}: {what}")

    @property
    def next(self) -> str:
        return self.formula[self.place : self.place + 1]

    def row(self, ends: str) -> Row:
        """Return the nodes before one of ``ends``, or before a bracket that was never opened."""
        nodes = []
        while self.next and self.next not in ends and self.next not in CLOSING:
            nodes.append(self._term())
        return tuple(nodes)

    def _term(self) -> Node:
        start = self.place
        node = self._item()
        if self.next != "/":
            return node
        self.place += 1
        below = self._item()
        return Node("/", ((node,), (below,)), source=self.formula[start : self.place])

    def _item(self) -> Node:
        start, text, accents = self.place, self.next, ""
        parts: tuple[Row, ...] = ()
        if text == " ":
            self.place += 1
            return Node(" ", source=" ")
        if text == "∂" or self._is_differential():
            self.place += 1
            end = self.place
            primes, below, above, under = self._scripts(text)
            parts = ((self._item(),),)
        else:
            if text == "(" or text in BARS:
                parts = (self._read_enclosed(")" if text == "(" else text),)
            elif text == "[":
                parts = self._matrix()
            else:
                text, accents = self._letter()
            end = self.place
            primes, below, above, under = self._scripts(text)
        source, stem = self.formula[start : self.place], self.formula[start:end] + PRIME_SIGN * primes + under
        return Node(text, parts, accents, primes, below, above, source, under, stem)

    def _is_differential(self) -> bool:
        """Return whether a differential starts here: a d before a letter, but not the d of a name."""
        after = self.formula[self.place + 1 : self.place + 2]
        return self.next == "d" and after.isalpha() and not _NAME.match(self.formula, self.place)

    def _read_enclosed(self, closing: str) -> Row:
        self.place += 1
        row = self.row(closing)
        self._take(closing)
        return row

    def _take(self, letter: str) -> None:
        if self.next != letter:
            raise self.error(f"expected {letter}")
        self.place += 1

    def _matrix(self) -> tuple[Row, ...]:
        rows: list[list[Row]] = [[]]
        while not rows[-1] or self.next in (",", ";"):
            if rows[-1] and self.next == ";":
                rows.append([])
            self.place += 1
            rows[-1].append(self.row(",;]"))
        self._take("]")
        return tuple((Node(",", tuple(row)),) for row in rows)

    def _letter(self) -> tuple[str, str]:
        """Return a number, a name, or one letter of the notation, and the accents of the letter."""
        for pattern in (NUMBER, _NAME):
            if token := pattern.match(self.formula, self.place):
                self.place = token.end()
                return token[0], ""
        letter = self.next
        if not (letter.isascii() and letter.isalpha()) and letter not in LATEX_SYMBOLS:
            name = f"{letter!r} (U+{ord(letter):04X})" if letter else "the end"
            raise self.error(f"{name} is no part of the notation")
        self.place += 1
        start = self.place
        while self.next in ACCENTS:
            self.place += 1
        return letter, self.formula[start : self.place]

    def _scripts(self, text: str) -> tuple[int, Row, Row, str]:
        """Return the primes, the scripts below and above, and those below as they are written."""
        primes, under = 0, ""
        below: Row = ()
        above: Row = ()
        while self.next:
            start = self.place
            if self.next == PRIME_SIGN:
                primes += 1
                self.place += 1
            elif self.next in SUPERSCRIPTS:
                # above Σ and ∏, ᵀ is the upper bound T
                above += self._run(SUPERSCRIPTS, {"ᵀ": "T"} if text in REPEATED_SIGNS else {})
            elif self.next == "^":
                above += self._script()
            elif self.next in SUBSCRIPTS or self.next == "_":
                below += self._script() if self.next == "_" else self._run(SUBSCRIPTS, {})
                under += self.formula[start : self.place]
            else:
                break
        return primes, below, above, under

    def _run(self, letters: dict[str, str], renamed: dict[str, str]) -> Row:
        """Return a run of script letters as normal letters. Digits make one number."""
        run = ""
        while self.next in letters:
            letter = letters[self.next]
            letter = _LINE_LETTERS.get(letter, letter)
            run += renamed.get(letter, letter)
            self.place += 1
        return tuple(Node(token, source=token) for token in _TOKEN.findall(run))

    def _script(self) -> Row:
        """Return the script after _ or ^, a letter or all between braces, as one node."""
        self.place += 1
        if self.next == "{":
            return (Node("{", (self._read_enclosed("}"),)),)
        text, accents = self._letter()
        return (Node("{", ((Node(text, accents=accents, source=text + accents),),)),)
