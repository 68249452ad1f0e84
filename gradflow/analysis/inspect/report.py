"""The tables and sentences that `inspect` makes of its findings."""

import math
from collections.abc import Iterator, Sequence

from gradflow.analysis import ADVICE_WRITERS, VERDICTS
from gradflow.analysis.inspect.findings import Answer, Finding, InspectionQuestion
from gradflow.analysis.inspect.gate_rows import GateRow
from gradflow.analysis.inspect.record import Advice, Files, GateRows, Layers, ShareCurves, Units
from gradflow.analysis.inspect.remedies import RemedyTrial, best
from gradflow.analysis.shared.gates import Course
from gradflow.analysis.shared.gradient_share import GradientShare
from gradflow.analysis.shared.quantiles import median, quantiles
from gradflow.analysis.shared.trajectory_error import NOTED_DECADES, rounding_note
from gradflow.analysis.shared.verdicts import describe_share, describe_threshold, half_life, judge_share
from gradflow.linalg.scaled import from_log10
from gradflow.printable import format_count, format_log10
from gradflow.registry import lookup

MIN_NOTED_MEASUREMENT_ERROR = 1e-6  # relative error from which a note is shown
# Below this, the state has forgotten its first input: all networks that had learned to keep it have
# more.
MIN_MEMORY = 0.1
RETAINING_GATE_NAMES = {"f": "forget gate", "z": "update gate"}


def describe_layer(name: str, finding: Finding, question: InspectionQuestion, *, alone: bool) -> str:
    """Return a summary of a layer: what is left of a gradient and what to change.

    That of the only layer also says what limits it, how its advice was measured, and the code of the advice.
    """
    parts = [f"{name} {_judge(finding, question.length)}"]
    if alone:
        parts.append(_describe_limit(finding))
    parts.append(_describe_memory(finding))
    if question.gives_advice:
        parts.append(_advise(finding, question, alone=alone))
    return " ".join(part for part in parts if part)


def _judge(finding: Finding, length: int) -> str:
    """State the verdict, the share that it rests on, and what limits it."""
    share = finding.share
    if share.blow_up is not None:
        return (
            f"is exploding: the state overflows at step {share.blow_up}.{_describe_largest_weights(finding)}"
        )
    if _last_step_decides(share):
        return _describe_last_step(share, length)
    left = (
        f"is {share.verdict}: {describe_share(share.log10_share, length, _qualify(share))} "
        f"({_describe_range(share)}{describe_threshold(share.log10_share, share.verdict)})."
    )
    if share.verdict == "exploding":
        return f"{left}{_describe_largest_weights(finding)}"
    counts = _count_verdicts(share) if share.verdict != judge_share(share.log10_share) else ""
    return f"{left}{counts}"


def _qualify(share: GradientShare) -> str:
    return "at most " if share.is_bound else "about " if share.share_error else ""


def _format_share(share: GradientShare) -> str:
    return f"{_qualify(share)}{format_log10(share.log10_share, 2)}"


def _last_step_decides(share: GradientShare) -> bool:
    """Return whether the last steps of given sequences have another verdict than all ends together."""
    return share.last_decides and share.verdict != share.typical_verdict


def _describe_last_step(share: GradientShare, length: int) -> str:
    """Say how the gradient from the last step differs from that of the other ends."""
    last = share.last
    return (
        f"is {share.verdict} from the last step: {_format_share(last)} of a gradient from there is left "
        f"after {_steps(length)} ({describe_threshold(last.log10_share, share.verdict)}). The median over "
        f"all {_format_count(len(share.measurements), 'end')} is {_format_share(share)}."
    )


def _describe_range(share: GradientShare) -> str:
    """State the range of the shares and how many were measured."""
    if len(share.measurements) == 1:
        return "from the last step, the only end measured; "
    low, high = (format_log10(log, 2) for log in share.log10_share_range)
    return f"{low} to {high} from {len(share.measurements)} ends; "


def _format_count(count: int, noun: str) -> str:
    return format_count(count, noun, f"{noun}s")


def _count_verdicts(share: GradientShare) -> str:
    """Say from how many ends a gradient has each verdict."""
    counts = [
        f"{verdict} from {share.count_verdict(verdict)}"
        for verdict in VERDICTS
        if share.count_verdict(verdict)
    ]
    return f" It is {', '.join(counts)} ends." if len(counts) > 1 else ""


def _describe_memory(finding: Finding) -> str:
    """Say that the state holds its first input although hardly any gradient is left."""
    memory, share = finding.memory, finding.share
    if memory is None or memory < MIN_MEMORY or share.verdict not in ("vanishing", "borderline"):
        return ""
    return (
        f"The state still holds its first input (memory {memory:.2g} of 1): what the layer has learned over "
        "this distance stays, but hardly more can be learned."
    )


