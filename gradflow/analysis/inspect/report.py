"""The tables and sentences that `inspect` makes of its findings."""

import math
from collections.abc import Iterator, Sequence

from gradflow.analysis.inspect.findings import Answer, Finding
from gradflow.analysis.inspect.gate_rows import GateRow
from gradflow.analysis.inspect.record import Advice, Files, GateRows, Layers, Units
from gradflow.analysis.inspect.remedies import RemedyTrial, best
from gradflow.analysis.shared.credit import Credit
from gradflow.analysis.shared.gates import Course
from gradflow.analysis.shared.quantiles import quantiles
from gradflow.analysis.shared.trajectory_error import NOTED_DECADES, rounding_note
from gradflow.analysis.shared.verdicts import ARRIVAL_DECADES, MAX_STABLE_FACTOR, MIN_VERDICT_STEPS, half_life
from gradflow.linalg.scaled import from_log10
from gradflow.printable import format_count, format_log10

MIN_NOTED_MEASUREMENT_ERROR = 1e-6  # relative error from which a note is shown
RETAINING_GATE_NAMES = {"f": "forget gate", "z": "update gate"}


def sentences(name: str, finding: Finding, length: int) -> str:
    """Return a summary of a layer: whether credit arrives, what decides that, and what to change."""
    return f"{name}: {_arrival(finding, length)} {_advice(finding, length)}"


def _arrival(finding: Finding, length: int) -> str:
    """Say whether credit arrives, from how many ends, and what decides it."""
    credit = finding.credit
    if credit.blow_up is not None:
        return f"the state overflows at step {credit.blow_up}.{_driver(finding)}"
    if credit.last_decides and credit.last.arrival in ("lost", "inflated"):
        typical = credit._replace(last_decides=False)
        if typical.arrival != credit.last.arrival:
            return _last_step(credit, length)
    factor = f"{format_log10(credit.log10_credit)}{_spread(credit)}"
    over = f"Over {_steps(length)} a gradient is multiplied by {factor}"
    match credit.arrival:
        case "arrives":
            return f"credit arrives. {over}.{_keeper(finding)}{_further(finding, length)}"
        case "lost":
            return f"credit does not arrive. {over}{_beside(credit)}.{_keeper(finding)}"
        case "inflated":
            return f"gradients explode. {over}{_beside(credit)}.{_driver(finding)}"
        case _:
            return f"the ends disagree. {over}.{_counts(credit)}{_keeper(finding)}"


def _last_step_alone(credit: Credit) -> bool:
    """Return whether a gradient arrives from the other ends but not from the last step."""
    typical = credit._replace(last_decides=False)
    return credit.last_decides and credit.arrival == "lost" and typical.arrival == "arrives"


def _last_step(credit: Credit, length: int) -> str:
    """Say how the gradient from the last step differs from that of the other ends."""
    last = credit.last
    others = credit.count_arrivals("arrives")
    what = "does not arrive" if last.arrival == "lost" else "explodes"
    return (
        f"credit {what} from the last step. Over {_steps(length)} a gradient from there is multiplied by "
        f"{format_log10(last.log10_credit)}{_beside(last)}. It arrives from {others} of "
        f"{_format_count(len(credit.measurements), 'end')}; the median factor over all ends is "
        f"{format_log10(credit.log10_credit)}{_spread(credit)}."
    )


def _spread(credit: Credit) -> str:
    """Say between which values the norms lie, and how many ends and sequences were measured."""
    low, high = credit.log10_credit_range
    count, sequences = len(credit.measurements), len(credit.rates)
    if count == 1:
        return " from the last step, the only end measured"
    runs = _format_count(sequences, "sequence")
    return f" ({format_log10(low)} to {format_log10(high)}, {count} ends of {runs})"


def _format_count(count: int, noun: str) -> str:
    return format_count(count, noun, f"{noun}s")


def _beside(credit: Credit) -> str:
    """State the norm ratio where it decides, because the norm itself lies between 1e-2 and 1e2."""
    if abs(credit.log10_credit) > ARRIVAL_DECADES or abs(credit.log10_norm_ratio) <= ARRIVAL_DECADES:
        return ""
    return f", which is {format_log10(credit.log10_norm_ratio)} times the factor of one step"


def _counts(credit: Credit) -> str:
    """Say from how many ends a gradient arrives, is lost and explodes."""
    return (
        f" It arrives from {_format_count(credit.count_arrivals('arrives'), 'end')}, is lost from "
        f"{credit.count_arrivals('lost')} and inflated from {credit.count_arrivals('inflated')}."
    )


