"""Gradient norms by lag for several cells on the same inputs: the public function `compare`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gradflow.analysis import BLOCKS, DTYPES, NORMS, VIEWS
from gradflow.analysis.compare.draws import Draws
from gradflow.analysis.compare.measure import ComparisonQuestion, DrawMeasurement, measure
from gradflow.analysis.compare.pair_map import pair_table
from gradflow.analysis.compare.paths import path_tables
from gradflow.analysis.compare.record import Flow
from gradflow.analysis.compare.report import cell_table, conclusion, lag_table, notes
from gradflow.analysis.compare.step_norms import DeferredStepNorms
from gradflow.analysis.shared.arguments import check_count, check_map, refuse_without_effect
from gradflow.analysis.shared.checkpoints import Trained
from gradflow.analysis.shared.gates import gate_step_table, gate_table, over_draws
from gradflow.analysis.shared.inputs import Inputs
from gradflow.analysis.shared.product_norms import View, check_combination, parse_lags
from gradflow.analysis.shared.progress import Progress, ProgressCounter
from gradflow.analysis.shared.subjects import Spec, Subject, read_subjects, sizes, used_sizes
from gradflow.analysis.shared.tasks import TaskExecutor, check_executor, run_tasks
from gradflow.blas_threads import use_one_blas_thread
from gradflow.errors import GradflowError, UsageError
from gradflow.layouts.assumptions import check_assumptions
from gradflow.readers.in_memory import name_origin
from gradflow.registry import describe_unknown


@use_one_blas_thread
def compare(
    *cells: Subject,
    hidden: int | None = None,
    steps: int | None = None,
    seed: int | None = None,
    seeds: int = 10,
    features: int | None = None,
    assume: Mapping[str, Any] | None = None,
    input: str | Path | ArrayLike | None = None,
    key: str | None = None,
    input_format: str | None = None,
    input_scale: float | None = None,
    norm: str | Sequence[str] = "2",
    block: str | Sequence[str] = "state",
    view: str = "backward",
    lags: str | Sequence[int] = "all",
    pair_map: bool = False,
    paths: bool = False,
    gate_steps: bool = False,
    exact: bool = False,
    dtype: str = "float64",
    progress: Progress | None = None,
    executor: TaskExecutor | None = None,
) -> Flow:
    """Compute the norms of the Jacobian product ∂s_T/∂s_{T−k} for every lag k, for each cell.

    The state s is the whole state of the cell: [h; c] for an LSTM, and the states of all layers for a stack.
    A product of ∂h'/∂h alone, without the cell state, can be wrong by eighty orders of magnitude after a
    hundred steps of an LSTM.

    Parameters
    ----------
    *cells : str, path, Network, Checkpoint, mapping or module
        ``NAME[:option=value,...]``, as in ``"lstm:forget_bias=1"`` or ``"gru:layers=2"``; or a trained
        network: ``FILE[::LAYER]``, as in ``"model.pt::encoder.lstm"``, one of `load`, a state dict, or a
        module that has a ``state_dict()``.
    hidden : int, optional
        Hidden size of each fresh layer. Default: that of the first checkpoint, or 32.
    steps : int, optional
        T. Default: the length of ``input``, or 100.
    seed, seeds : int, optional
        Weights are drawn ``seeds`` times from ``seed``. Default of ``seed``: 0.
    features : int, optional
        Features of the inputs. Default: those of ``input``, of the first checkpoint, or 32.
    assume : mapping, optional
        What the arrays of a trained network leave open, as for `load`: ``{"activation": "relu"}``.
    input : str, path or array-like (T, features) or (batch, T, features), optional
        ``normal`` (the default), ``zero`` or ``constant`` (every feature 1), a file, or data. All cells
        receive the same inputs. Each seed uses one sequence of a batch.
    key : str, optional
        Name of the array in an input file with several arrays.
    input_format : str, optional
        ``cifar10-rows`` or ``cifar10-pixels``: the input is a file of CIFAR-10's binary release, each image
        32 steps of 96 features or 1024 steps of 3, scaled to [0, 1].
    input_scale : float, optional
        Factor on the inputs. Default: 1.
    norm : str or sequence of str
        ``2`` (spectral), ``fro`` (Frobenius), ``min`` (the smallest singular value), ``cond`` (condition
        number).
    block : str or sequence of str
        ``state``, the whole product; ``hh``, ``hc``, ``ch``, ``cc``, blocks of the true product, where hc is
        ∂h/∂c; ``direct``, an approximation: the product of the gates that multiply the cell state.
    view : str
        ``backward``, ∂s_T/∂s_{T−k}, or ``forward``, ∂s_k/∂s_0.
    lags : str or sequence of int
        Lags k: ``all``, ``log`` (√2 apart) or a list. For few lags of a large cell, no product is formed.
    pair_map : bool
        Add the table ``map``: the first of the norms for every pair of steps.
    paths : bool
        Add the tables ``paths`` and ``path_means``: the four terms of ∂c_t/∂c_{t−1} in an LSTM.
    gate_steps : bool
        Add the table ``gate_steps``: quantiles of the values of each gate over units, at every step.
    exact : bool
        Use no shortcut: form every product, and compute every norm from all singular values.
    dtype : str
        ``float64`` or ``float32``, for weights and all computations.
    progress : callable, optional
        Called as ``progress(done, total)`` when work begins and after each piece of work: a batch of draws
        of one cell, or a lag if there is only one draw. An exception that it raises ends the work.
    executor : concurrent.futures.Executor, optional
        Its threads or processes measure the batches. The numbers are the same as without it. Cells and
        inputs are pickled for processes.

    Returns
    -------
    Flow
        The tables ``flow`` (one row per cell and lag), ``cells`` (one row per cell), ``gates`` and the
        requested tables, with columns as arrays or lists, and ``conclusion`` and ``notes``. A trajectory ends
        where its state leaves the range of a double: ``cells.blow_up_step`` is that step, and lags count back
        from the step before.

    Raises
    ------
    UsageError
        If a cell, option, norm or block is unknown, a number is out of range, or an option has no effect
        together with the others.
    DataError
        If inputs cannot be read.
    NumericalError
        If a single Jacobian leaves the range of a double.

    References
    ----------
    Pascanu, Mikolov & Bengio 2013, section 2, for the product and its bound.

    Examples
    --------
    >>> result = compare("rnn", "lstm:forget_bias=3", hidden=8, steps=60, seeds=3)
    >>> result.cells.verdict
    ['vanishing', 'borderline']
    >>> bool(result.cells.rate[0] < result.cells.rate[1])
    True
    """
    counter = ProgressCounter(progress)
    check_executor(executor)
    _check_distinct(cells)
    specs = read_subjects(cells, assume)
    hidden, features = sizes(specs, hidden, features, input)
    check_count("seeds", seeds)
    inputs = Inputs.of(
        input, key=key, format=input_format, steps=steps, features=features, scale=input_scale,
        seed=0 if seed is None else seed, count=seeds,
    )  # fmt: skip
    has_random_draws = inputs.kind == "normal" or not all(isinstance(spec, Trained) for spec in specs)
    if not has_random_draws:
        refuse_without_effect({"seed": seed}, "because neither weights nor inputs are random")
    norms, blocks = _check_names("norm", norm, NORMS), _check_names("block", block, BLOCKS)
    requested = View(_check_name("view", view, VIEWS), blocks, norms, parse_lags(lags, inputs.steps), exact)
    question = ComparisonQuestion(requested, pair_map, paths, gate_steps)
    _check_question(question, inputs.steps)
    draws = Draws(
        hidden, 0 if seed is None else seed, seeds, inputs, np.dtype(_check_name("dtype", dtype, DTYPES))
    )
    _check_tables(specs, draws, question)
    measurements = _measure_cells(specs, draws, question, executor, counter)
    params = {
        "cells": [spec.text for spec in specs], "assume": check_assumptions(assume),
        **used_sizes(specs, hidden, inputs),
        "steps": inputs.steps, "seed": (0 if seed is None else seed) if has_random_draws else None,
        "seeds": seeds,
        "key": key, "input_format": input_format,
        "input_scale": inputs.used_scale,
        "input": name_origin(input), "norm": ",".join(norms), "block": ",".join(blocks), "view": view,
        "lags": lags if isinstance(lags, str) else ",".join(f"{lag}" for lag in requested.lags),
        "pair_map": pair_map, "paths": paths, "gate_steps": gate_steps,
        "exact": exact, "dtype": dtype,
    }  # fmt: skip
    trained = [spec for spec in specs if isinstance(spec, Trained)]
    caveats = [f"{spec.text}: {caveat}" for spec in trained for caveat in spec.list_caveats()]
    return _make_record(params, specs, draws, question, measurements, caveats)


class DrawBatch(NamedTuple):
    """A cell, and the numbers of the draws that are measured together."""

    spec: Spec
    draws: range


def measure_batch(
    draws: Draws,
    question: ComparisonQuestion,
    batch: DrawBatch,
    on_lag: Callable[[], object] | None = None,
) -> list[DrawMeasurement]:
    """Return the measurements of a batch, one for each draw. Any thread or process can run this task.

    ``on_lag`` is that of `measure`.

    Raises
    ------
    GradflowError
        If the cell cannot be measured. The message names it.
    """
    try:
        cells = [draws.make_cell(batch.spec, draw) for draw in batch.draws]
        inputs = [draws.draw_inputs(batch.spec, draw) for draw in batch.draws]
        return measure(cells, inputs, question, on_lag=on_lag)
    except GradflowError as error:
        raise type(error)(f"cell {batch.spec.text!r}: {error}") from None


def _measure_cells(
    specs: Sequence[Spec],
    draws: Draws,
    question: ComparisonQuestion,
    executor: TaskExecutor | None,
    counter: ProgressCounter,
) -> dict[str, list[DrawMeasurement]]:
    """Return the measurements of each cell, one for each draw."""
    batches = {
        spec.text: [
            DrawBatch(spec, numbers) for numbers in draws.split_batches(spec, question.max_batched_state)
        ]
        for spec in specs
    }
    every = [batch for batches_of_cell in batches.values() for batch in batches_of_cell]
    if len(every) == 1 and question.view.lags:
        batch_results = [_measure_lag_by_lag(draws, question, every[0], counter)]
    else:
        counter.begin(len(every))
        batch_results = run_tasks(partial(measure_batch, draws, question), every, executor, counter)
    measurements_by_cell: dict[str, list[DrawMeasurement]] = {spec.text: [] for spec in specs}
    for batch, measurements in zip(every, batch_results, strict=True):
        measurements_by_cell[batch.spec.text] += measurements
    for cell, measured in measurements_by_cell.items():
        last = min(draw.steps for draw in measured)
        lags = tuple(lag for lag in question.view.lags if lag <= last)
        # A share is measured at the last lag alone, and draws that overflow reach fewer lags than the others.
        if lags and any(
            np.isnan(logs[lags[-1] - 1]) for draw in measured for logs in draw.log10_shares.values()
        ):
            task = partial(measure_batch, draws, ComparisonQuestion(question.view._replace(lags=lags)))
            again = run_tasks(task, batches[cell], executor, ProgressCounter(None))
            shares = [draw.log10_shares for part in again for draw in part]
            measurements_by_cell[cell] = [
                draw._replace(log10_shares=own) for draw, own in zip(measured, shares, strict=True)
            ]
    return measurements_by_cell


class _StoppedByProgressError(BaseException):
    """What the callback of the progress has raised, on its way out of the work."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


