"""From runs of several draws to the record of a Lyapunov spectrum."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradflow.analysis.dimension import entropy_rate, kaplan_yorke
from gradflow.analysis.exponents import MOST_ROUNDS
from gradflow.analysis.growth_run import GrowthRun
from gradflow.analysis.lyapunov_record import Exponents, History, Lyapunov
from gradflow.analysis.pace import verdict
from gradflow.cells.base import Array
from gradflow.linalg.orthonormal import EPS

TOLERANCE = 0.01  # nats per step within which an exponent counts as converged, unless told otherwise
NOTHING = 1e-12  # nats per step that are an exponent of 0
ROUNDING = 1e-9  # nats per step that are no drift


class Estimate(NamedTuple):
    """Means over draws, by column of Q, and their standard errors; (k,) each."""

    exponents: Array
    errors: Array
    drift: Array  # second half of the runs less the first
    sure: Array  # whether every run is long beside the memory of the system


def record(
    params: Mapping[str, Any], runs: Sequence[GrowthRun], transient: int, tolerance: float | None
) -> Lyapunov:
    """Return the record of all runs."""
    limit = TOLERANCE if tolerance is None else tolerance
    found = estimate(runs, limit)
    order = np.argsort(-found.exponents, kind="stable")
    exponents, errors = found.exponents[order], found.errors[order]
    with np.errstate(invalid="ignore"):
        steady = np.abs(found.drift[order]) <= 6.0 * errors + ROUNDING  # a half is √2 less certain, two 2
    settled = (errors <= limit) & ((steady & found.sure[order]) | np.isneginf(exponents))
    size, count = runs[0].orbit.size, len(exponents)
    sharp = np.where(np.abs(exponents) < NOTHING, 0.0, exponents).tolist()
    largest, total = float(exponents[0]), float(exponents.sum())
    steps = min(run.steps for run in runs)
    blown = [run.orbit.blow_up for run in runs if run.orbit.blow_up is not None]
    dets = [run.mean_log_abs_det() for run in runs]
    whole = count == size
    judged = verdict(largest, steps, min(blown, default=None))
    table = Exponents(
        index=list(range(1, count + 1)),
        exponent=exponents,
        standard_error=errors,
        converged=[bool(one) for one in settled],
        singular=[bool(one) for one in np.isneginf(exponents)],
    )
    return Lyapunov(
        params=params,
        notes=tuple(_notes(runs, table, found.sure, tolerance, transient)),
        largest=largest,
        largest_standard_error=float(errors[0]),
        sum=total,
        mean_log_abs_det=float(np.mean(dets)) if whole else None,
        sum_rule_error=max(map(sum_rule_error, runs)) if whole else None,
        kaplan_yorke_dimension=kaplan_yorke(sharp, size),
        entropy_rate=entropy_rate(sharp, size),
        condition_growth=_condition_growth(exponents) if whole else None,
        rank=int(np.isfinite(exponents).sum()),
        horizon=math.log(EPS) / largest if sharp[0] < 0 else math.inf,
        verdict=str(judged),
        state_size=size,
        count=count,
        steps=steps,
        transient=transient,
        seeds=len(runs),
        blow_up_step=min(blown, default=None),
        conclusion=_conclusion(table, str(judged)),
        exponents=table,
        history=_history(runs),
    )


def estimate(runs: Sequence[GrowthRun], tolerance: float) -> Estimate:
    """Return means over draws; errors as the steps' correlation has them, or as draws differ, the larger."""
    several = np.array([run.exponents() for run in runs])
    within = np.mean([run.standard_errors() ** 2 for run in runs], axis=0) / len(runs)
    exponents = several.mean(axis=0)
    if len(runs) > 1:
        with np.errstate(invalid="ignore"):
            between = several.var(axis=0, ddof=1) / len(runs)
        within = np.fmax(within, np.where(np.isneginf(exponents), 0.0, between))
    drift = np.mean([_drift(run) for run in runs], axis=0)
    within = np.where(np.isneginf(exponents), 0.0, within)
    sure = np.all([run.sure(tolerance) for run in runs], axis=0)
    return Estimate(exponents, np.sqrt(within), drift, sure)


