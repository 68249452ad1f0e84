"""A gradient by lag in words: how far credit travels, and what to beware of."""

import math
from collections.abc import Iterator

import numpy as np

from gradflow.analysis.bptt_record import LagParts

KEPT = 0.01  # of the gradient may be lost within a window
DOUBTFUL = 1e-5  # from central differences, relative: more than those are off
SMALLEST = float(np.finfo(np.float64).tiny)


def window(lags: LagParts) -> int:
    """Return the lag from which on no cut costs more than 1 % of the gradient."""
    over = np.nonzero(lags.truncation_error > KEPT)[0]
    return int(over[-1]) + 1 if len(over) else 0


def conclusion(parameter: str, lags: LagParts, effective: float) -> str:
    """Return how far back the gradient of a parameter comes from."""
    if math.isnan(effective):
        why = "its parts cancel" if np.isfinite(lags.log10_norm).any() else "nothing arrives, from no step"
        return f"The gradient of {parameter} is exactly 0: {why}."
    half, kept = int(np.argmax(lags.cumulative_share >= 0.5)), window(lags)
    lost = 100.0 * float(lags.truncation_error[0])
    return (
        f"Half of the gradient of {parameter} has come in by lag {half}, and from lag {kept} on no more than "
        f"a hundredth of it is missing: truncated backpropagation through {_steps(kept + 1)} keeps it, "
        f"through 1 step it loses {lost:.3g} %. Credit travels {effective:.3g} steps on average."
    )


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


def notes(lags: LagParts, difference_error: float, log10_norm: float) -> Iterator[str]:
    """Yield what to beware of: windows that do by chance, differences that say nothing or no."""
    kept = window(lags)
    early = np.nonzero(lags.truncation_error[:kept] <= KEPT)[0]
    if len(early):
        yield (
            f"Cut off at lag {early[0]}, too, the gradient is within 1 %, by cancellation: longer windows "
            f"are off again until lag {kept}."
        )
    tiny = np.isfinite(lags.log10_norm) & (lags.log10_norm < log10_norm + math.log10(SMALLEST))
    if tiny.any():
        places = np.nonzero(tiny)[0]
        yield (
            f"Parts of {len(places)} lags ({places[0]} to {places[-1]}) are under 1e-308 of the whole: their "
            "shares read 0, log10_norm has their size."
        )
    if math.isnan(difference_error) and math.isfinite(log10_norm):
        yield (
            "Central differences decide nothing here: the loss is too rough along the parameter, or rounding "
            "hides its changes (difference_error is left out)."
        )
    elif difference_error > DOUBTFUL:
        yield (
            f"Central differences of the loss are {difference_error:.2g} apart from the gradient: expected "
            f"less than {DOUBTFUL:g}; is there a kink (relu) or chaos?"
        )