def _measure_lag_by_lag(
    draws: Draws, question: ComparisonQuestion, batch: DrawBatch, counter: ProgressCounter
) -> list[DrawMeasurement]:
    """Return the measurements of the only batch, whose progress is that of its lags."""
    left = len(question.view.lags)
    counter.begin(left)

    def count_lag() -> None:
        nonlocal left
        if left > 1:
            left -= 1
            try:
                counter.add_one()
            except BaseException as error:
                raise _StoppedByProgressError(error) from None

    try:
        measurements = measure_batch(draws, question, batch, count_lag)
    except _StoppedByProgressError as stopped:
        raise stopped.error from stopped.error.__cause__
    for _ in range(left):
        counter.add_one()
    return measurements


def _make_record(
    params: Mapping[str, Any],
    specs: Sequence[Spec],
    draws: Draws,
    question: ComparisonQuestion,
    measurements: Mapping[str, list[DrawMeasurement]],
    caveats: Sequence[str],
) -> Flow:
    """Return the record of all measurements."""
    cells, inputs, view = list(measurements), draws.inputs, question.view
    gates = [[draw.gates for draw in draws_of_cell] for draws_of_cell in measurements.values()]
    courses = [
        course
        for cell, draws_of_cell in measurements.items()
        if question.gate_steps
        for course in over_draws(cell, draws_of_cell[0].gates, [draw.gate_steps for draw in draws_of_cell])
    ]
    steps = DeferredStepNorms(specs, draws, question)
    flow, summary = lag_table(measurements, view, steps), cell_table(measurements, view, steps)
    with_sequences = [spec.text for spec in specs if isinstance(spec, Trained) and inputs.data is not None]
    means, every_step = path_tables(
        cells, [[draw.paths for draw in draws_of_cell] for draws_of_cell in measurements.values()]
    )
    maps = [
        [draw.pairs for draw in draws_of_cell if draw.pairs is not None]
        for draws_of_cell in measurements.values()
    ]
    return Flow(
        params=params,
        notes=(*caveats, *notes(inputs, measurements, draws.seeds, view)),
        steps=inputs.steps,
        seeds=draws.seeds,
        features=inputs.features,
        hidden=draws.hidden,
        view=view.direction,
        conclusion=conclusion(flow, summary, with_sequences),
        flow=flow,
        cells=summary,
        gates=gate_table(cells, gates),
        gate_steps=gate_step_table(courses),
        path_means=means,
        paths=every_step,
        map=pair_table(cells, maps) if question.pair_map else None,
    )


