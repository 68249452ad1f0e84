"""The value of a formula, computed as a textbook reads it.

Products come before sums, and juxtaposition before ⊙. A vector (n) is a column, and its transpose a row
(1, n). A product over i has its latest factor on the left. Σ and ∏ extend to the end of their term. |·| of an
array is taken entry by entry, and ‖·‖ of a matrix is its largest singular value.
"""

import re
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gradflow.notation import BARS
from gradflow.notation.algebra import (
    Array,
    add,
    make_diagonal,
    measure,
    multiply_before,
    multiply_entries,
    multiply_matrices,
)
from gradflow.notation.syntax import REPEATED_SIGNS, Node, Row, drop_places, parse, split_indices

Symbols = Mapping[str, Any]
Index = int | tuple[str, int]  # a number, or a letter without a value, plus a number

_NUMERAL = re.compile(r"\d[\d.]*(?:e[+-]?\d+)?")


def evaluate(formula: str, symbols: Symbols, at: Mapping[str, ArrayLike] | None = None) -> Array:
    """Return the value of one side of a formula.

    Parameters
    ----------
    formula : str
        Without a relation.
    symbols : mapping
        Values by the symbols that stand for them: arrays (``W``, whose entries are then ``Wᵢⱼ``, counted from
        1), functions of one array (``σ′``), whole numbers (``T``), or families by index. ``hₜ`` is a mapping
        from t, and ``∂hₜ/∂hₖ`` one from (t, k), whatever the letters are.
    at : mapping, optional
        Values of letters: indices (whole numbers) or symbols. If such a value is an array, the formula is
        evaluated for each of its entries, and the result has the axes of the array first.

    Raises
    ------
    ValueError
        If no symbol stands for something, or if shapes do not fit.

    Examples
    --------
    >>> symbols = {"W": np.array([[1.0, 2.0], [3.0, 4.0]]), "xₜ": {1: np.array([1.0, 0.5])}, "c": np.ones(2)}
    >>> evaluate("W (c + x₁) ⊙ c", symbols)
    array([ 5., 12.])
    >>> evaluate("Wᵢⱼ/2", symbols, {"i": 2, "j": [1, 2]})
    array([1.5, 2. ])
    >>> evaluate("W y", symbols)
    Traceback (most recent call last):
    ValueError: no symbol for 'y'
    """
    places = {letter: np.asarray(values) for letter, values in (at or {}).items()}
    visitor, row = _Values(formula, symbols), parse(formula)
    values = [
        visitor.bind(dict(zip(places, chosen, strict=True))).sum(row)
        for chosen in product(*(values.ravel() for values in places.values()))
    ]
    stacked = np.stack(values)
    axes = tuple(size for letters in places.values() for size in letters.shape)
    return stacked.reshape((*axes, *stacked.shape[1:]))


