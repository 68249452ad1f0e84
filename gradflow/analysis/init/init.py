"""Fresh weights whose gradients survive as many steps as a task needs."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gradflow.analysis import VERDICTS
from gradflow.analysis.init.record import Trials, Tuned, Tuning
from gradflow.analysis.init.report import Words, conclusion, notes
from gradflow.analysis.init.tuning import Knob, TuningTrial, badness, best, close_enough, knob_of, search
from gradflow.analysis.shared.arguments import check_count
from gradflow.analysis.shared.checkpoints import is_checkpoint
from gradflow.analysis.shared.gradient_share import GradientShare, measure_share
from gradflow.analysis.shared.inputs import Inputs
from gradflow.analysis.shared.progress import Progress, ProgressCounter
from gradflow.analysis.shared.quantiles import quantiles
from gradflow.analysis.shared.subjects import DEFAULT_HIDDEN_SIZE, check_named, draw_cell
from gradflow.analysis.shared.trajectory import follow
from gradflow.analysis.shared.weight_file import WeightFile, WrittenArrays, choose_written_layout
from gradflow.blas_threads import use_one_blas_thread
from gradflow.cells import CELLS
from gradflow.cells.base import Array, Cell
from gradflow.cells.spec import CellSpec, parse_cell
from gradflow.cells.stack import list_layers
from gradflow.errors import DataError, NumericalError, UsageError
from gradflow.layouts import EXPORTERS
from gradflow.layouts.exports import export_cells
from gradflow.linalg.scaled import from_log10
from gradflow.printable import format_log10
from gradflow.readers.in_memory import name_origin
from gradflow.registry import lookup

# The search uses the first sequences of inputs, the test others. The probability that a value passes all 32
# tests and fails on the next sequence is at most (32/33)^32/33, about 1 %.
TUNING_SEQUENCES, HELD_OUT_SEQUENCES = 16, 32


@use_one_blas_thread
def init(
    cell: str,
    *,
    hidden: int = DEFAULT_HIDDEN_SIZE,
    features: int | None = None,
    horizon: int = 100,
    input: str | Path | ArrayLike | None = None,
    key: str | None = None,
    input_format: str | None = None,
    input_scale: float | None = None,
    seed: int = 0,
    seeds: int = 5,
    output: str | Path | None = None,
    layout: str | None = None,
    progress: Progress | None = None,
) -> Tuned:
    """Compute fresh weights with which a gradient is as large after ``horizon`` steps as after one.

    Starts from the given initialization and tunes one number: the gain of an rnn, the leak of a leaky cell,
    the forget bias of an lstm, the update bias of a gru, or with init=chrono the longest memory. Root finding
    looks for the value at which the ratio ‖∂s_N/∂s_0‖ / ‖∂s_N/∂s_{N−1}‖ is 1: its median over 16 sequences of
    inputs, measured with the first draw of weights in float32, as they are written. The value is then tested
    on 32 other sequences; the verdict is that on the median share that is left. No weights are written
    if a gradient vanishes or explodes along some of them and is stable along others. The table ``tuning``
    shows the effect of the value on other draws of weights.

    Parameters
    ----------
    cell : str
        ``NAME[:option=value,...]``, as for `compare`. The tuned option, if given, is the start of the search.
    hidden : int
        Hidden size of each layer.
    features : int, optional
        Features of the inputs. Default: those of ``input``, or 32.
    horizon : int
        N, the steps that a gradient has to survive, at least 2.
    input : str, path or array-like (T, features) or (batch, T, features), optional
        As for `compare`: inputs like those of the task. The first N steps are used. The search uses the first
        half of a batch, at most 16 sequences, and the test the others. A single sequence is used for both.
    key, input_format : str, optional
        As for `compare`.
    input_scale : float, optional
        Factor on the inputs. Default: 1.
    seed, seeds : int
        Weights and inputs are drawn ``seeds`` times from ``seed``. The first draw is written.
    output : str or path, optional
        A file for the weights, .safetensors, .npz or .weights.h5, written whole or not at all.
    layout : str, optional
        Names and gate order of the arrays: ``torch``, for load_state_dict; ``keras``, in the order of
        set_weights; or ``onnx``, the inputs of nodes. Default: torch, or keras for .weights.h5.
    progress : callable, optional
        Called as ``progress(done, total)`` when work begins and after each measurement. ``total`` is None
        until the search has ended. What it raises ends the work.

    Returns
    -------
    Tuned
        The tables ``tuning``, ``trials`` and, with a file, ``arrays``. ``weights`` has the arrays by name.

    Raises
    ------
    UsageError
        If a cell or option is unknown, a number is out of range, or the file has another suffix.
    DataError
        If inputs cannot be read, float32 cannot hold the weights, the framework does not have the cell, or
        the file cannot be written.
    NumericalError
        If no value works: a gradient is stable along some sequences of inputs, and vanishes or explodes along
        others.

    References
    ----------
    Jozefowicz, Zaremba & Sutskever 2015 for the forget bias; Tallec & Ollivier 2018, eq. 16, for chrono;
    Brent 1973, chapter 4, for the root.

    Examples
    --------
    >>> found = init("lstm", hidden=8, features=4, horizon=200, seeds=2)
    >>> found.parameter, found.verdict, bool(abs(found.log10_norm_ratio) < 2)
    ('forget_bias', 'stable', True)
    """
    counter = ProgressCounter(progress)
    check_named(cell)
    if is_checkpoint(cell):
        raise UsageError(
            f"{cell!r} is a checkpoint, and init makes fresh weights; expected one of {', '.join(CELLS)}"
        )
    spec = parse_cell(cell)
    for name, value, least in (("hidden", hidden, 1), ("horizon", horizon, 2), ("seeds", seeds, 1)):
        check_count(name, value, least)
    inputs = Inputs.of(
        input, key=key, format=input_format, steps=horizon, features=features, scale=input_scale, seed=seed,
        count=max(seeds, TUNING_SEQUENCES + HELD_OUT_SEQUENCES), length_name="horizon",
    )  # fmt: skip
    task = Task(spec, knob_of(spec), hidden, inputs, seed)
    layout = choose_written_layout("layout of weights", layout, output)
    file = None if output is None else WeightFile.of(output)
    if file is not None and isinstance(input, str | Path) and file.path == Path(os.path.realpath(input)):
        raise UsageError(f"{file.name!r} is the input file, which would be overwritten; name another file")
    if file is not None:  # weights that cannot be written are an error before the long search
        _weights(layout, task.cell(0, None), refuse=True)
    counter.begin(None)
    start = task.measure_search(None)
    counter.add_one()
    trials: list[TuningTrial] = []
    if not close_enough(start):
        for trial in search(task.knob, task.measure_search):
            trials.append(trial)
            counter.add_one()
    # the weights as requested are also a candidate
    nearest = best(trials) if trials else TuningTrial(math.nan, start)
    as_asked = badness(start) <= badness(nearest.share) or not trials
    tuned = None if as_asked and not (trials and close_enough(nearest.share)) else nearest.value
    candidates = list(dict.fromkeys((None, tuned)))
    counter.total = 1 + len(trials) + len(candidates) * (1 + seeds)
    judged: dict[float | None, GradientShare] = {}
    for candidate in candidates:
        judged[candidate] = task.measure_held_out(candidate)
        counter.add_one()
    _check_holds(task, tuned, judged[tuned])
    others: list[GradientShare] = []
    for candidate in candidates:
        for draw in range(seeds):
            others.append(task.measure_draw(draw, candidate))
            counter.add_one()
    stages = [others[:seeds], others[len(others) - seeds :]]
    weights = _weights(layout, task.cell(0, tuned), refuse=file is not None)
    size = None if file is None or weights is None else file.write(weights.arrays)
    params = {
        "cell": cell, "hidden": hidden, "horizon": horizon,
        "features": inputs.features if inputs.data is None else None,
        "input": name_origin(input),
        "key": key, "input_format": input_format, "input_scale": inputs.used_scale,
        "seed": seed, "seeds": seeds,
        "output": None if output is None else os.fspath(output), "layout": layout,
    }  # fmt: skip
    return _record(params, task, judged, stages, trials, tuned, weights, size)


class Task(NamedTuple):
    """A cell to tune, and its inputs."""

    spec: CellSpec
    knob: Knob
    hidden: int
    inputs: Inputs
    seed: int

    def cell(self, draw: int, value: float | None) -> Cell:
        """Return one draw with a value of the tuned option (None: as requested), rounded to float32."""
        options = dict(self.spec.options) | ({} if value is None else {self.knob.name: value})
        spec = self.spec._replace(options=options)
        made = draw_cell(spec, self.hidden, self.inputs.features, self.seed, draw)
        made.astype(np.dtype(np.float32))  # raises an error for weights outside the range of float32
        # Parameters that are not weights, such as a leak, are not written, and keep all digits.
        return made.with_weights(lambda weights: weights[0].astype(np.float32).astype(np.float64))

    def measure_search(self, value: float | None) -> GradientShare:
        """Return the share of the first draw of weights, along the sequences of the search."""
        return self._measure_share(0, value, self.sequences()[0])

    def measure_held_out(self, value: float | None) -> GradientShare:
        """Return its share along the held-out sequences, or those of the search if none is held out."""
        tuning, held_out = self.sequences()
        return self._measure_share(0, value, held_out or tuning)

    def measure_draw(self, draw: int, value: float | None) -> GradientShare:
        """Return the share of one draw of weights and inputs."""
        return self._measure_share(draw, value, range(draw, draw + 1))

    def sequences(self) -> tuple[range, range]:
        """Return the sequences of inputs of the search, and the held-out sequences."""
        if self.inputs.kind in ("zero", "constant"):
            return range(1), range(0)
        given = None if self.inputs.data is None else len(self.inputs.data)
        tuning = TUNING_SEQUENCES if given is None else min((given + 1) // 2, TUNING_SEQUENCES)
        last = tuning + HELD_OUT_SEQUENCES
        return range(tuning), range(tuning, last if given is None else min(given, last))

    def _measure_share(self, draw: int, value: float | None, sequences: range) -> GradientShare:
        inputs = np.stack([self.inputs.draw(one) for one in sequences])
        trajectory = follow(self.cell(draw, value), inputs)
        return measure_share(trajectory, self.inputs.steps, rates=False, curve=False)


def _check_holds(task: Task, value: float | None, judged: GradientShare) -> None:
    """Check that no gradient vanishes or explodes along some sequences of inputs and is stable along others.

    Raises
    ------
    NumericalError
        If one does. The message has the best value and the spread of its shares.
    """
    counts = {verdict: judged.count_verdict(verdict) for verdict in VERDICTS}
    stable, far = counts["stable"], counts["vanishing"] + counts["exploding"]
    if judged.blow_up is not None or not stable or not far:
        return
    low, high = judged.log10_share_range
    knob = task.knob
    taken = knob.start if value is None else value
    best_value = "that of the initialization" if value is None and not knob.known else f"{taken:.6g}"
    raise NumericalError(
        f"no {knob.name} from {knob.low:g} to {knob.high:g} works for all inputs: with the best value, "
        f"{best_value}, a gradient is multiplied by {format_log10(low)} to {format_log10(high)} over "
        f"{task.inputs.steps} steps and is stable along {stable} of {len(judged.measurements)} "
        "held-out sequences. Nothing was written. Try another init, a cell with gates, a shorter horizon, or "
        "give the inputs of the task (input)"
    )


class FreshWeights(NamedTuple):
    """The expressions that make the modules of a framework, and the weights of all modules by name."""

    constructors: tuple[str, ...]
    arrays: dict[str, Array]


def _weights(layout: str, cell: Cell, *, refuse: bool) -> FreshWeights | None:
    """Return the weights under a framework's names, as float32, which holds them exactly.

    Return None if the framework does not have the cell, or raise with ``refuse``.
    """
    try:
        modules = export_cells(lookup(EXPORTERS, layout, "layout of weights"), list_layers(cell))
    except DataError:
        if refuse:
            raise
        return None
    arrays = {
        name if module.drops_path else f"{module.path}{module.separator}{name}": np.ascontiguousarray(
            array, np.float32
        )
        for module in modules
        for name, array in module.arrays.items()
    }
    return FreshWeights(tuple(module.constructor for module in modules), arrays)


def _record(
    params: Mapping[str, Any],
    task: Task,
    judged: Mapping[float | None, GradientShare],
    stages: Sequence[Sequence[GradientShare]],
    trials: Sequence[TuningTrial],
    value: float | None,
    weights: FreshWeights | None,
    size: int | None,
) -> Tuned:
    """Return the record of the search and of the written weights."""
    steps, knob = task.inputs.steps, task.knob
    held_out = len(task.sequences()[1])
    words = Words(knob, steps, held_out, given=task.inputs.data is not None)
    before, after = judged[None], judged[value]
    low, high = after.log10_share_range
    asked = knob.start if knob.known else None
    ratio = from_log10(after.log10_norm_ratio)
    return Tuned(
        params=params,
        notes=tuple(notes(words, after, stages[1])),
        parameter=knob.name,
        value=asked if value is None else value,
        rate_before=_rate(before, steps),
        rate_after=_rate(after, steps),
        norm_ratio=ratio if math.isfinite(ratio) else None,
        log10_norm_ratio=after.log10_norm_ratio,
        log10_norm=after.log10_norm,
        log10_norm_low=after.log10_norm_range[0],
        log10_norm_high=after.log10_norm_range[1],
        log10_share=after.log10_share,
        log10_share_low=low,
        log10_share_high=high,
        sequences=len(after.measurements),
        held_out=held_out,
        verdict=after.verdict,
        horizon=steps,
        hidden=task.hidden,
        features=task.inputs.features,
        seeds=len(stages[0]),
        constructor=None if weights is None else ", ".join(weights.constructors),
        file=params["output"],
        size=size,
        conclusion=conclusion(words, value, before, after),
        tuning=_tuning(stages, [asked, asked if value is None else value], steps),
        trials=Trials(
            value=np.array([trial.value for trial in trials]),
            rate=np.array([_rate(trial.share, steps) for trial in trials]),
            log10_norm_ratio=np.array([trial.share.log10_norm_ratio for trial in trials]),
            log10_norm_ratio_low=np.array([trial.share.log10_norm_ratio_range[0] for trial in trials]),
            log10_norm_ratio_high=np.array([trial.share.log10_norm_ratio_range[1] for trial in trials]),
            stable=[trial.share.count_verdict("stable") for trial in trials],
        ),
        arrays=None if size is None or weights is None else WrittenArrays.of(weights.arrays),
        weights=None if weights is None else weights.arrays,
    )


def _rate(share: GradientShare, steps: int) -> float:
    """Return ln of the median ratio, per step."""
    return share.log10_norm_ratio * math.log(10) / (steps - 1)


def _tuning(stages: Sequence[Sequence[GradientShare]], values: Sequence[float | None], steps: int) -> Tuning:
    logs = np.array([quantiles([one.log10_norm_ratio for one in several]) for several in stages])
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
        stable=[sum(one.is_stable for one in several) for several in stages],
    )
