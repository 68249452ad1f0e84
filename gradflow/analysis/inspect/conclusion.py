"""What `inspect` says in words: the conclusion on every layer, and the notes."""

import math
from collections.abc import Iterator, Sequence

from gradflow.analysis import ADVICE_WRITERS, VERDICTS
from gradflow.analysis.inspect.findings import Answer, Finding, InspectionQuestion
from gradflow.analysis.inspect.gate_rows import GateRow
from gradflow.analysis.inspect.remedies import RemedyTrial, choose_advised
from gradflow.analysis.shared.gradient_share import GradientShare
from gradflow.analysis.shared.quantiles import quantiles
from gradflow.analysis.shared.trajectory_error import NOTED_DECADES, rounding_note
from gradflow.analysis.shared.verdicts import describe_share, describe_threshold, judge_share
from gradflow.printable import format_count, format_log10, format_steps
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
    subject = f"{name}, {finding.caution}," if finding.caution else name
    parts = [f"{subject} {_judge(finding, question.length)}"]
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
        f"after {format_steps(length)} ({describe_threshold(last.log10_share, share.verdict)}). The median "
        f"over all {_format_count(len(share.measurements), 'end')} is {_format_share(share)}."
    )


def _describe_range(share: GradientShare) -> str:
    """State the range of the shares and how many were measured."""
    ends = _format_count(len(share.measurements), "end")
    of_sequences = f"{ends} of {_format_count(share.sequences, 'sequence')}"
    if len(share.measurements) == 1:
        return f"from {of_sequences}; "
    low, high = (format_log10(log, 2) for log in share.log10_share_range)
    return f"{low} to {high} from {of_sequences}; "


def _format_count(count: int, noun: str) -> str:
    return format_count(count, noun, f"{noun}s")


def _count_verdicts(share: GradientShare) -> str:
    """Say from how many ends a gradient has each verdict."""
    counts = [
        f"{share.count_verdict(verdict)} {verdict}" for verdict in VERDICTS if share.count_verdict(verdict)
    ]
    return f" Ends: {', '.join(counts)}." if len(counts) > 1 else ""


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
    """State the time constant of the gate that keeps the state; without one, what a step does."""
    if finding.verdict not in ("vanishing", "borderline"):
        return ""
    gate = _retaining(finding)
    if gate is not None and gate.time_constants is not None:
        middle = float(quantiles(gate.time_constants)[1])
        return f"The {RETAINING_GATE_NAMES[gate.gate]} limits it: its time constant is {_time(middle)}."
    if finding.slope is None:
        return ""
    return (
        f"One step multiplies a gradient by {math.exp(finding.share.rate):.2g}; the mean slope of the "
        f"activation is {finding.slope:.2g}, the spectral radius {finding.spectral_radius:.3g}."
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
    share, trials = finding.share, finding.trials
    inputs = "on your inputs" if finding.took_input else "on unit normal inputs; give yours as `input`"
    where = f" (measured {inputs})" if alone else ""
    chosen = choose_advised(trials, share)
    if chosen is not None:
        opening = "Advice" if share.verdict != "stable" else "For a new training"
        code = f" {_describe_code(chosen, finding, question)}" if alone else ""
        outcome = _outcome(chosen, with_range=alone)
        return f"{opening}{where}: {_wording(chosen, finding)}; then {outcome}.{code}"
    if share.is_blocked_by_last_step:
        return (
            "No change of weights helps, because the last input blocks the gradient. If this input is "
            "padding or an end token, let the loss read the step before it."
        )
    if not trials:
        return "No known change applies to this cell."
    nearest = min(trials, key=lambda trial: trial.share.typical_distance)
    if share.verdict == "stable":
        tried = f"the best change that was tried{where}, to {_wording(nearest, finding)}"
        if nearest.share.blow_up is not None:
            return f"Nothing to change: with {tried}, the state overflows."
        return f"Nothing to change: {tried}, leaves {_format_share(nearest.share)}."
    gated = "" if _retaining(finding) else " or use a cell with gates"
    if nearest.share.typical_distance >= share.typical_distance:
        return f"No tried change helps{':' + gated.removeprefix(' or') if gated else ''}."
    return (
        f"The best change that was tried{where} is to {_wording(nearest, finding)}; then "
        f"{_outcome(nearest, with_range=alone)}. Combine changes{gated}."
    )


def _describe_code(trial: RemedyTrial, finding: Finding, question: InspectionQuestion) -> str:
    """Return the code of a change, with the name of its framework if the file has another."""
    framework = question.choose_framework(finding)
    named = "Code" if framework == finding.framework else f"Code for {framework}"
    return f"{named}: {write_code(trial, finding, question)}"


def write_code(trial: RemedyTrial, finding: Finding, question: InspectionQuestion) -> str:
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
            return f"draw the bias of the {gate} by chrono initialization up to {format_steps(trial.value)}"
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


def _time(time_constant: float) -> str:
    return format_steps(time_constant) if math.isfinite(time_constant) else "unlimited"


def describe_unreadable(answers: Sequence[Answer]) -> Iterator[str]:
    """Yield a sentence on files that could not be read, if there are any."""
    unread = [answer.file for answer in answers if answer.problem is not None]
    if unread:
        files = _format_count(len(answers), "file")
        yield f"{len(unread)} of {files} could not be read, first {unread[0]} (the notes say why)."


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
    yield from _describe_unstated_feeds([answer for answer in answers if answer.unstated_feeds], label)
    advised = [one for answer in answers for one in answer.findings if one.trials]
    if sum(len(answer.findings) for answer in answers) > 1 and advised:
        yield (
            "each change was measured alone. Its code is in the column code of the table advice; the "
            "inspection of one layer, FILE::LAYER, prints it."
        )
        if not all(one.took_input for one in advised):
            yield "advice was measured on unit normal inputs; give those of your task as `input`."


def _describe_unstated_feeds(unstated: Sequence[Answer], label: bool) -> Iterator[str]:
    """Yield a note about files with several networks that do not say which of them feeds which."""
    if label and unstated:
        files = _format_count(len(unstated), "file")
        names = "does" if len(unstated) == 1 else "do"
        yield (
            f"{files} {names} not say which network feeds which, so each receives inputs of its own "
            f"(`chain` says it); first {unstated[0].file}."
        )
        return
    for answer in unstated:
        told = "the file does not say which network feeds which, so each receives inputs of its own."
        if answer.fitting is not None:
            below, above = answer.fitting
            told += f' If {above} receives the output of {below}, add `chain="{below},{above}"`.'
        yield told


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
