"""The answers to the exercise sheet, derived step by step; every step is checked with numbers."""

import inspect
import re
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gradflow.analysis.shared.arguments import check_count, square_matrix
from gradflow.analysis.shared.progress import Progress, ProgressCounter
from gradflow.derivations.record import Derivation, DerivationLines, DerivedTopics, TopicList
from gradflow.derivations.suggestions import suggest_topics
from gradflow.derivations.topics import ALL_TOPICS, DERIVATIONS
from gradflow.derivations.topics.line import (
    ROUNDING,
    DerivationLine,
    VerifiedLine,
    verify_line,
)
from gradflow.derivations.topics.topic import DerivationTopic
from gradflow.errors import GradflowError, UsageError
from gradflow.notation.evaluate import Symbols
from gradflow.notation.tex import tex
from gradflow.printable import describe_argument
from gradflow.readers.in_memory import name_origin
from gradflow.record import ChapterView
from gradflow.registry import describe_unknown, lookup

MAX_HIDDEN, MAX_ROWS = 16, 100  # units and rows, past which nobody reads a derivation
MIN_ENTRY, MAX_ENTRY = 1e-60, 1e60  # of a matrix, the largest: a double should hold its powers
# The number of an exercise as people write it, and the letters of its parts on the sheet.
EXERCISE_PATTERN = re.compile(r"(?:exercise|ex\.?)?\s*(\d+)\s*[-.]\s*(\d+)\s*\(?([a-z])?\)?")
PART_PATTERN = re.compile(r"(?<![A-Za-z])[a-z](?![A-Za-z])")
Job = tuple[str, int, DerivationLine, Symbols]