def _describe_limit(finding: Finding) -> str:
    """State the time constant of the gate that keeps the state; without one, the factor of a step."""
    if finding.verdict not in ("vanishing", "borderline"):
        return ""
    gate = _retaining(finding)
    if gate is not None and gate.time_constants is not None:
        middle = float(quantiles(gate.time_constants)[1])
        return f"The {RETAINING_GATE_NAMES[gate.gate]} limits it: its time constant is {_time(middle)}."
    if finding.slope is None:
        return ""
    return (
        f"One step multiplies a gradient by about the mean slope of the activation, {finding.slope:.2g}, "
        f"times the spectral radius, {finding.spectral_radius:.3g}."
    )


def _describe_largest_weights(finding: Finding) -> str:
    """Name the recurrent weights with the largest norm."""
    sized = [gate for gate in finding.gates if gate.norm is not None]
    if not sized:
        return ""
    largest = max(sized, key=lambda gate: gate.norm or 0.0)
    if len(sized) == 1:
        return f" The recurrent matrix has norm {largest.norm:.3g}."
    return f" The recurrent weights of gate {largest.gate} have the largest norm, {largest.norm:.3g}."


def _advise(finding: Finding, question: InspectionQuestion, *, alone: bool) -> str:
    """Say what to change, the measured effect of the change, and the code that makes it."""
    share = finding.share
    if share.is_blocked_by_last_step:
        return (
            "No change of weights helps, because the last input blocks the gradient. If this input is "
            "padding or an end token, let the loss read the step before it."
        )
    if not finding.trials:
        return "No known change applies to this cell."
    chosen = best(finding.trials)
    inputs = "on your inputs" if finding.took_input else "on unit normal inputs; give yours as `input`"
    where = f" (measured {inputs})" if alone else ""
    if chosen is not None and chosen.share.distance < share.distance:
        code = f" Code: {_write_code(chosen, finding, question)}" if alone else ""
        opening = "Advice" if share.verdict != "stable" else "For a new training"
        outcome = _outcome(chosen, with_range=alone)
        return f"{opening}{where}: {_wording(chosen, finding)}; then {outcome}.{code}"
    nearest = min(finding.trials, key=lambda trial: trial.share.distance)
    if share.verdict == "stable":
        return "Nothing to change: no tried change keeps more."
    gated = "" if _retaining(finding) else " or use a cell with gates"
    return (
        f"No single change is enough. The best is to {_wording(nearest, finding)}; then "
        f"{_outcome(nearest, with_range=alone)}{where}. Combine changes{gated}."
    )


def _write_code(trial: RemedyTrial, finding: Finding, question: InspectionQuestion) -> str:
    """Return the statements that make a change, in the framework of the advice."""
    write = lookup(ADVICE_WRITERS, question.choose_framework(finding), "framework of advice")
    return str(write(trial, finding))


def _wording(trial: RemedyTrial, finding: Finding) -> str:
    """Return a change as an instruction."""
    match trial.change:
        case "forget_bias" | "update_bias":
            value = f"{get_framework_value(trial, finding):g}"
            gate = RETAINING_GATE_NAMES[_name(finding)]
            if _name(finding) in finding.inverted_gates:
                return (
                    f"set the bias of the {gate} to {value} ({finding.framework} computes 1 minus this gate)"
                )
            return f"set the bias of the {gate} to {value}"
        case "chrono":
            gate = RETAINING_GATE_NAMES[_name(finding)]
            return f"draw the bias of the {gate} by chrono initialization up to {_steps(trial.value)}"
        case "gain":
            return f"multiply the recurrent weights by {trial.value:g}"
        case _:
            return "make the recurrent matrix of each gate orthogonal"


def get_framework_value(trial: RemedyTrial, finding: Finding) -> float:
    """Return the value of a change in the framework's own convention."""
    turned = trial.change.endswith("_bias") and _name(finding) in finding.inverted_gates
    return -trial.value if turned else trial.value


def _outcome(trial: RemedyTrial, *, with_range: bool) -> str:
    share = trial.share
    if share.blow_up is not None:
        return "the state overflows"
    low, high = (format_log10(log, 2) for log in share.log10_share_range)
    count, stable = len(share.measurements), share.count_verdict("stable")
    spread = f" ({low} to {high})" if with_range and count > 1 else ""
    part = "" if stable in (0, count) else f", stable from {stable} of {count} ends"
    return f"{_format_share(share)} is left{spread}{part}"


