"""The value of a formula: what stands in it, computed as a textbook reads it.

Products come before sums, juxtaposition before ⊙. A vector (n) is a column, and its transpose a row (1, n).
A product over i has its latest factor on the left. Indices are bound in the text: for k = 3, ``hₖ₋₁`` is the
symbol ``h₂``, and ``Wᵢⱼ`` for i = 1, j = 2 is ``W₁,₂``.
"""

import re
from collections.abc import Mapping
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gradflow.notation import ACCENTS, CLOSING, OPENING, PRIME, SUBSCRIPTS, SUPERSCRIPTS
from gradflow.notation.algebra import Array, added, after, diagonal, entrywise, fitting, multiplied, power

Symbols = Mapping[str, Any]  # arrays, and functions of one

SCRIPTS = {*SUBSCRIPTS, *SUPERSCRIPTS, *ACCENTS, PRIME, "_", "^", ","}  # what goes on with a letter
BELOW, ABOVE = ({sign: letter for letter, sign in signs.items()} for signs in (SUBSCRIPTS, SUPERSCRIPTS))
GOING_ON = SCRIPTS | {"/"}
DIGITS = "₀₁₂₃₄₅₆₇₈₉"
_BELOW = re.compile(f"[{''.join(SUBSCRIPTS)},]+")
_ABOVE = re.compile(f"[{''.join(set(SUPERSCRIPTS) - {'ᵀ', 'ᴴ', 'ˣ'})}]+")
_HANGING = re.compile(f"ᵀ|{_ABOVE.pattern}")
_BOUNDS = re.compile(f"([{''.join(SUBSCRIPTS)}])₌([{''.join(SUBSCRIPTS)}]+)([{''.join(SUPERSCRIPTS)}]+)")
_WHOLE = re.compile(r"(\d+)(?:([+-])(\d+))?")
_NUMERAL = re.compile(r"\d+(?:\.\d+)?(?:/[1-9]\d*(?![\d.]))?")


class _Unknown(Exception):  # noqa: N818 - no error: a formula may say more than numbers do
    """Something that no symbol stands for."""


def evaluate(formula: str, symbols: Symbols, at: Mapping[str, ArrayLike] | None = None) -> Array | None:
    """Return the value of one side of a formula, or None where something in it has no symbol.

    Parameters
    ----------
    formula : str
        Without a relation.
    symbols : mapping
        Arrays, or functions of one, by what is written for them: ``h₂``, ``σ′``, ``∂fₜ/∂Cₜ₋₁``, ``I``.
    at : mapping, optional
        What letters stand for, indices (whole numbers) or symbols; of an array each entry, and the value has
        its axes first.

    Raises
    ------
    ValueError
        For shapes that do not fit, whatever stands after them.

    Examples
    --------
    >>> symbols = {"W": np.array([[1.0, 2.0], [3.0, 4.0]]), "x₁": np.array([1.0, 0.5]), "c": np.ones(2)}
    >>> evaluate("W (c + x₁) ⊙ c", symbols)
    array([ 5., 12.])
    >>> evaluate("c − xₜ", symbols, {"t": 1})
    array([0. , 0.5])
    >>> evaluate("W y", symbols) is None
    True
    """
    places = {letter: np.asarray(values) for letter, values in (at or {}).items()}
    found = []
    try:
        for chosen in product(*(values.ravel() for values in places.values())):
            bound = dict(zip(places, chosen, strict=True))
            text = formula
            for letter, value in bound.items():
                text = _bound(text, letter, value) if isinstance(value, np.integer) else text
            found.append(_Reader(text, {**symbols, **bound}).whole())
    except _Unknown:
        return None
    stacked = np.stack(found)
    axes = tuple(size for values in places.values() for size in values.shape)
    return stacked.reshape((*axes, *stacked.shape[1:]))


def _bound(text: str, letter: str, value: Any) -> str:
    """Return a text with an index in its scripts replaced by a whole number."""

    def below(run: re.Match[str]) -> str:
        moved = re.compile(f"{BELOW[letter]}(?:([₊₋])([{DIGITS}]+))?")
        if not moved.search(run[0]):
            return run[0]

        def number(found: re.Match[str]) -> str:
            shift = int(_ascii(found[2] or "₀")) * (-1 if found[1] == "₋" else 1)
            return _lowered(int(value) + shift)

        pieces = moved.sub(lambda found: f",{number(found)},", run[0])
        pieces = re.sub(",+", ",", pieces).strip(",")
        return re.sub("(?<=₌),|,(?=₌)", "", pieces)

    if letter in BELOW:
        text = _BELOW.sub(below, text)
    if letter in ABOVE:
        text = text.replace(ABOVE[letter], "".join(ABOVE[digit] for digit in str(int(value))))
    return text


def _lowered(number: int) -> str:
    return "".join(BELOW[sign] for sign in str(number))


def _ascii(scripts: str) -> str:
    return "".join({**SUBSCRIPTS, **SUPERSCRIPTS, "ᵀ": "T"}[sign] for sign in scripts)


