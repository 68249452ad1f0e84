"""Layers in a framework's own names, ready to be written."""

from typing import NamedTuple

from gradflow.cells.base import Array


class Written(NamedTuple):
    """What makes each module that takes the arrays, and the arrays by name."""

    constructors: tuple[str, ...]
    arrays: dict[str, Array]
