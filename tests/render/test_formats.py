"""Every format renders every record, and all formats contain the same numbers."""

import csv
import io
import itertools
import json
import math

import numpy as np
import pytest

import gradflow
from gradflow.errors import NumericalError, UsageError
from gradflow.record import ColumnMeaning, MatrixMeaning, ScalarMeaning, TableMeaning, describe_fields
from gradflow.registry import lookup
from gradflow.render import FORMATS
from gradflow.render.style import Style

STYLES = [
    Style(),
    Style(rows=None),
    Style(rows=1),
    Style(rows=3),
    Style(width=40),
    Style(width=1),
    Style(color=True, unicode=False),
]
DELIMITERS = {"csv": ",", "tsv": "\t"}


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def parsed(text):
    return json.loads(text, parse_constant=refuse)


def given(value):
    """Return a value of a record as a built-in Python value."""
    return value.item() if isinstance(value, np.generic) else value


def carried(value):
    """Return a value as JSON contains it."""
    value = given(value)
    if isinstance(value, complex):
        return {"re": carried(value.real), "im": carried(value.imag)}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def named(record):
    """Return the tables of a record, as name to columns of values."""
    return {
        name: {
            key: [given(entry) for entry in entries]
            for key, (_, entries) in describe_fields(value, ColumnMeaning).items()
        }
        for name, (_, value) in describe_fields(record, TableMeaning).items()
        if value is not None
    }


def rows(columns):
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def same(entry, value):
    """Return whether an entry of CSV equals a value to the last bit."""
    if value is None:
        return entry == "nan"
    if isinstance(value, bool):
        return entry == str(value).lower()
    if isinstance(value, str):
        return entry == value
    if isinstance(value, complex):
        return complex(entry) == value
    return repr(type(value)(entry)) == repr(value) == entry


@pytest.mark.parametrize("name", FORMATS)
def test_text_of_every_record_ends_with_one_line_end(records, name):
    renderer = lookup(FORMATS, name, "format")
    for record, style in itertools.product(records.values(), STYLES):
        text = renderer(record, style)
        assert text.strip()
        assert text.endswith("\n")
        assert not text.endswith("\n\n")


@pytest.mark.parametrize("name", FORMATS)
def test_each_table_can_be_rendered_alone_and_no_other(records, draw, name):
    for record in records.values():
        for part in ("summary", *named(record)):
            assert draw(record, name, table=part).endswith("\n")
        if name != "json":
            with pytest.raises(UsageError) as caught:
                draw(record, name, table="nowhere")
            for part in ("nowhere", "summary", *named(record)):
                assert part in str(caught.value)


@pytest.mark.parametrize("name", FORMATS)
def test_same_record_gives_the_same_text(records, draw, name):
    for record in records.values():
        assert draw(record, name) == draw(record, name)


def test_unknown_format_is_refused_with_the_valid_ones(record, draw):
    with pytest.raises(UsageError, match=r"jsonn.*'json'"):
        draw(record, "jsonn")


@pytest.mark.parametrize("name", FORMATS)
def test_notes_are_in_the_text_if_the_format_says_so(records, draw, name):
    record = records["nilpotent"]
    assert record.notes
    carries = lookup(FORMATS, name, "format").carries_notes
    assert all(("not diagonalizable" in draw(record, name)) == carries for _ in record.notes)


def test_json_has_every_scalar(record, draw):
    scalars = {key: value for key, (_, value) in describe_fields(record, ScalarMeaning).items()}
    assert parsed(draw(record, "json"))["summary"] == {key: carried(v) for key, v in scalars.items()}


def test_json_has_every_column(record, draw):
    expected = {
        name: [{key: carried(value) for key, value in row.items()} for row in rows(columns)]
        for name, columns in named(record).items()
    }
    found = parsed(draw(record, "json"))["tables"]
    assert found == expected
    assert list(found) == list(expected)


def test_json_has_every_matrix(record, draw):
    expected = {
        name: {
            "entries": [[carried(entry) for entry in row] for row in value.entries],
            "exponent2": value.exponent2,
        }
        for name, (_, value) in describe_fields(record, MatrixMeaning).items()
        if value is not None
    }
    assert parsed(draw(record, "json"))["matrices"] == expected


def test_json_has_params_notes_command_and_version(record, draw):
    found = parsed(draw(record, "json"))
    assert found["schema"] == f"gradflow.{record.command}/1"
    assert found["version"] == gradflow.__version__
    assert list(found["params"]) == list(record.params)
    assert found["notes"] == list(record.notes)