def _check_question(question: ComparisonQuestion, steps: int) -> None:
    """Check that the requested norms and map can be computed.

    Raises
    ------
    UsageError
        If the smallest singular value of a block is requested, or if the map is too large or its norm is
        neither 2 nor fro.
    """
    check_combination(question.view)
    if not question.pair_map:
        return
    check_map(steps)
    norm, block = question.view.norms[0], question.view.blocks[0]
    if norm not in ("2", "fro") or block == "direct":
        raise UsageError(
            f"map of norm {norm!r} of block {block!r}: expected norm 2 or fro, and a block other than direct"
        )


def _check_tables(specs: Sequence[Spec], draws: Draws, question: ComparisonQuestion) -> None:
    """Check that at least one cell has rows in every requested table.

    Raises
    ------
    UsageError
        If a requested table would be empty. The message names its option.
    """
    if not (question.paths or question.gate_steps):
        return
    cells = [draws.make_cell(spec, 0) for spec in specs]
    if question.paths and not any("c" in cell.parts for cell in cells):
        raise UsageError(
            "paths has no effect without an lstm, because only an lstm has a cell state: leave it out"
        )
    if question.gate_steps and not any(
        cell.gates(np.zeros((2, cell.state_size)), np.zeros((1, cell.input_size))) for cell in cells
    ):
        raise UsageError("gate steps has no effect without a cell with gates (lstm or gru): leave it out")


