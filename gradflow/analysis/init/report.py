"""The conclusion and notes about tuned weights."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gradflow.analysis.init.tuning import Knob
from gradflow.analysis.shared.credit import Credit
from gradflow.printable import format_log10


class Words(NamedTuple):
    """The tuned option, N, and the inputs of the test, for the conclusion and notes."""

    knob: Knob
    steps: int
    held_out: int
    given: bool  # whether the inputs were given, not drawn


def conclusion(words: Words, value: float | None, before: Credit, after: Credit) -> str:
    """Return what was changed, and its effect, in words."""
    arrival = "arrives" if after.arrives else f"is {after.arrival}"
    if value is None:
        return f"Nothing was changed. The gradient {arrival}: {_outcome(words, after)}."
    return (
        f"{words.knob.name} {value:.6g}: the gradient {arrival}; {_outcome(words, after)}. Before tuning: "
        f"{'the state overflows' if before.blow_up is not None else format_log10(before.log10_credit)}."
    )


def _outcome(words: Words, credit: Credit) -> str:
    if credit.blow_up is not None:
        return "the state overflows"
    factor = f"{format_log10(credit.log10_credit)}{_spread(words, credit)}"
    return f"over {words.steps} steps it is multiplied by {factor}"


def _spread(words: Words, credit: Credit) -> str:
    """Say between which values the norms lie, and which inputs were used."""
    if not words.held_out:
        return " along the one sequence, which the search used, too"
    low, high = credit.log10_credit_range
    held_out = f"{words.held_out} held-out sequence{'s' if words.held_out > 1 else ''}"
    return f" ({format_log10(low)} to {format_log10(high)} along {held_out})"


def notes(words: Words, after: Credit, several: Sequence[Credit]) -> Iterator[str]:
    """Yield warnings about gradients that do not arrive, and about a single sequence."""
    knob = words.knob
    if not after.arrives:
        yield (
            f"no {knob.name} from {knob.low:g} to {knob.high:g} lets a gradient arrive over {words.steps} "
            "steps; the result is the closest one. Another init, or layers=1, may do better."
        )
    if words.given and not words.held_out:
        yield "only one sequence of inputs was given: the tuned value may not suit others; give a batch."
    lost = sum(not one.arrives for one in several[1:])
    others = "1 other draw" if len(several) == 2 else f"{len(several) - 1} other draws"
    if lost:
        yield (
            f"with the same {knob.name}, a gradient does not arrive in {lost} of {others} of weights and "
            "inputs: tuning is for the written weights only."
        )
