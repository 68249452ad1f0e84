"""From the parts of a gradient to the record and its tables."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradflow.analysis.bptt_record import CreditAssignment, CreditMap, LagParts
from gradflow.analysis.bptt_words import conclusion, notes, window
from gradflow.analysis.lag_sweep import Account, Lag, Pairs
from gradflow.analysis.losses import Objective
from gradflow.analysis.parameters import Block
from gradflow.linalg.scaled import from_log10


class Apart(NamedTuple):
    """A gradient taken apart."""

    blocks: Sequence[Block]
    account: Account
    lags: Sequence[Lag]
    pairs: Pairs | None
    difference_error: float


def record(
    params: Mapping[str, Any], objective: Objective, apart: Apart, told: Sequence[str]
) -> CreditAssignment:
    """Return the record of a gradient that was taken apart."""
    lags, account = lag_parts(apart.lags), apart.account
    log10_norm = account.norm.log10()
    nothing = not account.norm.mantissa
    effective = math.nan if nothing else float(np.dot(lags.lag, lags.share))
    return CreditAssignment(
        params=params,
        notes=(*told, *notes(lags, apart.difference_error, account.norm.log10())),
        loss=objective.value(),
        log10_gradient_norm=log10_norm,
        gradient_norm=from_log10(log10_norm),
        effective_lag=effective,
        window_1pct=None if nothing else window(lags),
        difference_error=None if math.isnan(apart.difference_error) else apart.difference_error,
        parameter=params["parameter"],
        parameters=sum(block.size for block in apart.blocks),
        steps=params["steps"],
        batch=params["batch"],
        hidden=params["hidden"],
        features=params["features"],
        conclusion=conclusion(params["parameter"], lags, effective),
        lags=lags,
        map=None if apart.pairs is None else _map(apart.pairs),
    )


def lag_parts(lags: Sequence[Lag]) -> LagParts:
    """Return the table of parts by lag."""
    logs = np.array([lag.norm.log10() for lag in lags])
    return LagParts(
        lag=list(range(len(lags))),
        log10_norm=logs,
        norm=np.array([from_log10(float(log)) for log in logs]),
        share=np.array([lag.share for lag in lags]),
        cumulative_share=np.array([lag.kept for lag in lags]),
        truncation_error=np.array([lag.error for lag in lags]),
        truncation_cosine=np.array([lag.cosine for lag in lags]),
    )


def _map(pairs: Pairs) -> CreditMap:
    later, earlier = np.tril_indices(len(pairs.shares))
    return CreditMap(
        t=[int(t) + 1 for t in later],
        k=[int(k) + 1 for k in earlier],
        log10_norm=np.nan_to_num(pairs.log10_norms[later, earlier], nan=-math.inf, neginf=-math.inf),
        share=pairs.shares[later, earlier],
    )