def _check_name(kind: str, value: object, valid: Sequence[str]) -> str:
    if str(value) not in valid:
        raise UsageError(describe_unknown(kind, str(value), valid))
    return str(value)


def _check_names(kind: str, values: str | Sequence[str], valid: Sequence[str]) -> tuple[str, ...]:
    """Return the requested names without duplicates. They are given as a list, or as text with commas."""
    is_scalar = isinstance(values, str) or not isinstance(values, Iterable) or getattr(values, "ndim", 1) == 0
    names = str(values).split(",") if is_scalar else [str(value) for value in values]
    if not names:
        raise UsageError(f"{kind}: the list is empty; expected one or more of {', '.join(valid)}")
    return tuple(dict.fromkeys(_check_name(kind, value.strip(), valid) for value in names))


def _check_distinct(cells: Sequence[Subject]) -> None:
    """Check that at least one cell is given, and none twice.

    Raises
    ------
    UsageError
        If there is none, or a name is given twice.
    """
    if not cells:
        raise UsageError("no cell was named; expected one or more, such as: rnn lstm")
    names = [fspath(cell) for cell in cells if isinstance(cell, str | PathLike)]
    duplicates = [name for name in names if names.count(name) > 1]
    if duplicates:
        raise UsageError(
            f"cell {duplicates[0]!r} is named twice; name each cell once, or with different options"
        )