def test_json_lines_are_the_rows_of_json(record, draw):
    whole = parsed(draw(record, "json"))
    for part in whole["tables"]:
        assert [parsed(line) for line in draw(record, "jsonl", table=part).splitlines()] == whole["tables"][
            part
        ]
    assert [parsed(line) for line in draw(record, "jsonl", table="summary").splitlines()] == [
        whole["summary"]
    ]


@pytest.mark.parametrize("name", DELIMITERS)
def test_csv_and_tsv_have_every_bit(records, draw, name):
    for record in records.values():
        check_every_bit(record, draw, name)


def check_every_bit(record, draw, name):
    scalars = {key: [given(value)] for key, (_, value) in describe_fields(record, ScalarMeaning).items()}
    for part, columns in (named(record) | {"summary": scalars}).items():
        text = draw(record, name, table=part)
        header, *found = csv.reader(io.StringIO(text), delimiter=DELIMITERS[name])
        assert header == list(columns)
        expected = rows(columns)
        assert len(found) == len(expected)
        for entries, row in zip(found, expected, strict=True):
            for entry, (key, value) in zip(entries, row.items(), strict=True):
                assert entry != ""
                assert same(entry, value), (part, key, entry, value)


@pytest.mark.parametrize("name", ["csv", "tsv", "jsonl"])
def test_default_is_the_main_table(records, draw, name):
    for record in records.values():
        assert draw(record, name) == draw(record, name, table=next(iter(named(record))))


def test_hostile_text_survives_every_machine_format(made_up, draw, hostile):
    for name, delimiter in DELIMITERS.items():
        text = draw(made_up(hostile), name)
        header, *found = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        assert [row[header.index("name")] for row in found] == [hostile] * 4
        assert {len(row) for row in found} == {len(header)}
    found = parsed(draw(made_up(hostile), "json"))
    assert (
        found["params"]["text"] == found["summary"]["label"] == found["tables"]["parts"][0]["name"] == hostile
    )
    assert found["notes"] == [f"note {hostile}"]
    lines = draw(made_up(hostile), "jsonl").splitlines()
    assert [parsed(line)["name"] for line in lines] == [hostile] * 4


@pytest.mark.parametrize("name", ["csv", "tsv", "jsonl"])
def test_huge_matrix_is_refused_outside_json(records, draw, name):
    with pytest.raises(NumericalError, match="json") as caught:
        draw(records["large"], name, table="power")
    assert caught.value.exit_code == 1


def test_huge_matrix_is_exact_in_json(records, draw):
    power = parsed(draw(records["large"], "json"))["matrices"]["power"]
    assert power["exponent2"] > 0
    assert power["entries"][0][0].is_integer()
    assert int(power["entries"][0][0]) * 2 ** power["exponent2"] == 2**5000


@pytest.mark.parametrize("name", ["table", "md", "html"])
def test_huge_matrix_shows_its_power_of_two(records, draw, name):
    record = records["large"]
    assert f"2^{record.power.exponent2}" in draw(record, name, Style(details=True))


@pytest.mark.parametrize(("name", "delimiter"), [*DELIMITERS.items(), ("jsonl", None)])
def test_matrix_alone_is_multiplied_out(records, draw, name, delimiter):
    lines = draw(records["made-up"], name, table="grid").splitlines()
    found = [parsed(line) if delimiter is None else list(map(float, line.split(delimiter))) for line in lines]
    assert found == [[0.5, 1.0], [1.5, 2.0]]


def test_people_see_every_scalar_and_column(records, draw):
    for record in records.values():
        for name in ("table", "html"):
            text = draw(record, name, Style(rows=None, details=True))
            scalars = describe_fields(record, ScalarMeaning).items()
            for key in [key for key, (meaning, value) in scalars if value is not None and not meaning.prose]:
                assert key in text or record.command == "derive"  # chapters end with a sentence instead
            for _, value in describe_fields(record, TableMeaning).values():
                shown = describe_fields(value, ColumnMeaning) if value is not None else {}
                # compare shows series side by side and derive shows chapters, both without column names
                assert record.command in ("compare", "derive") or all(key in text for key in shown)


def test_notebook_shows_html(record, draw):
    assert record._repr_html_() == draw(record, "html")
