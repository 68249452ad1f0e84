"""JSON (RFC 8259): one object with everything in it; a row of a table is a line."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from gradflow import __version__
from gradflow.record import Record, plain
from gradflow.render.selection import matrices, summary, tables
from gradflow.render.style import Style

CARRIES_NOTES = True


def render(record: Record, style: Style) -> str:  # noqa: ARG001 - JSON always carries all
    """Return the whole record; what no JSON number can be (inf, nan) is null, complex is {re, im}."""
    parts = {
        "schema": dumps(f"gradflow.{record.command}/1"),
        "version": dumps(__version__),
        "params": dumps(record.params),
        "summary": dumps(summary(record)),
        "tables": _object(
            {
                name: _lines(dict(zip(table.columns, row, strict=True)) for row in table.rows)
                for name, table in tables(record).items()
            }
        ),
        "matrices": _object(
            {
                name: f'{{"entries": {_lines(matrix.entries.tolist())}, "exponent2": {matrix.exponent2}}}'
                for name, (_, matrix) in matrices(record).items()
            }
        ),
        "notes": dumps(list(record.notes)),
    }
    return _object(parts) + "\n"


def dumps(value: Any) -> str:
    """Return a value as JSON that any reader takes.

    Examples
    --------
    >>> dumps({"rate": math.inf, "value": 1 + 2j})
    '{"rate": null, "value": {"re": 1.0, "im": 2.0}}'
    """
    return json.dumps(_strict(value), ensure_ascii=False, allow_nan=False)


def _strict(value: Any) -> Any:
    value = plain(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, complex):
        return {"re": _strict(value.real), "im": _strict(value.imag)}
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return value


def _object(parts: Mapping[str, str]) -> str:
    return (
        "{\n" + ",\n".join(f"{dumps(name)}: {text}" for name, text in parts.items()) + "\n}"
        if parts
        else "{}"
    )


def _lines(rows: Iterable[Any]) -> str:
    return "[\n" + ",\n".join(dumps(row) for row in rows) + "\n]"
