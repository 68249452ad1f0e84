"""The option of a cell that decides for how many steps its gradients live, and how far it may go."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Knob(NamedTuple):
    """An option of a cell: where it starts, and how far it may go; ``doubled`` or else moved by steps.

    ``known``: whether the start is what the scheme has, and not one number for biases that it draws.
    """

    name: str
    start: float
    low: float
    high: float
    doubled: bool
    known: bool = True


def make_gain_knob(options: Mapping[str, Any]) -> Knob:
    """Return the gain of the recurrent weights, which starts where the options of a cell say."""
    return Knob("gain", float(options.get("gain", 1.0)), 1e-3, 1e3, doubled=True)


def make_bias_knob(name: str, options: Mapping[str, Any], default: float = 0.0) -> Knob:
    """Return the bias of a gate that decides what is kept, or with init=chrono how far it is spread.

    Parameters
    ----------
    name : str
        The option that sets the bias.
    default : float
        The bias that the initialization sets, or 0 where it draws one for each unit.
    """
    if options.get("init") == "chrono":
        return Knob("horizon", float(options.get("horizon", 100.0)), 2.0, 1e9, doubled=True)
    known = name in options or options.get("init", "torch") not in ("torch", "orthogonal")
    return Knob(name, float(options.get(name, default)), -40.0, 40.0, doubled=False, known=known)
