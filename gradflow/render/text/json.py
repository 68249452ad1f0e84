"""JSON (RFC 8259): one object that holds the whole record; JSON lines: one table, an object per row."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from gradflow.record import Matrix, Record
from gradflow.render.renderer import text_renderer
from gradflow.render.selection import multiply_out, select_table
from gradflow.render.style import Style
from gradflow.table import to_builtin


@text_renderer(carries_notes=True)
def render_json(record: Record, style: Style) -> str:  # noqa: ARG001 - the object holds every table
    """Return the whole record. inf and nan are null, complex numbers are objects with re and im."""
    parts = record.to_dict()
    tables = {name: _format_array(rows) for name, rows in parts["tables"].items()}
    matrices = {
        name: f'{{"entries": {_format_array(matrix["entries"])}, "exponent2": {matrix["exponent2"]}}}'
        for name, matrix in parts["matrices"].items()
    }
    texts = {"tables": _format_object(tables), "matrices": _format_object(matrices)}
    return _format_object({name: texts.get(name) or dump_json(part) for name, part in parts.items()}) + "\n"


@text_renderer(carries_notes=False)
def render_jsonl(record: Record, style: Style) -> str:
    """Return the table that the style names, or the main one: an object per row, or an array for a matrix."""
    selected = select_table(record, style.table)
    rows = (
        multiply_out(selected)
        if isinstance(selected, Matrix)
        else [dict(zip(selected.columns, row, strict=True)) for row in selected.rows]
    )
    return "".join(dump_json(row) + "\n" for row in rows)


def dump_json(value: Any) -> str:
    """Return a value as JSON without NaN and Infinity.

    Examples
    --------
    >>> dump_json({"rate": math.inf, "value": 1 + 2j})
    '{"rate": null, "value": {"re": 1.0, "im": 2.0}}'
    """
    return json.dumps(_make_strict(value), ensure_ascii=False, allow_nan=False)


def _make_strict(value: Any) -> Any:
    value = to_builtin(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, complex):
        return {"re": _make_strict(value.real), "im": _make_strict(value.imag)}
    if isinstance(value, Mapping):
        return {str(key): _make_strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_make_strict(item) for item in value]
    return value


def _format_object(parts: Mapping[str, str]) -> str:
    if not parts:
        return "{}"
    return "{\n" + ",\n".join(f"{dump_json(name)}: {text}" for name, text in parts.items()) + "\n}"


def _format_array(rows: Iterable[Any]) -> str:
    return "[\n" + ",\n".join(dump_json(row) for row in rows) + "\n]"
