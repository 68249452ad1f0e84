"""The parser of formulas: from Unicode to a syntax tree, which `tex` writes and `evaluate` computes."""

import re
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

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
_NAME = re.compile("|".join(sorted(LATEX_NAMES, key=len, reverse=True)))
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_TOKEN = re.compile(r"\d+|.")
_INDEX = re.compile(r"([a-zA-Z]|\d+)((?:[+−]\d+)*)")
# Script letters as letters on the line: a minus, a cross, and ᵀ and ᴴ, which have no other form.
_ON_THE_LINE = {"-": "−", r"\times": "×", r"\top": "ᵀ", r"\mathsf{H}": "ᴴ"}


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
    start, end : int
        Its place in the formula. Nodes that differ in this alone are equal.
    """

    text: str
    parts: tuple["Row", ...] = ()
    accents: str = ""
    primes: int = 0
    below: "Row" = ()
    above: "Row" = ()
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)

    @property
    def bare(self) -> bool:
        """Whether the node has no scripts."""
        return not (self.primes or self.below or self.above)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """The hash, stored because values are looked up by their node very often."""
        return hash((self.text, self.parts, self.accents, self.primes, self.below, self.above))


Row = tuple[Node, ...]
_PLACE = Node("?")  # in place of an index


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
        if self.next == " ":
            self.place += 1
            return Node(" ", start=start, end=self.place)
        node = self._item()
        if self.next != "/":
            return node
        self.place += 1
        below = self._item()
        return Node("/", ((node,), (below,)), start=start, end=self.place)

    def _item(self) -> Node:
        start, text = self.place, self.next
        parts: tuple[Row, ...] = ()
        accents = ""
        if text == "∂" or self._is_differential():
            self.place += 1
            primes, below, above = self._scripts(text)
            return Node(text, ((self._item(),),), "", primes, below, above, start, self.place)
        if text == "(" or text in BARS:
            parts = (self._read_enclosed(")" if text == "(" else text),)
        elif text == "[":
            parts = self._matrix()
        else:
            text, accents = self._letter()
        primes, below, above = self._scripts(text)
        return Node(text, parts, accents, primes, below, above, start, self.place)

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
        for pattern in (_NUMBER, _NAME):
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

    def _scripts(self, text: str) -> tuple[int, Row, Row]:
        """Return the primes, and the scripts below and above; above Σ and ∏, ᵀ is the upper bound T."""
        primes = 0
        below: Row = ()
        above: Row = ()
        while self.next:
            if self.next == PRIME_SIGN:
                primes += 1
                self.place += 1
            elif self.next in SUPERSCRIPTS:
                above += self._run(SUPERSCRIPTS, {"ᵀ": "T"} if text in REPEATED_SIGNS else {})
            elif self.next in SUBSCRIPTS:
                below += self._run(SUBSCRIPTS, {})
            elif self.next == "^":
                above += self._script()
            elif self.next == "_":
                below += self._script()
            else:
                break
        return primes, below, above

    def _run(self, letters: dict[str, str], renamed: dict[str, str]) -> Row:
        """Return a run of script letters as normal letters. Digits make one number."""
        run = ""
        while self.next in letters:
            letter = letters[self.next]
            letter = _ON_THE_LINE.get(letter, letter)
            run += renamed.get(letter, letter)
            self.place += 1
        return tuple(Node(token) for token in _TOKEN.findall(run))

    def _script(self) -> Row:
        """Return the script after _ or ^, a letter or all between braces, as one node."""
        self.place += 1
        if self.next == "{":
            return (Node("{", (self._read_enclosed("}"),)),)
        text, accents = self._letter()
        return (Node("{", ((Node(text, accents=accents),),)),)


@lru_cache(maxsize=4096)
def split_indices(node: Node) -> tuple[Node, tuple[tuple[str, int], ...]]:
    """Return a node with a mark in place of every index, and the indices: a letter or "", and a number."""
    indices: list[tuple[str, int]] = []

    def rewrite_row(row: Row) -> Row:
        return tuple(mark_indices(part) for part in row)

    def mark_indices(part: Node) -> Node:
        parts = tuple(rewrite_row(row) for row in part.parts)
        written = _indices(part.below)
        indices.extend(written)
        return replace(part, parts=parts, below=(_PLACE,) * len(written) or part.below)

    return mark_indices(node), tuple(indices)


def _indices(below: Row) -> list[tuple[str, int]]:
    """Return the indices below a letter: an empty list if the script is a word, or anything else."""
    text = "".join(node.text for node in below)
    if not text or "".join(index[0] for index in _INDEX.finditer(text)) != text:
        return []
    return [
        ("", _total(letter + shift)) if letter.isdigit() else (letter, _total(shift or "0"))
        for letter, shift in _INDEX.findall(text)
    ]


def _total(digits: str) -> int:
    """Return a sum of whole numbers, such as 10 or 2−1."""
    return sum(int(number) for number in re.findall(r"[+-]?\d+", digits.replace("−", "-")))


@lru_cache(maxsize=4096)
def drop_places(node: Node) -> Node:
    """Return a node without the marks of its indices, and without brackets that had only those marks."""
    parts = tuple(tuple(drop_places(part) for part in row) for row in node.parts)
    kept = tuple(part for part in node.below if part != _PLACE)
    if node.text == "(" and node.below and not kept and len(parts[0]) == 1:
        return parts[0][0]
    return replace(node, parts=parts, below=kept)