def _further(finding: Finding, length: int) -> str:
    """Say what the rate predicts for more steps, where that differs."""
    rate = finding.credit.rate
    if abs(rate) * max(length, MIN_VERDICT_STEPS) <= math.log(MAX_STABLE_FACTOR):
        return ""
    pace = (
        f"halves every {_steps(half_life(rate))}" if rate < 0 else f"doubles every {_steps(half_life(-rate))}"
    )
    return f" By its rate, the gradient {pace} over longer distances."


def _keeper(finding: Finding) -> str:
    """State the memory of the gate that keeps the state, or the factor of a step without such a gate."""
    gate = _retaining(finding)
    if gate is not None and gate.time_constants is not None:
        _, low, high = quantiles(gate.time_constants)
        name = RETAINING_GATE_NAMES[gate.gate]
        limits = (
            f"The {name} limits the gradient; memory" if finding.credit.vanishes else f"Memory of the {name}"
        )
        slowest = f"{high:.3g}" if math.isfinite(high) else "unlimited"
        return f" {limits}: {_memory(low)} in the median unit, {slowest} in the slowest 5 %."
    if finding.slope is None:
        return ""
    return (
        f" One step multiplies a gradient by about the mean slope of the activation, {finding.slope:.3g}, "
        f"times the spectral radius, {finding.spectral_radius:.3g}."
    )


def _driver(finding: Finding) -> str:
    """Name the recurrent weights with the largest norm."""
    sized = [gate for gate in finding.gates if gate.norm is not None]
    if not sized:
        return ""
    largest = max(sized, key=lambda gate: gate.norm or 0.0)
    if len(sized) == 1:
        return f" The recurrent matrix has norm {largest.norm:.3g}."
    return f" The recurrent weights of gate {largest.gate} have the largest norm, {largest.norm:.3g}."


def _advice(finding: Finding, length: int) -> str:
    """Say what to change, and the measured effect of the change."""
    if finding.credit.arrives:
        return "Nothing to change."
    chosen = best(finding.trials)
    if chosen is None and _last_step_alone(finding.credit):
        return (
            "No change of weights helps, because the last input blocks the gradient. If this input is "
            "padding or an end token, let the loss read the step before it."
        )
    if chosen is not None:
        return f"{_wording(chosen, finding)}. Measured with this change: {_outcome(chosen, length)}."
    if not finding.trials:
        return "No known change applies to this cell."
    tried = "; ".join(
        f"{_wording(trial, finding).lower()}: {_outcome(trial, length)}" for trial in finding.trials
    )
    gated = "" if _retaining(finding) else " or use a cell with gates"
    scattered = any(trial.credit.count_arrivals("arrives") > 0 for trial in finding.trials)
    if scattered:
        return f"No single change lets credit arrive from every end ({tried}). Combine changes{gated}."
    return f"None of the tried changes is enough ({tried}). Combine them{gated}."


def _wording(trial: RemedyTrial, finding: Finding) -> str:
    """Return a change as an instruction."""
    match trial.change:
        case "forget_bias" | "update_bias" if _name(finding) in finding.inverted_gates:
            whose = f"{finding.framework} computes 1 minus this gate"
            return (
                f"Lower the bias of the {RETAINING_GATE_NAMES[_name(finding)]} by {trial.value:g} ({whose})"
            )
        case "forget_bias":
            return (
                f"Raise the forget bias by {trial.value:g}, to {trial.value + (finding.forget_bias or 0):.3g}"
            )
        case "update_bias":
            return f"Raise the update bias by {trial.value:g}"
        case "chrono":
            gate = RETAINING_GATE_NAMES[_name(finding)]
            return f"Draw the bias of the {gate} by chrono initialization up to {_steps(trial.value)}"
        case "gain":
            return f"Multiply the recurrent weights by {trial.value:g}"
        case _:
            return "Make the recurrent matrix of each gate orthogonal"


def get_framework_value(trial: RemedyTrial, finding: Finding) -> float:
    """Return the value of a change in the framework's own convention."""
    turned = trial.change.endswith("_bias") and _name(finding) in finding.inverted_gates
    return -trial.value if turned else trial.value


