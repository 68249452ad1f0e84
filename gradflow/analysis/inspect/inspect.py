"""What the recurrent layers of trained checkpoints do to gradients, whatever framework wrote them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from gradflow.analysis import ADVICE_WRITERS
from gradflow.analysis.inspect.changes import make_change_table, match_layers
from gradflow.analysis.inspect.conclusion import describe_layer, describe_unreadable, notes
from gradflow.analysis.inspect.findings import (
    MAX_DRAWS,
    Answer,
    InspectionQuestion,
    answer,
    jobs,
    merge_answers,
)
from gradflow.analysis.inspect.matches import check_matches
from gradflow.analysis.inspect.record import Inspection
from gradflow.analysis.inspect.tables import (
    advice_table,
    courses,
    curve_table,
    file_table,
    gate_table,
    layer_table,
    unit_table,
)
from gradflow.analysis.shared.arguments import READ_ALREADY, check_count, refuse_without_effect
from gradflow.analysis.shared.checkpoints import (
    CHECKPOINT_SEPARATOR,
    Model,
    is_model,
    is_read,
    open_model,
    parse_name,
)
from gradflow.analysis.shared.gates import gate_step_table
from gradflow.analysis.shared.inputs import (
    DEFAULT_INPUT_STEPS,
    TOKENS_NOTE,
    Inputs,
    kind_of,
    looks_like_tokens,
)
from gradflow.analysis.shared.network_run import UNIT_NORMAL
from gradflow.analysis.shared.progress import Progress, ProgressCounter
from gradflow.analysis.shared.tasks import TaskExecutor, check_executor, run_tasks
from gradflow.blas_threads import use_one_blas_thread
from gradflow.errors import UsageError
from gradflow.layouts.assumptions import check_assumptions, check_left_open
from gradflow.layouts.chains import parse_chain
from gradflow.layouts.checkpoint import Checkpoint
from gradflow.layouts.network import Network
from gradflow.printable import format_count, join_lines
from gradflow.readers.folders import list_checkpoints
from gradflow.readers.in_memory import name_origin
from gradflow.registry import describe_unknown

RUNS_OVER_LAGS = 2  # length of a run on drawn inputs, divided by the number of measured lags


@use_one_blas_thread
def inspect(
    *files: str | Path | Model,
    input: str | Path | ArrayLike | None = None,
    key: str | None = None,
    length: int | None = None,
    seed: int = 0,
    layout: str | None = None,
    assume: Mapping[str, Any] | None = None,
    units: bool = False,
    gate_steps: bool = False,
    diff: bool = False,
    match: Mapping[str, str] | None = None,
    advice: str | None = None,
    chain: str | Sequence[str] | None = None,
    progress: Progress | None = None,
    executor: TaskExecutor | None = None,
) -> Inspection:
    """Compute what every recurrent layer of checkpoints does to gradients, and what would improve it.

    Layers are found by the names and shapes of arrays, without torch, keras or tensorflow. Each layer is run
    on the inputs that it receives in its model, as far as the file says what feeds it. The share of a
    gradient that is left after L steps is measured from several steps t of each run. Then changes are tried:
    each changed layer is run and measured again.

    The share is ‖∂h_t/∂s_{t−L}‖_F / √H for an output h of size H: the root mean square factor for the
    gradient of a loss in a random direction of h. The verdict rests on its median over ends and sequences.

    Parameters
    ----------
    *files : str, path, Checkpoint, Network, mapping or module
        ``FILE``, ``FILE::layer``, a directory, what `load` or `from_state_dict` returned, a state dict, or a
        module that has a ``state_dict()``.
    input : str, path or array-like (T, features) or (batch, T, features), optional
        Inputs of the layers: a file or data, ``normal`` (the default, eight sequences), ``zero`` or
        ``constant``. Only the first eight sequences of a batch are used.
    key : str, optional
        Name of the array in an input file with several arrays.
    length : int, optional
        L, the steps that a gradient goes back. Default: the steps of the input, or 100. With a length below
        that of the input, the share is measured from several steps, otherwise from the last step alone.
    seed : int
        Seed of drawn inputs and of random changes.
    layout : str, optional
        Framework of the names of the arrays. Default: found by the names.
    assume : mapping, optional
        Options that files do not state: ``activation``, ``gate_activation``, ``reset``, ``forget_bias``,
        ``residual``, ``orthogonal_map``, ``gate_order``, ``clip``, ``leak``. ``unread=ignored`` reads layers
        beside whose arrays the file has others that can change them.
    units : bool
        Add the table ``units``.
    gate_steps : bool
        Add the table ``gate_steps``: where the units of each gate stand at every step.
    diff : bool
        Add the table ``changes`` between two files, before and after. Layers are matched by name or, if the
        files have no such name in common, by kind, shape and order, which a note says.
    match : mapping of str to str, optional
        Which layer of the first file is which of the second: ``{"encoder.lstm": "lstm"}``.
    advice : str, optional
        The framework in whose code the advice is written: ``torch`` or ``keras``. ``none`` tries no change.
        Default: that of the file, or torch.
    chain : str or sequence of str, optional
        Networks of which each receives the output of the one before, as in ``"encoder,decoder"``;
        ``"order"`` stands for all of them in the order of the file. For files that do not say what feeds
        what, such as those of torch.
    progress : callable, optional
        Called as ``progress(done, total)`` when work begins and after each piece of it: a file, or a layer of
        the only file. What it raises ends the work.
    executor : concurrent.futures.Executor, optional
        Inspects these pieces with its threads or processes. It cannot change a number. Processes receive
        what `load` or `from_state_dict` returned by pickle.

    Returns
    -------
    Inspection
        The tables ``layers``, ``curve``, ``gates``, ``advice`` and those asked for, ``conclusion`` and
        ``notes``.

    Raises
    ------
    DataError
        If a named file cannot be read or has no recurrent layer, or no file of a directory has one.
    UsageError
        If no layer takes the input, the length is out of range, or no file needs a given assumption.
    NumericalError
        If a single Jacobian leaves the range of a double.

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
    'chrono'
    """
    counter = ProgressCounter(progress)
    check_executor(executor)
    networks_in_chain = parse_chain(chain)
    given = check_assumptions(assume)
    opened = _open_models(files, layout, given)
    typed, sources = [_name(source) for source in opened], _expand_sources(opened)
    if all(is_read(file) for file in files):
        refuse_without_effect({"layout": layout, "assume": assume or None}, READ_ALREADY)
    if diff and len(sources) != 2:
        raise UsageError(f"diff of {len(sources)} files: expected two files, before and after")
    if not diff:
        refuse_without_effect({"match": match}, "without diff")
    matched = check_matches(match)
    check_count("length", length if length is not None else 1)
    if advice is not None and advice not in (*ADVICE_WRITERS, "none"):
        raise UsageError(describe_unknown("advice", advice, (*ADVICE_WRITERS, "none")))
    # drawn inputs can have any length: with twice the lags, gradients start from two ends that do not overlap
    drawn = None if kind_of(input) is None else max(DEFAULT_INPUT_STEPS, length or 0)
    inputs = Inputs.of(
        input, key=key, format=None, steps=None if drawn is None else RUNS_OVER_LAGS * drawn, features=None,
        scale=None, seed=seed, count=MAX_DRAWS,
    )  # fmt: skip
    lags = drawn or inputs.steps
    asked = _length(length, lags)
    question = InspectionQuestion(
        inputs, asked, lags, seed, layout, given, gate_steps, advice, networks_in_chain,
        frozenset(file.name for file in files if isinstance(file, Network)),
    )  # fmt: skip
    pieces = jobs(question, sources)
    counter.begin(len(pieces))
    answers = run_tasks(partial(answer, question), pieces, executor, counter)
    if len(sources) == 1:
        answers = [merge_answers(answers)]
    _check(answers, typed, inputs, given)
    params = {
        "files": typed, "input": name_origin(input), "key": key,
        "length": asked, "seed": seed, "layout": layout, "assume": given, "units": units,
        "gate_steps": gate_steps, "diff": diff, "match": matched, "advice": advice,
        "chain": list(networks_in_chain) or None,
    }  # fmt: skip
    several = len(sources) > 1 or any(os.path.isdir(name) for name in typed)
    return _record(params, question, answers, several)


def _open_models(
    files: Sequence[str | Path | Model], layout: str | None, assume: Mapping[str, str]
) -> list[str | Checkpoint]:
    """Return the names of files, and the networks of models in memory.

    State dicts and modules that have the name of an earlier one get a number.
    """
    if not files:
        raise UsageError("no file was named; expected one or more, such as model.safetensors")
    opened: list[str | Checkpoint] = []
    for file in files:
        if isinstance(file, str | os.PathLike):
            opened.append(os.fspath(file))
        elif is_model(file):
            checkpoint = open_model(file, layout, assume)
            earlier = [_name(source).partition(" (")[0] for source in opened].count(checkpoint.source)
            number = "" if is_read(file) or not earlier else f" ({earlier + 1})"
            opened.append(replace(checkpoint, source=f"{checkpoint.source}{number}"))
        else:
            raise UsageError(
                f"{type(file).__name__} is not a file; give a path, a state dict, or a module that has one"
            )
    return opened


def _expand_sources(opened: Sequence[str | Checkpoint]) -> list[str | Checkpoint]:
    """Return the files and checkpoints to look at, those of directories included."""
    found: list[str | Checkpoint] = []
    for source in opened:
        found += [source] if isinstance(source, Checkpoint) else _expand_pattern(source)
    names = [_name(source) for source in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(
            f"file {twice!r} is named twice; name each file once, and give state dicts different names "
            "(name=)"
        )
    return found


def _expand_pattern(file: str) -> list[str]:
    """Return the checkpoints in a directory, or the file itself."""
    if not os.path.isdir(file):
        return [file]
    return [os.fspath(path) for path in list_checkpoints(Path(file))]


def _name(source: str | Checkpoint) -> str:
    return source.source if isinstance(source, Checkpoint) else source


def _shorten_names(files: Sequence[str]) -> list[str]:
    """Return paths without the folders that all of them share.

    Examples
    --------
    >>> _shorten_names(["runs/a/last.pt", "runs/b/last.pt"]), _shorten_names(["runs/a.pt", "-"])
    (['a/last.pt', 'b/last.pt'], ['runs/a.pt', '-'])
    """
    folders = {os.path.dirname(file) for file in files}
    if "" in folders or len({os.path.isabs(folder) for folder in folders}) > 1:
        return list(files)
    common = os.path.commonpath(folders)
    return [os.path.relpath(file, common) if common.strip(os.sep) else file for file in files]


def _length(length: int | None, steps: int) -> int:
    if length is not None and length > steps:
        raise UsageError(
            f"length {length}: the input has {steps} steps; expected a length of at most {steps}"
        )
    return length or steps


def _check(answers: Sequence[Answer], typed: Sequence[str], inputs: Inputs, given: Mapping[str, str]) -> None:
    """Check that there is a result, and that every given option has an effect on it.

    Raises
    ------
    GradflowError
        If a file that was named itself cannot be read, or no file can; if no layer takes the input, or needs
        a given assumption.
    """
    read = [answer for answer in answers if answer.problem is None]
    problems = [(answer.file, answer.problem) for answer in answers if answer.problem is not None]
    named = [problem for file, problem in problems if file in {parse_name(name).file for name in typed}]
    if named:
        raise named[0]
    if problems and not read:
        count = len(problems) - 1
        others = format_count(count, "more file", "more files")
        more = f" ({others} could not be read either)" if count else ""
        raise type(problems[0][1])(f"{problems[0][1]}{more}")
    check_left_open(given, frozenset().union(*(answer.left_open for answer in read)), read[0].file)
    found = [finding for answer in read for finding in answer.findings]
    takes = [
        # The verdict's sentence says why a layer of this width is fed draws.
        finding.took_input or (finding.input_size == inputs.features and finding.fed == UNIT_NORMAL)
        for finding in found
    ]
    if inputs.data is not None and not any(takes):
        widths = ", ".join(f"{finding.name} {finding.input_size}" for finding in found[:8])
        raise UsageError(
            f"the input has {inputs.features} features, and no layer takes as many ({widths}); give a "
            "suitable input, or none for unit normal draws"
        )


def _record(
    params: Mapping[str, Any], question: InspectionQuestion, answers: list[Answer], several: bool
) -> Inspection:
    """Return the record of all that was found."""
    files = _shorten_names([answer.file for answer in answers])
    named = [
        (f"{file}{CHECKPOINT_SEPARATOR}{finding.name}" if several else finding.name, finding)
        for file, answer in zip(files, answers, strict=True)
        for finding in answer.findings
    ]
    inputs = question.inputs
    warnings = list(notes(answers, several))
    if inputs.data is not None and len(inputs.data) > MAX_DRAWS:
        warnings.append(f"The input has {len(inputs.data)} sequences. The first {MAX_DRAWS} are used.")
    if inputs.data is not None and looks_like_tokens(inputs.data):
        warnings.append(TOKENS_NOTE)
    matches = match_layers(answers[0], answers[1], params["match"]) if params["diff"] else None
    warnings += matches.notes if matches else ()
    return Inspection(
        params=params,
        notes=tuple(warnings),
        files_read=sum(answer.problem is None for answer in answers),
        layers_found=len(named),
        steps=inputs.steps,
        lags=question.lags,
        length=question.length,
        conclusion=join_lines(
            [
                *(describe_layer(name, finding, question, alone=len(named) == 1) for name, finding in named),
                *describe_unreadable(answers),
            ]
        ),
        layers=layer_table(named),
        curve=curve_table(named),
        gates=gate_table(named),
        gate_steps=gate_step_table(courses(named)),
        advice=advice_table(named, question),
        units=unit_table(named) if params["units"] else None,
        files=file_table(files, answers) if several else None,
        changes=make_change_table(matches) if matches else None,
    )
