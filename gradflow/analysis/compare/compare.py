"""Norms of Jacobian products by lag, for several cells on the same inputs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gradflow.analysis import BLOCKS, DTYPES, NORMS, VIEWS
from gradflow.analysis.compare.measure import ComparisonQuestion, DrawMeasurement, measure
from gradflow.analysis.compare.pair_map import pair_table
from gradflow.analysis.compare.paths import path_tables
from gradflow.analysis.compare.record import Flow
from gradflow.analysis.compare.report import cell_table, conclusion, lag_table, notes
from gradflow.analysis.shared.checkpoints import Trained
from gradflow.analysis.shared.gates import gate_step_table, gate_table, over_draws
from gradflow.analysis.shared.inputs import Inputs, check_count, check_map
from gradflow.analysis.shared.product_norms import View, check_combination, parse_lags
from gradflow.analysis.shared.progress import Progress, ProgressCounter
from gradflow.analysis.shared.quantiles import median_interval
from gradflow.analysis.shared.subjects import Spec, check_named, draw_cell, sizes, subject, used_sizes
from gradflow.analysis.shared.tasks import TaskExecutor, check_executor, run_tasks
from gradflow.analysis.shared.without_effect import refuse_without_effect
from gradflow.cells.base import Array, Cell
from gradflow.errors import GradflowError, UsageError
from gradflow.layouts.network import Network
from gradflow.readers.in_memory import name_origin
from gradflow.registry import describe_unknown

MAX_BATCH_ENTRIES = 2**19  # numbers in the products of one batch


def compare(
    *cells: str | Network,
    hidden: int | None = None,
    steps: int | None = None,
    seed: int | None = None,
    seeds: int = 10,
    features: int | None = None,
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
    A product of ∂h'/∂h alone is wrong by eighty orders of magnitude after a hundred steps of an LSTM.

    Parameters
    ----------
    *cells : str or Network
        ``NAME[:option=value,...]``, as in ``"lstm:forget_bias=1"`` or ``"gru:layers=2"``; or a trained
        network: ``FILE[::LAYER]``, as in ``"model.pt::encoder.lstm"``, or one of `load`.
    hidden : int, optional
        Hidden size of each fresh layer. Default: that of the first checkpoint, or 32.
    steps : int, optional
        T. Default: the length of ``input``, or 100.
    seed, seeds : int, optional
        Weights are drawn ``seeds`` times from ``seed``. Default of ``seed``: 0.
    features : int, optional
        Features of the inputs. Default: those of ``input``, of the first checkpoint, or 32.
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
        ``state``, all of the product; ``hh``, ``hc``, ``ch``, ``cc``, blocks of the true product, hc being
        ∂h/∂c; ``direct``, the product of the gates that keep the state alone, an approximation.
    view : str
        ``backward``, ∂s_T/∂s_{T−k}, or ``forward``, ∂s_k/∂s_0.
    lags : str or sequence of int
        Steps k: ``all``, ``log`` (√2 apart) or a list. Few lags of a large cell are measured without forming
        a product.
    pair_map : bool
        Add the table ``map``: the first of the norms for every pair of steps.
    paths : bool
        Add the tables ``paths`` and ``path_means``: the four terms of ∂c_t/∂c_{t−1} in an LSTM.
    gate_steps : bool
        Add the table ``gate_steps``: where the units of each gate stand at every step.
    exact : bool
        Take no shortcut: every product whole, every norm from all singular values.
    dtype : str
        ``float64`` or ``float32``, for weights and all computations.
    progress : callable, optional
        Called as ``progress(done, total)`` when work begins and after each piece of it, a batch of draws of
        one cell. What it raises ends the work.
    executor : concurrent.futures.Executor, optional
        Measures the batches with its threads or processes. It cannot change a number. Processes receive cells
        and inputs by pickle.

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
    ['vanishing', 'stable']
    >>> bool(result.cells.rate[0] < result.cells.rate[1])
    True
    """
    counter = ProgressCounter(progress)
    check_executor(executor)
    specs = _specs(cells)
    hidden, features = sizes(specs, hidden, features, input)
    check_count("seeds", seeds)
    inputs = Inputs.of(
        input, key=key, format=input_format, steps=steps, features=features, scale=input_scale,
        seed=0 if seed is None else seed,        count=seeds,
    )  # fmt: skip
    random = inputs.kind == "normal" or not all(isinstance(spec, Trained) for spec in specs)
    if not random:
        refuse_without_effect({"seed": seed}, "because neither weights nor inputs are random")
    norms, blocks = _several("norm", norm, NORMS), _several("block", block, BLOCKS)
    chosen = View(_one("view", view, VIEWS), blocks, norms, parse_lags(lags, inputs.steps), exact)
    question = ComparisonQuestion(chosen, pair_map, paths, gate_steps)
    _check(question, inputs.steps)
    draws = Draws(hidden, 0 if seed is None else seed, seeds, inputs, np.dtype(_one("dtype", dtype, DTYPES)))
    _check_tables(specs, draws, question)
    found = _measure_cells(specs, draws, question, executor, counter)
    params = {
        "cells": [spec.text for spec in specs], **used_sizes(specs, hidden, inputs),
        "steps": inputs.steps, "seed": (0 if seed is None else seed) if random else None, "seeds": seeds,
        "key": key, "input_format": input_format,
        "input_scale": inputs.used_scale,
        "input": name_origin(input), "norm": ",".join(norms), "block": ",".join(blocks), "view": view,
        "lags": lags if isinstance(lags, str) else ",".join(f"{lag}" for lag in chosen.lags),
        "pair_map": pair_map, "paths": paths, "gate_steps": gate_steps,
        "exact": exact, "dtype": dtype,
    }  # fmt: skip
    trained = [spec for spec in specs if isinstance(spec, Trained)]
    assumed = [
        f"{spec.text}: {layer.describe_assumed()}"
        for spec in trained
        for layer in spec.network.layers
        if layer.describe_assumed()
    ]
    return _record(params, draws, question, found, assumed)


