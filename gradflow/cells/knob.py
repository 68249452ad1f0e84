"""The option of a cell that sets for how many steps its gradients survive, and the range of that option."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Knob(NamedTuple):
    """An option of a cell: its start and its range. It is changed by factors of 2 (``doubled``) or by steps.

    ``known``: whether the start is the value of the scheme. It is not if the scheme draws a bias for each
    unit.
    """

    name: str
    start: float
    low: float
    high: float
    doubled: bool
    known: bool = True


def make_gain_knob(options: Mapping[str, Any]) -> Knob:
    """Return the gain of the recurrent weights, which starts at the value in the options of the cell."""
    return Knob("gain", float(options.get("gain", 1.0)), 1e-3, 1e3, doubled=True)


def make_bias_knob(name: str, options: Mapping[str, Any], default: float = 0.0) -> Knob:
    """Return the bias of a gate that retains, or its spread (the horizon) with init=chrono.

    Parameters
    ----------
    name : str
        The option that sets the bias.
    default : float
        The bias that the initialization sets, or 0 if it draws one for each unit.
    """
    if options.get("init") == "chrono":
        return Knob("horizon", float(options.get("horizon", 100.0)), 2.0, 1e9, doubled=True)
    known = name in options or options.get("init", "torch") not in ("torch", "orthogonal")
    return Knob(name, float(options.get(name, default)), -40.0, 40.0, doubled=False, known=known)
