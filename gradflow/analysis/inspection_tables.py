"""From what was found in files to the tables of an inspection."""

from collections.abc import Sequence

from gradflow.analysis.findings import Answer, Finding
from gradflow.analysis.gate_rows import GateRow
from gradflow.analysis.gate_steps import Course
from gradflow.analysis.inspection_record import Advice, Files, GateRows, Layers, Units
from gradflow.analysis.inspection_words import signed
from gradflow.analysis.pace import half_life
from gradflow.analysis.quantiles import quantiles
from gradflow.analysis.remedies import best
from gradflow.linalg.scaled import from_log10

Named = Sequence[tuple[str, Finding]]  # a layer's name in the tables, and what was found
NOTHING = "nothing"  # was assumed, or is wrong: a word, for an empty cell says less
WORST = ("exploding", "vanishing", "undecided", "stable")  # the worst first


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
        assumed=[" ".join(one.assumed) or NOTHING for one in found],
        blow_up_step=[one.credit.blow_up for one in found],
        log10_credit=[one.credit.log10_credit for one in found],
        log10_credit_low=[one.credit.log10_credit_range[0] for one in found],
        log10_credit_high=[one.credit.log10_credit_range[1] for one in found],
        log10_credit_last=[one.credit.last.log10_credit for one in found],
        log10_norm_ratio=[one.credit.log10_norm_ratio for one in found],
        ends=[len(one.credit.measurements) for one in found],
        ends_arriving=[one.credit.counted("arrives") for one in found],
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
    """Return the course of each gate of each layer, where it was asked for."""
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
    """Return a row for each change that was tried, None where there was no need."""
    rows = [(name, finding, trial) for name, finding in named for trial in finding.trials]
    if not rows:
        return None
    return Advice(
        layer=[name for name, _, _ in rows],
        change=[trial.change for _, _, trial in rows],
        value=[signed(trial, finding) for _, finding, trial in rows],
        log10_credit_before=[finding.credit.log10_credit for _, finding, _ in rows],
        log10_credit=[trial.credit.log10_credit for _, _, trial in rows],
        rate=[trial.credit.rate for _, _, trial in rows],
        arrives=[trial.credit.arrives_from_all for _, _, trial in rows],
        advised=[trial is best(finding.trials) for _, finding, trial in rows],
        log10_credit_low=[trial.credit.log10_credit_range[0] for _, _, trial in rows],
        log10_credit_high=[trial.credit.log10_credit_range[1] for _, _, trial in rows],
        ends_arriving=[trial.credit.counted("arrives") for _, _, trial in rows],
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
        problem=[NOTHING if answer.problem is None else str(answer.problem) for answer in answers],
    )


def _worst(answer: Answer) -> str:
    if answer.problem is not None:
        return "unreadable"
    words = {one.verdict for one in answer.findings}
    return next((word for word in WORST if word in words), "stable")
