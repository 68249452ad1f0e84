"""The tables that `inspect` makes of its findings."""

from collections.abc import Sequence

from gradflow.analysis.inspect.conclusion import get_framework_value, write_code
from gradflow.analysis.inspect.findings import Answer, Finding, InspectionQuestion
from gradflow.analysis.inspect.gate_rows import GateRow
from gradflow.analysis.inspect.record import Advice, Files, GateRows, Layers, ShareCurves, Units
from gradflow.analysis.inspect.remedies import choose_advised
from gradflow.analysis.shared.gates import Course
from gradflow.analysis.shared.quantiles import median, quantiles
from gradflow.analysis.shared.verdicts import half_life
from gradflow.linalg.scaled import from_log10

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
        stable_rank=[one.share.stable_rank for one in found],
        log10_norm_ratio=[one.share.log10_norm_ratio for one in found],
        log10_credit=[one.share.log10_norm_ratio for one in found],
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
        advised=[trial is choose_advised(finding.trials, finding.share) for _, finding, trial in rows],
        log10_share_low=[trial.share.log10_share_range[0] for _, _, trial in rows],
        log10_share_high=[trial.share.log10_share_range[1] for _, _, trial in rows],
        ends_stable=[trial.share.count_verdict("stable") for _, _, trial in rows],
        code=[write_code(trial, finding, question) for _, finding, trial in rows],
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