class _Values:
    """Computes the value of a syntax tree for given indices and symbols."""

    def __init__(self, formula: str, symbols: Symbols) -> None:
        self.formula = formula
        self.letters = {name: int(value) for name, value in symbols.items() if _is_whole_number(value)}
        self.local: dict[str, Any] = {}
        self.table: dict[Node, Mapping[Any, Any]] = {}
        for name, value in symbols.items():
            (node,) = parse(name)
            bare, indices = split_indices(node)
            family = value if isinstance(value, Mapping) else {self.key(indices): value}
            self.table[bare] = {**self.table[bare], **family} if bare in self.table else family

    def bind(self, letters: Mapping[str, Any]) -> "_Values":
        """Return the same object with values for more letters, indices or numbers."""
        visitor = copy(self)
        visitor.letters = self.letters | {
            name: int(value) for name, value in letters.items() if _is_whole_number(value)
        }
        visitor.local = {**self.local, **letters}
        return visitor

    def symbol(self, letter: str) -> Any:
        """Return the value of a letter without scripts, or None."""
        return self.local[letter] if letter in self.local else self.table.get(Node(letter), {}).get(())

    def key(self, indices: Sequence[tuple[str, int]]) -> Any:
        """Return the key of a member of a family: one index, or a tuple of them."""
        chosen = tuple(map(self.index, indices))
        return chosen[0] if len(chosen) == 1 else chosen

    def index(self, written: tuple[str, int]) -> Index:
        """Return an index as a number, or as it is written if its letter has no value."""
        letter, shift = written
        if not letter:
            return shift
        return self.letters[letter] + shift if letter in self.letters else written

    def error(self, node: Node, what: str) -> ValueError:
        """Return the error ``what`` with the text of the node."""
        return ValueError(f"{what} {self.formula[node.start : node.end] or node.text!r}")

    def look_up(self, node: Node) -> Any:
        """Return the value of a whole node if it is a symbol or an entry of one, else None."""
        if node.text in self.local and node.bare and not node.parts:
            return self.local[node.text]
        bare, indices = split_indices(node)
        family, key = self.table.get(bare, {}), self.key(indices)
        if key in family:
            return family[key]
        chosen = tuple(map(self.index, indices))
        if not chosen or not all(isinstance(index, int) for index in chosen):
            return None
        whole = self.table.get(drop_places(bare), {}).get(())
        return None if whole is None or callable(whole) else self.entry(node, np.asarray(whole), chosen)

    def entry(self, node: Node, value: Array, indices: tuple[Index, ...]) -> Array:
        """Return an entry of an array, counted from 1."""
        if len(indices) != value.ndim:
            raise self.error(node, f"{len(indices)} indices for an array of shape {value.shape}:")
        if not all(
            isinstance(k, int) and 1 <= k <= size for k, size in zip(indices, value.shape, strict=True)
        ):
            raise self.error(node, f"no such entry in an array of shape {value.shape}:")
        return np.asarray(value[tuple(k - 1 for k in indices if isinstance(k, int))])

    def sum(self, row: Row) -> Array:
        """Return the value of a row: terms with + or − between them."""
        terms: list[tuple[str, list[Node]]] = [("+", [])]
        for node in row:
            if node.text in ("+", "−") and node.bare:
                terms.append((node.text, []))
            else:
                terms[-1][1].append(node)
        if len(terms) > 1 and not any(node.text != " " for node in terms[0][1]):
            terms = terms[1:] if terms[1][0] == "−" else terms
        values = [self.term(nodes) if sign == "+" else -self.term(nodes) for sign, nodes in terms]
        return reduce(add, values)

    def term(self, nodes: list[Node]) -> Array:
        """Return the value of factors with · or ⊙ between them."""
        factors: list[list[Node]] = [[]]
        signs = set()
        for k, node in enumerate(nodes):
            if node.text in ("·", "⊙"):
                signs.add(node.text)
                factors.append([])
            elif node.text in REPEATED_SIGNS:
                factors[-1] += nodes[k:]
                break
            else:
                factors[-1].append(node)
        if len(signs) > 1:
            raise ValueError(f"· and ⊙ in one term of {self.formula!r}: expected brackets")
        multiply = multiply_entries if signs == {"⊙"} else multiply_matrices
        return reduce(multiply, map(self.factor, factors))

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
            function = make_diagonal if node.text == "diag" else self.look_up(node)
            enclosed = bool(after) and after[0].text == "("
            if callable(function):
                if node.text in ("min", "max") and not enclosed:
                    values.append(np.asarray(function(self.factor(nodes[k:]))))
                    break
                if not enclosed:
                    raise self.error(node, "no argument in brackets after")
                argument = self.sum(after[0].parts[0])
                values.append(self.apply_scripts(after[0], np.asarray(function(argument))))
                k += 1
            elif enclosed and not node.parts and not _NUMERAL.fullmatch(node.text):
                raise self.error(node, "a value, or a function's name? Expected a blank after")
            else:
                values.append(self.value(node) if function is None else np.asarray(function))
        if not values:
            raise ValueError(f"a side, a term or a factor of {self.formula!r} is empty")
        return reduce(multiply_matrices, values)

    def value(self, node: Node) -> Array:
        """Return the value of one node that is not a symbol as a whole."""
        if node.above:
            base = self.look_up(replace(node, above=()))
            if base is not None and not callable(base):
                return self.apply_scripts(replace(node, below=()), np.asarray(base))
        if node.text == "/":
            if any(part.parts and part.text in "∂d" for (part,) in node.parts):
                raise self.error(node, "no symbol for")
            above, below = (self.factor([part]) for (part,) in node.parts)
            if below.ndim or not below:
                raise self.error(node, "a fraction needs a number other than 0 under it:")
            return np.asarray(above / below)
        if node.text == "(":
            return self.apply_scripts(node, self.sum(node.parts[0]))
        if node.text == "[":
            return self.apply_scripts(node, self.matrix(node))
        if node.text in BARS:
            return self.apply_scripts(node, measure(node.text, self.sum(node.parts[0])))
        if _NUMERAL.fullmatch(node.text):
            return self.apply_scripts(node, np.array(float(node.text)))
        if node.text == "{":
            return self.sum(node.parts[0])
        raise self.error(node, "no symbol for")

    def apply_scripts(self, node: Node, value: Array) -> Array:
        """Return an entry, the transpose, or a power of a value, as given by the scripts of a node."""
        if node.below:
            _, indices = split_indices(replace(node, parts=(), above=()))
            value = self.entry(node, value, tuple(map(self.index, indices)))
        if not node.above:
            return value
        if [part.text for part in node.above] == ["ᵀ"]:
            return value[None] if value.ndim == 1 else value.T
        return self.power(node, value, self.sum(node.above))

    def power(self, node: Node, value: Array, exponent: Array) -> Array:
        """Return a power of a number or of a square matrix. An inverse is a symbol of its own."""
        if not value.ndim and not exponent.ndim:
            return np.asarray(value**exponent)
        whole = not exponent.ndim and float(exponent.real).is_integer() and exponent >= 0
        if not whole or value.ndim != 2 or value.shape[0] != value.shape[1]:
            raise self.error(node, f"no power of an array of shape {value.shape}:")
        return np.linalg.matrix_power(value, int(exponent))

    def matrix(self, node: Node) -> Array:
        """Return a matrix of numbers or blocks; one column of numbers or vectors is a vector."""
        rows = [[self.sum(entry) for entry in line.parts] for (line,) in node.parts]
        if len({len(row) for row in rows}) > 1:
            raise self.error(node, "rows of different lengths in")
        blocks = [[entry.reshape(len(entry) if entry.ndim else 1, -1) for entry in row] for row in rows]
        stacked: Array = np.block(blocks)
        is_vector = len(rows[0]) == 1 < len(stacked) and all(row[0].ndim < 2 for row in rows)
        return stacked[:, 0] if is_vector else stacked

    def repeat(self, node: Node, body: Row) -> Array:
        """Return Σ or ∏ of the rest of its term; an index without bounds takes all values of its symbol."""
        letter = node.below[0].text if node.below else ""
        if len(node.below) == 1 and not node.above:
            values = self.symbol(letter)
            if values is None or not np.ndim(values):
                raise self.error(node, "expected bounds, or all values of the index, for")
            indices = [*map(int, values)]
            last = 0
        elif [part.text for part in node.below[1:2]] == ["="]:
            first, last = (self.whole_number(node, bound) for bound in (node.below[2:], node.above))
            indices = [*range(first, last + 1)]
        else:
            raise self.error(node, "expected an index with its bounds for")
        values = [self.bind({letter: np.array(k)}).sum(body) for k in indices]
        if values:
            return reduce(add if node.text == "Σ" else multiply_before, values)
        return self.unit(node, letter, last, body)

    def unit(self, node: Node, letter: str, last: int, body: Row) -> Array:
        """Return a product without factors: I, or a vector of ones if its last factor would be a vector."""
        try:
            factor = self.bind({letter: np.array(last)}).sum(body)
        except ValueError:  # there is no such factor: the factors are taken for matrices
            factor = np.zeros((0, 0))
        unit = self.symbol("I")
        if node.text == "Σ" or unit is None:
            raise self.error(node, "nothing to add or multiply in")
        return np.ones_like(factor) if factor.ndim == 1 else np.asarray(unit)

    def whole_number(self, node: Node, bound: Row) -> int:
        """Return a bound of Σ or ∏ as an integer."""
        value = self.sum(bound)
        if value.ndim or not float(value).is_integer():
            raise self.error(node, "expected whole numbers as bounds of")
        return int(value)


def _is_whole_number(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return not value.ndim and np.issubdtype(value.dtype, np.integer)
    return isinstance(value, int | np.integer)
