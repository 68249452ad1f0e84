"""A comparison in words: a sentence a series, and what to beware of."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from gradflow.analysis.flow_record import Cells, Lags
from gradflow.analysis.flow_tables import Draws
from gradflow.analysis.inputs import Inputs
from gradflow.analysis.measure import Measured
from gradflow.analysis.trajectory_error import NOTED_DECADES, rounding_note, stated_error
from gradflow.analysis.view import View
from gradflow.cells.base import Array
from gradflow.printable import decimal

TOLD = 1e-9  # a relative error that a reader must not miss
NOTHING = 1e-9  # nats per step that are rounding
NAMES = {
    "2": "",
    "fro": ", Frobenius norm",
    "min": ", smallest singular value",
    "cond": ", condition number",
}


def conclusion(flow: Lags, summary: Cells) -> str:
    """Return a sentence for each row of the summary."""
    return " ".join(_sentence(flow, summary, k) for k in range(len(summary.cell)))


def _sentence(flow: Lags, summary: Cells, k: int) -> str:
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
    last = f" {'unknown' if math.isnan(final) else decimal(final)} at lag {flow.lag[places[-1]]}"
    horizon = summary.horizon_float32[k]
    side = "under" if final < 0 else "over"
    reach = f"; {side} float32's normal numbers from lag {horizon}" if horizon else ""
    return f"{name}{verdict}{last}{_pace(float(summary.rate[k]))}{reach}{ending}."


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
    moved = max(error for draw in draws for error in draw.trajectory_errors.values())
    if stated_error(moved) > NOTED_DECADES:
        yield rounding_note(stated_error(moved))
    lost = [lag for draw in draws for logs in draw.log10_norms.values() for lag in _unknown(logs, draw, view)]
    if lost:
        yield (
            f"from lag {min(lost)} on, the smallest singular value cannot be had: a Jacobian is singular to "
            "rounding (nan, or null)."
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