def derive(
    topic: str | None = None,
    *,
    list: bool = False,
    cell: str | None = None,
    matrix: str | PathLike[str] | ArrayLike | None = None,
    key: str | None = None,
    steps: int | None = None,
    hidden: int | None = None,
    seed: int | None = None,
    checks: bool = False,
    answer: bool = False,
    progress: Progress | None = None,
) -> Derivation:
    """Answer a topic of the exercise sheet, with every line of its derivation checked on random parameters.

    Both sides of a line are evaluated as they are printed. Derivatives in them are computed by complex steps,
    which know no formula of the derivation.

    Parameters
    ----------
    topic : str, optional
        A name of ``gradflow.derivations.topics.DERIVATIONS``, or a number of the sheet such as 5-2c; 5-2
        stands for all parts of an exercise, all for every topic. Without it the topics are listed.
    list : bool
        Return the list of topics, too.
    cell : str, optional
        For expand: ``NAME[:option=value,...]``, as for `compare`.
    matrix : str, path or array-like (n, n), optional
        For power and regimes: as for `power`.
    key : str, optional
        Which array of a file with several.
    steps : int, optional
        For bptt, expand, power and regimes: the number of steps, T or n.
    hidden : int, optional
        Number of units of the random network, or of rows of the random matrix.
    seed : int, optional
        Of the random parameters; 0 unless given.
    checks : bool
        Whether `to_text` shows both sides of every line as numbers.
    answer : bool
        Whether `to_text` shows the answer alone.
    progress : callable, optional
        Called as ``progress(done, total)`` when checking begins and after each line. What it raises ends the
        work. A list of the topics is no work, and calls it not at all.

    Returns
    -------
    Derivation
        The tables ``lines`` and ``topics``.

    Raises
    ------
    UsageError
        For an unknown topic, or an option that it does not take.
    DataError
        For a matrix that cannot be read.
    NumericalError
        If a line does not hold.

    References
    ----------
    Werbos 1990 for backpropagation through time; Bengio, Simard & Frasconi 1994 for products of Jacobians;
    Hochreiter & Schmidhuber 1997 for the LSTM; Cho et al. 2014, eq. 5 to 8, for the GRU; Squire & Trapp 1998
    for complex steps.

    Examples
    --------
    >>> found = derive("jacobian")
    >>> found.lines.formula[7], found.lines.holds[7]
    ('∂y/∂x = diag(σ′(Wx)) W', True)
    """
    counter = ProgressCounter(progress)
    given: dict[str, Any] = {"cell": cell, "matrix": matrix, "key": key, "steps": steps, "hidden": hidden}
    params = {"topic": topic, "list": list, **given, "matrix": name_origin(matrix), "seed": seed}
    params |= {"checks": checks, "answer": answer}
    if checks and answer:
        raise UsageError("checks and answer exclude each other: leave one of them out")
    if list or topic is None:
        asked = [name for name, value in {**given, "seed": seed}.items() if value is not None]
        asked += [name for name, value in {"checks": checks, "answer": answer}.items() if value]
        if list and (topic is not None or asked):
            raise UsageError("list shows every topic: leave topic and options out, or leave list out")
        if asked:
            raise UsageError(f"{asked[0]} needs a topic: {', '.join([*DERIVATIONS, ALL_TOPICS])}")
        return Derivation(
            params=params,
            verified=None,
            largest_error=None,
            conclusion=(
                f"To derive one topic: `gradflow.derive('{next(iter(DERIVATIONS))}')`. To derive all: "
                f"`gradflow.derive('{ALL_TOPICS}')`."
            ),
            topics=TopicList(**_list_topics(_build_all())),
        )
    if not isinstance(topic, str):
        raise UsageError(
            f"{describe_argument('topic', topic)}: expected the name of a topic or a number of the sheet, "
            f"such as {next(iter(DERIVATIONS))!r} or '5-2c'; gradflow.derive() lists them"
        )
    params["seed"] = seed = 0 if seed is None else seed
    check_count("seed", seed, least=0)
    options = _read_options(given)
    names = _choose_names(topic, options)
    topics = {name: _build_topic(name, options, seed) for name in names}
    if len(names) == 1:
        params["topic"] = names[0]
        params |= {
            name: default for name, default in get_topic_options(names[0]).items() if params[name] is None
        }
    jobs: Sequence[Job] = [
        (name, number, line, one.symbols)
        for name, one in topics.items()
        for number, line in enumerate(one.lines, 1)
    ]
    view = ChapterView(values=checks, answer=answer)
    return _make_record(params, topics, jobs, _verify_lines(jobs, counter), view)


def _verify_lines(jobs: Sequence[Job], counter: ProgressCounter) -> list[VerifiedLine]:
    counter.begin(len(jobs))
    verified: list[VerifiedLine] = []
    for job in jobs:
        verified.append(verify_line(*job))
        counter.add_one()
    return verified


