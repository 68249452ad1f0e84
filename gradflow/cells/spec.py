"""Cells as users name them: ``rnn``, ``lstm:forget_bias=1``, ``gru:layers=2,reset=before``."""

import inspect
import math
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple, get_args, get_origin

import numpy as np

from gradflow.cells import CELLS
from gradflow.cells.base import Cell
from gradflow.cells.stack import Stack
from gradflow.errors import UsageError
from gradflow.registry import describe_unknown, load, lookup

Value = float | int | bool | str
SWITCH_VALUES = {"on": True, "off": False}


class CellSpec(NamedTuple):
    """The class of a cell, its number of layers and its options, as read from ``text``."""

    text: str
    kind: type[Cell]
    layers: int
    options: Mapping[str, Value]

    def make(self, hidden_size: int, input_size: int, generator: np.random.Generator) -> Cell:
        """Return a cell with fresh weights, or a stack of cells, drawn from the lowest layer up."""
        try:
            made = [self.kind.random(hidden_size, input_size, generator, **self.options)]
            for _ in range(self.layers - 1):
                made.append(self.kind.random(hidden_size, made[-1].output_size, generator, **self.options))
        except UsageError as error:
            raise UsageError(f"cell {self.text!r}: {error}") from None
        return made[0] if self.layers == 1 else Stack(tuple(made))


def parse_cell(text: str) -> CellSpec:
    """Read ``NAME[:option=value,...]``. Every cell takes ``layers`` and the options of its ``random``.

    Hyphens in the name of an option stand for underscores.

    Raises
    ------
    UsageError
        If a name or option is unknown (the message gives the nearest valid one), if a value is invalid, or if
        the class of the cell lacks a method that every cell must have.

    Examples
    --------
    >>> spec = parse_cell("lstm:forget_bias=1,peephole=on,layers=2")
    >>> spec.kind.__name__, spec.layers, spec.options
    ('LSTM', 2, {'forget_bias': 1.0, 'peephole': True})
    """
    name, colon, rest = text.partition(":")
    if not colon and name not in CELLS and "=" in name:
        raise UsageError(_describe_missing_cell(text))
    kind: type[Cell] = lookup(CELLS, name, "cell")
    valid = list_cell_options(kind)
    options: dict[str, Value] = {}
    for item in rest.split(",") if colon else []:
        option, equals, value = (part.strip() for part in item.partition("="))
        option = option.replace("-", "_")
        if not equals or not value:
            raise UsageError(f"cell {text!r}: expected option=value after the colon, found {item!r}")
        if option not in valid:
            raise UsageError(f"cell {text!r}: {describe_unknown('option', option, valid)}")
        if option in options:
            raise UsageError(f"cell {text!r}: option {option!r} is given twice")
        options[option] = _convert_value(text, option, value, valid[option])
    layers = options.pop("layers", 1)
    return CellSpec(text, kind, int(layers), options)


def _describe_missing_cell(text: str) -> str:
    """Return the message for options that stand alone, such as ``forget_bias=2``."""
    option = text.partition("=")[0].strip().replace("-", "_")
    takers = find_cells_with(option)
    told = (
        f"{text!r} is not the name of a cell: write the options of a cell after its name and a colon, as in"
    )
    if len(takers) == 1:
        return f"{told} {takers[0]}:{text}"
    return f"{told} NAME:{text}, NAME one of {', '.join(takers or CELLS)}"


def find_cells_with(option: str) -> list[str]:
    """Return the names of the cells that take an option.

    Examples
    --------
    >>> find_cells_with("forget_bias"), find_cells_with("steps")
    (['lstm'], [])
    """
    return [name for name, place in CELLS.items() if option in list_cell_options(load(place))]


def list_cell_options(kind: type[Cell]) -> dict[str, object]:
    """Return the options of a cell, as a mapping from name to type."""
    return {option.name: _get_bare_type(option) for option in _list_parameters(kind)}


