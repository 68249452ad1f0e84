"""What a user says about layers if the file does not: ``activation=relu,reset=before``."""

import re
from collections.abc import Mapping
from typing import Any

from gradflow.errors import UsageError
from gradflow.printable import describe_argument
from gradflow.registry import check_name

ASSUMABLE_OPTIONS = (
    *("activation", "gate_activation", "reset", "forget_bias", "residual"),
    *("gate_order", "orthogonal_map", "clip", "leak", "unread"),
)

# A comma between items, but not one inside hard_sigmoid(0.2,0.5).
_COMMA_PATTERN = re.compile(r",(?![^()]*\))")


def parse_assumptions(text: str) -> dict[str, str]:
    """Return ``option=value`` items, separated by commas, as a mapping; their names are not checked here.

    Raises
    ------
    UsageError
        If an item has no value, or an option is given twice.

    Examples
    --------
    >>> parse_assumptions("gate_activation=hard_sigmoid(0.2,0.5),reset=before")
    {'gate_activation': 'hard_sigmoid(0.2,0.5)', 'reset': 'before'}
    """
    assume: dict[str, str] = {}
    for item in _COMMA_PATTERN.split(text) if text else ():
        option, equals, value = (part.strip() for part in item.partition("="))
        option = option.replace("-", "_")
        if not equals or not value:
            raise UsageError(f"assumption {item!r}: expected option=value, as in activation=relu")
        if option in assume:
            raise UsageError(f"assumption {option!r} is given twice: give it once")
        assume[option] = value
    return assume


def check_assumptions(assume: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the assumptions of a user with their values as text.

    Raises
    ------
    UsageError
        If it is not a mapping, or if an option is not one of `ASSUMABLE_OPTIONS`.
    """
    if assume is None:
        return {}
    if not isinstance(assume, Mapping):
        raise UsageError(
            f"{describe_argument('assume', assume)}: expected a mapping of options to values, such as "
            "{'activation': 'relu'}"
        )
    return {check_name("assumption", option, ASSUMABLE_OPTIONS): str(assume[option]) for option in assume}


def check_left_open(assume: Mapping[str, Any] | None, left_open: frozenset[str], source: str) -> None:
    """Refuse assumptions about options that the arrays do not leave open.

    Raises
    ------
    UsageError
        The message lists the options that the arrays leave open.
    """
    unused = sorted(set(assume or {}) - left_open)
    if unused:
        listed = f"it leaves open {', '.join(sorted(left_open))}" if left_open else "it leaves nothing open"
        raise UsageError(
            f"{source}: the file itself says what {unused[0]} is ({listed}); leave {unused[0]} out"
        )


class Assumptions:
    """The assumptions of a user, and which options any layer left open."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self.given = given
        self.left_open: set[str] = set()

    def start_layer(self) -> "LayerAssumptions":
        """Return the options of one layer, none of them chosen yet."""
        return LayerAssumptions(self)


class LayerAssumptions:
    """The options that a file leaves open for one layer.

    ``assumed`` lists, as ``option=value``, the defaults that were taken because the user said nothing.
    """

    def __init__(self, assumptions: Assumptions) -> None:
        self._assumptions = assumptions
        self.assumed: list[str] = []

    def choose(self, option: str, default: str) -> str:
        """Return the user's value of an option, or ``default``, which is then listed in ``assumed``."""
        self._assumptions.left_open.add(option)
        if option in self._assumptions.given:
            return self._assumptions.given[option]
        self.assumed.append(f"{option}={default}")
        return default

    def choose_number(self, option: str, default: float) -> float:
        """Return the value of an option that is a number.

        Raises
        ------
        UsageError
            If the user's value is not a number.
        """
        text = self.choose(option, f"{default:g}")
        try:
            return float(text)
        except ValueError:
            raise UsageError(f"{option}={text}: expected a number") from None
