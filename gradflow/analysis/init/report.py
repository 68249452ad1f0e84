"""The conclusion and notes about tuned weights."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gradflow.analysis.init.tuning import Knob
from gradflow.analysis.shared.gradient_share import GradientShare
from gradflow.analysis.shared.verdicts import describe_threshold
from gradflow.printable import format_log10


class Words(NamedTuple):
    """The tuned option, N, and the inputs of the test, for the conclusion and notes."""

    knob: Knob
    steps: int
    held_out: int
    given: bool  # whether the inputs were given, not drawn


def conclusion(words: Words, value: float | None, before: GradientShare, after: GradientShare) -> str:
    """Return what was changed, and its effect, in words."""
    if value is None:
        return f"Nothing was changed. The gradient is {after.verdict}: {_outcome(words, after)}."
    earlier = "the state overflows" if before.blow_up is not None else format_log10(before.log10_share, 2)
    return (
        f"{words.knob.name} {value:.6g}: the gradient is {after.verdict}: {_outcome(words, after)}. Before "
        f"tuning: {earlier}."
    )


def _outcome(words: Words, share: GradientShare) -> str:
    if share.blow_up is not None:
        return "the state overflows"
    left = f"{format_log10(share.log10_share, 2)} of it is left after {words.steps} steps"
    return f"{left}{_spread(words, share)}; {describe_threshold(share.log10_share, share.verdict)}"


def _spread(words: Words, share: GradientShare) -> str:
    """Say between which values the shares lie, and which inputs were used."""
    if not words.held_out:
        return " along the one sequence, which the search used, too"
    low, high = share.log10_share_range
    held_out = f"{words.held_out} held-out sequence{'s' if words.held_out > 1 else ''}"
    return f" ({format_log10(low, 2)} to {format_log10(high, 2)} along {held_out})"


def notes(words: Words, after: GradientShare, several: Sequence[GradientShare]) -> Iterator[str]:
    """Yield warnings about gradients that are not stable, and about a single sequence."""
    knob = words.knob
    if not after.is_stable:
        yield (
            f"no {knob.name} from {knob.low:g} to {knob.high:g} keeps a gradient stable over {words.steps} "
            "steps, as far as it was searched; the result is the closest one. Another init, or layers=1, may "
            "do better."
        )
    if words.given and not words.held_out:
        yield "only one sequence of inputs was given: the tuned value may not suit others; give a batch."
    unstable = sum(not one.is_stable for one in several[1:])
    others = "1 other draw" if len(several) == 2 else f"{len(several) - 1} other draws"
    if unstable:
        yield (
            f"with the same {knob.name}, a gradient is not stable in {unstable} of {others} of weights and "
            "inputs: tuning is for the written weights only."
        )
