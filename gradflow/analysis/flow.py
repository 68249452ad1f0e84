"""How the norm of ∂s_T/∂s_{T−k} shrinks or grows with the lag k, cell beside cell on the same inputs."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradflow.analysis import FLOW_VERDICTS
from gradflow.analysis.inputs import LARGEST, Inputs
from gradflow.analysis.trajectory import Run, run
from gradflow.cells.spec import CellSpec, parse_cell
from gradflow.errors import UsageError
from gradflow.linalg.floating import FORMATS, LEVELS, outside
from gradflow.linalg.scaled import from_log10
from gradflow.printable import decimal
from gradflow.readers.given import told
from gradflow.record import Record, column, scalar, table

# Stable is a rate at which a gradient changes by less than this factor over T steps, at least 100.
STABLE, LEAST_STEPS = 100.0, 100
NOTHING = 1e-9  # nats per step that are rounding
QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True, eq=False)
class Lags:
    """The Jacobian product at every lag."""

    cell: list[str] = column("the cell, as it was asked for")
    lag: list[int] = column("steps k that the gradient has travelled back", unit="step")
    log10_step_norm: NDArray[np.float64] = column(
        "log₁₀ ‖∂s_{t+1}/∂s_t‖₂ of the one step at that lag", log10=True
    )
    log10_norm: NDArray[np.float64] = column("log₁₀ ‖∂s_T/∂s_{T−k}‖₂, median", log10=True, levels=LEVELS)
    log10_norm_low: NDArray[np.float64] = column("its 5 % quantile over seeds", log10=True)
    log10_norm_high: NDArray[np.float64] = column("its 95 % quantile over seeds", log10=True)
    norm: NDArray[np.float64] = column(
        "‖∂s_T/∂s_{T−k}‖₂, median; none where a double cannot hold it", log10_in="log10_norm"
    )


@dataclass(frozen=True, eq=False)
class Cells:
    """What the flow amounts to, a row for each cell."""

    cell: list[str] = column("the cell, as it was asked for")
    state_size: list[int] = column("numbers in the whole state")
    rate: NDArray[np.float64] = column(
        "growth over the second half of the lags, median", unit="nats per step"
    )
    rate_low: NDArray[np.float64] = column("its 5 % quantile over seeds", unit="nats per step")
    rate_high: NDArray[np.float64] = column("its 95 % quantile over seeds", unit="nats per step")
    half_life: NDArray[np.float64] = column(
        "steps in which that rate halves a gradient; inf: never", unit="step"
    )
    horizon_float32: list[int | None] = column("first lag outside float32's normal numbers", unit="step")
    horizon_float16: list[int | None] = column("first lag outside float16's normal numbers", unit="step")
    horizon_bfloat16: list[int | None] = column("first lag outside bfloat16's normal numbers", unit="step")
    verdict: list[str] = column("stable: at this rate within a factor of 100 over T steps, at least 100")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Flow(Record):
    """Gradient flow through cells that were fed the same inputs."""

    command: ClassVar[str] = "compare"
    verdicts: ClassVar[tuple[str, ...]] = FLOW_VERDICTS

    steps: int = scalar("T, the largest lag")
    seeds: int = scalar("draws of weights, and of inputs unless given")
    features: int = scalar("features of an input")
    hidden: int = scalar("hidden size of each cell")
    conclusion: str = scalar("in words", prose=True)

    flow: Lags = table(
        "norm of ∂s_T/∂s_{T−k} by lag k: median over seeds", index="lag", across="cell", value="log10_norm"
    )
    cells: Cells = table("what it amounts to", across="cell")

    def held(self) -> frozenset[str]:
        """Return the verdicts of all the cells."""
        return frozenset(self.cells.verdict)


def compare(
    *cells: str,
    hidden: int = 32,
    steps: int | None = None,
    seed: int = 0,
    seeds: int = 10,
    features: int | None = None,
    input: str | Path | ArrayLike | None = None,
    key: str | None = None,
    input_scale: float = 1.0,
    map: Callable[..., Iterable[Any]] = map,
) -> Flow:
    """Compute the norm of the Jacobian product ∂s_T/∂s_{T−k} for every lag k, for each cell.

    The state s is the whole state of the cell, [h; c] for an LSTM: whoever multiplies ∂h'/∂h alone is off by
    eighty orders of magnitude after a hundred steps.

    Parameters
    ----------
    cells : str
        ``NAME[:option=value,...]``, as in ``"lstm:forget_bias=1"``.
    hidden : int
        Hidden size.
    steps : int, optional
        T; 100, or the length of ``input``.
    seed, seeds : int
        Weights are drawn ``seeds`` times, all derived from ``seed``.
    features : int, optional
        Features of the standard normal inputs; 32, or those of ``input``.
    input : path or array-like (T, features) or (batch, T, features), optional
        Inputs to use instead, the same for every cell; a batch is spread over the seeds.
    key : str, optional
        Which array of an input file with several.
    input_scale : float
        Multiplies the inputs.
    map : callable
        Applies the measurement to each (cell, seed) in order; a caller may watch it, or run it in threads.

    Returns
    -------
    Flow
        The tables ``flow`` (a row a cell and lag) and ``cells`` (a row a cell) with their columns
        as arrays or lists, ``conclusion`` and ``notes``.

    Raises
    ------
    UsageError
        For an unknown cell or option, or a number out of range.
    DataError
        For inputs that cannot be read.
    NumericalError
        Where a state leaves the range of a double.

    Examples
    --------
    >>> result = compare("rnn", "lstm:forget_bias=3", hidden=8, steps=60, seeds=3)
    >>> result.cells.verdict
    ['vanishing', 'stable']
    >>> bool(result.cells.rate[0] < result.cells.rate[1])
    True
    """
    specs = _specs(cells)
    for name, value in (("hidden", hidden), ("seeds", seeds)):
        if not isinstance(value, int) or not 1 <= value <= LARGEST:
            raise UsageError(f"{name} {value}: expected an integer from 1 to {LARGEST}")
    inputs = Inputs.of(input, key=key, steps=steps, features=features, scale=input_scale, seed=seed)
    jobs = [(spec, draw) for spec in specs for draw in range(seeds)]

    def measure(job: tuple[CellSpec, int]) -> Run:
        spec, draw = job
        # Seeded alike for every cell, so that two variants of one cell share their draw.
        cell = spec.make(hidden, inputs.features, np.random.default_rng([seed, draw, 1]))
        return run(cell, inputs.draw(draw), spec.text)

    results = list(map(measure, jobs))
    runs = [results[k * seeds : (k + 1) * seeds] for k in range(len(specs))]
    flow, summary = _lags(specs, runs), _cells(specs, runs)
    return Flow(
        params={
            "cells": list(cells),
            "hidden": hidden,
            "steps": inputs.steps,
            "seed": seed,
            "seeds": seeds,
            "features": inputs.features,
            "key": key,
            "input_scale": input_scale,
            "input": told(input),
        },
        notes=tuple(_notes(inputs, results, seeds)),
        steps=inputs.steps,
        seeds=seeds,
        features=inputs.features,
        hidden=hidden,
        conclusion=" ".join(_sentence(summary, flow, k, inputs.steps) for k in range(len(specs))),
        flow=flow,
        cells=summary,
    )


def _notes(inputs: Inputs, results: list[Run], seeds: int) -> Iterator[str]:
    """Yield what to beware of: inputs left unused, slopes too small for a double."""
    if inputs.data is not None and len(inputs.data) > seeds > 0:
        yield f"Of the {len(inputs.data)} input sequences the first {seeds} are used, one a seed."
    lost = sum(run.underflows for run in results)
    if lost:
        yield (f"In {lost} places a unit is so saturated that a derivative is under 1e-308 and counts as 0.")


def _specs(cells: Sequence[str]) -> list[CellSpec]:
    if not cells:
        raise UsageError("no cell was named: expected one or more, as in: rnn lstm")
    wrong = [cell for cell in cells if not isinstance(cell, str)]
    if wrong:
        raise UsageError(f"cell {wrong[0]!r} is no name: give names one by one, as in compare('rnn', 'lstm')")
    twice = [cell for cell in cells if cells.count(cell) > 1]
    if twice:
        raise UsageError(f"cell {twice[0]!r} is named twice: give each once, or with other options")
    return [parse_cell(cell) for cell in cells]


def quantiles(values: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """Return the 5 %, 50 % and 95 % quantiles over the first axis, where −inf stands for an exact 0.

    Examples
    --------
    >>> quantiles([-np.inf, 0.0, 1.0]).round(9).tolist()
    [-inf, 0.0, 0.9]
    """
    with np.errstate(invalid="ignore"):
        found = np.quantile(np.asarray(values), QUANTILES, axis=0)
    # Between −inf and a number any weight gives −inf, where the formula gives nan.
    return np.where(np.isnan(found), -np.inf, found)


def _lags(specs: list[CellSpec], runs: list[list[Run]]) -> Lags:
    norms = [quantiles([run.log10_norms for run in several]) for several in runs]
    steps = [quantiles([run.log10_step_norms for run in several])[1] for several in runs]
    count = len(steps[0])
    median = np.concatenate([norm[1] for norm in norms])
    return Lags(
        cell=[spec.text for spec in specs for _ in range(count)],
        lag=[lag for _ in specs for lag in range(1, count + 1)],
        log10_step_norm=np.concatenate(steps),
        log10_norm=median,
        log10_norm_low=np.concatenate([norm[0] for norm in norms]),
        log10_norm_high=np.concatenate([norm[2] for norm in norms]),
        norm=np.array([from_log10(float(log)) for log in median]),
    )


def _rate(log10_norms: NDArray[np.float64]) -> float:
    """Return the growth in nats per step over the second half of the lags; lag 0 is the identity."""
    logs = np.concatenate([[0.0], log10_norms])
    last, middle = len(log10_norms), len(log10_norms) // 2
    if math.isinf(logs[last]):
        return -math.inf
    return float((logs[last] - logs[middle]) / (last - middle) * math.log(10))


def _cells(specs: list[CellSpec], runs: list[list[Run]]) -> Cells:
    low, rate, high = quantiles(
        [[_rate(run.log10_norms) for run in several] for several in zip(*runs, strict=True)]
    )
    medians = [quantiles([run.log10_norms for run in several])[1] for several in runs]
    horizons = {
        name: [
            next((lag for lag, log in enumerate(median, 1) if outside(log, ends)), None) for median in medians
        ]
        for name, ends in FORMATS.items()
    }
    return Cells(
        cell=[spec.text for spec in specs],
        state_size=[several[0].state_size for several in runs],
        rate=rate,
        rate_low=low,
        rate_high=high,
        half_life=np.array([math.log(2) / -r if r < 0 else math.inf for r in rate]),
        horizon_float32=horizons["float32"],
        horizon_float16=horizons["float16"],
        horizon_bfloat16=horizons["bfloat16"],
        verdict=[_verdict(float(r), len(medians[0])) for r in rate],
    )


def _verdict(rate: float, steps: int) -> str:
    """Return the verdict on a rate; short runs are judged as if they went on to 100 steps."""
    limit = math.log(STABLE) / max(steps, LEAST_STEPS)
    if rate < -limit:
        return "vanishing"
    return "exploding" if rate > limit else "stable"


def _sentence(summary: Cells, flow: Lags, k: int, steps: int) -> str:
    """Say in words what became of one cell's gradient."""
    last = float(flow.log10_norm[(k + 1) * steps - 1])
    rate, half_life = float(summary.rate[k]), float(summary.half_life[k])
    pace = f", halved every {half_life:.3g} steps" if 0 < half_life < math.inf and rate < -NOTHING else ""
    if rate > NOTHING:
        pace = f", doubled every {math.log(2) / rate:.3g} steps"
    horizon = summary.horizon_float32[k]
    reach = f"; outside float32's normal numbers from lag {horizon}" if horizon else ""
    return f"{summary.cell[k]} is {summary.verdict[k]}: {decimal(last)} at lag {steps}{pace}{reach}."
