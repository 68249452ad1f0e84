"""What tuned weights are told to be, in words."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gradflow.analysis.init.tuning import Knob
from gradflow.analysis.shared.credit import Credit
from gradflow.printable import format_log10


class Words(NamedTuple):
    """What the words are about: the option that was tuned, N, and the inputs that it was judged on."""

    knob: Knob
    steps: int
    held_out: int
    given: bool  # whether the inputs were given, not drawn


def conclusion(words: Words, value: float | None, before: Credit, after: Credit) -> str:
    """Return in words what was changed, and what that does."""
    over = f"over {words.steps} steps a gradient is multiplied by"
    if value is None:
        result = f"{_told(after)}{_spread(words, after)}"
        return f"{over[0].upper()}{over[1:]} {result} as it is: nothing was changed."
    return (
        f"{words.knob.name} {value:.6g}: {over} {_told(after)}{_spread(words, after)}, before by "
        f"{_told(before)}; it {'arrives' if after.arrives else 'is ' + after.arrival}."
    )


def _spread(words: Words, credit: Credit) -> str:
    """Say between what the norms lie, and what inputs that rests on."""
    if credit.blow_up is not None:
        return ""
    if not words.held_out:
        return " along the one sequence it was sought on"
    low, high = credit.log10_credit_range
    held_out = f"{words.held_out} held-out sequence{'s' if words.held_out > 1 else ''}"
    return f" ({format_log10(low)} to {format_log10(high)} along {held_out})"


def _told(credit: Credit) -> str:
    return "an overflow" if credit.blow_up is not None else format_log10(credit.log10_credit)


def notes(words: Words, after: Credit, several: Sequence[Credit]) -> Iterator[str]:
    """Yield what could not be had."""
    knob = words.knob
    if not after.arrives:
        yield (
            f"no {knob.name} from {knob.low:g} to {knob.high:g} was found with which a gradient arrives over "
            f"{words.steps} steps; the nearest is given. Another init, or layers=1, may do better."
        )
    if words.given and not words.held_out:
        yield "one sequence of inputs was given: what is tuned to it may not hold along others; give a batch."
    lost = sum(not one.arrives for one in several[1:])
    if lost:
        yield (
            f"with the same {knob.name}, in {lost} of {len(several) - 1} other draws of weights and inputs a "
            "gradient does not arrive: what is tuned are the weights that are written."
        )
