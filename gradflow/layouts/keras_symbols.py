"""Symbols in place of arrays: a model that is called with them gives a program for what reaches a layer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradflow.cells.base import Array
from gradflow.errors import DataError
from gradflow.layouts.feeds import MODEL_INPUT

# The axes of a sequence and of a vector beside that of the batch.
SEQUENCE_RANK, VECTOR_RANK = 2, 1


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
    """

    rank: int | None = None
    size: int | None = None
    source: str | None = None
    operation: Callable[..., Array] | None = None
    parts: tuple["Symbol", ...] = ()
    label: str = ""
    reason: str = ""


def make_unknown(reason: str) -> Symbol:
    """Return a symbol that can't be computed."""
    return Symbol(reason=reason)


def make_input(shape: Sequence[Any] | None) -> Symbol:
    """Return the model's input, whose shape begins with the batch; None if the shape is unknown."""
    if shape is None:
        return Symbol(source=MODEL_INPUT)
    rank = len(shape) - 1
    if rank != SEQUENCE_RANK:
        return make_unknown(f"the model's input has shape {tuple(shape)}, not (batch, steps, features)")
    return Symbol(rank, shape[-1] if isinstance(shape[-1], int) else None, MODEL_INPUT)


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
    )  # fmt: skip


@dataclass(frozen=True)
class SymbolProgram:
    """The computation of a symbol. It can be pickled.

    Attributes
    ----------
    instructions : tuple
        For each symbol the source, the operation and the places of its parts among the instructions.
    sources : tuple of str
        The networks, and `MODEL_INPUT`, that it reads.
    through : tuple of str
        The classes of the layers between.
    input_size : int, optional
        The features of the model's input.
    is_input : bool
        Whether the symbol is the model's input itself.
    """

    instructions: tuple[tuple[str | None, Callable[..., Array] | None, tuple[int, ...]], ...]
    sources: tuple[str, ...]
    through: tuple[str, ...]
    input_size: int | None
    is_input: bool

    def __call__(self, outputs: Mapping[str, Array]) -> Array:
        """Return the array from the arrays of the sources.

        Raises
        ------
        DataError
            If the arrays of the layers between do not fit together.
        """
        values: list[Array] = []
        try:
            for source, operation, places in self.instructions:
                parts = [values[place] for place in places]
                if source is not None:
                    values.append(outputs[source])
                else:
                    values.append(parts[0] if operation is None else operation(*parts))
        except ValueError as error:
            raise DataError(
                f"the layers between ({', '.join(self.through)}) do not fit together: {error}"
            ) from error
        return values[-1]


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
    return SymbolProgram(
        tuple((one.source, one.operation, tuple(places[id(part)] for part in one.parts)) for one in ordered),
        tuple(sources),
        tuple(dict.fromkeys(one.label for one in ordered if one.label)),
        next((one.size for one in ordered if one.source == MODEL_INPUT), None),
        list(sources) == [MODEL_INPUT] and all(one.operation is None for one in ordered),
    )