def _drift(run: GrowthRun) -> Array:
    """Return how much faster the second half of a run grew than the first."""
    steps, sums = run.batches.totals()
    half = (len(steps) - 1) // 2
    if len(steps) < 2:
        return np.zeros(sums.shape[1] - 1)
    with np.errstate(invalid="ignore"):
        first, whole = sums[half] / steps[half], (sums[-1] - sums[half]) / (steps[-1] - steps[half])
        return np.asarray((whole - first)[:-1])


def sum_rule_error(run: GrowthRun) -> float:
    """Return |Σ λ_i − mean ln |det J||; both −inf agree."""
    total, det = float(run.exponents().sum()), run.mean_log_abs_det()
    return 0.0 if total == det else abs(total - det)


def _condition_growth(exponents: Array) -> float:
    largest, least = float(exponents[0]), float(exponents[-1])
    return math.inf if least == -math.inf else largest - least


def _history(runs: Sequence[GrowthRun]) -> History:
    """Return the running means over all draws that got as far as the first of them."""
    steps, _ = runs[0].batches.totals()
    shared = [run for run in runs if run.batches.steps == runs[0].batches.steps]
    with np.errstate(invalid="ignore"):
        paths = np.mean([run.batches.totals()[1] for run in shared], axis=0)[:, :-1] / steps[:, None]
    count = paths.shape[1]
    return History(
        step=[int(step) for _ in range(count) for step in steps],
        index=[index for index in range(1, count + 1) for _ in steps],
        exponent=np.where(np.isnan(paths), -np.inf, paths).T.ravel(),
    )


def _conclusion(table: Exponents, judged: str) -> str:
    """Return the leading exponent in words."""
    largest, error = float(table.exponent[0]), float(table.standard_error[0])
    if largest == -math.inf:
        return "Every direction dies: a product of these Jacobians is exactly 0."
    known = f" ± {error:.2g}" if math.isfinite(error) else ""
    if abs(largest) <= max(2.0 * error if math.isfinite(error) else 0.0, ROUNDING):
        pace = "neither grows nor shrinks, as far as this run can tell"
    else:
        pace = f"{'doubles' if largest > 0 else 'halves'} every {math.log(2) / abs(largest):.3g} steps"
    positive = int((table.exponent - 2.0 * np.nan_to_num(table.standard_error) > ROUNDING).sum())
    chaos = f"; {positive} of the {len(table.index)} exponents computed are positive" if positive else ""
    return f"Leading exponent {largest:.6g}{known} nats per step, {judged}: a small change {pace}{chaos}."


def _notes(
    runs: Sequence[GrowthRun], table: Exponents, sure: Array, tolerance: float | None, transient: int
) -> Iterator[str]:
    """Yield what to beware of."""
    blown = [run.orbit.blow_up for run in runs if run.orbit.blow_up is not None]
    if blown:
        yield (
            f"in {len(blown)} of {len(runs)} draws the state overflows, first at step {min(blown)} (the "
            f"transient's {transient} counted); exponents are those of the steps before."
        )
    if any(run.orbit.underflow for run in runs):
        yield "some units are so saturated that a derivative is under 1e-308 and counts as 0."
    dead = int(np.isneginf(table.exponent).sum())
    if dead:
        yield f"{dead} exponents are -inf: a Jacobian on the way is singular, exactly or to rounding."
        if any(np.isfinite(run.mean_log_abs_det()) for run in runs):
            yield "ln |det J| is finite all the same: those exponents are under what float64 resolves."
    short = int((~sure).sum())
    if short and not np.isnan(table.standard_error).any():
        yield (
            f"the run is not long beside the memory of the system: {short} standard errors are rough, and "
            "those exponents do not count as converged; expected more --steps."
        )
    if np.isnan(table.standard_error).any():
        yield "too few steps for standard errors (none, or null); expected at least 8."
    open_ones = table.converged.count(False)
    if open_ones and tolerance is not None:
        yield (
            f"{open_ones} exponents are not within the tolerance {tolerance:g}: the data ended, or "
            f"{MOST_ROUNDS} times the steps, or draws differ by more; expected more --steps or --seeds."
        )
