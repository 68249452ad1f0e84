"""What the recurrent layers of trained checkpoints do to gradients, whatever framework wrote them."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from gradflow.analysis.inspect.changes import change_table, missing
from gradflow.analysis.inspect.findings import MAX_DRAWS, Answer, Question, answer, jobs, merged
from gradflow.analysis.inspect.record import Inspection
from gradflow.analysis.inspect.report import (
    advice_table,
    courses,
    file_table,
    gate_table,
    layer_table,
    notes,
    sentences,
    unit_table,
)
from gradflow.analysis.shared.checkpoints import SEPARATOR, parse_name
from gradflow.analysis.shared.gates import gate_step_table
from gradflow.analysis.shared.inputs import STEPS, Inputs, check_count, kind_of
from gradflow.analysis.shared.without_effect import READ_ALREADY, refuse_without_effect
from gradflow.errors import DataError, UsageError
from gradflow.layouts.assumptions import check_assumptions, check_left_open
from gradflow.layouts.checkpoint import Checkpoint
from gradflow.readers import CHECKPOINT_SUFFIXES
from gradflow.readers.in_memory import name_origin

RUNS_OVER_LAGS = 2  # how long a run along drawn inputs is, over the lags that are measured in it


def inspect(
    *files: str | Path | Checkpoint,
    input: str | Path | ArrayLike | None = None,
    key: str | None = None,
    length: int | None = None,
    seed: int = 0,
    layout: str | None = None,
    assume: Mapping[str, Any] | None = None,
    units: bool = False,
    gate_steps: bool = False,
    diff: bool = False,
    map: Callable[..., Iterable[Any]] = map,
) -> Inspection:
    """Compute what every recurrent layer of checkpoints does to gradients, and what would mend it.

    Layers are found by names and shapes; neither torch, keras nor tensorflow is needed. Each is run along the
    inputs (an upper layer along the output of the one below), and ‖∂s_t/∂s_{t−L}‖₂ measured from several
    steps t of each run. Where a gradient does not arrive, changes are made to the layer and it is measured
    again.

    Parameters
    ----------
    *files : str, path or Checkpoint
        ``FILE``, ``FILE::layer``, a directory, or what `load` or `from_state_dict` returned.
    input : str, path or array-like (T, features) or (batch, T, features), optional
        What the layers are fed: a file or data, ``normal`` (the default, eight sequences), ``zero`` or
        ``constant``. Of a batch the first eight sequences are taken.
    key : str, optional
        Which array of an input file with several.
    length : int, optional
        L, the steps over which credit is asked for; unless given the steps of the input, or 100. Give less
        than the input has and credit is measured from several of its steps, not from the last alone.
    seed : int
        Of drawn inputs and of changes that are random.
    layout : str, optional
        The framework whose names the arrays have, where that is in doubt.
    assume : mapping, optional
        What files leave open: ``activation``, ``gate_activation``, ``reset``, ``forget_bias``, ``residual``.
    units : bool
        Add the table ``units``.
    gate_steps : bool
        Add the table ``gate_steps``: where the units of each gate stand at every step.
    diff : bool
        Add the table ``changes`` between two files, before and after.
    map : callable
        Applies the inspection to each file, or each layer of the only one, in order; it may be a process
        pool's.

    Returns
    -------
    Inspection
        The tables ``layers``, ``gates``, ``advice`` and those asked for, ``conclusion`` and ``notes``.

    Raises
    ------
    DataError
        If a file that is named cannot be read or holds no recurrent layer, or none of a directory does.
    UsageError
        For an input that no layer takes, a length out of range, or an assumption that nothing needs.
    NumericalError
        Where a single Jacobian leaves the range of a double.

    References
    ----------
    Pascanu, Mikolov & Bengio 2013 for the product; Tallec & Ollivier 2018 for chrono initialization;
    Karpathy, Johnson & Fei-Fei 2015, section 4.2, for saturation.

    Examples
    --------
    >>> import numpy as np
    >>> from gradflow import from_state_dict
    >>> draw = np.random.default_rng(0).standard_normal
    >>> model = from_state_dict({"weight_ih_l0": draw((32, 4)), "weight_hh_l0": 0.3 * draw((32, 8))})
    >>> found = inspect(model, length=50)
    >>> found.layers.layer, found.layers.cell, found.layers.verdict
    (['lstm'], ['lstm'], ['vanishing'])
    >>> found.advice.change[found.advice.advised.index(True)]
    'forget_bias'
    """
    sources = _sources(files)
    if all(isinstance(source, Checkpoint) for source in sources):
        refuse_without_effect({"layout": layout, "assume": assume or None}, READ_ALREADY)
    if diff and len(sources) != 2:
        raise UsageError(f"diff of {len(sources)} files: expected two, before and after")
    check_count("length", length if length is not None else 1)
    # what is drawn has no end of its own: gradients go back from two ends, one behind the other
    drawn = None if kind_of(input) is None else max(STEPS, length or 0)
    inputs = Inputs.of(
        input, key=key, format=None, steps=None if drawn is None else RUNS_OVER_LAGS * drawn, features=None,
        scale=None, seed=seed, count=MAX_DRAWS,
    )  # fmt: skip
    lags = drawn or inputs.steps
    asked = _length(length, lags)
    given = check_assumptions(assume)
    question = Question(inputs, asked, lags, seed, layout, given, gate_steps)
    answers = list(map(partial(answer, question), jobs(question, sources)))
    if len(sources) == 1:
        answers = [merged(answers)]
    _check(answers, [_name(file) for file in files], inputs, given)
    params = {
        "files": [_name(source) for source in files], "input": name_origin(input), "key": key,
        "length": asked, "seed": seed, "layout": layout, "assume": given, "units": units,
        "gate_steps": gate_steps, "diff": diff,
    }  # fmt: skip
    several = len(sources) > 1 or any(os.path.isdir(_name(file)) for file in files)
    return _record(params, question, answers, several)


def _sources(files: Sequence[str | Path | Checkpoint]) -> list[str | Checkpoint]:
    """Return the files and checkpoints to look at, those of directories included."""
    if not files:
        raise UsageError("no file was named: expected one or more, as in: model.safetensors")
    found: list[str | Checkpoint] = []
    for file in files:
        if isinstance(file, Checkpoint):
            found.append(file)
        elif isinstance(file, str | os.PathLike):
            found += _expanded(os.fspath(file))
        else:
            raise UsageError(
                f"{type(file).__name__} is no file: give a path, or gradflow.from_state_dict(...) of arrays"
            )
    names = [_name(source) for source in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"file {twice!r} is named twice: give each once, or state dicts names (name=)")
    return found


def _expanded(file: str) -> list[str]:
    """Return the checkpoints in a directory, or the file itself."""
    if not os.path.isdir(file):
        return [file]
    found = sorted(
        os.fspath(path)
        for path in Path(file).rglob("*")
        if path.is_file() and path.name.lower().endswith(CHECKPOINT_SUFFIXES)
    )
    if not found:
        raise DataError(
            f"{file}: holds no checkpoint; expected files that end with {', '.join(CHECKPOINT_SUFFIXES)}"
        )
    return found


def _name(source: str | Path | Checkpoint) -> str:
    return source.source if isinstance(source, Checkpoint) else os.fspath(source)


def _shortened(files: Sequence[str]) -> list[str]:
    """Return paths without the folders that all of them share.

    Examples
    --------
    >>> _shortened(["runs/a/last.pt", "runs/b/last.pt"]), _shortened(["runs/a.pt", "-"])
    (['a/last.pt', 'b/last.pt'], ['runs/a.pt', '-'])
    """
    folders = {os.path.dirname(file) for file in files}
    if "" in folders or len({os.path.isabs(folder) for folder in folders}) > 1:
        return list(files)
    common = os.path.commonpath(folders)
    return [os.path.relpath(file, common) if common.strip(os.sep) else file for file in files]


def _length(length: int | None, steps: int) -> int:
    if length is not None and length > steps:
        raise UsageError(f"length {length}: the input has {steps} steps; expected at most that")
    return length or steps


def _check(answers: Sequence[Answer], typed: Sequence[str], inputs: Inputs, given: Mapping[str, str]) -> None:
    """Refuse a result that would say nothing.

    Raises
    ------
    GradflowError
        The problem of a file that was named itself, not by its folder, or of all there are; an input that no
        layer takes, or an assumption that none needs.
    """
    read = [answer for answer in answers if answer.problem is None]
    problems = [(answer.file, answer.problem) for answer in answers if answer.problem is not None]
    named = [problem for file, problem in problems if file in {parse_name(name).file for name in typed}]
    if named:
        raise named[0]
    if problems and not read:
        more = f" (nor can {len(problems) - 1} more files be read)" if len(problems) > 1 else ""
        raise type(problems[0][1])(f"{problems[0][1]}{more}")
    check_left_open(given, frozenset().union(*(answer.left_open for answer in read)), read[0].file)
    found = [finding for answer in read for finding in answer.findings]
    if inputs.data is not None and not any(finding.took_input for finding in found):
        widths = ", ".join(f"{finding.name} {finding.input_size}" for finding in found[:8])
        raise UsageError(
            f"the input has {inputs.features} features, which no layer takes ({widths}); give one that does, "
            "or leave the input out for unit normal draws"
        )


def _record(
    params: Mapping[str, Any], question: Question, answers: list[Answer], several: bool
) -> Inspection:
    """Return the record of all that was found."""
    files = _shortened([answer.file for answer in answers])
    named = [
        (f"{file}{SEPARATOR}{finding.name}" if several else finding.name, finding)
        for file, answer in zip(files, answers, strict=True)
        for finding in answer.findings
    ]
    inputs = question.inputs
    warnings = list(notes(answers, several))
    if inputs.data is not None and any(finding.fed == "unit normal" for _, finding in named):
        odd = ", ".join(name for name, finding in named if finding.fed == "unit normal")
        warnings.append(f"{odd}: takes other inputs than the one given, and is fed unit normal draws.")
    if inputs.data is not None and len(inputs.data) > MAX_DRAWS:
        warnings.append(
            f"Of the {len(inputs.data)} input sequences the first {MAX_DRAWS} are used, "
            f"for large layers {MAX_DRAWS // 2}."
        )
    if params["diff"]:
        warnings += missing(answers[0], answers[1])
    return Inspection(
        params=params,
        notes=tuple(warnings),
        files_read=sum(answer.problem is None for answer in answers),
        layers_found=len(named),
        steps=inputs.steps,
        lags=question.lags,
        length=question.length,
        conclusion=tuple(sentences(name, finding, question.length) for name, finding in named),
        layers=layer_table(named),
        gates=gate_table(named),
        gate_steps=gate_step_table(courses(named)),
        advice=advice_table(named),
        units=unit_table(named) if params["units"] else None,
        files=file_table(files, answers) if several else None,
        changes=change_table(answers[0], answers[1]) if params["diff"] else None,
    )
