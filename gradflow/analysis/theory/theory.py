"""Theoretical predictions for a cell with random weights, and measurements of it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from numpy.typing import ArrayLike

from gradflow.analysis.shared.arguments import check_count, refuse_without_effect
from gradflow.analysis.shared.exponents import plan_of
from gradflow.analysis.shared.inputs import Inputs, kind_of
from gradflow.analysis.shared.progress import Progress, ProgressCounter
from gradflow.analysis.shared.subjects import check_named
from gradflow.analysis.shared.tasks import TaskExecutor, check_executor
from gradflow.analysis.theory.record import Theory
from gradflow.analysis.theory.report import report_case, report_sweep
from gradflow.analysis.theory.subjects import THEORIES
from gradflow.analysis.theory.subjects.case import SubjectTheory, TheoryCase
from gradflow.analysis.theory.sweep import INPUT_SCALE, Asked, parse_asked
from gradflow.blas_threads import use_one_blas_thread
from gradflow.cells import CELLS
from gradflow.errors import UsageError
from gradflow.readers.in_memory import name_origin
from gradflow.registry import lookup

DEFAULT_SEEDS = 10
DEFAULT_THEORY_HIDDEN_SIZE = 128  # units, by default many: predictions are for infinitely many


@use_one_blas_thread
def theory(
    cell: str,
    *,
    gain: float | str | None = None,
    hidden: int = DEFAULT_THEORY_HIDDEN_SIZE,
    steps: int | None = None,
    transient: int | None = None,
    seed: int | None = None,
    seeds: int | None = None,
    features: int | None = None,
    input: str | Path | ArrayLike | None = None,
    key: str | None = None,
    input_format: str | None = None,
    input_scale: float | str | None = None,
    measure: bool = True,
    progress: Progress | None = None,
    executor: TaskExecutor | None = None,
) -> Theory:
    """Compute predictions of random-matrix and mean-field theory, and measure the same quantities.

    Predictions are for N → ∞. Measurements at a finite size have a bias, about −2/N to −6/N in a largest
    exponent, which can be many standard errors. So the quantities are measured at N, N/2 and N/4 units and
    extrapolated, and the extrapolation is compared with the prediction. There is none next to a transition,
    where a smaller network may be on the other side. A range is measured at N alone.

    Parameters
    ----------
    cell : str
        ``NAME[:option=value,...]``, as for `compare`; or ``ginibre[:gain=G]``, a product of independent
        matrices with normal entries of deviation gain/√N. One option may be a range, ``START:STOP:STEP``.
    gain : float or str, optional
        Option ``gain`` of the cell, a number or a range.
    hidden : int
        N, units or rows.
    steps, transient : int, optional
        Steps of every measured exponent, as for `lyapunov`. Default: 1000, and a tenth of the steps.
    seed, seeds : int, optional
        Weights and inputs are drawn ``seeds`` times from ``seed``. Default: 10 draws, from seed 0.
    features : int, optional
        Features of the inputs. Default: those of ``input``, or 32.
    input : str, path or array-like (T, features) or (batch, T, features), optional
        As for `compare`: inputs add to the variance of the pre-activations.
    key, input_format : str, optional
        As for `compare`.
    input_scale : float or str, optional
        Factor on the inputs, a number or a range. Default: 1.
    measure : bool
        Whether to measure the predicted quantities.
    progress : callable, optional
        Called as ``progress(done, total)`` when work begins and after each piece of it: a draw, or the
        prediction for a value of a range. What it raises ends the work.
    executor : concurrent.futures.Executor, optional
        Computes these pieces with its threads or processes. It cannot change a number.

    Returns
    -------
    Theory
        With the table ``predictions``, or for a range the table ``sweep``.

    Raises
    ------
    UsageError
        If a cell, option or range is invalid or has no theory, or an option has no effect.
    DataError
        If inputs cannot be read.
    NumericalError
        If a worker of the executor ends before its work is done.

    References
    ----------
    Girko 1984 for the circular law; Newman 1986 for products of matrices; Molgedey, Schuchhardt & Schuster
    1992 and Chen, Pennington & Schoenholz 2018 for the mean field, whose transition Sompolinsky, Crisanti &
    Sommers 1988 found in continuous time; Ahmadian, Fumarola & Miller 2015 for gated cells; Pascanu, Mikolov
    & Bengio 2013, section 2.1, for the bound. The column ``source`` names the source of each row.

    Examples
    --------
    >>> found = theory("rnn:init=ginibre", gain=1.5, input="zero", measure=False)
    >>> round(found.rate, 6), found.verdict
    (0.065217, 'exploding')
    >>> theory("gru", gain="1:5:1", measure=False).sweep.phase
    ['shrinking', 'shrinking', 'shrinking', 'growing', 'growing']
    """
    counter = ProgressCounter(progress)
    check_executor(executor)
    check_named(cell)
    asked = parse_asked(cell, gain, input_scale)
    subject = find_theory(asked.name)
    of_inputs = {"input": input, "input_format": input_format, "input_scale": input_scale}
    _refuse_unused(
        asked, subject, kind_of(input), of_inputs, features, {"steps": steps, "transient": transient},
        {"seed": seed, "seeds": seeds}, measure=measure,
    )  # fmt: skip
    seed, seeds = 0 if seed is None else seed, DEFAULT_SEEDS if seeds is None else seeds
    numbers = {"hidden": (hidden, 1), "seeds": (seeds, 1), "steps": (steps, 1), "transient": (transient, 0)}
    for name, (value, least) in {**numbers, "seed": (seed, 0)}.items():
        if value is not None:
            check_count(name, value, least)
    inputs = Inputs.of(
        input, key=key, format=input_format, steps=None, features=features, scale=None, seed=seed, count=seeds
    )
    plan = plan_of(steps, transient, None if inputs.data is None else inputs.steps)

    def case_at(value: float | None) -> TheoryCase:
        variant = asked.at(value)
        return TheoryCase(
            variant.text, variant.options, variant.spec, hidden,
            replace(inputs, scale=variant.input_scale), plan, seed, seeds,
        )  # fmt: skip

    along_inputs = subject.reads_inputs and (measure or inputs.kind in ("normal", "data"))
    has_steps = along_inputs or (not subject.is_cell and measure)
    draws_inputs = subject.reads_inputs and inputs.kind == "normal"
    reads_features = measure or (subject.reads_inputs and inputs.kind != "zero")
    has_features = subject.is_cell and inputs.data is None and reads_features
    params = {
        "cell": cell, "gain": gain, "hidden": hidden,
        "steps": plan.steps if has_steps else None, "transient": plan.transient if has_steps else None,
        "seed": seed if measure or draws_inputs else None,
        "seeds": seeds if measure or along_inputs else None,
        "features": inputs.features if has_features else None,
        "input": name_origin(input), "key": key, "input_format": input_format, "input_scale": input_scale,
        "measure": measure,
    }  # fmt: skip
    shared = {
        "params": params,
        "hidden": hidden,
        "features": inputs.features,
        "steps": plan.steps,
        "seeds": seeds,
    }
    draws = range(seeds if measure else 0)
    if asked.parameter is None:
        return report_case(subject.predict, case_at(None), draws, shared, executor, counter)
    return report_sweep(asked, subject.predict, case_at, draws, shared, executor, counter)


def find_theory(name: str) -> SubjectTheory:
    """Return the theory of a subject.

    Raises
    ------
    UsageError
        For an unknown subject, and for a cell of which no theory is known.
    """
    if name in CELLS and name not in THEORIES:
        raise UsageError(f"no theory is known of the cell {name!r}; expected one of {', '.join(THEORIES)}")
    found: SubjectTheory = lookup(THEORIES, name, "subject of a theory")
    return found


def _refuse_unused(
    asked: Asked,
    subject: SubjectTheory,
    kind: str | None,
    inputs: Mapping[str, object],
    features: int | None,
    run: Mapping[str, int | None],
    draws: Mapping[str, int | None],
    *,
    measure: bool,
) -> None:
    """Check that every given option has an effect: a product of matrices, for example, has no inputs.

    Parameters
    ----------
    kind : str, optional
        Kind of the inputs, None for data.
    inputs, run, draws : mapping
        The given options of the inputs, of the measured steps, and of the draws.

    Raises
    ------
    UsageError
        If an option has no effect. The message names it.
    """
    if not subject.reads_inputs and asked.parameter == INPUT_SCALE:
        raise UsageError(
            f"{INPUT_SCALE} does not affect the theory of {asked.name}; give another option a range"
        )
    if not subject.is_cell:
        refuse_without_effect({**inputs, "features": features}, f"with {asked.name}, which has no inputs")
    elif not subject.reads_inputs:
        refuse_without_effect({**inputs, **run}, f"on the theory of {asked.name}, which is about the state 0")
    elif kind == "zero":
        refuse_without_effect({"input_scale": inputs["input_scale"]}, "on an input of zeros")
    if not measure:
        reason = "without measurements (measure)"
        if not subject.reads_inputs or kind == "zero":
            refuse_without_effect({"features": features}, reason)
        if not subject.reads_inputs or kind in ("zero", "constant"):
            refuse_without_effect({**run, **draws}, reason)
        elif kind is None:
            refuse_without_effect({"seed": draws["seed"]}, reason)
