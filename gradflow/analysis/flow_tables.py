"""From many draws to the tables of a comparison: quantiles over seeds, rates, horizons, verdicts."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gradflow.analysis.flow_record import Cells, Lags
from gradflow.analysis.measure import Measured, Series
from gradflow.analysis.pace import MedianVerdict, half_life, judge_median
from gradflow.analysis.quantiles import median, quantiles
from gradflow.analysis.trajectory_error import stated_error
from gradflow.analysis.view import View
from gradflow.cells.base import Array
from gradflow.linalg.floating import FORMATS, outside
from gradflow.linalg.scaled import from_log10

Draws = Mapping[str, Sequence[Measured]]  # by cell


class _Part(NamedTuple):
    """One series of one cell over all its draws, at the lags that every draw reaches."""

    cell: str
    series: Series
    draws: Sequence[Measured]
    lags: list[int]

    def over_draws(self, values: Sequence[Array]) -> Array:
        """Return (draws, lags) of arrays that run over all lags."""
        places = [lag - 1 for lag in self.lags]
        return np.array([one[places] for one in values], np.float64)

    def norms(self) -> Array:
        """Return log₁₀ of the norms, (draws, lags)."""
        return self.over_draws([draw.log10_norms[self.series] for draw in self.draws])


def _parts(found: Draws, view: View) -> Iterator[_Part]:
    for cell, draws in found.items():
        steps = min(draw.steps for draw in draws)
        lags = [lag for lag in view.lags if lag <= steps]
        for block in view.blocks:
            for norm in view.norms:
                yield _Part(cell, (block, norm), draws, lags)


def lag_table(found: Draws, view: View) -> Lags:
    """Return the table of norms by lag."""
    rows = []
    for part in _parts(found, view):
        low, middle, high = quantiles(part.norms())
        steps = median(part.over_draws([draw.log10_step_norms for draw in part.draws]))
        nothing = np.full(part.draws[0].steps, np.nan)
        bounds = median(part.over_draws([draw.log10_bounds.get(part.series, nothing) for draw in part.draws]))
        rows.append((part, steps, middle, low, high, bounds))
    every = [part for part, *_ in rows for _ in part.lags]
    steps, middle, low, high, bounds = (np.concatenate([row[k] for row in rows]) for k in range(1, 6))
    return Lags(
        cell=[part.cell for part in every],
        lag=[lag for part, *_ in rows for lag in part.lags],
        log10_step_norm=steps,
        log10_norm=middle,
        log10_norm_low=low,
        log10_norm_high=high,
        norm=np.array([from_log10(float(log)) for log in middle]),
        block=[part.series[0] for part in every],
        kind=[part.series[1] for part in every],
        log10_bound=bounds,
    )


def cell_table(found: Draws, view: View, steps: int) -> Cells:
    """Return what each series of each cell amounts to; ``steps`` is T as it was asked for."""
    parts = list(_parts(found, view))
    rates = [_rates(part) for part in parts]
    low, rate, high = (
        np.array(values) for values in zip(*(quantiles(several) for several in rates), strict=True)
    )
    told = [_judged(part, several, steps) for part, several in zip(parts, rates, strict=True)]
    medians = [median(part.norms()) for part in parts]
    horizons = {
        name: [_horizon(part, logs, ends) for part, logs in zip(parts, medians, strict=True)]
        for name, ends in FORMATS.items()
    }
    blown = [_first(draw.blow_up for draw in part.draws) for part in parts]
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
        verdict=[one.verdict for one in told],
        median_low=np.array([math.nan if one.interval is None else one.interval.low for one in told]),
        median_high=np.array([math.nan if one.interval is None else one.interval.high for one in told]),
        block=[part.series[0] for part in parts],
        kind=[part.series[1] for part in parts],
        blow_up_step=blown,
        norm_error=np.array([max(draw.errors[part.series] for draw in part.draws) for part in parts]),
        bound_from=[_first(bound_lag(draw, part.series, part.lags) for draw in part.draws) for part in parts],
        trajectory_error=np.array(
            [stated_error(max(draw.trajectory_errors[part.series] for draw in part.draws)) for part in parts]
        ),
    )


def bound_lag(draw: Measured, series: Series, lags: Sequence[int]) -> int | None:
    """Return the first of the lags at which a norm is known by an upper bound alone."""
    bounds = draw.upper_bounds[series]
    if not bounds.any():
        return None
    return next((lag for lag in lags if lag <= draw.steps and bounds[lag - 1]), None)


def _rates(part: _Part) -> Array:
    """Return the growth of every draw in nats per step over the second half of the lags."""
    if not part.lags:
        return np.full(len(part.draws), np.nan)
    logs, last = part.norms(), part.lags[-1]
    first = max((lag for lag in part.lags if 2 * lag <= last), default=0)
    start = logs[:, part.lags.index(first)] if first else _log10_norm_of_identity(part)
    ended = np.isinf(logs[:, -1])
    with np.errstate(invalid="ignore"):
        return np.where(ended, logs[:, -1], (logs[:, -1] - start) / (last - first) * math.log(10))


def _judged(part: _Part, rates: Array, steps: int) -> MedianVerdict:
    """Return what the draws tell of their median.

    A gradient vanishes with the norm: the smallest singular value has no verdict, nor has a condition number.
    """
    blown = np.array([draw.blow_up is not None for draw in part.draws])
    told = judge_median(np.where(blown, np.inf, rates), steps)
    return told._replace(verdict=None) if part.series[1] in ("min", "cond") else told


def _log10_norm_of_identity(part: _Part) -> float:
    """Return log₁₀ of the norm at lag 0, where the product is the identity; nan for a block that is 0."""
    block, norm = part.series
    if block in ("hc", "ch"):
        return math.nan
    return 0.5 * math.log10(part.draws[0].block_sizes[block]) if norm == "fro" else 0.0


def _horizon(part: _Part, logs: Array, ends: tuple[float, float]) -> int | None:
    """Return the first lag outside a format, None where it lies between two that are listed.

    A condition number is no gradient and has none.
    """
    if part.series[1] == "cond":
        return None
    listed = {0, *part.lags}
    first = next((lag for lag, log in zip(part.lags, logs, strict=True) if outside(log, ends)), None)
    return first if first is not None and first - 1 in listed else None


def _first(steps: Iterator[int | None]) -> int | None:
    return min((step for step in steps if step is not None), default=None)
