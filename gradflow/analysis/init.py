"""Fresh weights whose gradients live for as many steps as a task needs."""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gradflow.analysis.credit import Credit, credit
from gradflow.analysis.init_record import Trials, Tuned, Tuning
from gradflow.analysis.inputs import Inputs, check_count
from gradflow.analysis.quantiles import quantiles
from gradflow.analysis.subject import HIDDEN, check_named, drawn
from gradflow.analysis.trained import is_checkpoint
from gradflow.analysis.trajectory import follow
from gradflow.analysis.tuning import Knob, Trial, best, close_enough, decades_of, knob_of, search
from gradflow.analysis.weight_file import WeightFile, WrittenArrays
from gradflow.cells.base import Cell
from gradflow.cells.spec import CellSpec, parse_cell
from gradflow.cells.stack import layers_of
from gradflow.errors import DataError, UsageError
from gradflow.layouts import WRITABLE
from gradflow.layouts.written import Written
from gradflow.linalg.scaled import from_log10
from gradflow.printable import decimal
from gradflow.readers.given import told
from gradflow.tables import lookup


def init(
    cell: str,
    *,
    hidden: int = HIDDEN,
    features: int | None = None,
    horizon: int = 100,
    input: str | Path | ArrayLike | None = None,
    key: str | None = None,
    input_format: str | None = None,
    input_scale: float = 1.0,
    seed: int = 0,
    seeds: int = 5,
    output: str | Path | None = None,
    layout: str = "torch",
    map: Callable[..., Iterable[Any]] = map,
) -> Tuned:
    """Compute fresh weights with which a gradient is as large after ``horizon`` steps as after one.

    Starts from the scheme asked for and tunes what the cell has: the gain of an rnn, the forget bias of an
    lstm, the update bias of a gru, or with init=chrono the longest memory that the bias is spread over. The
    value is found by root finding on the measured ratio of ‖∂s_N/∂s_0‖ and ‖∂s_N/∂s_{N−1}‖, with the first
    draw of weights and inputs, in float32 as they are written; other draws tell how they fare with it.

    Parameters
    ----------
    cell : str
        ``NAME[:option=value,...]``, as for `compare`; an option that is tuned says where to start.
    hidden : int
        Hidden size, of each layer.
    features : int, optional
        Features of the inputs; those of ``input``, or 32.
    horizon : int
        N, steps that a gradient is to live: at least 2.
    input : str, path or array-like (T, features) or (batch, T, features), optional
        As for `compare`: what the network will see. The first N steps are used.
    key, input_format : str, optional
        As for `compare`.
    input_scale : float
        Multiplies the inputs.
    seed, seeds : int
        Weights and inputs are drawn ``seeds`` times, all derived from ``seed``; the first draw is written.
    output : str or path, optional
        A file for the weights, .safetensors or .npz, written whole or not at all.
    layout : str
        Whose names and order of gates: ``torch``, as load_state_dict takes them, or ``keras``, in the order
        of set_weights.
    map : callable
        Applies the work piece by piece, in order; a caller may watch it.

    Returns
    -------
    Tuned
        The tables ``tuning``, ``trials`` and, of a file, ``arrays``; ``weights`` are the arrays by name.

    Raises
    ------
    UsageError
        For an unknown cell or option, a number out of range, or a file of another kind.
    DataError
        For inputs that cannot be read, weights that float32 does not hold, a cell that the framework has
        not, or a file that cannot be written.

    References
    ----------
    Jozefowicz, Zaremba & Sutskever 2015 for the forget bias; Tallec & Ollivier 2018, eq. 16, for chrono;
    Brent 1973, chapter 4, for the root.

    Examples
    --------
    >>> found = init("lstm", hidden=8, features=4, horizon=200, seeds=2)
    >>> found.parameter, found.arrival, bool(abs(found.log10_norm_ratio) < 2)
    ('forget_bias', 'arrives', True)
    """
    check_named([cell])
    if is_checkpoint(cell):
        raise UsageError(f"{cell!r} is trained: init makes fresh weights; expected rnn, lstm or gru")
    spec = parse_cell(cell)
    for name, value, least in (("hidden", hidden, 1), ("horizon", horizon, 2), ("seeds", seeds, 1)):
        check_count(name, value, least)
    inputs = Inputs.of(
        input, key=key, format=input_format, steps=horizon, features=features, scale=input_scale, seed=seed,
        count=seeds,
    )  # fmt: skip
    task = Task(spec, knob_of(spec), hidden, inputs, seed)
    lookup(WRITABLE, layout, "layout of weights")
    file = None if output is None else WeightFile.of(output)
    if file is not None and isinstance(input, str | Path) and file.path == Path(os.path.realpath(input)):
        raise UsageError(f"{file.name!r} is the input, which would be lost; name another file")
    if file is not None:  # what cannot be written is not worth the search
        _weights(layout, task.cell(0, None), refuse=True)
    before, trials = task.credit(0, None), []
    if not close_enough(before):
        trials = list(map(_itself, search(task.knob, lambda value: task.credit(0, value))))
    # weights as they were asked for are as good a choice as any that was tried
    nearest = best(trials) if trials else Trial(math.nan, before)
    as_asked = abs(decades_of(before)) <= abs(decades_of(nearest.credit)) or not trials
    chosen = Trial(math.nan, before) if as_asked and not close_enough(nearest.credit) else nearest
    tuned = None if math.isnan(chosen.value) else chosen.value
    jobs = [(draw, one) for one in dict.fromkeys((None, tuned)) for draw in range(1, seeds)]
    others = list(map(lambda job: task.credit(*job), jobs))
    stages = [[before, *others[: seeds - 1]], [chosen.credit, *others[len(others) - seeds + 1 :]]]
    weights = _weights(layout, task.cell(0, tuned), refuse=file is not None)
    size = None if file is None or weights is None else file.write(weights.arrays)
    params = {
        "cell": cell, "hidden": hidden, "features": inputs.features, "horizon": horizon, "input": told(input),
        "key": key, "input_format": input_format, "input_scale": input_scale, "seed": seed, "seeds": seeds,
        "output": None if output is None else os.fspath(output), "layout": layout,
    }  # fmt: skip
    return _record(params, task, stages, trials, tuned, weights, size)