class Draws(NamedTuple):
    """Source of weights and inputs, with the same seeds for every cell, so that variants share a draw."""

    hidden: int
    seed: int
    seeds: int
    inputs: Inputs
    dtype: np.dtype[Any]

    def draw_inputs(self, spec: Spec, draw: int) -> Array:
        """Return the inputs of one draw in the order in which a cell reads them."""
        inputs = self.inputs.draw(draw, self.dtype)
        return inputs[::-1] if isinstance(spec, Trained) and spec.backward else inputs

    def cell(self, spec: Spec, draw: int) -> Cell:
        """Return a cell with the weights of one draw."""
        return draw_cell(spec, self.hidden, self.inputs.features, self.seed, draw).astype(self.dtype)

    def batches(self, spec: Spec, question: ComparisonQuestion) -> Iterator[range]:
        """Yield the draws to measure together, as many as fit into one batch."""
        size = self.cell(spec, 0).state_size
        fitting = (
            MAX_BATCH_ENTRIES // (size * max(size, self.inputs.steps)) if question.batchable(size) else 1
        )
        # a trained network on one given input is the same in every draw
        same = isinstance(spec, Trained) and self.inputs.data is not None and len(self.inputs.data) == 1
        draws = 1 if same else self.seeds
        for first in range(0, draws, max(fitting, 1)):
            yield range(first, min(first + max(fitting, 1), draws))


class DrawBatch(NamedTuple):
    """A cell, and the places of the draws that are measured together."""

    spec: Spec
    places: range


def measure_batch(draws: Draws, question: ComparisonQuestion, batch: DrawBatch) -> list[DrawMeasurement]:
    """Return the measurements of a batch, draw by draw: a task for any thread or process.

    Raises
    ------
    GradflowError
        If the cell cannot be measured. The message names it.
    """
    try:
        cells = [draws.cell(batch.spec, place) for place in batch.places]
        return measure(cells, [draws.draw_inputs(batch.spec, place) for place in batch.places], question)
    except GradflowError as error:
        raise type(error)(f"cell {batch.spec.text!r}: {error}") from None


