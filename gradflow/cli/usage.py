"""What is wrong with a call that typer refuses, and what to write instead."""

import re
from collections.abc import Sequence
from typing import Any

import typer

from gradflow.printable import escape_unprintable
from gradflow.registry import load

_NUMBER_PATTERN = re.compile(r"-\.?\d")


def describe_usage_error(error: typer.TyperException, arguments: Sequence[str]) -> str:
    """Return one line for a call that typer refuses, or the help text for a call without a command."""
    message = error.format_message()
    return message if message.startswith("Usage: ") else escape_unprintable(_explain(error, arguments))


def _explain(error: typer.TyperException, arguments: Sequence[str]) -> str:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "gradflow"
    if message.startswith("No such option"):
        advice = _explain_option(context, str(getattr(error, "option_name", "")), arguments)
    elif message.startswith("Missing argument"):
        return f"{path}: {_list_missing(context, getattr(error, 'param', None))} (try {path} --help)"
    elif message.startswith("Got unexpected extra argument"):
        advice = _explain_extra(context, arguments)
    else:
        advice = ""
    if advice:
        return f"{path}: {message.partition(' (Possible')[0].rstrip('.')}. {advice}"
    return f"{path}: {message} (try {path} --help)"


def _explain_option(context: Any, flag: str, arguments: Sequence[str]) -> str:
    """Return what to write for an unknown option: an option of a cell stands behind the cell's name."""
    names = {parameter.name for parameter in context.command.params} if context else set()
    if "matrix" in names and any(_NUMBER_PATTERN.match(argument) for argument in arguments):
        return "Write -m before a matrix that begins with a minus sign"
    if not names & {"cell", "cells"}:
        return ""
    option = flag.lstrip("-").replace("-", "_")
    takers: list[str] = load("gradflow.cells.spec").find_cells_with(option)
    if not takers:
        return ""
    place = next(k for k, argument in enumerate(arguments) if argument.partition("=")[0] == flag)
    value = arguments[place].partition("=")[2] or next(iter(arguments[place + 1 : place + 2]), "")
    given = [argument for argument in arguments if argument.partition(":")[0] in takers]
    cell = given[0] if given else takers[0]
    return f"It is an option of the cell: write {_add_option(cell, option, value or 'VALUE')}"


def _explain_extra(context: Any, arguments: Sequence[str]) -> str:
    """Return what to write for an extra argument such as ``forget_bias=2`` after a cell."""
    names = {parameter.name for parameter in context.command.params} if context else set()
    if "matrix" in names:
        return 'Write a matrix as one argument, in quotes: "0.58 0.24; 0.24 0.72"'
    if "cell" not in names:
        return ""
    find_takers = load("gradflow.cells.spec").find_cells_with
    for argument in arguments:
        option, equals, value = argument.partition("=")
        option = option.replace("-", "_")
        takers = find_takers(option) if equals and not argument.startswith("-") else []
        if takers:
            given = [cell for cell in arguments if cell.partition(":")[0] in takers]
            cell = _add_option(given[0] if given else takers[0], option, value)
            return f"Write an option of a cell after the cell's name and a colon: {cell}"
    return ""


def _add_option(cell: str, option: str, value: str) -> str:
    return f"{cell}{',' if ':' in cell else ':'}{option}={value}"


def _list_missing(context: Any, first: Any) -> str:
    """Return the names and meanings of all arguments that a call lacks, from the first missing one on."""
    parameters = [one for one in context.command.params if one.param_type_name == "argument" and one.required]
    start = parameters.index(first) if first in parameters else 0
    return "missing " + " and ".join(
        f"{one.metavar} ({_begin_small(one.help.rstrip('.'))})" for one in parameters[start:]
    )


def _begin_small(text: str) -> str:
    """Return a sentence as it stands inside another one; a name in capitals stays as it is."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
