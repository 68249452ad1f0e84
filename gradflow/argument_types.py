"""The types of arguments: every public function refuses a value of another type than its signature states."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import numpy as np

from gradflow.errors import UsageError
from gradflow.printable import describe_argument

# What a message calls a type, and the classes that its values may have.
KNOWN_TYPES: Mapping[object, tuple[str, tuple[type, ...]]] = {
    str: ("text", (str,)),
    bool: ("True or False", (bool, np.bool_)),
    int: ("an integer", (Integral,)),
    float: ("a number", (Real,)),
    Path: ("a path", (PathLike,)),
    PathLike: ("a path", (PathLike,)),
    Mapping: ("a mapping, such as {'activation': 'relu'}", (Mapping,)),
    NoneType: ("", (NoneType,)),
}


def add_type_check(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a public function with a check of the types of its arguments, in front of all other work.

    The signature says which types a parameter takes. The function itself checks its first argument, which is
    what the call is about, and every parameter with a type that is not one of `KNOWN_TYPES`.

    Parameters
    ----------
    function : callable
        What does the work. It may raise a `UsageError` for any argument, too.
    name : str
        The public name of the function, an attribute of ``gradflow``.

    Raises
    ------
    UsageError
        When the function is called, for an argument of another type.

    Examples
    --------
    >>> def scale(matrix, *, gain: float | None = None, key: str | None = None): ...
    >>> add_type_check(scale, "scale")("0 1; 1 0", gain="2")
    Traceback (most recent call last):
        ...
    gradflow.errors.UsageError: gain '2': expected a number, or leave it out
    """
    signature = inspect.signature(function)
    checked = dict(_list_checked(signature))

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            given = signature.bind(*arguments, **options).arguments
        except TypeError:  # a name that the function does not have: Python's own message says that
            return function(*arguments, **options)
        for parameter, kinds in checked.items():
            if parameter in given:
                _check_type(signature.parameters[parameter], given[parameter], kinds)
        return function(*arguments, **options)

    call.__module__, call.__qualname__ = "gradflow", name  # where pickle finds what is called
    return call


def _list_checked(signature: inspect.Signature) -> Iterator[tuple[str, list[object]]]:
    """Yield the parameters to check, with the types that they take."""
    for parameter in list(signature.parameters.values())[1:]:
        union = get_origin(parameter.annotation) in (Union, UnionType)
        members = get_args(parameter.annotation) if union else [parameter.annotation]
        kinds = [get_origin(member) or member for member in members]
        if all(kind in KNOWN_TYPES for kind in kinds):
            yield parameter.name, kinds


def _check_type(parameter: inspect.Parameter, value: object, kinds: list[object]) -> None:
    """Raise an error for a value of another type. Of the numbers, True and False are none."""
    classes = tuple(one for kind in kinds for one in KNOWN_TYPES[kind][1])
    if isinstance(value, classes) and (bool in kinds or not isinstance(value, bool)):
        return
    words = " or ".join(dict.fromkeys(KNOWN_TYPES[kind][0] for kind in kinds if kind is not NoneType))
    example = f", such as {parameter.default!r}" if isinstance(parameter.default, str) else ""
    omission = ", or leave it out" if NoneType in kinds else ""
    raise UsageError(f"{describe_argument(parameter.name, value)}: expected {words}{example}{omission}")