def _read_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given, the matrix read."""
    options = {name: value for name, value in given.items() if value is not None}
    key = options.pop("key", None)
    if "hidden" in options:
        check_count("hidden", options["hidden"], most=MAX_HIDDEN)
    if "matrix" in options:
        options["matrix"] = matrix = square_matrix(options["matrix"], key)
        largest = float(np.abs(matrix).max())
        if len(matrix) > MAX_ROWS or not (largest == 0 or MIN_ENTRY <= largest <= MAX_ENTRY):
            raise UsageError(
                f"the matrix has {len(matrix)} rows and entries up to {largest:.3g}: expected at most "
                f"{MAX_ROWS} rows, and a largest entry between {MIN_ENTRY:g} and {MAX_ENTRY:g}"
            )
    elif key is not None:
        raise UsageError(f"key {key!r} picks an array of a file: no matrix was given")
    return options


def get_topic_options(name: str) -> dict[str, Any]:
    """Return the options that a topic takes, with their defaults."""
    parameters = inspect.signature(lookup(DERIVATIONS, name, "topic")).parameters.values()
    return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}


def _choose_names(topic: str, options: Mapping[str, Any]) -> Sequence[str]:
    """Return the topics that are meant, and refuse an option that a single one does not take."""
    if topic == ALL_TOPICS:
        return [*DERIVATIONS]
    names = [topic] if topic in DERIVATIONS else _find_exercise(topic)
    if not names:
        topics = _build_all()
        valid, related = [*DERIVATIONS, ALL_TOPICS], suggest_topics(topic, topics)
        numbers = "; ".join(one.exercise for one in topics.values())
        raise UsageError(
            f"{describe_unknown('topic', topic, valid, related)}; or a number of the sheet: {numbers}"
        )
    if len(names) > 1:
        return names
    for option in options:
        if option not in get_topic_options(names[0]):
            takers = ", ".join(name for name in DERIVATIONS if option in get_topic_options(name))
            raise UsageError(f"{names[0]} takes no {option}: leave it out; it is for {takers}")
    if {"hidden", "matrix"} <= options.keys():
        raise UsageError(f"hidden {options['hidden']} is for random parameters: leave it out, or the matrix")
    return names


def _find_exercise(text: str) -> Sequence[str]:
    """Return the topics of a number of the sheet: 5-2c, 5.2c or 5.2 (c), or 5-2 for all of its parts."""
    asked = EXERCISE_PATTERN.fullmatch(text.strip().lower())
    if not asked:
        return []
    sheet, exercise, part = asked.groups()
    return [
        name
        for name, topic in _build_all().items()
        if topic.exercise.startswith(f"{sheet}-{exercise}")
        and (not part or part in PART_PATTERN.findall(topic.exercise))
    ]


def _build_all() -> dict[str, DerivationTopic]:
    """Return every topic with its default options."""
    return {name: _build_topic(name, {}, 0) for name in DERIVATIONS}


def _build_topic(name: str, options: Mapping[str, Any], seed: int) -> DerivationTopic:
    """Return a topic with those of the options that it takes."""
    chosen = {option: value for option, value in options.items() if option in get_topic_options(name)}
    try:
        built: DerivationTopic = lookup(DERIVATIONS, name, "topic")(seed, **chosen)
    except GradflowError as error:
        raise type(error)(f"{name}: {error}") from None
    return built


def _make_record(
    params: Mapping[str, Any],
    topics: Mapping[str, DerivationTopic],
    jobs: Sequence[Job],
    verified: Sequence[VerifiedLine],
    view: ChapterView,
) -> Derivation:
    which = next(iter(topics)) if len(topics) == 1 else f"{len(topics)} topics"
    errors = [one.difference for one in verified if one.relation == "=" and one.tolerance <= ROUNDING]
    largest = f", largest difference {max(errors):.0e}" if errors else ""
    return Derivation(
        params=params,
        verified=len(verified),
        largest_error=max(errors, default=None),
        conclusion=f"{len(verified)} lines of {which} verified with seed {params['seed']}{largest}.",
        lines=DerivationLines(
            topic=[name for name, *_ in jobs],
            line=[number for _, number, *_ in jobs],
            formula=[line.formula for _, _, line, _ in jobs],
            latex=[tex(line.formula) for _, _, line, _ in jobs],
            reason=[line.reason for _, _, line, _ in jobs],
            relation=[one.relation for one in verified],
            entry=[one.entry for one in verified],
            left=[one.left for one in verified],
            right=[one.right for one in verified],
            difference=[one.difference for one in verified],
            tolerance=[one.tolerance for one in verified],
            holds=[True] * len(verified),
        ),
        topics=DerivedTopics(
            **_list_topics(topics),
            statement=[one.statement for one in topics.values()],
            answer=[one.answer for one in topics.values()],
            slip=[one.slip for one in topics.values()],
        ),
        chapter_view=view,
    )


def _list_topics(topics: Mapping[str, DerivationTopic]) -> dict[str, list[str]]:
    return {
        "topic": [*topics],
        "exercise": [one.exercise for one in topics.values()],
        "title": [one.title for one in topics.values()],
        "options": [", ".join(get_topic_options(name)) for name in topics],
    }
