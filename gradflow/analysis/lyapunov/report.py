"""From runs of several draws to the record of a Lyapunov spectrum."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradflow.analysis.lyapunov.dimension import entropy_rate, kaplan_yorke
from gradflow.analysis.lyapunov.power_law import may_be_power_of_time
from gradflow.analysis.lyapunov.record import Exponents, History, Lyapunov
from gradflow.analysis.lyapunov.starts import DrawStarts
from gradflow.analysis.lyapunov.sum_rule import sum_rule_error
from gradflow.analysis.shared.batch_means import MIN_BATCHES, student_quantile
from gradflow.analysis.shared.exponents import MAX_ROUNDS, RUN_STARTS
from gradflow.analysis.shared.growth_run import MIN_INDEPENDENT_BATCHES, GrowthRun
from gradflow.analysis.shared.verdicts import MIN_VERDICT_STEPS, data_to_decide, verdict
from gradflow.cells.base import Array
from gradflow.linalg.floating import DOUBLE_EPS
from gradflow.printable import format_count, format_pace, format_with_error

# Nats per step: an exponent has converged if its error is within this, unless a tolerance is given.
MIN_ROUNDING_SHARE = 0.01  # share of a disorder of exponents from which rounding explains it
DEFAULT_EXPONENT_TOLERANCE = 0.01
MAX_ZERO_EXPONENT = 1e-12  # nats per step that are an exponent of 0
MAX_UNNOTED_DRIFT = 1e-9  # nats per step that are no drift
MIN_TELLING_DRAWS = 6  # draws whose scatter says how many others would decide


class ExponentEstimates(NamedTuple):
    """Means over draws, by column of Q, with their errors; (k,) each."""

    exponents: Array
    errors: Array
    half_widths: Array  # of 95 % intervals
    rounding: Array  # what rounding may have cost, in both of them
    lost: Array  # whether that is more than the exponent itself, or -inf for rounding alone
    powers: Array  # whether it is growth as a power of time that keeps 0 within them
    drift: Array  # second half of the runs less the first
    sure: Array  # whether every run is long beside the memory of the system


class Judgement(NamedTuple):
    """What the leading exponent amounts to, and what that rests on."""

    verdict: str
    low: float
    high: float
    steps_to_decide: int | None = None
    seeds_to_decide: int | None = None


def record(
    params: Mapping[str, Any],
    runs: Sequence[GrowthRun],
    starts: Sequence[DrawStarts],
    transient: int,
    tolerance: float | None,
    *,
    rounded: bool = False,
) -> Lyapunov:
    """Return the record of all runs; ``rounded``: rounding shows in the sum of the spectrum."""
    limit = DEFAULT_EXPONENT_TOLERANCE if tolerance is None else tolerance
    found = estimate(runs, limit, transient)
    order = np.argsort(-found.exponents, kind="stable")
    found = ExponentEstimates(*(part[order] for part in found))
    exponents, errors = found.exponents, found.errors
    with np.errstate(invalid="ignore"):
        steady = np.abs(found.drift) <= 6.0 * errors + MAX_UNNOTED_DRIFT  # a half is √2 less certain, two 2
    apart = [one for one in starts if one.agree is False]
    known = steady & found.sure & ~found.powers
    settled = (errors <= limit) & (known | np.isneginf(exponents)) & (not apart)
    size, count = runs[0].orbit.size, len(exponents)
    sharp = np.where(
        np.abs(exponents) <= np.maximum(found.rounding, MAX_ZERO_EXPONENT), 0.0, exponents
    ).tolist()
    known_none = bool(found.lost[0])  # nor is anything that is made of the leading exponent
    largest, total = float(exponents[0]), float(exponents.sum())
    blown = [run.orbit.blow_up for run in runs if run.orbit.blow_up is not None]
    dets = [run.mean_log_abs_det() for run in runs]
    whole = count == size
    judged = judge(runs, found, starts)
    table = Exponents(
        index=list(range(1, count + 1)),
        exponent=exponents,
        standard_error=errors,
        converged=[bool(one) for one in settled],
        singular=[bool(one) for one in np.isneginf(exponents)],
    )
    return Lyapunov(
        params=params,
        notes=tuple(_notes(runs, table, found, starts, tolerance, transient, rounded=rounded)),
        largest=largest,
        largest_standard_error=float(errors[0]),
        largest_low=judged.low,
        largest_high=judged.high,
        sum=total,
        mean_log_abs_det=float(np.mean(dets)) if whole else None,
        sum_rule_error=max(map(sum_rule_error, runs)) if whole else None,
        kaplan_yorke_dimension=None if known_none else kaplan_yorke(sharp, size),
        entropy_rate=None if known_none else entropy_rate(sharp, size),
        condition_growth=_condition_growth(exponents) if whole else None,
        rank=int(np.isfinite(exponents).sum()),
        horizon=_horizon(largest, sharp[0], known=not known_none),
        verdict=judged.verdict,
        steps_to_decide=judged.steps_to_decide,
        seeds_to_decide=judged.seeds_to_decide,
        state_size=size,
        count=count,
        steps=min(run.steps for run in runs),
        transient=transient,
        seeds=len(runs),
        starts=RUN_STARTS if starts else 1,
        starts_agree=_all_agree(starts),
        starts_difference=max((one.difference for one in starts), default=None),
        blow_up_step=min(blown, default=None),
        conclusion=_conclusion(table, found, judged, runs, agree=not apart),
        exponents=table,
        history=_history(runs),
    )


def _horizon(largest: float, sharp: float, *, known: bool) -> float | None:
    """Return the lag at which the leading direction is down to the spacing of doubles; inf: never."""
    if not known:
        return None
    return math.log(DOUBLE_EPS) / largest if sharp < 0 else math.inf


def estimate(runs: Sequence[GrowthRun], tolerance: float, transient: int) -> ExponentEstimates:
    """Return means over draws; errors as the steps' correlation has them, or as draws differ, the larger.

    The interval of either is Student's t: that of the steps with the degrees of freedom that Welch (1947) and
    Satterthwaite (1946) give a sum of variances, that of n draws with n − 1. What rounding may have cost is
    added to both; where that leaves nothing of another exponent, or no determinant is 0, one of −inf has
    the error inf. Where growth as a power of time may explain the record, they are widened until they hold
    0, its exponent.
    """
    several = np.array([run.exponents() for run in runs])
    exponents = several.mean(axis=0)
    dead = np.isneginf(exponents)
    squares = np.array([run.standard_errors() ** 2 for run in runs])
    freedom = np.array([run.independent() for run in runs]) - 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = squares / squares.sum(axis=0)
        within = np.sqrt(squares.mean(axis=0) / len(runs))
        half_widths = student_quantile(1.0 / np.nansum(shares**2 / freedom, axis=0)) * within
        if len(runs) > 1:
            between = np.sqrt(several.var(axis=0, ddof=1) / len(runs))
            within = np.fmax(within, between)
            half_widths = np.fmax(half_widths, student_quantile(np.array(len(runs) - 1.0)) * between)
    drift = np.mean([_drift(run) for run in runs], axis=0)
    sure = np.all([run.sure(tolerance) for run in runs], axis=0)
    rounding = np.mean([run.rounding_errors() for run in runs], axis=0)
    rounding = rounding + _disorder(exponents, half_widths, rounding)
    lost = ~dead & (rounding > np.maximum(np.abs(exponents), tolerance))
    # a direction seems to die for rounding alone where no determinant is 0, or others are lost to it
    regular = any(math.isfinite(run.mean_log_abs_det()) for run in runs)
    lost |= dead & (lost.any() or regular)
    of_dead = np.where(lost, np.inf, 0.0)
    errors = np.where(dead, of_dead, within + rounding)
    half_widths = np.where(dead, of_dead, half_widths + rounding)
    powers = np.all([_may_be_power(run, transient) for run in runs], axis=0)
    powers &= ~dead & (np.abs(exponents) > 2.0 * errors)
    errors = np.where(powers, np.fmax(errors, 0.5 * np.abs(exponents)), errors)
    half_widths = np.where(powers, np.fmax(half_widths, np.abs(exponents)), half_widths)
    return ExponentEstimates(exponents, errors, half_widths, rounding, lost, powers, drift, sure)


def _disorder(exponents: Array, half_widths: Array, rounding: Array) -> Array:
    """Return by how much rounding makes each column outgrow one before it, beyond the errors; else 0.

    A column grows as the next larger volume does over the one before, and from a random start the fast
    directions come first (Benettin et al. 1980). A later column that grows faster has not settled yet, in a
    short run, or grows for rounding: the latter where its rounding is no small part of the difference.
    """
    widths = half_widths + rounding
    ends = np.where(np.isfinite(exponents), exponents + widths, np.inf)
    slowest = np.minimum.accumulate(np.append(np.inf, ends[:-1]))
    excess = np.where(exponents - widths > slowest, exponents + widths - slowest, 0.0)
    return np.where(rounding > MIN_ROUNDING_SHARE * excess, excess, 0.0)


def judge(runs: Sequence[GrowthRun], found: ExponentEstimates, starts: Sequence[DrawStarts]) -> Judgement:
    """Return the verdict on the leading exponent, the interval it rests on, and what would decide it.

    Where initial states disagree the interval is widened to hold what each of them has. Draws whose state
    overflows explode: most of them decide, and while they are few no verdict of calm holds for all.
    """
    largest, half_width = float(found.exponents[0]), float(found.half_widths[0])
    low, high = largest - half_width, largest + half_width
    disagree = any(one.agree is False for one in starts)
    if disagree:
        low = min(low, float(np.mean([min(one.exponents) for one in starts])) - half_width)
        high = max(high, float(np.mean([max(one.exponents) for one in starts])) + half_width)
    blown = [run.orbit.blow_up for run in runs if run.orbit.blow_up is not None]
    most = 2 * len(blown) > len(runs)
    steps = min(run.steps for run in runs)
    word = str(verdict(largest, steps, blown[0] if most else None, low, high))
    if blown and not most and word != "exploding":
        word = "borderline"
    if found.lost[0] and not most:
        word = "borderline"
    if word != "borderline" or disagree or blown or found.powers[0] or found.lost[0]:
        return Judgement(word, low, high)
    if low > 0 or high < 0:  # the sign is known: only the size is not
        return Judgement(word, low, high)
    # rounding does not grow less with more data
    distance, half_width = abs(largest) - float(found.rounding[0]), half_width - float(found.rounding[0])
    if len(runs) > 1:
        told = len(runs) >= MIN_TELLING_DRAWS
        return Judgement(
            word, low, high, None, data_to_decide(len(runs), half_width, distance) if told else None
        )
    told = float(runs[0].independent()[np.argmax(runs[0].exponents())]) >= MIN_INDEPENDENT_BATCHES
    return Judgement(word, low, high, data_to_decide(steps, half_width, distance) if told else None, None)


def _may_be_power(run: GrowthRun, transient: int) -> Array:
    """Return for each column whether its growth may be that of a power of time; no of too few batches."""
    ends, sums = run.batches.totals()
    if len(ends) < MIN_BATCHES:
        return np.zeros(sums.shape[1] - 1, bool)
    with np.errstate(invalid="ignore"):
        growths = np.diff(sums[:, :-1], axis=0, prepend=0.0)
    return may_be_power_of_time(growths, ends, transient, run.log_errors / len(ends))


def _all_agree(starts: Sequence[DrawStarts]) -> bool | None:
    told = [one.agree for one in starts]
    return False if False in told else None if None in told or not told else True


def _drift(run: GrowthRun) -> Array:
    """Return how much faster the second half of a run grew than the first."""
    steps, sums = run.batches.totals()
    half = (len(steps) - 1) // 2
    if len(steps) < 2:
        return np.zeros(sums.shape[1] - 1)
    with np.errstate(invalid="ignore"):
        first, whole = sums[half] / steps[half], (sums[-1] - sums[half]) / (steps[-1] - steps[half])
        return np.asarray((whole - first)[:-1])


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


def _conclusion(
    table: Exponents, found: ExponentEstimates, judged: Judgement, runs: Sequence[GrowthRun], *, agree: bool
) -> str:
    """Return the leading exponent in words, which say no more than the verdict does."""
    largest, error = float(table.exponent[0]), float(table.standard_error[0])
    if largest == -math.inf and judged.verdict == "vanishing":
        return "Every direction dies: a product of these Jacobians is exactly 0."
    steps = max(min(run.steps for run in runs), MIN_VERDICT_STEPS)
    blown = [run.orbit.blow_up for run in runs if run.orbit.blow_up is not None]
    signed = judged.low > MAX_UNNOTED_DRIFT or judged.high < -MAX_UNNOTED_DRIFT
    pace = ""
    if signed and math.isfinite(largest):
        pace = f"{'doubles' if largest > 0 else 'halves'} {format_pace(math.log(2) / abs(largest))}"
    if judged.verdict == "stable":
        means = pace or "neither grows nor shrinks"
        means = f"a small change {means}, to less than a factor of 100 over {steps} steps"
    elif judged.verdict != "borderline":
        means = f"a small change {pace}" if pace else f"the state overflows at step {min(blown)}"
    elif not agree:
        means = "runs from several initial states disagree"
    elif blown:
        means = f"the state overflows in {len(blown)} of {len(runs)} draws and not in the others"
    elif found.lost[0]:
        means = "the Jacobians are so ill-conditioned that rounding decides"
    elif math.isnan(judged.low):
        means = "fewer than 8 steps give no error"
    elif found.powers[0]:
        means = "growth as a power of the number of steps, whose exponent is 0, may explain the data as well"
    elif pace:
        means = f"a small change {pace}, perhaps by more than a factor of 100 over {steps} steps"
    else:
        means = f"a small change may grow or shrink{_what_decides(judged, len(runs))}"
    positive = int((table.exponent - found.half_widths > MAX_UNNOTED_DRIFT).sum())
    chaos = f"; {_format_positive(positive, len(table.index))}" if positive else ""
    leading = format_with_error(largest, error)
    return f"Leading exponent {leading} nats per step, {judged.verdict}: {means}{chaos}."


def _format_positive(positive: int, count: int) -> str:
    """Say how many of the exponents are positive."""
    if count == 1:
        return "it is the only exponent computed"
    return f"{positive} of the {count} exponents computed {'is' if positive == 1 else 'are'} positive"


def _what_decides(judged: Judgement, draws: int) -> str:
    """Say how much data would decide, or that these tell too little to say so."""
    if judged.steps_to_decide is not None:
        return f", and about {judged.steps_to_decide} steps would decide if the exponent stays where it is"
    if judged.seeds_to_decide is not None:
        return f", and about {judged.seeds_to_decide} draws would decide if the mean stays where it is"
    return f"; these data are too few to estimate how many {'draws' if draws > 1 else 'steps'} would decide"


def _notes(
    runs: Sequence[GrowthRun],
    table: Exponents,
    found: ExponentEstimates,
    starts: Sequence[DrawStarts],
    tolerance: float | None,
    transient: int,
    *,
    rounded: bool,
) -> Iterator[str]:
    """Yield what to beware of."""
    blown = [run.orbit.blow_up for run in runs if run.orbit.blow_up is not None]
    if blown:
        yield (
            f"in {len(blown)} of {len(runs)} draws the state overflows, first at step {min(blown)} (the "
            f"transient's {transient} counted); exponents are those of the steps before."
        )
    apart = [one for one in starts if one.agree is False]
    if apart:
        worst = max(apart, key=lambda one: one.difference)
        listed = ", ".join(
            f"{one.exponent:.6g}" if one.exponent < math.inf else "none (the state overflows)"
            for one in (worst.first, *worst.others)
        )
        yield (
            f"runs from several initial states disagree in {len(apart)} of {len(starts)} draws: leading "
            f"exponents {listed} of one draw. The system has several attractors, or needs longer than the "
            "transient to forget its initial state: no exponent counts as converged, and all results are "
            "those of the first state."
        )
    lost = int(found.lost.sum())
    if lost:
        yield (
            f"Jacobians are so ill-conditioned that rounding decides: {lost} of "
            f"{format_count(len(table.index), 'exponent', 'exponents')} may be off by more than the exponent "
            "itself, as the standard error says; expected Jacobians of a smaller condition number."
        )
    if rounded:
        yield (
            "Jacobians are so ill-conditioned that rounding shows in the sum rule: the smallest exponents "
            "may be off by as much as sum_rule_error."
        )
    if any(run.orbit.underflow for run in runs):
        yield "some units are so saturated that a derivative is under 1e-308 and counts as 0."
    dead = int(np.isneginf(table.exponent).sum())
    if dead:
        yield (
            f"{format_count(dead, 'exponent is', 'exponents are')} -inf: a Jacobian on the way is singular, "
            "exactly or to rounding."
        )
        if any(np.isfinite(run.mean_log_abs_det()) for run in runs):
            yield "ln |det J| is finite all the same: those exponents are under what float64 resolves."
    short = int((~found.sure).sum())
    if short and not np.isnan(table.standard_error).any():
        yield (
            "the run is not long beside the memory of the system: "
            f"{format_count(short, 'standard error is', 'standard errors are')} rough, and "
            f"{'that exponent does' if short == 1 else 'those exponents do'} not count as converged; "
            "expected more steps."
        )
    if np.isnan(table.standard_error).any():
        yield "too few steps for standard errors (none, or null); expected at least 8."
    open_ones = table.converged.count(False)
    if open_ones and tolerance is not None:
        yield (
            f"{format_count(open_ones, 'exponent is', 'exponents are')} not within the tolerance "
            f"{tolerance:g}: the data ended, or {MAX_ROUNDS} times the steps, or draws "
            "differ by more; expected more steps or seeds."
        )
