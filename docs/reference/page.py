"""The reference of a command in Markdown, as code hosts draw it."""

import re
from collections.abc import Iterable, Mapping
from inspect import isfunction

import gradflow
from gradflow.cli import COMMANDS
from gradflow.record import ColumnMeaning, ScalarMeaning
from reference.docstring import Docstring, Item, script, signature
from reference.program import Help, Result

MARKER = "<!-- reference: made by docs/generate.py; do not edit below -->"
LISTS = ("Parameters", "Returns", "Raises")  # sections of a docstring that name things, each with a text
CODE = re.compile(r"(``?)(.+?)\1")


def page(name: str, written: str) -> str:
    """Return the page of a command: what is written by hand as it is, and the reference below it."""
    by_hand = written.partition(MARKER)[0] or f"# gradflow {name}\n\n{escaped(Help(name).title)}\n\n"
    return f"{by_hand}{MARKER}\n\n{reference(name)}"


def reference(name: str) -> str:
    """Return what stands below the marker."""
    parts = ["## Reference", _fenced("console", f"$ gradflow {name} -h\n{Help(name).screen}")]
    return "\n\n".join([*parts, *_result(Result(name)), *_python(name)]) + "\n"


def python_page(written: str) -> str:
    """Return the page of Python: what is written by hand, and below it every public function."""
    by_hand = written.partition(MARKER)[0] or "# In Python\n\n"
    others = [name for name in gradflow.API if name not in COMMANDS and isfunction(getattr(gradflow, name))]
    parts = ["## Reference"]
    for name in (*COMMANDS, *others):
        parts += [f"### gradflow.{name}", *_function(name)]
    return f"{by_hand}{MARKER}\n\n" + "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    r"""Return prose of a docstring or a record as it is to be read: code is code, nothing else is markup.

    Examples
    --------
    >>> print(escaped("``a_b``: |x*Wx|"))
    `a_b`: \|x\*Wx\|
    """
    pieces = CODE.split(text)  # text, backticks, code, text, ...
    return "".join(
        f"`{piece}`" if k % 3 == 2 else re.sub(r"([\\|*_<>`$~\[\]#])", r"\\\1", piece)
        for k, piece in enumerate(pieces)
        if k % 3 != 1
    )


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _result(result: Result) -> Iterable[str]:
    yield "### What the result holds"
    yield (
        f"As JSON it has the schema `{result.schema}`: `params`, every input with its default; `summary`,\n"
        "`tables` and `matrices` as below; `notes`, what to beware of."
    )
    verdicts = ", ".join(f"`{verdict}`" for verdict in result.record.verdicts)
    yield f"Verdicts for `--fail-on`: {verdicts or 'none'}."
    yield "#### Summary"
    yield _meanings("name", result.scalars)
    for place, table in enumerate(result.tables):
        kind = "Table" if place else "Main table"
        yield f"#### {kind} `{table.name}`: {escaped(table.meaning.description)}"
        yield from _absence(table.meaning.absent)
        yield _meanings("column", table.columns)
        if table.meaning.drawn:
            yield f"Drawn by `--plot FILE`, and by `--chart{f' --table {table.name}' if place else ''}`."
    for name, matrix in result.matrices.items():
        yield f"#### Matrix `{name}`: {escaped(matrix.description)}"
        yield from _absence(matrix.absent)


def _absence(absent: str) -> Iterable[str]:
    if absent:
        yield f"Where it is missing: {escaped(absent)}."


def _meanings(title: str, meanings: Mapping[str, ScalarMeaning] | Mapping[str, ColumnMeaning]) -> str:
    rows = [f"| {title} | meaning | unit |", "|---|---|---|"]
    rows += [
        f"| `{name}` | {escaped(meaning.description)} | {escaped(meaning.unit)} |"
        for name, meaning in meanings.items()
    ]
    return "\n".join(rows)


def _python(name: str) -> Iterable[str]:
    yield "### In Python"
    yield from _function(name)


def _function(name: str) -> Iterable[str]:
    """Yield the call of a public function and the parts of its docstring."""
    function = getattr(gradflow, name)
    docstring = Docstring(function)
    yield _fenced("text", signature(function, name))
    yield escaped(docstring.prose)
    for title in docstring.sections:
        yield f"#### {title}"
        if title == "Examples":
            yield _fenced("python", script(name, docstring.sections[title], function.__name__))
        elif title in LISTS:
            yield "\n".join(map(_item, docstring.items(title)))
        else:
            yield escaped(docstring.sections[title])


def _item(item: Item) -> str:
    named = item.name.split(", ") if item.kind else [item.name]  # else it is a type, which may hold commas
    names = ", ".join(f"`{name}`" for name in named)
    kind = f"{escaped(item.kind)}\\\n  " if item.kind else ""
    return f"- {names}: {kind}{escaped(item.text)}"
