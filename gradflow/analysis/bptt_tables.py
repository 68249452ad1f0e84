"""From the parts of a gradient to the record and its tables."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradflow.analysis.apart import Apart, gradient_error, trajectory_error
from gradflow.analysis.bptt_record import CreditAssignment, CreditMap, LagParts, Windows
from gradflow.analysis.bptt_words import conclusion, notes, window
from gradflow.analysis.lag_account import Lag, Pairs
from gradflow.analysis.losses import Objective
from gradflow.linalg.scaled import ScaledNumber, from_log10


def record(
    params: Mapping[str, Any],
    sizes: Mapping[str, Any],
    told: Sequence[str],
    objective: Objective,
    apart: Apart,
) -> CreditAssignment:
    """Return the record of a gradient that was taken apart; ``sizes``: hidden size and features."""
    lags, log10_norm = lag_parts(apart.lags), apart.account.norm.log10()
    nothing = not apart.account.norm.mantissa
    windows = None if nothing else _windows(lags, apart)
    difference = gradient_error(objective, apart)
    rounding = trajectory_error(objective, apart, params["parameter"])
    known = {**sizes, **{name: params[name] for name in ("parameter", "steps", "batch")}}
    cancellation = _cancellation(lags, log10_norm)
    return CreditAssignment(
        **known,
        params=params,
        notes=(*told, *notes(lags, difference, rounding, log10_norm, apart.range_lost)),
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
        conclusion=conclusion(lags, windows, cancellation, apart.range_lost, params),
        lags=lags,
        windows=windows,
        map=None if apart.pairs is None else _map(apart.pairs),
    )


def lag_parts(lags: Sequence[Lag]) -> LagParts:
    """Return the table of parts by lag."""
    logs = np.array([lag.norm.log10() for lag in lags])
    errors = np.array([_log10(lag.error) for lag in lags])
    return LagParts(
        lag=list(range(len(lags))),
        log10_norm=logs,
        norm=np.array([from_log10(float(log)) for log in logs]),
        share=np.array([lag.share for lag in lags]),
        cumulative_share=np.array([lag.kept for lag in lags]),
        truncation_error=np.array([lag.error.value() for lag in lags]),
        log10_truncation_error=errors,
        truncation_cosine=np.array([lag.cosine for lag in lags]),
    )


def _log10(value: ScaledNumber) -> float:
    return math.nan if math.isnan(value.mantissa) else value.log10()


def _cancellation(lags: LagParts, log10_norm: float) -> float:
    """Return how many times the whole all parts are together; nan where the whole is 0."""
    if log10_norm == -math.inf:
        return math.nan
    with np.errstate(over="ignore"):
        return float(np.sum(10.0 ** (lags.log10_norm - log10_norm)))


def _windows(lags: LagParts, apart: Apart) -> Windows:
    """Return what is lost with windows of powers of two, and with the one that keeps 99 %."""
    steps = len(lags.lag)
    powers = {2**k for k in range(steps.bit_length()) if 2**k < steps}
    chosen = sorted(powers | {window(lags)})
    return Windows(
        window=chosen,
        truncation_error=lags.truncation_error[[w - 1 for w in chosen]],
        detached_error=np.array([lost.value() for lost in apart.lost(chosen)]),
    )


def _at(windows: Windows, window: int) -> float:
    return float(windows.detached_error[windows.window.index(window)])


def _map(pairs: Pairs) -> CreditMap:
    later, earlier = np.tril_indices(len(pairs.shares))
    return CreditMap(
        t=[int(t) + 1 for t in later],
        k=[int(k) + 1 for k in earlier],
        log10_norm=np.nan_to_num(pairs.log10_norms[later, earlier], nan=-math.inf, neginf=-math.inf),
        share=pairs.shares[later, earlier],
    )
