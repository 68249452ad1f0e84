"""Tables of names: what a person may type, and where the thing of that name lives.

A table maps a name to ``"module:attribute"`` (or to a module alone). Nothing is imported until a name is
looked up, so a table can be listed in a help text without loading numpy.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from gradflow.errors import UsageError

Table = Mapping[str, str]


def lookup(table: Table, name: str, kind: str) -> Any:
    """Return what ``name`` stands for in ``table``, importing it now.

    Parameters
    ----------
    table : mapping of str to str
        Names to ``"module:attribute"`` or ``"module"``.
    name : str
        What was asked for.
    kind : str
        What the table holds, in the singular, for the message.

    Raises
    ------
    UsageError
        If there is no such name; the message says which are valid and which is nearest.

    Examples
    --------
    >>> lookup({"pi": "math:pi"}, "pi", "constant")
    3.141592653589793
    """
    if name not in table:
        raise UsageError(unknown(kind, name, table))
    module, _, attribute = table[name].partition(":")
    loaded = import_module(module)
    return getattr(loaded, attribute) if attribute else loaded


def unknown(kind: str, name: str, valid: Iterable[str]) -> str:
    """Return the message for a name that is not in a table, with the nearest valid one.

    Examples
    --------
    >>> unknown("cell", "ltsm", ["rnn", "lstm"])
    "unknown cell 'ltsm'; did you mean 'lstm'? Valid: rnn, lstm"
    """
    names = list(valid)
    near = get_close_matches(name.lower(), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"unknown {kind} {name!r}{hint} Valid: {', '.join(names) or 'none'}"
