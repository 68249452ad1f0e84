"""Checks of arguments that several questions share: counts, a square matrix, options without an effect."""

from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradflow.errors import UsageError
from gradflow.printable import describe_argument, escape_unprintable
from gradflow.readers.arrays import read_matrix
from gradflow.readers.in_memory import convert_array
from gradflow.readers.literal import advise_square

MAX_COUNT_IN_MEMORY = 10**8  # largest number of anything that is held in memory
MAX_POWER = 10**18  # largest number of anything else
MAX_MAP_STEPS = 2000  # a map of so many steps has two million pairs

READ_ALREADY = "on a checkpoint that was already read, give it to gradflow.load"


def check_count(name: str, value: object, least: int = 1, most: int = MAX_COUNT_IN_MEMORY) -> None:
    """Check that a value is an integer from ``least`` to ``most``.

    Raises
    ------
    UsageError
        If it is not. The message has the name and the value.
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not least <= value <= most:  # type: ignore[operator]
        limit = "10^18" if most == MAX_POWER else most
        raise UsageError(f"{describe_argument(name, value)}: expected an integer from {least} to {limit}")


def check_map(steps: int) -> None:
    """Check that a table of every pair of steps is not too large.

    Raises
    ------
    UsageError
        If it is. The message has the number of steps.
    """
    if steps > MAX_MAP_STEPS:
        raise UsageError(
            f"map of {steps} steps: expected at most {MAX_MAP_STEPS}, because it has a row for every pair"
        )


def refuse_without_effect(options: Mapping[str, object], reason: str) -> None:
    """Raise an error for every option that was given (is not None), because it has no effect.

    Parameters
    ----------
    options : mapping
        Maps names of arguments to values.
    reason : str
        Why the options have no effect. The message continues with it.

    Raises
    ------
    UsageError
        If an option is given. The message has its name, its value and the reason.

    Examples
    --------
    >>> refuse_without_effect({"hidden": None, "input_scale": 2.0}, "beside Jacobians")
    Traceback (most recent call last):
        ...
    gradflow.errors.UsageError: input scale 2.0 has no effect beside Jacobians: leave it out
    """
    for name, value in options.items():
        if value is not None:
            shown = f" {escape_unprintable(str(value))}" if isinstance(value, str | int | float) else ""
            raise UsageError(f"{name.replace('_', ' ')}{shown} has no effect {reason}: leave it out")


def square_matrix(source: str | PathLike[str] | ArrayLike, key: str | None = None) -> NDArray[Any]:
    """Return the matrix (n, n) that ``source`` holds or names; ``key`` picks one array of a file.

    Raises
    ------
    UsageError
        If it is not square.
    DataError
        If it cannot be read.

    Examples
    --------
    >>> square_matrix("0 1; 1 1")
    array([[0., 1.],
           [1., 1.]])
    """
    if isinstance(source, str | PathLike):
        matrix = read_matrix(source, key)
        remedy = advise_square(fspath(source), matrix.shape)
    else:
        refuse_without_effect({"key": key}, "on an array, because it names an array of a file")
        matrix, remedy = convert_array(source, "matrix"), "give a square block of it, such as matrix[:2, :2]"
    if matrix.shape[0] != matrix.shape[1]:
        raise UsageError(f"the matrix is {'×'.join(map(str, matrix.shape))}; expected a square one: {remedy}")
    return matrix
