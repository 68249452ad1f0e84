"""Registries: names that a user may type, and the module or attribute that each name loads when asked for.

A registry maps a name to ``"module:attribute"``, or to ``"module"`` alone. Nothing is imported before a name
is looked up. A help text can therefore list a registry without loading numpy.
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from gradflow.errors import UsageError

Registry = Mapping[str, str]


def lookup(table: Registry, name: str, kind: str) -> Any:
    """Import and return what ``name`` stands for in ``table``.

    Parameters
    ----------
    table : mapping of str to str
        Maps each name to ``"module:attribute"`` or ``"module"``.
    name : str
        The name to look up.
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
    if name not in table:
        raise UsageError(describe_unknown(kind, name, table))
    return load(table[name])


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


def describe_unknown(kind: str, name: str, valid: Iterable[str], related: Sequence[str] = ()) -> str:
    """Return the message for a name that is not among ``valid``; it suggests the nearest valid name.

    Where none is spelled like it, the message suggests the ``related`` names.

    Examples
    --------
    >>> describe_unknown("cell", "ltsm", ["rnn", "lstm"])
    "unknown cell 'ltsm'; did you mean 'lstm'? Valid: rnn, lstm"
    >>> describe_unknown("topic", "lstm", ["power"], ["gates", "carousel"])
    "unknown topic 'lstm'; did you mean 'gates' or 'carousel'? Valid: power"
    """
    names = list(valid)
    near = get_close_matches(name.lower(), names, n=1) or related
    *others, last = map(repr, near) if near else [""]
    meant = f"{', '.join(others)} or {last}" if others else last
    hint = f"; did you mean {meant}?" if near else "."
    return f"unknown {kind} {name!r}{hint} Valid: {', '.join(names) or 'none'}"
