"""Symbols in place of arrays: a model that is called with them gives a program for what reaches a layer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from gradflow.cells.base import Array
from gradflow.errors import DataError
from gradflow.layouts.feeds import MODEL_INPUT

# The axes of a sequence and of a vector beside that of the batch.
SEQUENCE_RANK, VECTOR_RANK = 2, 1
# A program makes at most so many bytes, and so many for each byte of its sources.
_MAX_BETWEEN_BYTES, _MAX_BETWEEN_RATIO = 250_000_000, 100
_NUMBER_BYTES = 8


@dataclass(frozen=True, eq=False)
class Symbol:
    """An array that is not computed yet.

    Attributes
    ----------
    rank : int, optional
        The number of its axes beside that of the batch, if it is known.
    size : int, optional
        The number of its features, if it is known.
    source : str, optional
        The network whose output it is, or `MODEL_INPUT`; None for what is computed.
    operation : callable, optional
        Computes it from the arrays of ``parts``. None if it is the same as the only part.
    parts : tuple of Symbol
        What it is computed from.
    label : str
        The class of the layer, for people.
    reason : str
        Why it can't be computed; empty if it can.
    mask : Symbol, optional
        A mask that was proved to hide no step of it, or because of which it can't be computed.
    name : str
        The name of the model's input, if it is one.
    """

    rank: int | None = None
    size: int | None = None
    source: str | None = None
    operation: Callable[..., Array] | None = None
    parts: tuple["Symbol", ...] = ()
    label: str = ""
    reason: str = ""
    mask: "Symbol | None" = None
    name: str = ""


def make_unknown(reason: str) -> Symbol:
    """Return a symbol that can't be computed."""
    return Symbol(reason=reason)


def make_input(shape: Sequence[Any] | None, name: str) -> Symbol:
    """Return an input of the model, whose shape begins with the batch; None if the shape is unknown."""
    if shape is None:
        return Symbol(source=MODEL_INPUT, name=name)
    rank = len(shape) - 1
    if rank != SEQUENCE_RANK:
        return make_unknown(f"the model's input has shape {tuple(shape)}, not (batch, steps, features)")
    return Symbol(rank, shape[-1] if isinstance(shape[-1], int) else None, MODEL_INPUT, name=name)


def transform(
    operation: Callable[..., Array] | None,
    parts: Sequence[Symbol],
    *,
    label: str = "",
    rank: int | None = None,
    size: int | None = None,
) -> Symbol:
    """Return what an operation computes from symbols; rank and size are those of the first unless given."""
    return Symbol(
        parts[0].rank if rank is None else rank,
        parts[0].size if size is None else size,
        None, operation, tuple(parts), label,
        mask=next((part.mask for part in parts if part.mask is not None), None),
    )  # fmt: skip


class Instruction(NamedTuple):
    """One step of a program.

    Attributes
    ----------
    source : str, optional
        The network whose output it takes, or `MODEL_INPUT`.
    operation : callable, optional
        Computes it from the values of earlier instructions; None if it is the same as the only one.
    places : tuple of int
        The places of these instructions in the program.
    features : int
        The number of its features, if it is known; else 0.
    finished : tuple of int
        The places of the values that no later instruction uses.
    """

    source: str | None
    operation: Callable[..., Array] | None
    places: tuple[int, ...]
    features: int
    finished: tuple[int, ...]


@dataclass(frozen=True)
class SymbolProgram:
    """The computation of a symbol. It can be pickled.

    Attributes
    ----------
    instructions : tuple of Instruction
        The steps, the last of which computes the symbol.
    sources : tuple of str
        The networks, and `MODEL_INPUT`, that it reads.
    through : tuple of str
        The classes of the layers between.
    input_size : int, optional
        The features of the model's input.
    is_input : bool
        Whether the symbol is an input of the model itself.
    input_name : str
        The name of an input of the model that it reads.
    """

    instructions: tuple[Instruction, ...]
    sources: tuple[str, ...]
    through: tuple[str, ...]
    input_size: int | None
    is_input: bool
    input_name: str

    def __call__(self, outputs: Mapping[str, Array]) -> Array:
        """Return the array from the arrays of the sources.

        Raises
        ------
        DataError
            If the arrays of the layers between do not fit together, or are too large.
        """
        values: dict[int, Array] = {}
        budget = _MAX_BETWEEN_BYTES + _MAX_BETWEEN_RATIO * sum(given.nbytes for given in outputs.values())
        try:
            for place, (source, operation, places, features, finished) in enumerate(self.instructions):
                parts = [values[place] for place in places]
                if source is not None:
                    values[place] = outputs[source]
                elif operation is None:
                    values[place] = parts[0]
                else:
                    rows = max(part.size // max(part.shape[-1], 1) for part in parts)
                    budget -= max(sum(part.nbytes for part in parts), rows * features * _NUMBER_BYTES)
                    if budget < 0:
                        raise DataError(f"the layers between ({self._list_through()}) make arrays too large")
                    values[place] = operation(*parts)
                for one in finished:
                    del values[one]
        except ValueError as error:
            raise DataError(
                f"the layers between ({self._list_through()}) do not fit together: {error}"
            ) from error
        return values[len(self.instructions) - 1]

    def _list_through(self) -> str:
        return ", ".join(self.through) or "none"


def compile_symbol(symbol: Symbol) -> SymbolProgram:
    """Return the program that computes a symbol from its sources."""
    places: dict[int, int] = {}
    ordered: list[Symbol] = []
    pending = [(symbol, False)]
    while pending:
        current, is_ready = pending.pop()
        if id(current) in places:
            continue
        if is_ready:
            places[id(current)] = len(ordered)
            ordered.append(current)
        else:
            pending.append((current, True))
            pending += [(part, False) for part in reversed(current.parts)]
    sources = dict.fromkeys(one.source for one in ordered if one.source is not None)
    used = [tuple(dict.fromkeys(places[id(part)] for part in one.parts)) for one in ordered]
    last_use = {part: place for place, parts in enumerate(used) for part in parts}
    inputs = [one for one in ordered if one.source == MODEL_INPUT]
    return SymbolProgram(
        tuple(
            Instruction(
                one.source, one.operation, tuple(places[id(part)] for part in one.parts), one.size or 0,
                tuple(part for part in used[place] if last_use[part] == place),
            )
            for place, one in enumerate(ordered)
        ),
        tuple(sources),
        tuple(dict.fromkeys(one.label for one in ordered if one.label)),
        next((one.size for one in inputs), None),
        list(sources) == [MODEL_INPUT] and all(one.operation is None for one in ordered),
        next((one.name for one in inputs), ""),
    )  # fmt: skip
