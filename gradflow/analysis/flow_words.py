"""A comparison in words: a sentence a series, and what to beware of."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from gradflow.analysis.flow_record import Cells, Lags
from gradflow.analysis.flow_tables import Draws, bound_lag
from gradflow.analysis.inputs import Inputs
from gradflow.analysis.measure import Measured
from gradflow.analysis.pace import data_to_decide, stable_limit
from gradflow.analysis.quantiles import median_interval
from gradflow.analysis.trajectory_error import NOTED_DECADES, rounding_note, stated_error
from gradflow.analysis.view import View
from gradflow.cells.base import Array
from gradflow.printable import format_log10

TOLD = 1e-9  # a relative error that a reader must not miss
NOTHING = 1e-9  # nats per step that are rounding
DRAWS_FOR_95_PERCENT = 6  # draws whose least and largest hold the median with 95 % confidence
NAMES = {
    "2": "",
    "fro": ", Frobenius norm",
    "min": ", smallest singular value",
    "cond": ", condition number",
}


def conclusion(flow: Lags, summary: Cells, steps: int, seeds: int) -> str:
    """Return a sentence for each row of the summary, of T steps and as many draws as were asked for."""
    return " ".join(_sentence(flow, summary, k, steps, seeds) for k in range(len(summary.cell)))


def _sentence(flow: Lags, summary: Cells, k: int, steps: int, seeds: int) -> str:
    """Say in words what became of one series."""
    series = (summary.cell[k], summary.block[k], summary.kind[k])
    places = [
        place for place, row in enumerate(zip(flow.cell, flow.block, flow.kind, strict=True)) if row == series
    ]
    cell, block, kind = series
    name = cell + ("" if block == "state" else f", block {block}") + NAMES[kind]
    verdict = f" is {summary.verdict[k]}:" if summary.verdict[k] else ":"
    blown = summary.blow_up_step[k]
    ending = f"; its state overflows at step {blown}, lags count from the one before" if blown else ""
    if not places:
        return f"{name}{verdict} no lag{ending}."
    final = float(flow.log10_norm[places[-1]])
    lag, bound = flow.lag[places[-1]], summary.bound_from[k]
    told = "unknown" if math.isnan(final) else format_log10(final)
    last = f" {'at most ' if bound else ''}{told} at lag {lag}"
    horizon = summary.horizon_float32[k]
    side = "under" if final < 0 else "over"
    reach = f"; {side} float32's normal numbers from lag {horizon}" if horizon else ""
    if summary.verdict[k] == "undecided":
        pace = _undecided(summary, k, steps, seeds)
    else:
        pace = _pace(float(summary.rate[k]))
    return f"{name}{verdict}{last}{pace}{reach}{ending}."


def _undecided(summary: Cells, k: int, steps: int, seeds: int) -> str:
    """Say where the median may lie, and how many draws would tell."""
    rate, low, high = (float(values[k]) for values in (summary.rate, summary.median_low, summary.median_high))
    found = f"; the median rate of {seeds} draws lies between {low:.3g} and {high:.3g} nats per step"
    if seeds < DRAWS_FOR_95_PERCENT:
        confidence = median_interval(range(seeds)).confidence
        return f"{found} with confidence {confidence:.3g} ({DRAWS_FOR_95_PERCENT} draws have 0.95)"
    distance = max(abs(rate), stable_limit(steps) - abs(rate))  # to 0, or to the end of what is stable
    needed = data_to_decide(seeds, (high - low) / 2.0, distance)
    return found if needed is None else f"{found}, and about {needed} draws would tell if it stays"


def _pace(rate: float) -> str:
    if rate > NOTHING:
        return f", doubled every {math.log(2) / rate:.3g} steps"
    if -math.inf < rate < -NOTHING:
        return f", halved every {math.log(2) / -rate:.3g} steps"
    return ""


def notes(inputs: Inputs, found: Draws, seeds: int, view: View) -> Iterator[str]:
    """Yield what to beware of: inputs left unused, derivatives too small for a double, approximations."""
    if inputs.data is not None and len(inputs.data) > seeds > 0:
        yield f"Of the {len(inputs.data)} input sequences the first {seeds} are used, one a seed."
    saturated = [cell for cell, draws in found.items() if any(draw.underflow for draw in draws)]
    if saturated:
        yield (
            f"{', '.join(saturated)}: some units are so saturated that a derivative is under 1e-308 "
            "and counts as 0."
        )
    if "direct" in view.blocks:
        yield (
            "Block direct is an approximation: ∏ diag(f) alone, without the paths by way of the gates "
            "(the truth is block cc, or hh of a gru)."
        )
    if view.lags != tuple(range(1, len(view.lags) + 1)):
        yield (
            "Not every lag is measured: rates are those between the lags listed, and a horizon that lies "
            "between two of them is left open."
        )
    for cell, draws in found.items():
        for note in _notes_of_one(draws, view):
            yield f"{cell}: {note}"


def _notes_of_one(draws: Sequence[Measured], view: View) -> Iterator[str]:
    """Yield what to beware of with one cell: norms left out, uncertain or lost, and draws that overflow."""
    steps = [_unknown(draw.log10_step_norms, draw, view) for draw in draws]
    if any(steps):
        yield f"{sum(map(len, steps))} norms of single steps did not settle and are left out (nan, or null)."
    worst = max(error for draw in draws for error in draw.errors.values())
    if worst > TOLD:
        yield f"norms may be off by {worst:.1g}, relative (norm_error)."
    for block, norm in draws[0].upper_bounds:
        bounds = [bound_lag(draw, (block, norm), view.lags) for draw in draws]
        firsts = [lag for lag in bounds if lag is not None]
        if firsts:
            name = ("the norm" if block == "state" else f"the norm of block {block}") + NAMES[norm]
            yield (
                f"{name}: from lag {min(firsts)} on, in {len(firsts)} of {len(draws)} draws, rounding has "
                "taken all digits, for the product has been far larger before; an upper bound is given."
            )
    pairs = sum(int(draw.pair_bounds.sum()) for draw in draws if draw.pair_bounds is not None)
    if pairs:
        yield f"{pairs} norms of the map are upper bounds, for the same reason."
    moved = max(error for draw in draws for error in draw.trajectory_errors.values())
    if stated_error(moved) > NOTED_DECADES:
        yield rounding_note(stated_error(moved))
    lost = [lag for draw in draws for logs in draw.log10_norms.values() for lag in _unknown(logs, draw, view)]
    if lost:
        yield (
            f"from lag {min(lost)} on, the smallest singular value cannot be had: a Jacobian is singular to "
            "rounding, or what is left of the inverses is lost to it (nan, or null)."
        )
    blown = sorted(draw.blow_up for draw in draws if draw.blow_up is not None)
    if blown:
        yield (
            f"in {len(blown)} of {len(draws)} draws the state overflows, first at step {blown[0]}; lags are "
            "those that every draw has, each counted from its own last finite state."
        )


def _unknown(logs: Array, draw: Measured, view: View) -> list[int]:
    """Return the lags asked for at which there is no number."""
    return [lag for lag in view.lags if lag <= draw.steps and np.isnan(logs[lag - 1])]