class _Reader:
    """Reads a formula from left to right, and computes."""

    def __init__(self, text: str, symbols: Symbols) -> None:
        self.text, self.symbols, self.place = text.strip(), symbols, 0
        self.longest = max(map(len, symbols), default=0)

    @property
    def next(self) -> str:
        return self.text[self.place : self.place + 1]

    def whole(self) -> Array:
        found = self._sum()
        if self.next:
            raise _Unknown(self.next)
        return found

    def _takes(self, sign: str) -> bool:
        """Return whether a sign stands next, blanks aside, and go past it."""
        while self.next == " ":
            self.place += 1
        if self.next != sign:
            return False
        self.place += 1
        return True

    def _sum(self) -> Array:
        found = -self._term() if self._takes("−") else self._term()
        while True:
            if self._takes("+"):
                found = added(found, self._term())
            elif self._takes("−"):
                found = added(found, -self._term())
            else:
                return found

    def _term(self) -> Array:
        found, sign = self._juxtaposed(), ""
        while True:
            before, sign = sign, "·" if self._takes("·") else "⊙" if self._takes("⊙") else ""
            if not sign:
                return found
            if before not in ("", sign):
                raise _Unknown("· and ⊙ in one term")
            found = (multiplied if sign == "·" else entrywise)(found, self._juxtaposed())

    def _juxtaposed(self) -> Array:
        found = self._scripted()
        while self._goes_on():
            found = multiplied(found, self._scripted())
        return found

    def _goes_on(self) -> bool:
        while self.next == " ":
            self.place += 1
        return bool(self.next) and self.next not in "+−·⊙," + CLOSING

    def _scripted(self) -> Array:
        """Return one thing with what hangs on it: ᵀ, a power, or the indices of an entry of brackets."""
        while self.next == " ":
            self.place += 1
        bracketed = self.next == "("
        found = self._one()
        if bracketed and (run := _BELOW.match(self.text, self.place)):
            self.place = run.end()
            found = _entry(found, run[0])
        while self.next == "ᵀ":
            self.place += 1
            found = found[None] if found.ndim == 1 else found.T
        if run := _ABOVE.match(self.text, self.place):
            self.place = run.end()
            found = power(found, self._whole_number(run[0]))
        if self.next in GOING_ON:
            raise _Unknown(self.next)
        return found

    def _one(self) -> Array:
        if self.next in ("Σ", "∏"):
            return self._repeated()
        if self._takes("("):
            return self._enclosed()
        if self.text.startswith("diag(", self.place):
            self.place += len("diag(")
            return diagonal(self._enclosed())
        if number := _NUMERAL.match(self.text, self.place):
            self.place = number.end()
            if "/" in number[0] and self.next in SCRIPTS:
                raise _Unknown("a power of a fraction, or of what is under it?")
            above, _, below = number[0].partition("/")
            return np.array(float(above) / float(below or 1))
        symbol = self.symbols[self._symbol()]
        if callable(symbol):
            return np.asarray(symbol(self._argument()))
        if self.next == "(":
            raise _Unknown("a value, or a function's name?")
        return np.asarray(symbol)

    def _symbol(self) -> str:
        """Return the longest symbol that stands next, none of which goes on in a script."""
        for end in range(min(self.place + self.longest, len(self.text)), self.place, -1):
            name, after = self.text[self.place : end], self.text[end : end + 1]
            if name in self.symbols and (after not in GOING_ON or _HANGING.match(self.text, end)):
                self.place = end
                return name
        raise _Unknown(self.text[self.place :])

    def _argument(self) -> Array:
        if self.next != "(":
            raise _Unknown("a function without an argument")
        self.place += 1
        return self._enclosed()

    def _enclosed(self) -> Array:
        found = self._sum()
        if not self._takes(")"):
            raise _Unknown(self.next)
        return found

    def _repeated(self) -> Array:
        """Return Σ or ∏ of all that follows in its term."""
        adds = self.next == "Σ"
        bounds = _BOUNDS.match(self.text, self.place + 1)
        if bounds is None:
            raise _Unknown(self.text[self.place :])
        index, first, last = _ascii(bounds[1]), *map(self._whole_number, bounds.groups()[1:])
        start = bounds.end()
        self.place = self._end_of_term(start)
        body = self.text[start : self.place]
        found = [_Reader(_bound(body, index, k), self.symbols).whole() for k in range(first, last + 1)]
        if found:
            return reduce(added, found) if adds else reduce(after, found)
        if adds or "I" not in self.symbols:
            raise _Unknown("nothing to add or multiply")
        return np.asarray(self.symbols["I"])

    def _end_of_term(self, start: int) -> int:
        depth = 0
        for place in range(start, len(self.text)):
            letter = self.text[place]
            depth += (letter in OPENING) - (letter in CLOSING)
            if depth < 0 or (not depth and letter in "+−,"):
                return place
        return len(self.text)

    def _whole_number(self, scripts: str) -> int:
        """Return the value of an index, a symbol's or a numeral's, more or less another numeral."""
        written = re.sub("[a-zA-Z]", lambda letter: self._index(letter[0]), _ascii(scripts))
        if not (number := _WHOLE.fullmatch(written)):
            raise _Unknown(scripts)
        first, sign, second = number.groups()
        return int(first) + int(f"{sign or '+'}{second or 0}")

    def _index(self, letter: str) -> str:
        value = np.asarray(self.symbols.get(letter, np.nan))
        if not np.issubdtype(value.dtype, np.integer):
            raise _Unknown(letter)
        return str(int(value))


def _entry(value: Array, scripts: str) -> Array:
    try:
        place = tuple(int(_ascii(one)) - 1 for one in scripts.split(","))
    except ValueError:
        raise _Unknown(scripts) from None
    fitting("an entry", len(place) == value.ndim, value)
    return np.asarray(value[place])