def _outcome(trial: RemedyTrial, length: int) -> str:
    if trial.credit.blow_up is not None:
        return "the state overflows"
    low, high = trial.credit.log10_credit_range
    count, arriving = len(trial.credit.measurements), trial.credit.count_arrivals("arrives")
    spread = "" if count == 1 else f" ({format_log10(low)} to {format_log10(high)})"
    part = "" if arriving in (0, count) else f", credit arrives from {arriving} of {count} ends"
    return f"a factor of {format_log10(trial.credit.log10_credit)} over {_steps(length)}{spread}{part}"


def _retaining(finding: Finding) -> GateRow | None:
    return next((gate for gate in finding.gates if gate.time_constants is not None), None)


def _name(finding: Finding) -> str:
    gate = _retaining(finding)
    return gate.gate if gate else "-"


def _steps(count: float) -> str:
    text = f"{count}" if isinstance(count, int) else f"{count:.3g}"
    return f"{text} step" if text == "1" else f"{text} steps"


def _memory(time_constant: float) -> str:
    return _steps(time_constant) if math.isfinite(time_constant) else "unlimited"


def notes(answers: Sequence[Answer], label: bool) -> Iterator[str]:
    """Yield warnings: what was assumed, left out, fed with noise, dead or uncertain."""
    for answer in answers:
        ahead = f"{answer.file}: " if label else ""
        for finding in answer.findings:
            for note in _of_one(finding):
                yield f"{ahead}{finding.name}: {note}"
        for remark in answer.remarks:
            yield f"{ahead}{remark}."
        if label and answer.problem is not None:
            yield f"{answer.problem}."


def _of_one(finding: Finding) -> Iterator[str]:
    if finding.inverted_gates:
        yield (
            f"{finding.framework} computes 1 minus gate {finding.inverted_gates} of the cell: values of this "
            f"gate are 1 minus those of {finding.framework}, and its bias has the opposite sign."
        )
    if finding.assumed_text:
        yield finding.assumed_text
    dead = [(gate.gate, len(gate.shut), len(gate.opened)) for gate in finding.gates]
    told = [
        f"{gate}: {shut} shut, {opened} open" if shut and opened else
        f"{gate}: {shut} shut" if shut else f"{gate}: {opened} open"
        for gate, shut, opened in dead
        if shut or opened
    ]  # fmt: skip
    if told:
        yield (
            f"of {_format_count(finding.hidden_size, 'unit')} these are shut or open at every step: "
            f"{'; '.join(told)} (`units=True` lists them)."
        )
    if not finding.credit.horizon_sought:
        yield "horizon_float32 is not computed, because norms of such a large state are measured at few lags."
    if finding.credit.error > MIN_NOTED_MEASUREMENT_ERROR:
        yield f"norms have a relative error of up to {finding.credit.error:.1g}."
    if finding.credit.is_bound:
        yield (
            "rounding leaves no digit of a norm, because the product was far larger at smaller lags: the "
            "norm and the rate are upper bounds."
        )
    if finding.trajectory_error > NOTED_DECADES:
        yield rounding_note(finding.trajectory_error)


Named = Sequence[tuple[str, Finding]]  # a layer's name in the tables, and what was found
NOTHING_WORD = "nothing"  # was assumed, or is wrong: a word is clearer than an empty cell
VERDICTS_BY_SEVERITY = ("exploding", "vanishing", "undecided", "stable")  # the worst first


def layer_table(named: Named) -> Layers:
    """Return a row for each layer."""
    found = [finding for _, finding in named]
    return Layers(
        layer=[name for name, _ in named],
        cell=[one.cell for one in found],
        framework=[one.framework for one in found],
        direction=[one.direction for one in found],
        input_size=[one.input_size for one in found],
        hidden_size=[one.hidden_size for one in found],
        parameters=[one.parameters for one in found],
        spectral_radius=[one.spectral_radius for one in found],
        norm=[one.norm for one in found],
        forget_bias=[one.forget_bias for one in found],
        rate=[one.credit.rate for one in found],
        half_life=[half_life(one.credit.rate) for one in found],
        horizon_float32=[one.credit.horizon_float32 for one in found],
        verdict=[one.verdict for one in found],
        credit=[from_log10(one.credit.log10_credit) for one in found],
        arrival=[one.credit.arrival for one in found],
        fed=[one.fed for one in found],
        assumed=[" ".join(one.assumed) or NOTHING_WORD for one in found],
        blow_up_step=[one.credit.blow_up for one in found],
        log10_credit=[one.credit.log10_credit for one in found],
        log10_credit_low=[one.credit.log10_credit_range[0] for one in found],
        log10_credit_high=[one.credit.log10_credit_range[1] for one in found],
        log10_credit_last=[one.credit.last.log10_credit for one in found],
        log10_norm_ratio=[one.credit.log10_norm_ratio for one in found],
        ends=[len(one.credit.measurements) for one in found],
        ends_arriving=[one.credit.count_arrivals("arrives") for one in found],
        rate_low=[min(one.credit.rates) for one in found],
        rate_high=[max(one.credit.rates) for one in found],
        trajectory_error=[one.trajectory_error for one in found],
    )


