"""The Lyapunov spectrum of a cell, a trained network, or any system whose Jacobians are given."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gradflow.analysis.lyapunov.record import Lyapunov
from gradflow.analysis.lyapunov.report import record
from gradflow.analysis.lyapunov.starts import measure_starts, pieces_of_others
from gradflow.analysis.lyapunov.sum_rule import check_sum_rule
from gradflow.analysis.shared.arguments import check_count, refuse_without_effect
from gradflow.analysis.shared.checkpoints import Trained, is_model
from gradflow.analysis.shared.exponents import measure_exponents, orbit_of, pieces_of, plan_of
from gradflow.analysis.shared.inputs import Inputs
from gradflow.analysis.shared.orbit import CellOrbit, Orbit, StackOrbit
from gradflow.analysis.shared.progress import Progress, ProgressCounter
from gradflow.analysis.shared.subjects import Spec, Subject, read_subject, sizes, used_sizes
from gradflow.blas_threads import use_one_blas_thread
from gradflow.cells.base import Array
from gradflow.errors import DataError, UsageError
from gradflow.layouts.assumptions import check_assumptions
from gradflow.readers.arrays import read_array
from gradflow.readers.in_memory import convert_array, name_origin
from gradflow.readers.messages import quote


@use_one_blas_thread
def lyapunov(
    cell: Subject | None = None,
    *,
    jacobians: str | Path | ArrayLike | None = None,
    key: str | None = None,
    count: int | None = None,
    steps: int | None = None,
    transient: int | None = None,
    tolerance: float | None = None,
    hidden: int | None = None,
    seed: int = 0,
    seeds: int | None = None,
    features: int | None = None,
    assume: Mapping[str, Any] | None = None,
    input: str | Path | ArrayLike | None = None,
    input_format: str | None = None,
    input_scale: float | None = None,
    progress: Progress | None = None,
) -> Lyapunov:
    """Compute the Lyapunov exponents of the whole state's dynamics, forward in time, in nats per step.

    The means of ln r_ii in J_t Q_{t−1} = Q_t R_t along the orbit of the state, by repeated QR. The verdict
    rests on the leading exponent's 95 % interval, and is ``borderline`` where 0 lies in it. A cell is run
    from two more initial states, for the leading exponent alone: where those disagree, it has several
    attractors, and the interval is that of all of them.

    Parameters
    ----------
    cell : str, path, Network, Checkpoint, mapping or module, optional
        ``NAME[:option=value,...]``, as in ``"lstm:forget_bias=1"``, or a trained network, as for `compare`.
    jacobians : str, path or array-like (T, n, n), optional
        Those of any system instead of a cell, the first of which is applied first; a file, or ``"-"``.
    key : str, optional
        Which array of an input or Jacobian file with several.
    count : int, optional
        Leading exponents that are wanted; all n of them.
    steps : int, optional
        Steps measured; all that a file has after the transient, else 1000.
    transient : int, optional
        Steps before them, in which state and columns settle. Default: a tenth as many; with Jacobians 0, so
        that all of them are measured. The columns start at random, which moves an exponent by about 1/T; the
        standard error shows that.
    tolerance : float, optional
        Run on until every standard error is at most that, in nats per step: at most 1000 times ``steps``.
    hidden : int, optional
        Hidden size; that of the checkpoint, or 32.
    seed, seeds : int, optional
        Weights and inputs are drawn ``seeds`` times, once unless given, all derived from ``seed``; exponents
        are means over the draws.
    features : int, optional
        Features of the inputs; those of ``input``, of the checkpoint, or 32.
    assume : mapping, optional
        What the arrays of a trained network leave open, as for `load`.
    input : str, path or array-like (T, features) or (batch, T, features), optional
        As for `compare`, which feeds cells the same: ``normal`` (the default), ``zero``, ``constant``, data.
    input_format : str, optional
        As for `compare`.
    input_scale : float, optional
        Multiplies the inputs; 1 unless given.
    progress : callable, optional
        Called as ``progress(done, total)`` when work begins and after each piece of it, a few steps of every
        draw. ``total`` is None with a tolerance. What it raises ends the work.

    Returns
    -------
    Lyapunov
        The tables ``exponents`` and ``history``, and what the spectrum amounts to.

    Raises
    ------
    UsageError
        For an unknown cell or option, a number out of range, Jacobians that are not square, more steps than
        the data have, or an option that has no effect beside the others.
    DataError
        For data that cannot be read.
    NumericalError
        Where the state overflows before anything is measured, a single Jacobian leaves the range of a
        double, or the whole spectrum fails the sum rule by more than rounding explains.

    References
    ----------
    Benettin, Galgani, Giorgilli & Strelcyn 1980, part 2, section 3, for the method. Vogt, Puelma Touzel,
    Shlizerman & Lajoie 2022 and Engelken, Wolf & Abbott 2023, section II, for networks.

    Examples
    --------
    Arnold's cat map has ±ln((3 + √5)/2):

    >>> import numpy as np
    >>> found = lyapunov(jacobians=np.tile([[2.0, 1.0], [1.0, 1.0]], (400, 1, 1)), transient=40)
    >>> found.exponents.exponent.round(9).tolist()
    [0.96242365, -0.96242365]
    >>> found.sum_rule_error < 1e-12
    True

    Where each step stretches one direction and squeezes the other, in turns by chance, the exponent is 0, and
    no run can tell its sign:

    >>> coins = np.random.default_rng(1).integers(0, 2, 1000)
    >>> found = lyapunov(jacobians=np.array([np.diag([2.0, 0.5]), np.diag([0.5, 2.0])])[coins])
    >>> found.verdict, bool(found.largest_low < 0 < found.largest_high)
    ('borderline', True)
    """
    counter = ProgressCounter(progress)
    if (cell is None) == (jacobians is None):
        raise UsageError("expected a cell or Jacobians, one of the two")
    numbers = {"steps": (steps, 1), "transient": (transient, 0), "count": (count, 1), "seeds": (seeds, 1)}
    for name, (value, least) in {**numbers, "seed": (seed, 0)}.items():
        if value is not None:
            check_count(name, value, least)
    if tolerance is not None and not 0 < tolerance < np.inf:
        raise UsageError(f"tolerance {tolerance}: expected a number over 0, in nats per step")
    orbits: Sequence[Orbit]
    spec: Spec | None
    of_cells: dict[str, object]
    if cell is None:
        of_cells = {
            "hidden": hidden, "features": features, "input": input, "input_format": input_format,
            "input_scale": input_scale, "seeds": seeds, "assume": assume or None,
        }  # fmt: skip
        refuse_without_effect(of_cells, "beside Jacobians: it is for a cell")
        stack = _stack(jacobians, key)
        plan = plan_of(steps, 0 if transient is None else transient, len(stack))
        orbits, text, spec = [StackOrbit(stack, count in (None, len(stack[0])))], None, None
    else:
        spec, seeds = _read_subject(cell, assume), 1 if seeds is None else seeds
        hidden, features = sizes([spec], hidden, features, input)
        inputs = Inputs.of(
            input, key=key, format=input_format, steps=None, features=features, scale=input_scale, seed=seed,
            count=seeds,
        )  # fmt: skip
        plan = plan_of(steps, transient, None if inputs.data is None else inputs.steps)

        def orbit_from(draw: int, start: int, count: int | None = 1) -> CellOrbit:
            return orbit_of(spec, hidden, inputs, seed, draw, count, start)

        orbits = [orbit_from(draw, 0, count) for draw in range(seeds)]
        text = spec.text
        of_cells = {
            **used_sizes([spec], hidden, inputs), "input": name_origin(input), "input_format": input_format,
            "input_scale": inputs.used_scale, "seeds": seeds, "assume": check_assumptions(assume),
        }  # fmt: skip
    size = orbits[0].size
    if count is not None and count > size:
        raise UsageError(f"count {count}: the state has {size} numbers; expected at most that")
    params = {
        "cell": text, "jacobians": name_origin(jacobians), "key": key, "count": count, "steps": plan.steps,
        "transient": plan.transient, "tolerance": tolerance, "seed": seed, **of_cells,
    }  # fmt: skip
    others = [] if cell is None else pieces_of_others(plan)
    counter.begin(None if tolerance is not None else len(pieces_of(plan)) + len(others))
    runs = measure_exponents(orbits, count or size, plan, tolerance=tolerance, seed=seed, counter=counter)
    rounded = (count or size) == size and check_sum_rule(runs)
    starts = [] if cell is None else measure_starts(runs, orbit_from, plan, seed, counter)
    found = record(params, runs, starts, plan.transient, tolerance, rounded=rounded)
    caveats = spec.list_caveats() if isinstance(spec, Trained) else ()
    return replace(found, notes=(*caveats, *found.notes))


def _read_subject(cell: Subject, assume: Mapping[str, Any] | None) -> Spec:
    """Return what a person named, with a hint where it is a file of something else than weights."""
    try:
        return read_subject(cell, assume)
    except DataError as error:
        if is_model(cell):
            raise
        raise DataError(f"{error}; if it holds Jacobians, give it as jacobians") from None


def _stack(source: str | Path | ArrayLike | None, key: str | None) -> Array:
    """Return Jacobians (T, n, n).

    Raises
    ------
    UsageError
        Where they are not square.
    DataError
        Where they cannot be read, are complex, or there is none.
    """
    if isinstance(source, str | Path):
        stack = read_array(source, key, dimensions=(3,))
    else:
        assert source is not None
        refuse_without_effect({"key": key}, "on an array: it picks one of a file")
        stack = convert_array(source, "jacobians", (3,))
    name = f"{quote(str(source))}: " if isinstance(source, str | Path) else ""
    if np.iscomplexobj(stack):
        raise DataError(f"{name}the Jacobians are complex: expected real numbers, T×n×n")
    if stack.shape[1] != stack.shape[2] or not stack.size:
        shape = "×".join(map(str, stack.shape))
        raise UsageError(f"{name}Jacobians of shape {shape}: expected T×n×n, the first applied first")
    return stack