def describe_cell_options(kind: type[Cell]) -> list[str]:
    """Return the options of a cell as a help text writes them: ``name=values``.

    The values are the note of an annotation such as ``Annotated[str, "tanh|relu"]``, or the choices of a
    ``Literal``; else the default; without a default NUMBER, INTEGER, TEXT or on|off.

    Examples
    --------
    >>> describe_cell_options(lookup(CELLS, "gru", "cell"))[:2]
    ['reset=after|before', 'update_bias=NUMBER']
    """
    return [f"{option.name}={_describe_values(option)}" for option in _list_parameters(kind)]


def _list_parameters(kind: type[Cell]) -> list[inspect.Parameter]:
    """Return the keyword-only parameters of ``random``, and ``layers``."""
    _check_complete(kind)
    try:
        signature = inspect.signature(kind.random, eval_str=True)
    except NameError:  # an annotation names what only a type checker imports
        signature = inspect.signature(kind.random)
    layers = inspect.Parameter("layers", inspect.Parameter.KEYWORD_ONLY, default=1, annotation=int)
    own = signature.parameters.values()
    return [*(parameter for parameter in own if parameter.kind is parameter.KEYWORD_ONLY), layers]


def _check_complete(kind: type[Cell]) -> None:
    """Check that a class defines what every cell must.

    Raises
    ------
    UsageError
        With the names of what is missing.
    """
    missing = sorted(kind.__abstractmethods__ | ({"random"} - set(dir(kind))))
    if missing:
        raise UsageError(
            f"the class {kind.__name__} is no complete cell: define {', '.join(missing)} "
            "(docs/guides/add-a-cell.md lists what a cell must have)"
        )


def _get_bare_type(option: inspect.Parameter) -> object:
    """Return the annotation of an option without its note, or else the type of its default."""
    if option.annotation is option.empty or isinstance(option.annotation, str):
        return float if option.default in (option.empty, None) else type(option.default)
    return get_args(option.annotation)[0] if _get_note(option) else option.annotation


def _get_note(option: inspect.Parameter) -> str:
    return str(next(iter(getattr(option.annotation, "__metadata__", ())), ""))


def _describe_values(option: inspect.Parameter) -> str:
    note, default, kinds = _get_note(option), option.default, _list_kinds(_get_bare_type(option))
    choices = [kind for kind in kinds if isinstance(kind, str)]
    if note or choices:
        return note or "|".join(choices)
    if isinstance(default, bool):
        return next(word for word, value in SWITCH_VALUES.items() if value is default)
    if default is None or default is option.empty:
        named = {str: "TEXT", bool: "|".join(SWITCH_VALUES), int: "INTEGER"}
        return next((word for kind, word in named.items() if kind in kinds), "NUMBER")
    return f"{default:g}" if isinstance(default, int | float) else str(default)


def _list_kinds(annotation: object) -> tuple[object, ...]:
    """Return the types that an annotation allows; the choices of a ``Literal`` stand for themselves."""
    if get_origin(annotation) is Annotated:
        return _list_kinds(get_args(annotation)[0])
    parts = get_args(annotation)
    if not parts or get_origin(annotation) is Literal:
        return parts or (annotation,)
    return tuple(kind for part in parts for kind in _list_kinds(part))


def _convert_value(text: str, option: str, value: str, annotation: object) -> Value:
    """Return a value converted to the annotated type of its option."""
    kinds = _list_kinds(annotation)
    choices = [kind for kind in kinds if isinstance(kind, str)]
    if choices and value not in choices:
        raise UsageError(f"cell {text!r}: {describe_unknown(option, value, choices)}")
    if str in kinds or choices:
        return value
    if bool in kinds:
        if value not in SWITCH_VALUES:
            raise UsageError(f"cell {text!r}: {option} is {value!r}; expected on or off")
        return SWITCH_VALUES[value]
    if int in kinds:
        if not (value.isdecimal() and 1 <= int(value) <= 10**6):
            raise UsageError(f"cell {text!r}: {option} is {value!r}; expected an integer from 1 to 1000000")
        return int(value)
    number = parse_finite_number(value)
    if number is None:
        raise UsageError(f"cell {text!r}: {option} is {value!r}; expected a finite number")
    return number


def parse_finite_number(text: str) -> float | None:
    """Return a text as a finite number, or None if it is not one."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