def _retaining(finding: Finding) -> GateRow | None:
    return next((gate for gate in finding.gates if gate.time_constants is not None), None)


def _name(finding: Finding) -> str:
    gate = _retaining(finding)
    return gate.gate if gate else "-"


def _steps(count: float) -> str:
    text = f"{count}" if isinstance(count, int) else f"{count:.3g}"
    return f"{text} step" if text == "1" else f"{text} steps"


def _time(time_constant: float) -> str:
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
    findings = [finding for answer in answers for finding in answer.findings]
    if len(findings) > 1 and any(one.trials and not one.took_input for one in findings):
        yield "advice was measured on unit normal inputs; give those of your task as `input`."


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
    if not finding.share.horizon_sought:
        yield "horizon_float32 is not computed, because norms of such a large state are measured at few lags."
    if finding.share.error > MIN_NOTED_MEASUREMENT_ERROR:
        yield f"norms have a relative error of up to {finding.share.error:.1g}."
    if finding.share.is_bound:
        yield (
            "rounding leaves no digit of a norm, because the product was far larger at smaller lags: the "
            "norm and the rate are upper bounds."
        )
    if finding.trajectory_error > NOTED_DECADES:
        yield rounding_note(finding.trajectory_error)


Named = Sequence[tuple[str, Finding]]  # a layer's name in the tables, and what was found
NOTHING_WORD = "nothing"  # was assumed, or is wrong: a word is clearer than an empty cell
VERDICTS_BY_SEVERITY = ("exploding", "vanishing", "borderline", "stable")  # the worst first


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
        weight_norm=[one.norm for one in found],
        forget_bias=[one.forget_bias for one in found],
        rate=[one.share.rate for one in found],
        half_life=[half_life(one.share.rate) for one in found],
        horizon_float32=[one.share.horizon_float32 for one in found],
        verdict=[one.verdict for one in found],
        share=[from_log10(one.share.log10_share) for one in found],
        memory=[one.memory for one in found],
        fed=[one.fed for one in found],
        assumed=[" ".join(one.assumed) or NOTHING_WORD for one in found],
        blow_up_step=[one.share.blow_up for one in found],
        log10_share=[one.share.log10_share for one in found],
        log10_share_low=[one.share.log10_share_range[0] for one in found],
        log10_share_high=[one.share.log10_share_range[1] for one in found],
        log10_share_last=[one.share.last.log10_share for one in found],
        share_error=[one.share.share_error for one in found],
        log10_relative_share=[one.share.log10_relative_share for one in found],
        log10_norm=[one.share.log10_norm for one in found],
        effective_rank=[one.share.effective_rank for one in found],
        log10_norm_ratio=[one.share.log10_norm_ratio for one in found],
        ends=[len(one.share.measurements) for one in found],
        ends_stable=[one.share.count_verdict("stable") for one in found],
        rate_low=[min(one.share.rates) for one in found],
        rate_high=[max(one.share.rates) for one in found],
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


def curve_table(named: Named) -> ShareCurves:
    """Return the median share, and its range over ends, at every lag of each layer."""
    rows = [
        (name, lag, float(median(logs)), float(logs.min()), float(logs.max()))
        for name, finding in named
        for lag, logs in enumerate(finding.share.curve, 1)
    ]
    return ShareCurves(
        layer=[row[0] for row in rows],
        lag=[row[1] for row in rows],
        log10_share=[row[2] for row in rows],
        log10_share_low=[row[3] for row in rows],
        log10_share_high=[row[4] for row in rows],
    )


def advice_table(named: Named, question: InspectionQuestion) -> Advice | None:
    """Return a row for each change that was tried, or None if none was."""
    rows = [(name, finding, trial) for name, finding in named for trial in finding.trials]
    if not rows:
        return None
    return Advice(
        layer=[name for name, _, _ in rows],
        change=[trial.change for _, _, trial in rows],
        value=[get_framework_value(trial, finding) for _, finding, trial in rows],
        log10_share_before=[finding.share.log10_share for _, finding, _ in rows],
        log10_share=[trial.share.log10_share for _, _, trial in rows],
        verdict=[trial.share.verdict for _, _, trial in rows],
        advised=[
            trial is best(finding.trials) and trial.share.distance < finding.share.distance
            for _, finding, trial in rows
        ],
        log10_share_low=[trial.share.log10_share_range[0] for _, _, trial in rows],
        log10_share_high=[trial.share.log10_share_range[1] for _, _, trial in rows],
        ends_stable=[trial.share.count_verdict("stable") for _, _, trial in rows],
        code=[_write_code(trial, finding, question) for _, finding, trial in rows],
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
    rates = [[finding.share.rate for finding in answer.findings] for answer in answers]
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
