"""The tables, sentences and notes of `compare`, made from its measurements."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gradflow.analysis.compare.measure import DrawMeasurement, Series
from gradflow.analysis.compare.record import Cells, Lags
from gradflow.analysis.compare.step_norms import DeferredStepNorms
from gradflow.analysis.shared.inputs import TOKENS_NOTE, Inputs, looks_like_tokens
from gradflow.analysis.shared.product_norms import View
from gradflow.analysis.shared.quantiles import MIN_INTERVAL_DRAWS, median, median_interval, quantiles
from gradflow.analysis.shared.trajectory_error import NOTED_DECADES, rounding_note, stated_error
from gradflow.analysis.shared.verdicts import (
    data_to_decide,
    describe_share,
    describe_threshold,
    distance_to_threshold,
    half_life,
    judge_share,
    judge_shares,
)
from gradflow.cells.base import Array
from gradflow.linalg.floating import TRAINING_FORMATS, is_outside
from gradflow.linalg.scaled import from_log10
from gradflow.printable import format_count, format_log10, format_pace, join_lines, round_up
from gradflow.table import defer_column

MeasuredCells = Mapping[str, Sequence[DrawMeasurement]]  # the draws of each cell


class _SeriesDraws(NamedTuple):
    """One series of one cell over all its draws, at the lags that every draw reaches."""

    cell: str
    series: Series
    draws: Sequence[DrawMeasurement]
    lags: list[int]

    def stack_draws(self, values: Sequence[Array]) -> Array:
        """Return values by lag, one array (T,) for each draw, as one array (draws, lags)."""
        places = [lag - 1 for lag in self.lags]
        return np.array([array[places] for array in values], np.float64)

    def norms(self) -> Array:
        """Return log₁₀ of the norms, (draws, lags)."""
        return self.stack_draws([draw.log10_norms[self.series] for draw in self.draws])


def _split_series(measurements: MeasuredCells, view: View) -> Iterator[_SeriesDraws]:
    """Yield each series of each cell with its draws."""
    for cell, draws in measurements.items():
        steps = min(draw.steps for draw in draws)
        lags = [lag for lag in view.lags if lag <= steps]
        for block in view.blocks:
            for norm in view.norms:
                yield _SeriesDraws(cell, (block, norm), draws, lags)


def lag_table(measurements: MeasuredCells, view: View, step_norms: DeferredStepNorms) -> Lags:
    """Return the table of norms by lag."""
    rows = []
    for part in _split_series(measurements, view):
        low, middle, high = quantiles(part.norms())
        no_bounds = np.full(part.draws[0].steps, np.nan)
        bounds = median(
            part.stack_draws([draw.log10_bounds.get(part.series, no_bounds) for draw in part.draws])
        )
        rows.append((part, middle, low, high, bounds))
    part_of_row = [part for part, *_ in rows for _ in part.lags]
    middle, low, high, bounds = (np.concatenate([row[k] for row in rows]) for k in range(1, 5))

    cells_and_places = [(part.cell, [lag - 1 for lag in part.lags]) for part, *_ in rows]

    def list_step_norms() -> Array:
        return np.concatenate(
            [
                median([draw.log10[places] for draw in step_norms.of_cell(cell)])
                for cell, places in cells_and_places
            ]
        )

    return Lags(
        cell=[part.cell for part in part_of_row],
        lag=[lag for part, *_ in rows for lag in part.lags],
        log10_step_norm=defer_column(list_step_norms),
        log10_norm=middle,
        log10_norm_low=low,
        log10_norm_high=high,
        norm=np.array([from_log10(float(log)) for log in middle]),
        block=[part.series[0] for part in part_of_row],
        kind=[part.series[1] for part in part_of_row],
        log10_bound=bounds,
    )


def cell_table(measurements: MeasuredCells, view: View, step_norms: DeferredStepNorms) -> Cells:
    """Return the summary, a row for each series of each cell."""
    parts = list(_split_series(measurements, view))
    rates = [_rates(part) for part in parts]
    low, rate, high = (
        np.array(values)
        for values in zip(*(quantiles(rates_of_draws) for rates_of_draws in rates), strict=True)
    )
    shares = [_final_shares(part) for part in parts]
    share_low, share, share_high = (
        np.array(values) for values in zip(*(quantiles(logs) for logs in shares), strict=True)
    )
    intervals = [median_interval(logs) if len(logs) > 1 else None for logs in shares]
    medians = [median(part.norms()) for part in parts]
    horizons = {
        name: [_horizon(part, logs, format_range) for part, logs in zip(parts, medians, strict=True)]
        for name, format_range in TRAINING_FORMATS.items()
    }
    blow_ups = [_find_smallest(draw.blow_up for draw in part.draws) for part in parts]

    cells = [part.cell for part in parts]

    def list_step_norm_errors() -> Array:
        return np.array([round_up(max(draw.error for draw in step_norms.of_cell(cell))) for cell in cells])

    return Cells(
        cell=[part.cell for part in parts],
        state_size=[part.draws[0].state_size for part in parts],
        rate=rate,
        rate_low=low,
        rate_high=high,
        half_life=np.array([half_life(float(r)) for r in rate]),
        horizon_float32=horizons["float32"],
        horizon_float16=horizons["float16"],
        horizon_bfloat16=horizons["bfloat16"],
        verdict=[_judge_series(part) for part in parts],
        log10_share=share,
        log10_share_low=share_low,
        log10_share_high=share_high,
        draws=[len(part.draws) for part in parts],
        median_low=np.array([math.nan if one is None else one.low for one in intervals]),
        median_high=np.array([math.nan if one is None else one.high for one in intervals]),
        median_confidence=[None if one is None else one.confidence for one in intervals],
        block=[part.series[0] for part in parts],
        kind=[part.series[1] for part in parts],
        blow_up_step=blow_ups,
        norm_error=np.array([max(draw.errors[part.series] for draw in part.draws) for part in parts]),
        bound_from=[
            _find_smallest(bound_lag(draw, part.series, part.lags) for draw in part.draws) for part in parts
        ],
        step_norm_error=defer_column(list_step_norm_errors),
        trajectory_error=np.array(
            [stated_error(max(draw.trajectory_errors[part.series] for draw in part.draws)) for part in parts]
        ),
        zero_draws=[int(np.isneginf(logs).sum()) for logs in shares],
    )


def bound_lag(draw: DrawMeasurement, series: Series, lags: Sequence[int]) -> int | None:
    """Return the first lag at which only an upper bound of the norm is known."""
    bounds = draw.upper_bounds[series]
    if not bounds.any():
        return None
    return next((lag for lag in lags if lag <= draw.steps and bounds[lag - 1]), None)


def _rates(part: _SeriesDraws) -> Array:
    """Return the rate of growth of every draw, nats per step, over the second half of the lags."""
    if not part.lags:
        return np.full(len(part.draws), np.nan)
    logs, last = part.norms(), part.lags[-1]
    first = max((lag for lag in part.lags if 2 * lag <= last), default=0)
    start = logs[:, part.lags.index(first)] if first else _log10_norm_of_identity(part)
    is_infinite = np.isinf(logs[:, -1])
    with np.errstate(invalid="ignore"):
        return np.where(is_infinite, logs[:, -1], (logs[:, -1] - start) / (last - first) * math.log(10))


def _final_shares(part: _SeriesDraws) -> Array:
    """Return log₁₀ of the share at the largest lag of every draw; inf if the state of a draw overflows."""
    block = part.series[0]
    if not part.lags or block not in part.draws[0].log10_shares:
        logs = np.full(len(part.draws), np.nan)
    else:
        logs = part.stack_draws([draw.log10_shares[block] for draw in part.draws])[:, -1]
    overflows = np.array([draw.blow_up is not None for draw in part.draws])
    return np.where(overflows, np.inf, logs)


def _judge_series(part: _SeriesDraws) -> str | None:
    """Return the verdict on the median share of the draws.

    If no product was formed, the share is unknown, and at most the spectral norm. The smallest singular value
    and the condition number have no verdict, because they do not decide whether a gradient vanishes.
    """
    if part.series[1] in ("min", "cond"):
        return None
    shares = _final_shares(part)
    if not np.isnan(shares).any():
        return judge_shares(shares)
    if not part.lags or part.series[1] != "2":
        return None
    verdict = judge_shares(part.norms()[:, -1])
    return verdict if verdict == "vanishing" else "borderline"


def _log10_norm_of_identity(part: _SeriesDraws) -> float:
    """Return log₁₀ of the norm at lag 0, where the product is the identity; nan for a block that is 0."""
    block, norm = part.series
    if block in ("hc", "ch"):
        return math.nan
    return 0.5 * math.log10(part.draws[0].block_sizes[block]) if norm == "fro" else 0.0


def _horizon(part: _SeriesDraws, logs: Array, format_range: tuple[float, float]) -> int | None:
    """Return the first lag at which the median norm is outside the range of a format.

    It is None if there is no such lag, or if it can lie between two listed lags. A condition number is not a
    gradient and has no horizon.
    """
    if part.series[1] == "cond":
        return None
    listed = {0, *part.lags}
    first = next(
        (lag for lag, log in zip(part.lags, logs, strict=True) if is_outside(log, format_range)), None
    )
    return first if first is not None and first - 1 in listed else None


def _find_smallest(steps: Iterator[int | None]) -> int | None:
    return min((step for step in steps if step is not None), default=None)


MIN_NOTED_ERROR = 1e-9  # relative error from which a note is shown
MAX_ZERO_RATE = 1e-9  # nats per step; a rate of at most this size counts as 0
SERIES_TITLES = {
    "2": "",
    "fro": ", Frobenius norm",
    "min": ", smallest singular value",
    "cond": ", condition number",
}


def conclusion(flow: Lags, summary: Cells, with_sequences: Collection[str]) -> str:
    """Return a line for each row of the summary; the draws of some cells are given sequences."""
    return join_lines(
        _sentence(flow, summary, k, "sequence" if summary.cell[k] in with_sequences else "draw")
        for k in range(len(summary.cell))
    )


def _sentence(flow: Lags, summary: Cells, k: int, draw_noun: str) -> str:
    """Return the sentence about row k of the summary."""
    series = (summary.cell[k], summary.block[k], summary.kind[k])
    places = [
        place for place, row in enumerate(zip(flow.cell, flow.block, flow.kind, strict=True)) if row == series
    ]
    cell, block, kind = series
    name = cell + ("" if block == "state" else f", block {block}") + SERIES_TITLES[kind]
    verdict = f" is {summary.verdict[k]}:" if summary.verdict[k] else ":"
    blow_up = summary.blow_up_step[k]
    ending = ""
    if blow_up:
        ending = f"; its state overflows at step {blow_up}, and lags count back from the step before"
    if not places:
        return f"{name}{verdict} no lag was measured{ending}."
    final, share = float(flow.log10_norm[places[-1]]), float(summary.log10_share[k])
    lag, bound = flow.lag[places[-1]], summary.bound_from[k]
    at_most = "at most " if bound else ""
    norm = "unknown" if math.isnan(final) else f"{at_most}{format_log10(final, 2)}"
    norm_words = f" the norm is {norm} at lag {lag}"
    if not math.isnan(share) and summary.verdict[k]:
        what = "in the best direction" if kind == "2" else "in the Frobenius norm"
        limit = describe_threshold(share, summary.verdict[k] or "")
        alone = f" from one {draw_noun}" if summary.draws[k] == 1 else ""
        spread = alone or _describe_zeros(summary, k, draw_noun)
        norm_words = f" {describe_share(share, lag, at_most)}{spread} ({norm} {what}; {limit})"
    horizon = summary.horizon_float32[k]
    side = "below" if final < 0 else "above"
    limit = "smallest" if side == "below" else "largest"
    horizon_words = f"; {side} float32's {limit} normal number from lag {horizon} on" if horizon else ""
    rate_words = _describe_rate(float(summary.rate[k]))
    if summary.verdict[k] == "borderline":
        rate_words += _describe_spread(summary, k, draw_noun)
    return f"{name}{verdict}{norm_words}{rate_words}{horizon_words}{ending}."


def _describe_spread(summary: Cells, k: int, draw_noun: str) -> str:
    """Return words for the interval of the median share, if it has several verdicts."""
    share, low, high = (
        float(values[k]) for values in (summary.log10_share, summary.median_low, summary.median_high)
    )
    count, confidence = summary.draws[k], summary.median_confidence[k]
    if confidence is None or math.isnan(low) or judge_share(low) == judge_share(high):
        return ""
    interval = (
        f"; the median share of {count} {draw_noun}s lies between {format_log10(low, 2)} and "
        f"{format_log10(high, 2)}"
    )
    if count < MIN_INTERVAL_DRAWS:
        return f"{interval} with confidence {confidence:.3g} ({MIN_INTERVAL_DRAWS} {draw_noun}s reach 0.95)"
    needed = data_to_decide(count, (high - low) / 2.0, distance_to_threshold(share))
    return interval if needed is None else f"{interval}; about {needed} {draw_noun}s would decide"


def _describe_zeros(summary: Cells, k: int, draw_noun: str) -> str:
    """Return in how many draws nothing is left, if the median share is 0."""
    zeros, draws = summary.zero_draws[k], summary.draws[k]
    if float(summary.log10_share[k]) > -math.inf or draws == 1:
        return ""
    return f" in all {draws} {draw_noun}s" if zeros == draws else f" in {zeros} of {draws} {draw_noun}s"


def _describe_rate(rate: float) -> str:
    if rate > MAX_ZERO_RATE:
        return f", doubling {format_pace(math.log(2) / rate)}"
    if -math.inf < rate < -MAX_ZERO_RATE:
        return f", halving {format_pace(math.log(2) / -rate)}"
    return ""


def notes(inputs: Inputs, measurements: MeasuredCells, seeds: int, view: View) -> Iterator[str]:
    """Yield notes about unused inputs, derivatives too small for a double, approximations and each cell."""
    if inputs.data is not None and len(inputs.data) > seeds > 0:
        used = "only the first is" if seeds == 1 else f"only the first {seeds} are"
        yield f"The input has {len(inputs.data)} sequences; {used} used, one per seed."
    if inputs.data is not None and looks_like_tokens(inputs.data):
        yield TOKENS_NOTE
    saturated = [cell for cell, draws in measurements.items() if any(draw.underflow for draw in draws)]
    if saturated:
        yield (
            f"{', '.join(saturated)}: some units are so saturated that their derivative is under 1e-308 "
            "and counts as 0."
        )
    if "direct" in view.blocks:
        yield (
            "Block direct is an approximation: ∏ diag(f), without the paths through the gates "
            "(block cc, or hh of a gru, is exact)."
        )
    if view.lags != tuple(range(1, len(view.lags) + 1)):
        yield (
            "Only the listed lags are measured. A rate is the growth between two of them; a horizon between "
            "two of them is left out."
        )
    for cell, draws in measurements.items():
        for note in _describe_problems(draws, view):
            yield f"{cell}: {note}"


def _describe_problems(draws: Sequence[DrawMeasurement], view: View) -> Iterator[str]:
    """Yield notes about one cell: unknown and inexact norms, and draws whose state overflows."""
    norm_error = max(error for draw in draws for error in draw.errors.values())
    if norm_error > MIN_NOTED_ERROR:
        yield f"norms may be off by {norm_error:.1g}, relative (norm_error)."
    draws_in_words = format_count(len(draws), "draw", "draws")
    for block, norm in draws[0].upper_bounds:
        bound_lags = [bound_lag(draw, (block, norm), view.lags) for draw in draws]
        known_lags = [lag for lag in bound_lags if lag is not None]
        if known_lags:
            name = ("the norm" if block == "state" else f"the norm of block {block}") + SERIES_TITLES[norm]
            yield (
                f"{name}: in {len(known_lags)} of {draws_in_words}, rounding leaves no digit from lag "
                f"{min(known_lags)} on, because the product was far larger at smaller lags. These norms are "
                "upper bounds."
            )
    pairs = sum(int(draw.pair_bounds.sum()) for draw in draws if draw.pair_bounds is not None)
    if pairs:
        norms = (
            "1 norm of the map is an upper bound"
            if pairs == 1
            else f"{pairs} norms of the map are upper bounds"
        )
        yield f"{norms}, because rounding leaves no digit of them."
    trajectory_error = max(error for draw in draws for error in draw.trajectory_errors.values())
    if stated_error(trajectory_error) > NOTED_DECADES:
        yield rounding_note(stated_error(trajectory_error))
    unknown_lags = [
        lag
        for draw in draws
        for logs in draw.log10_norms.values()
        for lag in _find_unknown_lags(logs, draw, view)
    ]
    if unknown_lags:
        yield (
            f"from lag {min(unknown_lags)} on, the smallest singular value is unknown (nan, or null): a "
            "Jacobian is singular to rounding, or rounding leaves no digit of the product of inverses."
        )
    blow_ups = sorted(draw.blow_up for draw in draws if draw.blow_up is not None)
    if blow_ups:
        yield (
            f"in {len(blow_ups)} of {draws_in_words}, the state overflows, first at step {blow_ups[0]}. Only "
            "lags that every draw reaches are shown; each draw counts them back from its last finite state."
        )


def _find_unknown_lags(logs: Array, draw: DrawMeasurement, view: View) -> list[int]:
    """Return the requested lags without a number."""
    return [lag for lag in view.lags if lag <= draw.steps and np.isnan(logs[lag - 1])]
