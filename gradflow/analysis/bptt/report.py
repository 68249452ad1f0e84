"""The tables and sentences that `bptt` makes of a gradient and its parts."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis.bptt.gradient_parts import Apart, gradient_error, trajectory_error
from gradflow.analysis.bptt.losses import Objective
from gradflow.analysis.bptt.record import CreditAssignment, CreditMap, LagParts, Windows
from gradflow.analysis.bptt.truncation import Lag, Pairs
from gradflow.linalg.floating import SMALLEST_NORMAL_DOUBLE
from gradflow.linalg.scaled import ScaledNumber, from_log10
from gradflow.printable import format_pace, format_steps

MIN_CANCELLING_RATIO = 4.0  # times the whole: parts that large say little one by one
ALMOST_WHOLE_SHARE = 0.8  # of the sequence
MAX_LOST_SHARE = 0.01  # of the gradient may be lost within a window
MAX_UNSTATED_ERROR = 1e-6  # of the gradient: tables show six digits
UNDERFLOW_SENTENCE = (
    "some states or derivatives are so small that they count as 0 (a relu at such a state counts as shut)"
)
MAX_DIFFERENCE_ERROR = 1e-5  # from central differences, relative: more than those are off


def window(lags: LagParts) -> int:
    """Return the shortest window, in steps, that loses 1 % of the gradient or less, as all longer ones do."""
    return _count_lags_until(
        ~(lags.log10_truncation_error > math.log10(MAX_LOST_SHARE))
    )  # what is not known is small


def _set_by_steps(lags: LagParts) -> bool:
    """Return whether the window ends where the sequence does, or little before."""
    return len(lags.lag) > 1 and window(lags) > ALMOST_WHOLE_SHARE * len(lags.lag)


def _count_lags_until(holds: NDArray[np.bool_]) -> int:
    """Return after how many lags a condition holds for good, at least one."""
    misses = np.nonzero(~holds)[0]
    return min(int(misses[-1]) + 2, len(holds)) if len(misses) else 1


def conclusion(
    lags: LagParts, windows: Windows | None, cancellation: float, range_lost: bool, params: Mapping[str, Any]
) -> str:
    """Return how far back the gradient of a parameter comes from, and what truncation loses of it."""
    name, steps = params["parameter"], params["steps"]
    if windows is None:
        if range_lost:
            return f"The gradient of {name} reads 0, which is not proved: {UNDERFLOW_SENTENCE}."
        if np.isfinite(lags.log10_norm).any():
            return f"The gradient of {name} is 0 to rounding: its parts cancel."
        return f"The gradient of {name} is exactly 0: no step contributes to it."
    kept = window(lags)
    half = _count_lags_until(lags.cumulative_share >= 0.5) - 1
    share = f"Half of the gradient of {name} comes from lags up to {half}. "
    if half == 0:
        share = f"At least half of the gradient of {name} comes from lag 0, the step of the loss itself. "
    if cancellation > MIN_CANCELLING_RATIO:
        share = f"The parts of the gradient of {name} cancel: together they are {cancellation:.3g} times it. "
    missing = (
        f" These figures leave out what is too small to compute: {UNDERFLOW_SENTENCE}." if range_lost else ""
    )
    if kept == steps:
        return f"{share}It takes a window of all {format_steps(steps)} to stay within 1 % of it.{missing}"
    lost = 100.0 * float(windows.detached_error[windows.window.index(kept)])
    percent = "under 1e-305" if math.isnan(lost) else f"{lost:.3g}"
    return (
        f"{share}With a window of {format_steps(kept)} behind every loss it is within 1 % of the whole. A "
        f"script that detaches the state {format_pace(kept)} loses {percent} %.{missing}"
    )


def notes(
    lags: LagParts, difference_error: float, trajectory_error: float, log10_norm: float, range_lost: bool
) -> Iterator[str]:
    """Yield warnings: windows that suffice by chance, and differences that disagree or cannot decide."""
    if range_lost:
        sentence = UNDERFLOW_SENTENCE[0].upper() + UNDERFLOW_SENTENCE[1:]
        yield f"{sentence}: what passes through them is missing, and a 0 is not proved."
    kept = window(lags)
    early = np.nonzero(lags.log10_truncation_error[: kept - 1] <= math.log10(MAX_LOST_SHARE))[0]
    if len(early):
        yield (
            f"A window of {format_steps(int(early[0]) + 1)} is also within 1 %, but only because parts "
            f"cancel: longer ones of fewer than {format_steps(kept)} are not."
        )
    if math.isfinite(log10_norm) and _set_by_steps(lags):
        yield (
            f"The window is nearly as long as the sequence, {format_steps(len(lags.lag))}. The sequence "
            "limits it: longer sequences will need a longer window."
        )
    tiny = np.isfinite(lags.log10_norm) & (lags.log10_norm < log10_norm + math.log10(SMALLEST_NORMAL_DOUBLE))
    if tiny.any():
        places = np.nonzero(tiny)[0]
        yield (
            f"Parts of {len(places)} lags ({places[0]} to {places[-1]}) are under 1e-308 of the whole: their "
            "shares read 0; log10_norm gives their size."
        )
    if math.isnan(difference_error) and math.isfinite(log10_norm):
        yield (
            "Central differences are no check here: the loss is too rough along the parameter, or rounding "
            "hides its changes (difference_error is left out)."
        )
    elif difference_error > MAX_DIFFERENCE_ERROR:
        yield (
            f"Central differences of the loss are {difference_error:.2g} apart from the gradient: expected "
            f"less than {MAX_DIFFERENCE_ERROR:g}; is there a kink (relu) or chaos?"
        )
    if trajectory_error > MAX_UNSTATED_ERROR:
        yield (
            f"Rounding moves the states, and with them the gradient by up to about {trajectory_error:g} of "
            "itself (trajectory_error), as in chaos: it is that of a nearby trajectory, and digits beyond "
            "that are not reproducible."
        )


def record(
    params: Mapping[str, Any],
    sizes: Mapping[str, Any],
    told: Sequence[str],
    objective: Objective,
    apart: Apart,
) -> CreditAssignment:
    """Return the record of a gradient that was taken apart; ``sizes``: hidden size and features."""
    nothing = not apart.account.norm.mantissa
    lags = lag_parts(apart.lags, apart.range_lost)
    windows = None if nothing else _windows(lags, apart)
    range_lost = apart.range_lost  # windows may lose some too
    lags = lag_parts(apart.lags, range_lost)
    log10_norm = math.nan if nothing and range_lost else apart.account.norm.log10()
    difference = gradient_error(objective, apart)
    rounding = trajectory_error(objective, apart, params["parameter"])
    if nothing and range_lost:
        rounding = math.nan
    known = {**sizes, **{name: params[name] for name in ("parameter", "steps", "batch")}}
    cancellation = _cancellation(lags, log10_norm)
    return CreditAssignment(
        **known,
        params=params,
        notes=(*told, *notes(lags, difference, rounding, log10_norm, range_lost)),
        loss=objective.value(),
        log10_gradient_norm=log10_norm,
        gradient_norm=from_log10(log10_norm),
        effective_lag=math.nan if nothing else float(np.dot(lags.lag, lags.share)),
        cancellation=cancellation,
        window_1pct=None if nothing else window(lags),
        detached_error=None if windows is None else _at(windows, window(lags)),
        difference_error=None if math.isnan(difference) else difference,
        trajectory_error=rounding,
        parameters=sum(block.size for block in apart.blocks),
        conclusion=conclusion(lags, windows, cancellation, range_lost, params),
        lags=lags,
        windows=windows,
        map=None if apart.pairs is None else _map(apart.pairs, range_lost),
    )


def lag_parts(lags: Sequence[Lag], range_lost: bool) -> LagParts:
    """Return the table of parts by lag.

    With ``range_lost`` a size that reads 0 is not known, and nan. After the last lag nothing can be lost.
    """
    logs = np.array([lag.norm.log10() for lag in lags])
    log10_errors = np.array([_log10(lag.error) for lag in lags])
    errors = np.array([lag.error.value() for lag in lags])
    if range_lost:
        logs[np.isneginf(logs)] = math.nan
        errors[:-1][np.isneginf(log10_errors[:-1])] = math.nan
        log10_errors[:-1][np.isneginf(log10_errors[:-1])] = math.nan
    return LagParts(
        lag=list(range(len(lags))),
        log10_norm=logs,
        norm=np.array([from_log10(float(log)) for log in logs]),
        share=np.array([lag.share for lag in lags]),
        cumulative_share=np.array([lag.kept for lag in lags]),
        truncation_error=errors,
        log10_truncation_error=log10_errors,
        truncation_cosine=np.array([lag.cosine for lag in lags]),
    )


def _log10(value: ScaledNumber) -> float:
    return math.nan if math.isnan(value.mantissa) else value.log10()


def _cancellation(lags: LagParts, log10_norm: float) -> float:
    """Return how many times the whole all parts are together; nan where the whole is 0 or not known."""
    if not math.isfinite(log10_norm):
        return math.nan
    with np.errstate(over="ignore"):
        return float(np.nansum(10.0 ** (lags.log10_norm - log10_norm)))


def _windows(lags: LagParts, apart: Apart) -> Windows:
    """Return what is lost with windows of powers of two, and with the one that keeps 99 %."""
    steps = len(lags.lag)
    powers = {2**k for k in range(steps.bit_length()) if 2**k < steps}
    chosen = sorted(powers | {window(lags)})
    detached = np.array([lost.value() for lost in apart.lost(chosen)])
    errors = lag_parts(apart.lags, apart.range_lost).truncation_error
    if apart.range_lost:
        unknown = (detached == 0) & (np.array(chosen) < steps)
        detached[unknown] = math.nan
    return Windows(window=chosen, truncation_error=errors[[w - 1 for w in chosen]], detached_error=detached)


def _at(windows: Windows, window: int) -> float:
    return float(windows.detached_error[windows.window.index(window)])


def _map(pairs: Pairs, range_lost: bool) -> CreditMap:
    """Return the table of pairs; with ``range_lost`` a size that reads 0 is not known, and nan."""
    later, earlier = np.tril_indices(len(pairs.shares))
    nothing = math.nan if range_lost else -math.inf
    return CreditMap(
        t=[int(t) + 1 for t in later],
        k=[int(k) + 1 for k in earlier],
        log10_norm=np.nan_to_num(pairs.log10_norms[later, earlier], nan=nothing, neginf=nothing),
        share=pairs.shares[later, earlier],
    )
