"""The value of a formula, computed as a textbook reads it.

Products come before sums, and juxtaposition before ⊙. A vector (n) is a column, and its transpose a row
(1, n). A product over i has its latest factor on the left. Σ and ∏ extend to the end of their term. |·| of an
array is taken entry by entry, and ‖·‖ of a matrix is its largest singular value.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradflow.notation import BARS, SUBSCRIPTS
from gradflow.notation.syntax import NUMBER, REPEATED_SIGNS, Node, Row, parse

Array = NDArray[Any]
Symbols = Mapping[str, Any]
Indices = tuple[tuple[str, int], ...]  # as written: a letter or "", and a number to add

_PLACE = "□"  # in place of an index
_DIGITS, _LETTERS = ("".join(filter(str.isnumeric, SUBSCRIPTS)), "".join(filter(str.isalpha, SUBSCRIPTS)))
_INDEX = re.compile(f"(?:[{_LETTERS}]|[{_DIGITS}]+)(?:[₊₋][{_DIGITS}]+)*")
_LINE_DIGITS = str.maketrans(SUBSCRIPTS)


@dataclass(frozen=True)
class Each:
    """Several values of a letter. The formula is evaluated for each of them."""

    values: ArrayLike


def evaluate(formula: str, symbols: Symbols) -> Array:
    """Return the value of one side of a formula.

    Parameters
    ----------
    formula : str
        Without a relation.
    symbols : mapping
        Maps symbols to values: arrays (``W``, whose entries are then ``Wᵢⱼ``, counted from
        1), functions of one array (``σ′``), whole numbers (``T``), or families by index: ``hₜ`` is a mapping
        from t or a function of t, and ``∂hₜ/∂hₖ`` one of (t, k), whatever the letters are. A function raises
        LookupError if the family has no such member. If letters have `Each` as value, the first axes of the
        result are those of their values.

    Raises
    ------
    ValueError
        If a symbol has no value, or if shapes do not fit.

    Examples
    --------
    >>> symbols = {"W": np.array([[1.0, 2.0], [3.0, 4.0]]), "xₜ": {1: np.array([1.0, 0.5])}, "c": np.ones(2)}
    >>> evaluate("W (c + x₁) ⊙ c", symbols)
    array([ 5., 12.])
    >>> evaluate("Wᵢⱼ/2", {**symbols, "i": 2, "j": Each([1, 2])})
    array([1.5, 2. ])
    >>> evaluate("W y", symbols)
    Traceback (most recent call last):
    ValueError: no symbol for 'y'
    """
    each = {name: np.asarray(value.values) for name, value in symbols.items() if isinstance(value, Each)}
    row = parse(formula)
    visitor = _Evaluator(formula, {name: value for name, value in symbols.items() if name not in each})
    stacked = np.stack(
        [
            visitor.bind(dict(zip(each, chosen, strict=True))).sum(row)
            for chosen in product(*(values.ravel() for values in each.values()))
        ]
    )
    axes = tuple(size for values in each.values() for size in values.shape)
    return stacked.reshape((*axes, *stacked.shape[1:]))


@lru_cache(maxsize=4096)
def _split_indices(written: str) -> tuple[str, Indices]:
    """Return a symbol with a mark in place of every index, and the indices: a letter or "", and a number."""
    plain = [index.translate(_LINE_DIGITS) for index in _INDEX.findall(written)]
    numbers = [sum(map(int, re.findall(r"[+-]?\d+", index))) for index in plain]
    letters = [index[0] if index[0].isalpha() else "" for index in plain]
    return _INDEX.sub(_PLACE, written), tuple(zip(letters, numbers, strict=True))


def _split_row(row: Iterable[Node], signs: str) -> list[tuple[str, list[Node]]]:
    """Return the pieces of a row between signs, each with the sign before it."""
    pieces: list[tuple[str, list[Node]]] = [("", [])]
    for node in row:
        if node.text in signs and node.bare:
            pieces.append((node.text, []))
        else:
            pieces[-1][1].append(node)
    return pieces


class _Evaluator:
    """Computes the value of a syntax tree for given symbols."""

    def __init__(self, formula: str, symbols: Symbols) -> None:
        self.formula = formula
        self.functions: dict[str, Callable[..., Any]] = {}  # of indices
        # members of a family by their indices; a symbol without indices is a member with the indices ()
        self.members: dict[str, dict[Any, Any]] = {
            name: {(): value} for name, value in symbols.items() if len(name) == 1
        }
        for name, value in symbols.items():
            bare, indices = _split_indices(name)
            if indices and callable(value):
                self.functions[bare] = value
            else:
                family = value if isinstance(value, Mapping) else {self.key(indices): value}
                self.members[bare] = {**self.members.get(bare, {}), **family}

    def bind(self, letters: Symbols) -> "_Evaluator":
        """Return a copy with values for more letters."""
        visitor = copy(self)
        visitor.members = self.members | {letter: {(): value} for letter, value in letters.items()}
        return visitor

    def symbol(self, name: str) -> Any:
        """Return the value of a symbol without indices, or None."""
        return self.members.get(name, {}).get(())

    def indices(self, written: Indices) -> tuple[int | tuple[str, int], ...]:
        """Return indices as numbers, or as they are written if their letters have no value."""
        return tuple(
            shift + int(self.symbol(letter) if letter else 0)
            if not letter or _is_whole_number(self.symbol(letter))
            else (letter, shift)
            for letter, shift in written
        )

    def key(self, written: Indices) -> Any:
        """Return the key of a member of a family: one index, or a tuple of them."""
        chosen = self.indices(written)
        return chosen[0] if len(chosen) == 1 else chosen

    def look_up(self, node: Node, written: str) -> Any:
        """Return the value of a symbol, or of an entry of one, given as written; None for anything else."""
        bare, indices = _split_indices(written)
        family, key = self.members.get(bare, {}), self.key(indices)
        if key in family:
            return family[key]
        chosen = [index for index in self.indices(indices) if isinstance(index, int)]
        if not indices or len(chosen) < len(indices):
            return None
        if bare in self.functions and min(chosen) >= 0:
            try:
                return self.functions[bare](*chosen)
            except LookupError:
                return None
        whole = self.symbol(bare.replace(_PLACE, ""))
        return None if whole is None or callable(whole) else self.entry(node, np.asarray(whole), indices)

    def entry(self, node: Node, value: Array, written: Indices) -> Array:
        """Return an entry of an array, counted from 1."""
        chosen = self.indices(written)
        if len(chosen) != value.ndim:
            raise _error(node, f"{len(chosen)} indices for an array of shape {value.shape}:")
        places = tuple(k - 1 for k in chosen if isinstance(k, int))
        if len(places) < len(chosen) or not all(0 <= k < n for k, n in zip(places, value.shape, strict=True)):
            raise _error(node, f"no such entry in an array of shape {value.shape}:")
        return np.asarray(value[places])

    def sum(self, row: Row) -> Array:
        """Return the value of a row: terms with + or − between them."""
        pieces = _split_row(row, "+−")
        if len(pieces) > 1 and pieces[1][0] == "−" and all(node.text == " " for node in pieces[0][1]):
            del pieces[0]
        terms = [-self.term(nodes) if sign == "−" else self.term(nodes) for sign, nodes in pieces]
        return reduce(_add, terms)

    def term(self, nodes: list[Node]) -> Array:
        """Return the value of factors with · or ⊙ between them."""
        last = next((k for k, node in enumerate(nodes) if node.text in REPEATED_SIGNS), len(nodes))
        pieces = _split_row(nodes[:last], "·⊙")
        pieces[-1][1].extend(nodes[last:])
        signs = {sign for sign, _ in pieces[1:]}
        if len(signs) > 1:
            raise ValueError(f"· and ⊙ in one term of {self.formula!r}: expected brackets")
        multiply = _multiply_entries if "⊙" in signs else _multiply_matrices
        return reduce(multiply, [self.factor(piece) for _, piece in pieces])

    def factor(self, nodes: list[Node]) -> Array:
        """Return the value of nodes that are written side by side."""
        values = []
        k = 0
        while k < len(nodes):
            node, after = nodes[k], nodes[k + 1 : k + 2]
            k += 1
            if node.text == " ":
                continue
            if node.text in REPEATED_SIGNS:
                values.append(self.repeat(node, tuple(nodes[k:])))
                break
            function = _make_diagonal if node.text == "diag" else self.look_up(node, node.source)
            enclosed = bool(after) and after[0].text == "("
            if callable(function):
                if node.text in ("min", "max") and not enclosed:
                    values.append(np.asarray(function(self.factor(nodes[k:]))))
                    break
                if not enclosed:
                    raise _error(node, "no argument in brackets after")
                argument = self.sum(after[0].parts[0])
                values.append(self.apply_scripts(after[0], np.asarray(function(argument))))
                k += 1
            elif enclosed and not node.parts and not NUMBER.fullmatch(node.text):
                raise _error(node, "a value, or a function's name? Expected a blank after")
            else:
                values.append(self.value(node) if function is None else np.asarray(function))
        if not values:
            raise ValueError(f"a side, a term or a factor of {self.formula!r} is empty")
        return reduce(_multiply_matrices, values)

    def value(self, node: Node) -> Array:
        """Return the value of one node that is not a symbol as a whole."""
        base = self.look_up(node, node.stem) if node.above else None
        if base is not None and not callable(base):
            return self.raise_power(node, np.asarray(base))
        inside = node.parts[0] if node.parts else ()
        if node.text == "{":
            return self.sum(inside)
        if node.text == "/":
            if any(part.parts and part.text in "∂d" for (part,) in node.parts):
                raise _error(node, "no symbol for")
            above, below = (self.factor([part]) for (part,) in node.parts)
            if below.ndim or not below:
                raise _error(node, "a fraction needs a number other than 0 under it:")
            return np.asarray(above / below)
        if node.text == "(":
            value = self.sum(inside)
        elif node.text == "[":
            value = self.matrix(node)
        elif node.text in BARS:
            value = _measure(node.text, self.sum(inside))
        elif NUMBER.fullmatch(node.text):
            value = np.array(float(node.text))
        else:
            raise _error(node, "no symbol for")
        return self.apply_scripts(node, value)

    def apply_scripts(self, node: Node, value: Array) -> Array:
        """Return an entry, the transpose, or a power of a value, as given by the scripts of a node."""
        if node.below:
            value = self.entry(node, value, _split_indices(node.under)[1])
        return self.raise_power(node, value)

    def raise_power(self, node: Node, value: Array) -> Array:
        """Return the transpose or a power of a value, if there is a script above the node.

        Powers are those of a number or of a square matrix. An inverse is a symbol of its own.
        """
        if not node.above:
            return value
        if node.above[0].text == "ᵀ" and len(node.above) == 1:
            return value[None] if value.ndim == 1 else value.T
        exponent = self.sum(node.above)
        if not value.ndim and not exponent.ndim:
            return np.asarray(value**exponent)
        whole = not exponent.ndim and float(exponent.real).is_integer() and exponent >= 0
        if not whole or value.ndim != 2 or value.shape[0] != value.shape[1]:
            raise _error(node, f"no power of an array of shape {value.shape}:")
        return np.linalg.matrix_power(value, int(exponent))

    def matrix(self, node: Node) -> Array:
        """Return a matrix of numbers or blocks; one column of numbers or vectors is a vector."""
        rows = [[self.sum(entry) for entry in line.parts] for (line,) in node.parts]
        if len({len(row) for row in rows}) > 1:
            raise _error(node, "rows of different lengths in")
        blocks = [[entry.reshape(len(entry) if entry.ndim else 1, -1) for entry in row] for row in rows]
        stacked: Array = np.block(blocks)
        is_vector = len(rows[0]) == 1 < len(stacked) and all(row[0].ndim < 2 for row in rows)
        return stacked[:, 0] if is_vector else stacked

    def repeat(self, node: Node, body: Row) -> Array:
        """Return Σ or ∏ of the rest of its term; an index without bounds takes all values of its symbol."""
        letter = node.below[0].text if node.below else ""
        if len(node.below) > 2 and node.below[1].text == "=":
            first, last = (self.sum(bound) for bound in (node.below[2:], node.above))
            if not all(bound.ndim == 0 and float(bound).is_integer() for bound in (first, last)):
                raise _error(node, "expected whole numbers as bounds of")
            indices = range(int(first), int(last) + 1)
        elif len(node.below) == 1 and not node.above and isinstance(self.symbol(letter), range):
            indices = self.symbol(letter)
        else:
            raise _error(node, "expected an index with its bounds, or with a range of values, for")
        values = [self.bind({letter: k}).sum(body) for k in indices]
        if values:
            return reduce(_add if node.text == "Σ" else _multiply_before, values)
        unit = self.symbol("I")
        if node.text == "Σ" or unit is None:
            raise _error(node, "nothing to add or multiply in")
        # the unit has the kind of a factor: a vector of ones for vectors, I for matrices
        factor = self.bind({letter: indices.stop - 1}).sum(body)
        return np.ones_like(factor) if factor.ndim == 1 else np.asarray(unit)


def _error(node: Node, what: str) -> ValueError:
    return ValueError(f"{what} {node.source!r}")


def _is_whole_number(value: Any) -> bool:
    return np.ndim(value) == 0 and np.issubdtype(np.asarray(value).dtype, np.integer)


# Sums and products of arrays; each raises a ValueError for shapes that do not fit.


def _check_shapes(what: str, fits: bool, *values: Array) -> None:
    if not fits:
        raise ValueError(f"{what} of shapes {' and '.join(str(value.shape) for value in values)}")


def _add(a: Array, b: Array) -> Array:
    """Return a sum; a number is added to each entry of a vector, as in 1 − z."""
    _check_shapes("a sum", a.shape == b.shape or {a.ndim, b.ndim} == {0, 1}, a, b)
    return np.asarray(a + b)


def _multiply_entries(a: Array, b: Array) -> Array:
    _check_shapes("a product ⊙", a.shape == b.shape, a, b)
    return np.asarray(a * b)


def _multiply_matrices(a: Array, b: Array) -> Array:
    """Return the product over the last axis of one array and the first axis of the other."""
    if not a.ndim or not b.ndim:
        return np.asarray(a * b)
    if a.ndim == 1:
        _check_shapes("a product", b.ndim == 2 and len(b) == 1, a, b)
        return np.outer(a, b)
    _check_shapes("a product", a.shape[-1] == len(b), a, b)
    return np.asarray(np.tensordot(a, b, axes=1))


def _multiply_before(earlier: Array, later: Array) -> Array:
    """Return a product of ∏ with the later factor on the left; vectors are multiplied entry by entry."""
    both_vectors = later.ndim == earlier.ndim == 1
    return _multiply_entries(later, earlier) if both_vectors else _multiply_matrices(later, earlier)


def _make_diagonal(value: Array) -> Array:
    _check_shapes("diag", value.ndim == 1, value)
    return np.diag(value)


def _measure(bars: str, value: Array) -> Array:
    """Return |·| entry by entry, or the norm ‖·‖ of a matrix, a vector or a number."""
    return np.asarray(np.abs(value) if bars == "|" or not value.ndim else np.linalg.norm(value, 2))
