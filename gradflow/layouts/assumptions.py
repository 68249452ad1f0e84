"""What a person says about layers where their file does not: ``activation=relu,reset=before``."""

import re

from gradflow.errors import UsageError

# a comma between items, not one inside hard_sigmoid(0.2,0.5)
_COMMA = re.compile(r",(?![^()]*\))")


def parse_assumptions(text: str) -> dict[str, str]:
    """Return ``option=value`` items with commas between them as a mapping; what may be said is not looked at.

    Raises
    ------
    UsageError
        For an item without a value, or an option given twice.

    Examples
    --------
    >>> parse_assumptions("gate_activation=hard_sigmoid(0.2,0.5),reset=before")
    {'gate_activation': 'hard_sigmoid(0.2,0.5)', 'reset': 'before'}
    """
    found: dict[str, str] = {}
    for item in _COMMA.split(text) if text else ():
        option, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not value:
            raise UsageError(f"assumption {item!r}: expected option=value, as in activation=relu")
        if option in found:
            raise UsageError(f"assumption {option!r} is given twice: give it once")
        found[option] = value
    return found
