"""The exercise sheet's answers: derived step by step, and every step checked with numbers."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gradflow.analysis.derivations import DERIVATIONS, EVERY
from gradflow.analysis.derivations.line import ROUNDING, Line, Topic, Verified, verified
from gradflow.analysis.derive_record import Derivation, Lines, Listed, Topics
from gradflow.analysis.inputs import check_count
from gradflow.analysis.square import square_matrix
from gradflow.errors import GradflowError, UsageError
from gradflow.notation.evaluate import Symbols
from gradflow.notation.tex import tex
from gradflow.readers.in_memory import name_origin
from gradflow.registry import describe_unknown, lookup

MOST_HIDDEN, MOST_ROWS = 16, 100  # units and rows, past which nobody reads a derivation
SMALLEST, LARGEST = 1e-60, 1e60  # entry of a matrix, whose powers a double should hold
Job = tuple[str, int, Line[Any], Any, Symbols | None]


def derive(
    topic: str | None = None,
    *,
    list: bool = False,
    cell: str | None = None,
    matrix: str | ArrayLike | None = None,
    key: str | None = None,
    steps: int | None = None,
    hidden: int | None = None,
    seed: int = 0,
    map: Callable[..., Iterable[Any]] = map,
) -> Derivation:
    """Compute both sides of every line of a derivation on random parameters; return lines and numbers.

    Formulas are data; derivatives that they claim are computed without them, by complex steps.

    Parameters
    ----------
    topic : str, optional
        A name of ``gradflow.analysis.derivations.DERIVATIONS``, or all.
    list : bool
        Return what can be derived instead.
    cell : str, optional
        ``NAME[:option=value,...]``, as for `compare`: for expand.
    matrix : str or array-like (n, n), optional
        As for `power`: for power, regimes.
    key : str, optional
        Which array of a file with several.
    steps : int, optional
        T or n: for bptt, expand, power, regimes.
    hidden : int, optional
        Units of the random parameters, or rows of a random matrix.
    seed : int
        Of all random parameters.
    map : callable
        Applies the check to each line in order; a caller may watch it.

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
        For a line that does not hold.

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
    given: dict[str, Any] = {"cell": cell, "matrix": matrix, "key": key, "steps": steps, "hidden": hidden}
    params = {"topic": topic, "list": list, **given, "matrix": name_origin(matrix), "seed": seed}
    check_count("seed", seed, least=0)
    if list:
        if topic is not None or any(value is not None for value in given.values()):
            raise UsageError("list shows every topic: leave topic and options out, or leave list out")
        return _listing(params)
    if topic is None:
        raise UsageError(f"expected a topic: {', '.join([*DERIVATIONS, EVERY])} (--list tells of them)")
    options = _options(given)
    topics = {name: _made(name, options, seed) for name in _names(topic, options)}
    if topic != EVERY:
        params |= {name: default for name, default in taken(topic).items() if params[name] is None}
    symbols = {name: one.symbols(one.case) if one.symbols else None for name, one in topics.items()}
    jobs = [
        (name, number, line, one.case, symbols[name])
        for name, one in topics.items()
        for number, line in enumerate(one.lines, 1)
    ]
    return _derivation(params, topics, jobs, [*map(lambda job: verified(*job), jobs)])


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given, the matrix read."""
    options = {name: value for name, value in given.items() if value is not None}
    key = options.pop("key", None)
    if "hidden" in options:
        check_count("hidden", options["hidden"], most=MOST_HIDDEN)
    if "matrix" in options:
        options["matrix"] = matrix = square_matrix(options["matrix"], key)
        largest = float(np.abs(matrix).max())
        if len(matrix) > MOST_ROWS or not (largest == 0 or SMALLEST <= largest <= LARGEST):
            raise UsageError(
                f"the matrix has {len(matrix)} rows and entries up to {largest:.3g}: expected at most "
                f"{MOST_ROWS} rows, and entries up to a number between {SMALLEST:g} and {LARGEST:g}"
            )
    elif key is not None:
        raise UsageError(f"key {key!r} picks an array of a file (--matrix): none was given")
    return options


def taken(name: str) -> dict[str, Any]:
    """Return the options that a topic takes, with what they are unless given."""
    parameters = inspect.signature(lookup(DERIVATIONS, name, "topic")).parameters.values()
    return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}


def _names(topic: str, options: Mapping[str, Any]) -> Iterable[str]:
    """Return the topics that are meant, and refuse an option that a single one does not take."""
    if topic == EVERY:
        return DERIVATIONS
    if topic not in DERIVATIONS:
        raise UsageError(describe_unknown("topic", topic, [*DERIVATIONS, EVERY]))
    for option in options:
        if option not in taken(topic):
            takers = ", ".join(name for name in DERIVATIONS if option in taken(name))
            raise UsageError(f"{topic} takes no {option}: leave it out; it is for {takers}")
    if {"hidden", "matrix"} <= options.keys():
        raise UsageError(f"hidden {options['hidden']} is for random parameters: leave it out, or the matrix")
    return [topic]


def _made(name: str, options: Mapping[str, Any], seed: int) -> Topic[Any]:
    """Return a topic with those of the options that it takes."""
    chosen = {option: value for option, value in options.items() if option in taken(name)}
    try:
        made: Topic[Any] = lookup(DERIVATIONS, name, "topic")(seed, **chosen)
    except GradflowError as error:
        raise type(error)(f"{name}: {error}") from None
    return made


def _derivation(
    params: Mapping[str, Any], topics: Mapping[str, Topic[Any]], jobs: list[Job], found: list[Verified]
) -> Derivation:
    names = [*topics]
    which = names[0] if len(names) == 1 else f"{len(names)} topics"
    return Derivation(
        params=params,
        verified=len(found),
        largest_error=max((one.difference for one in found if _exact(one)), default=None),
        conclusion=(
            f"Every line of {which} holds: its sides were computed, neither from the other, with whatever is "
            f"random drawn from seed {params['seed']}."
        ),
        lines=Lines(
            topic=[name for name, *_ in jobs],
            line=[number for _, number, *_ in jobs],
            formula=[line.formula for _, _, line, *_ in jobs],
            latex=[tex(line.formula) for _, _, line, *_ in jobs],
            reason=[line.reason for _, _, line, *_ in jobs],
            relation=[one.relation for one in found],
            entry=[one.entry for one in found],
            left=[one.left for one in found],
            right=[one.right for one in found],
            difference=[one.difference for one in found],
            tolerance=[one.tolerance for one in found],
            holds=[True] * len(found),
        ),
        topics=Topics(
            **_listed(topics),
            statement=[one.statement for one in topics.values()],
            answer=[one.answer for one in topics.values()],
            slip=[one.slip for one in topics.values()],
        ),
    )


def _exact(line: Verified) -> bool:
    """Return whether a line says that two sides are equal, to rounding and not to some digits."""
    return line.relation == "=" and line.tolerance <= ROUNDING


def _listing(params: Mapping[str, Any]) -> Derivation:
    topics = {name: _made(name, {}, 0) for name in DERIVATIONS}
    return Derivation(
        params=params,
        verified=None,
        largest_error=None,
        conclusion=f"gradflow derive TOPIC derives one of them, gradflow derive {EVERY} every one.",
        topics=Listed(**_listed(topics)),
    )


def _listed(topics: Mapping[str, Topic[Any]]) -> dict[str, list[str]]:
    return {
        "topic": [*topics],
        "exercise": [one.exercise for one in topics.values()],
        "title": [one.title for one in topics.values()],
        "options": [", ".join(taken(name)) for name in topics],
    }