class Task(NamedTuple):
    """A cell to be tuned, and what it is fed."""

    spec: CellSpec
    knob: Knob
    hidden: int
    inputs: Inputs
    seed: int

    def cell(self, draw: int, value: float | None) -> Cell:
        """Return one draw with a value of the tuned option (None: as asked for), in float32's numbers."""
        options = dict(self.spec.options) | ({} if value is None else {self.knob.name: value})
        spec = self.spec._replace(options=options)
        made = drawn(spec, self.hidden, self.inputs.features, self.seed, draw)
        return made.astype(np.dtype(np.float32)).astype(np.dtype(np.float64))

    def credit(self, draw: int, value: float | None) -> Credit:
        """Return what becomes of a gradient over all steps of the inputs."""
        return credit(follow(self.cell(draw, value), self.inputs.draw(draw)), self.inputs.steps)


def _weights(layout: str, cell: Cell, *, refuse: bool) -> Written | None:
    """Return the weights in a framework's names and in float32, whose numbers they have already.

    None for a cell that the framework has not, unless that is to be refused.
    """
    try:
        named: Written = lookup(WRITABLE, layout, "layout of weights")(layers_of(cell))
    except DataError:
        if refuse:
            raise
        return None
    arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in named.arrays.items()}
    return Written(named.constructors, arrays)


def _itself(trial: Trial) -> Trial:
    return trial


def _record(
    params: Mapping[str, Any],
    task: Task,
    stages: Sequence[Sequence[Credit]],
    trials: Sequence[Trial],
    value: float | None,
    weights: Written | None,
    size: int | None,
) -> Tuned:
    """Return the record of the search, and of what was written."""
    steps, knob = task.inputs.steps, task.knob
    before, after = (several[0] for several in stages)
    asked = knob.start if knob.known else None
    ratio = from_log10(after.log10_credit)
    return Tuned(
        params=params,
        notes=tuple(_notes(task, after, stages[1])),
        parameter=knob.name,
        value=asked if value is None else value,
        rate_before=_rate(before, steps),
        rate_after=_rate(after, steps),
        norm_ratio=ratio if math.isfinite(ratio) else None,
        log10_norm_ratio=after.log10_credit,
        arrival=after.arrival,
        horizon=steps,
        hidden=task.hidden,
        features=task.inputs.features,
        seeds=len(stages[0]),
        constructor=None if weights is None else ", ".join(weights.constructors),
        file=params["output"],
        size=size,
        conclusion=_conclusion(knob, value, before, after, steps),
        tuning=_tuning(stages, [asked, asked if value is None else value], steps),
        trials=Trials(
            value=np.array([trial.value for trial in trials]),
            rate=np.array([_rate(trial.credit, steps) for trial in trials]),
            log10_norm_ratio=np.array([trial.credit.log10_credit for trial in trials]),
        ),
        arrays=None if size is None or weights is None else WrittenArrays.of(weights.arrays),
        weights=None if weights is None else weights.arrays,
    )


def _rate(credit: Credit, steps: int) -> float:
    """Return ln of the ratio a step."""
    return credit.log10_credit * math.log(10) / (steps - 1)


def _tuning(stages: Sequence[Sequence[Credit]], values: Sequence[float | None], steps: int) -> Tuning:
    logs = np.array([quantiles([one.log10_credit for one in several]) for several in stages])
    rates = logs * (math.log(10) / (steps - 1))
    return Tuning(
        stage=["before", "after"],
        value=np.array(values, np.float64),
        rate=rates[:, 1],
        rate_low=rates[:, 0],
        rate_high=rates[:, 2],
        log10_norm_ratio=logs[:, 1],
        log10_norm_ratio_low=logs[:, 0],
        log10_norm_ratio_high=logs[:, 2],
        arriving=[sum(one.arrives for one in several) for several in stages],
    )


def _conclusion(knob: Knob, value: float | None, before: Credit, after: Credit, steps: int) -> str:
    """Return in words what was changed, and what that does."""
    had = _told(before)
    if value is None:
        return f"Over {steps} steps a gradient is multiplied by {had} as it is: nothing was changed."
    return (
        f"{knob.name} {value:.6g}: over {steps} steps a gradient is multiplied by {_told(after)}, before by "
        f"{had}; it {'arrives' if after.arrives else 'is ' + after.arrival}."
    )


def _told(credit: Credit) -> str:
    return "an overflow" if math.isnan(credit.log10_credit) else decimal(credit.log10_credit)


def _notes(task: Task, after: Credit, several: Sequence[Credit]) -> Iterator[str]:
    """Yield what could not be had."""
    knob = task.knob
    if not after.arrives:
        yield (
            f"no {knob.name} from {knob.low:g} to {knob.high:g} was found with which a gradient arrives over "
            f"{task.inputs.steps} steps; the nearest is given. Another init, or layers=1, may do better."
        )
    lost = sum(not one.arrives for one in several[1:])
    if lost:
        yield (
            f"with the same {knob.name}, in {lost} of {len(several) - 1} other draws of weights and inputs a "
            "gradient does not arrive: what is tuned is the draw that is written."
        )
