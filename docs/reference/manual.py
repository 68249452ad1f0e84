"""Manual pages, in the man(7) macros that groff and mandoc both know."""

import re
from collections.abc import Iterable, Mapping

from gradflow import __version__
from gradflow.blas_threads import THREAD_VARIABLES
from gradflow.cli import COMMANDS
from gradflow.cli.ending import (
    EXIT_BUG,
    EXIT_CANNOT_WRITE,
    EXIT_INTERRUPTED,
    EXIT_PIPE_LOST,
    EXIT_VERDICT_HOLDS,
)
from gradflow.cli.flags import list_flags, name_flags
from gradflow.errors import UsageError
from gradflow.record import ColumnMeaning, ScalarMeaning
from gradflow.registry import lookup
from reference.program import Help, Result

EXIT_STATUS = {
    0: "Done.",
    EXIT_CANNOT_WRITE: "The data could not be read or used, the numbers could not be had, or nothing could "
    "be written. One line on standard error says what, which value, what was expected and what to do.",
    UsageError.exit_code: "Usage: an unknown command or option, a bad value, a matrix that is not square.",
    EXIT_VERDICT_HOLDS: "The verdict given with --fail-on holds.",
    EXIT_BUG: "A bug in gradflow; the message says what to report.",
    EXIT_INTERRUPTED: "Interrupted.",
    EXIT_PIPE_LOST: "The reader of the pipe went away; nothing is said.",
}
ENVIRONMENT = {
    "GRADFLOW_FORMAT": "The format of a result where neither -f nor the suffix of -o FILE says it.",
    "GRADFLOW_DEBUG": "If set, an error comes with its traceback.",
    "COLUMNS": "The width of tables. Without it: that of the terminal; off a terminal as wide as they need.",
    "NO_COLOR": "If set, no colours.",
    "FORCE_COLOR": "If set, colours off a terminal too, unless NO_COLOR is set.",
    "TERM": "If dumb, no colours on a terminal.",
    **dict.fromkeys(THREAD_VARIABLES, "Threads of the linear algebra, 1 unless set."),
}
Flags = Mapping[str, tuple[str, ...]]
SPECIAL = {"\\": r"\(rs", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}


def manual_title(name: str) -> str:
    """Return the name by which ``man`` finds the page of a command, or with an empty name of the program."""
    return f"gradflow-{name}" if name else "gradflow"


def manual(name: str) -> str:
    """Return the page of a command, or with an empty name that of the program, in roff."""
    told = Help(name)
    title = manual_title(name)
    parts = [
        r".\" Made by docs/generate.py; do not edit.",
        f'.TH {title.upper()} 1 "" "gradflow {__version__}" "gradflow manual"',
        ".nh\n.ad l",  # a hyphen in an option would be copied
        f".SH NAME\n{title} \\- {roff(told.title.rstrip('.'))}",
        f".SH SYNOPSIS\n\\fB{roff(told.path)}\\fR {roff(told.usage)}",
        _description(told),
        _section("ARGUMENTS", [_item(_italic(name), text) for name, text in told.arguments]),
        _section("OPTIONS", [_item(_option(name), text) for name, text in told.options]),
        _result(name) if name else _commands(),
        _section("EXIT STATUS", [_item(str(code), text) for code, text in sorted(EXIT_STATUS.items())]),
        _section("ENVIRONMENT", [_item(f"\\fB{name}\\fR", text) for name, text in ENVIRONMENT.items()]),
        _examples(told.examples),
        _see_also(name),
    ]
    return "\n".join(filter(None, parts)) + "\n"


def roff(text: str) -> str:
    r"""Return text that stands for itself, in ASCII; other letters by their numbers.

    Examples
    --------
    >>> print(roff("--view ∂s"))
    \-\-view \[u2202]s
    """
    letters = [SPECIAL.get(letter, letter) for letter in text]
    return "".join(letter if letter.isascii() else f"\\[u{ord(letter):04X}]" for letter in letters)


def _paragraph(text: str) -> str:
    return f".PP\n{_line(text)}"


def _line(text: str) -> str:
    """Return text on a line of its own: a point there would be a request."""
    return re.sub(r"^(?=\.)", r"\\&", roff(" ".join(text.split())))


def _item(name: str, text: str) -> str:
    return f".TP\n{name}\n{_line(text)}"


def _section(title: str, items: Iterable[str]) -> str:
    body = "\n".join(items)
    return f".SH {title}\n{body}" if body else ""


def _italic(text: str) -> str:
    return f"\\fI{roff(text)}\\fR"


def _option(record: str) -> str:
    """Return flags in bold and what stands for a value in italics."""
    words = re.split(r"(, | / | )", record)
    return "".join(
        word if k % 2 else f"\\fB{roff(word)}\\fR" if word.startswith("-") else _italic(word)
        for k, word in enumerate(words)
    )


def _description(told: Help) -> str:
    listed = [_item(f"{roff(label)}:", text) if label else _paragraph(text) for label, text in told.lists]
    return _section("DESCRIPTION", [_line(told.title), *map(_paragraph, told.paragraphs), *listed])


def _commands() -> str:
    items = [_item(_reference(name), Help(name).title) for name in COMMANDS]
    return _section("COMMANDS", items)


def _result(name: str) -> str:
    result, flags = Result(name), list_flags(lookup(COMMANDS, name, "command"))
    parts = [
        _line(f"As JSON it has the schema {result.schema}."),
        ".SS Summary",
        *_meanings(result.scalars, flags),
    ]
    for table in result.tables:
        parts.append(f".SS Table {roff(table.name)}: {roff(table.meaning.description)}")
        parts += [*_absence(table.meaning.absent, flags), *_meanings(table.columns, flags)]
    for key, matrix in result.matrices.items():
        parts += [f".SS Matrix {roff(key)}: {roff(matrix.description)}", *_absence(matrix.absent, flags)]
    return _section("RESULT", parts)


def _absence(absent: str, flags: Flags) -> list[str]:
    return [_line(f"Where it is missing: {name_flags(absent, flags)}.")] if absent else []


def _meanings(meanings: Mapping[str, ScalarMeaning] | Mapping[str, ColumnMeaning], flags: Flags) -> list[str]:
    return [
        _item(
            f"\\fB{roff(name)}\\fR",
            name_flags(meaning.description, flags) + (f" [{meaning.unit}]" if meaning.unit else ""),
        )
        for name, meaning in meanings.items()
    ]


def _examples(lines: list[str]) -> str:
    return ".SH EXAMPLES\n.nf\n" + "\n".join(map(_line, lines)) + "\n.fi"  # .EE would hyphenate again


def _see_also(name: str) -> str:
    others = [other for other in ("", *COMMANDS) if other != name]
    return ".SH SEE ALSO\n" + ",\n".join(map(_reference, others))


def _reference(name: str) -> str:
    return f"\\fB{roff(manual_title(name))}\\fR(1)"
