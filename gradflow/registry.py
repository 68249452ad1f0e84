"""Registries: names that a user may type, and the module or attribute that each name loads when asked for.

A registry maps a name to ``"module:attribute"``, or to ``"module"`` alone. Nothing is imported before a name
is looked up. A help text can therefore list a registry without loading numpy.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from gradflow.errors import UsageError
from gradflow.printable import describe_value

Registry = Mapping[str, str]


def lookup(table: Registry, name: object, kind: str) -> Any:
    """Import and return what ``name`` stands for in ``table``.

    Parameters
    ----------
    table : mapping of str to str
        Maps each name to ``"module:attribute"`` or ``"module"``.
    name : object
        The name to look up. What is not text is no name.
    kind : str
        What the table holds, in the singular. It appears in the error message.

    Raises
    ------
    UsageError
        If ``table`` has no such name. The message lists the valid names and suggests the nearest one.

    Examples
    --------
    >>> lookup({"pi": "math:pi"}, "pi", "constant")
    3.141592653589793
    """
    return load(table[check_name(kind, name, table)])


def check_name(kind: str, name: object, valid: Collection[str]) -> str:
    """Return ``name`` after a check that it is one of ``valid``.

    Raises
    ------
    UsageError
        If it is another text, or not a text. The message lists the valid names and suggests the nearest one.

    Examples
    --------
    >>> check_name("cell", 3, ["rnn", "lstm"])
    Traceback (most recent call last):
        ...
    gradflow.errors.UsageError: unknown cell 3. Valid: rnn, lstm
    """
    if not isinstance(name, str) or name not in valid:
        raise UsageError(describe_unknown(kind, name, valid))
    return name


def load(place: str) -> Any:
    """Import and return the object at ``"module:attribute"``, or the module at ``"module"``.

    Examples
    --------
    >>> load("math:pi")
    3.141592653589793
    """
    module, _, attribute = place.partition(":")
    loaded = import_module(module)
    return getattr(loaded, attribute) if attribute else loaded


def describe_unknown(kind: str, name: object, valid: Iterable[str], related: Sequence[str] = ()) -> str:
    """Return the message for what is not among the names ``valid``; it suggests the nearest valid name.

    Where none is spelled like it, the message suggests the ``related`` names.

    Examples
    --------
    >>> describe_unknown("cell", "ltsm", ["rnn", "lstm"])
    "unknown cell 'ltsm'; did you mean 'lstm'? Valid: rnn, lstm"
    >>> describe_unknown("topic", "lstm", ["power"], ["gates", "carousel"])
    "unknown topic 'lstm'; did you mean 'gates' or 'carousel'? Valid: power"
    """
    names = list(valid)
    near = get_close_matches(name.lower(), names, n=1) if isinstance(name, str) else []
    *others, last = map(repr, near or related or [""])
    meant = f"{', '.join(others)} or {last}" if others else last
    hint = f"; did you mean {meant}?" if near or related else "."
    return f"unknown {kind} {describe_value(name)}{hint} Valid: {', '.join(names) or 'none'}"