def _measure_cells(
    specs: Sequence[Spec],
    draws: Draws,
    question: ComparisonQuestion,
    executor: TaskExecutor | None,
    counter: ProgressCounter,
) -> dict[str, list[DrawMeasurement]]:
    """Return the measurements of each cell, draw by draw."""
    batches = [DrawBatch(spec, places) for spec in specs for places in draws.batches(spec, question)]
    counter.begin(len(batches))
    measurements = run_tasks(partial(measure_batch, draws, question), batches, executor, counter)
    of_cells: dict[str, list[DrawMeasurement]] = {spec.text: [] for spec in specs}
    for batch, several in zip(batches, measurements, strict=True):
        of_cells[batch.spec.text] += several
    return of_cells


def _record(
    params: Mapping[str, Any],
    draws: Draws,
    question: ComparisonQuestion,
    found: Mapping[str, list[DrawMeasurement]],
    assumed: Sequence[str],
) -> Flow:
    """Return the record of all measurements."""
    cells, inputs, view = list(found), draws.inputs, question.view
    gates = [[one.gates for one in several] for several in found.values()]
    courses = [
        course
        for cell, several in found.items()
        if question.gate_steps
        for course in over_draws(cell, several[0].gates, [one.gate_steps for one in several])
    ]
    flow, summary = lag_table(found, view), cell_table(found, view, inputs.steps)
    means, every_step = path_tables(cells, [[one.paths for one in several] for several in found.values()])
    maps = [[one.pairs for one in several if one.pairs is not None] for several in found.values()]
    return Flow(
        params=params,
        notes=(*assumed, *notes(inputs, found, draws.seeds, view)),
        steps=inputs.steps,
        seeds=draws.seeds,
        features=inputs.features,
        hidden=draws.hidden,
        view=view.direction,
        median_confidence=median_interval(range(draws.seeds)).confidence if draws.seeds > 1 else None,
        conclusion=conclusion(flow, summary, inputs.steps, draws.seeds),
        flow=flow,
        cells=summary,
        gates=gate_table(cells, gates),
        gate_steps=gate_step_table(courses),
        path_means=means,
        paths=every_step,
        map=pair_table(cells, maps) if question.pair_map else None,
    )


def _check(question: ComparisonQuestion, steps: int) -> None:
    """Check that the requested norms and map can be computed.

    Raises
    ------
    UsageError
        If the smallest singular value of a block is requested, or a map that is too large or of another norm.
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
    cells = [draws.cell(spec, 0) for spec in specs]
    if question.paths and not any("c" in cell.parts for cell in cells):
        raise UsageError("paths has no effect without an lstm, whose cell state it is about: leave it out")
    if question.gate_steps and not any(
        cell.gates(np.zeros((2, cell.state_size)), np.zeros((1, cell.input_size))) for cell in cells
    ):
        raise UsageError("gate steps has no effect without a cell with gates, lstm or gru: leave it out")


def _one(kind: str, value: object, valid: Sequence[str]) -> str:
    if str(value) not in valid:
        raise UsageError(describe_unknown(kind, str(value), valid))
    return str(value)


def _several(kind: str, values: str | Sequence[str], valid: Sequence[str]) -> tuple[str, ...]:
    """Return the requested names, given as a list or as text with commas, without duplicates."""
    listed = (
        values if isinstance(values, Iterable) and not isinstance(values, str) else str(values).split(",")
    )
    given = [str(value) for value in listed]
    if not given:
        raise UsageError(f"{kind}: none was named; expected {', '.join(valid)}")
    return tuple(dict.fromkeys(_one(kind, value.strip(), valid) for value in given))


def _specs(cells: Sequence[str | Network]) -> list[Spec]:
    if not cells:
        raise UsageError("no cell was named; expected one or more, such as: rnn lstm")
    check_named(cells)
    names = [cell if isinstance(cell, str) else cell.name for cell in cells]
    twice = [cell for cell in cells if isinstance(cell, str) and names.count(cell) > 1]
    if twice:
        raise UsageError(f"cell {twice[0]!r} is named twice; name each cell once, or with different options")
    before = [
        names[:k].count(name) for k, name in enumerate(names)
    ]  # networks of two files may have the same name
    return [
        subject(cell, f"{name} ({count + 1})" if count else name)
        for cell, name, count in zip(cells, names, before, strict=True)
    ]
