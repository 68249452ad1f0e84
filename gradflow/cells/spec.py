"""Cells as a person names them: ``rnn``, ``lstm:forget_bias=1``, ``rnn:activation=relu,gain=1.2``."""

import inspect
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from gradflow.cells import CELLS
from gradflow.cells.base import Cell
from gradflow.errors import UsageError
from gradflow.tables import lookup, unknown


class CellSpec(NamedTuple):
    """A cell's class and options, as read from ``text``."""

    text: str
    kind: type[Cell]
    options: Mapping[str, float | str]

    def make(self, hidden_size: int, input_size: int, generator: np.random.Generator) -> Cell:
        """Return a cell with fresh weights."""
        return self.kind.random(hidden_size, input_size, generator, **self.options)


def parse_cell(text: str) -> CellSpec:
    """Read ``NAME[:option=value,...]``.

    Raises
    ------
    UsageError
        For an unknown name or option, with the nearest valid one, or a value that is not what it should be.

    Examples
    --------
    >>> spec = parse_cell("lstm:forget_bias=1,init=orthogonal")
    >>> spec.kind.__name__, spec.options
    ('LSTM', {'forget_bias': 1.0, 'init': 'orthogonal'})
    """
    name, colon, rest = text.partition(":")
    kind: type[Cell] = lookup(CELLS, name, "cell")
    valid = {
        parameter.name: parameter
        for parameter in inspect.signature(kind.random).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    options: dict[str, float | str] = {}
    for item in rest.split(",") if colon else []:
        option, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not value:
            raise UsageError(f"cell {text!r}: expected option=value after the colon, not {item!r}")
        if option not in valid:
            raise UsageError(f"cell {text!r}: {unknown('option', option, valid)}")
        if option in options:
            raise UsageError(f"cell {text!r}: option {option!r} is given twice")
        options[option] = _converted(text, option, value, valid[option].annotation)
    return CellSpec(text, kind, options)


def _converted(text: str, option: str, value: str, annotation: object) -> float | str:
    if annotation is str:
        return value
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"cell {text!r}: {option} is {value!r}, expected a finite number")
    return number