def gate_table(named: Named) -> GateRows:
    """Return a row for each gate of each layer."""
    rows = [(name, gate) for name, finding in named for gate in finding.gates]
    gates = [gate for _, gate in rows]
    times = [_times(gate) for gate in gates]
    return GateRows(
        layer=[name for name, _ in rows],
        gate=[gate.gate for gate in gates],
        spectral_radius=[gate.spectral_radius for gate in gates],
        norm=[gate.norm for gate in gates],
        bias_low=[gate.bias[0] for gate in gates],
        bias=[gate.bias[1] for gate in gates],
        bias_high=[gate.bias[2] for gate in gates],
        low=[gate.values[0] for gate in gates],
        median=[gate.values[1] for gate in gates],
        high=[gate.values[2] for gate in gates],
        saturated=[gate.saturated for gate in gates],
        shut_units=[len(gate.shut) for gate in gates],
        open_units=[len(gate.opened) for gate in gates],
        time_constant_low=[low for low, _, _ in times],
        time_constant=[middle for _, middle, _ in times],
        time_constant_high=[high for _, _, high in times],
    )


def courses(named: Named) -> list[Course]:
    """Return the course of each gate of each layer, if requested."""
    return [
        Course(finding.cell, name, gate.gate, gate.steps)
        for name, finding in named
        for gate in finding.gates
        if gate.steps is not None
    ]


def _times(gate: GateRow) -> tuple[float | None, ...]:
    if gate.time_constants is None:
        return None, None, None
    return tuple(float(value) for value in quantiles(gate.time_constants))


def advice_table(named: Named) -> Advice | None:
    """Return a row for each change that was tried, or None if none was needed."""
    rows = [(name, finding, trial) for name, finding in named for trial in finding.trials]
    if not rows:
        return None
    return Advice(
        layer=[name for name, _, _ in rows],
        change=[trial.change for _, _, trial in rows],
        value=[get_framework_value(trial, finding) for _, finding, trial in rows],
        log10_credit_before=[finding.credit.log10_credit for _, finding, _ in rows],
        log10_credit=[trial.credit.log10_credit for _, _, trial in rows],
        rate=[trial.credit.rate for _, _, trial in rows],
        arrives=[trial.credit.arrives_from_all for _, _, trial in rows],
        advised=[trial is best(finding.trials) for _, finding, trial in rows],
        log10_credit_low=[trial.credit.log10_credit_range[0] for _, _, trial in rows],
        log10_credit_high=[trial.credit.log10_credit_range[1] for _, _, trial in rows],
        ends_arriving=[trial.credit.count_arrivals("arrives") for _, _, trial in rows],
    )


def unit_table(named: Named) -> Units:
    """Return a row for each dead unit of each gate."""
    rows = [
        (name, gate, unit, state)
        for name, finding in named
        for gate in finding.gates
        for state, units in (("shut", gate.shut), ("open", gate.opened))
        for unit in units
    ]
    return Units(
        layer=[name for name, *_ in rows],
        gate=[gate.gate for _, gate, _, _ in rows],
        unit=[unit for _, _, unit, _ in rows],
        state=[state for *_, state in rows],
        mean=[float(gate.mean[unit]) for _, gate, unit, _ in rows],
    )


def file_table(names: Sequence[str], answers: Sequence[Answer]) -> Files:
    """Return a row for each file."""
    rates = [[finding.credit.rate for finding in answer.findings] for answer in answers]
    return Files(
        file=list(names),
        layers=[len(answer.findings) for answer in answers],
        parameters=[sum(finding.parameters for finding in answer.findings) for answer in answers],
        rate_low=[min(several, default=None) for several in rates],
        rate_high=[max(several, default=None) for several in rates],
        verdict=[_worst(answer) for answer in answers],
        problem=[NOTHING_WORD if answer.problem is None else str(answer.problem) for answer in answers],
    )


def _worst(answer: Answer) -> str:
    if answer.problem is not None:
        return "unreadable"
    words = {one.verdict for one in answer.findings}
    return next((word for word in VERDICTS_BY_SEVERITY if word in words), "stable")
