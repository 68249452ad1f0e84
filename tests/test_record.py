"""Results are data: scalars, tables and texts that Python reads as it reads its own."""

import json
import math
from dataclasses import dataclass, fields
from html.parser import HTMLParser
from typing import get_args, get_type_hints

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.typing import NDArray

import gradflow
from gradflow.errors import DataError, UsageError
from gradflow.record import Record, TableMeaning, column, get_meanings
from gradflow.render.text.json import dump_json
from gradflow.table import Table

RECORDS = ["bptt", "compare", "convert", "derive", "init", "inspect", "lyapunov", "power", "theory"]


def lstm(seed=0, scale=0.3):
    """Return the arrays of an LSTM of 8 units on 4 features, as torch names them."""
    draw = np.random.default_rng(seed).standard_normal
    return {"weight_ih_l0": draw((32, 4)), "weight_hh_l0": scale * draw((32, 8))}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return a result of every public function that has one."""
    model = gradflow.from_state_dict({"first": lstm(0), "second": lstm(1)})
    return {
        "bptt": gradflow.bptt("rnn", hidden=4, steps=9),
        "compare": gradflow.compare("rnn", "lstm", "rnn:gain=0", hidden=4, steps=9, seeds=2),
        "convert": gradflow.convert(
            gradflow.from_state_dict(lstm()), tmp_path_factory.mktemp("new") / "weights.npz"
        ),
        "derive": gradflow.derive("cell-gradient", hidden=2),
        "init": gradflow.init("gru", hidden=4, horizon=12),
        "inspect": gradflow.inspect(model, length=9),
        "lyapunov": gradflow.lyapunov("rnn", hidden=4, steps=50),
        "power": gradflow.power("0.9 1; 0 0.9"),
        "theory": gradflow.theory("rnn:init=ginibre,gain=1.5", hidden=8, steps=50, seeds=2),
    }


@pytest.mark.parametrize("name", RECORDS)
def test_a_conclusion_is_one_text_with_a_line_for_each_subject(results, name):
    record = results[name]
    if "conclusion" not in get_type_hints(type(record)):
        assert name == "convert"
        return
    assert get_type_hints(type(record))["conclusion"] is str
    assert json.loads(gradflow.to_text(record, "json"))["summary"]["conclusion"] == record.conclusion
    lines = record.conclusion.split("\n")
    assert len(lines) == {"compare": 3, "inspect": 2}.get(name, 1)
    assert all(line.endswith(".") for line in lines)
    shown = " ".join(gradflow.to_text(record, "table").replace("│", " ").split())
    assert all(" ".join(line.split()) in shown for line in lines)


def test_each_cell_and_each_layer_has_its_own_line(results):
    for name, subjects in {"compare": results["compare"].cells.cell, "inspect": ["first", "second"]}.items():
        lines = results[name].conclusion.split("\n")
        assert [line.split(" is ")[0].split(": ")[0] for line in lines] == subjects


def test_a_line_break_in_a_name_does_not_start_another_line():
    model = gradflow.from_state_dict({"first\nsecond": lstm()})
    assert "\n" not in gradflow.inspect(model, length=9).conclusion


@dataclass(frozen=True, eq=False, repr=False)
class Mixture(Table):
    """A table with every kind of column."""

    name: list[str] = column("text")
    place: list[int] = column("number")
    lag: list[int | None] = column("number that may lack")
    rate: NDArray[np.float64] = column("float, nan where there is none")
    share: list[float | None] = column("float that may lack")
    root: list[float | complex] = column("complex number")
    grows: list[bool] = column("truth")
    known: list[bool | None] = column("truth that may lack")
    verdict: list[str | None] = column("text that may lack")
    layer: list[int] | list[str] = column("one or the other")


LARGE = 2**53 + 1  # an integer that a double cannot hold
MIXTURE = Mixture(
    name=["<b>rnn</b>", "a\nb", "漢"],
    place=[1, 2, np.int64(LARGE)],
    lag=[LARGE, None, 3],
    rate=np.array([0.1, np.nan, -np.inf]),
    share=[None, 0.5, math.nan],
    root=[1.5, 1 - 2j, np.complex128(complex(0.0, np.inf))],
    grows=[True, False, np.True_],
    known=[None, True, False],
    verdict=["stable", None, "vanishing"],
    layer=["first", "second", "first"],
)
EMPTY = Mixture(*([] for _ in range(3)), np.zeros(0), *([] for _ in range(6)))


def is_same(value, other):
    """Return whether two entries are the same, of the same type, with nan equal to itself."""
    both_nan = (
        isinstance(value, float) and isinstance(other, float) and math.isnan(value) and math.isnan(other)
    )
    return type(value) is type(other) and (both_nan or value == other)


def all_tables(results):
    tables = [table for name in RECORDS for table in results[name].tables.values()]
    return [*tables, MIXTURE, EMPTY]


def test_every_table_of_every_record_is_one_and_no_column_hides_a_method():
    for name in gradflow.API:
        record = getattr(gradflow, name)
        if not (isinstance(record, type) and issubclass(record, Record)):
            continue
        hints = get_type_hints(record)
        for table in get_meanings(record, TableMeaning):
            kinds = [kind for kind in (hints[table], *get_args(hints[table])) if isinstance(kind, type)]
            (kind,) = [kind for kind in kinds if issubclass(kind, Table)]
            assert not {item.name for item in fields(kind)} & set(dir(Table)), kind
        assert not {item.name for item in fields(record)} & (set(dir(Record)) - {"notes"}), record


def test_a_table_has_rows_columns_and_slices(results):
    for table in all_tables(results):
        rows, columns = list(table), table.to_dict()
        assert list(columns) == table.columns == [item.name for item in fields(table)]
        assert len(rows) == len(table) == len(columns[table.columns[0]])
        for name, entries in columns.items():
            assert table[name] is getattr(table, name)
            assert all(map(is_same, entries, [row[name] for row in rows]))
            assert not any(isinstance(entry, np.generic) for entry in entries)
        for k, row in enumerate(rows):
            for number in (k, k - len(rows), np.int64(k)):
                assert all(map(is_same, table[number].values(), row.values()))
        assert dump_json(table[-2:]) == dump_json(rows[-2:])
        assert dump_json(table[::-3]) == dump_json(rows[::-3])


def test_entries_are_the_numbers_of_python():
    assert MIXTURE[2]["place"] == LARGE
    assert MIXTURE.to_dict()["lag"] == [LARGE, None, 3]
    assert MIXTURE[1]["root"] == 1 - 2j
    assert MIXTURE[0]["share"] is None
    assert math.isnan(MIXTURE[2]["share"])
    assert [type(value) for value in MIXTURE[2].values()] == [
        str, int, int, float, float, complex, bool, bool, str, str,
    ]  # fmt: skip


def test_what_is_no_column_and_no_row_is_an_error():
    with pytest.raises(UsageError, match="unknown column 'vredict'; did you mean 'verdict'"):
        _ = MIXTURE["vredict"]
    for number in (3, -4):
        with pytest.raises(IndexError, match=f"row {number}: the table has 3 rows"):
            _ = MIXTURE[number]
    with pytest.raises(UsageError, match="float names no part of a table"):
        _ = MIXTURE[1.0]
    with pytest.raises(UsageError, match="tuple names no part of a table"):
        _ = MIXTURE["name", "rate"]


def test_a_frame_of_pandas_has_the_entries_of_the_table(results):
    for table in all_tables(results):
        frame = table.to_pandas()
        assert list(frame.columns) == table.columns
        assert len(frame) == len(table)
        for name, entries in table.to_dict().items():
            missing = [entry is None or (isinstance(entry, float) and math.isnan(entry)) for entry in entries]
            assert frame[name].isna().tolist() == missing
            assert [entry for entry in frame[name] if not pd.isna(entry)] == [
                entry for entry, lacks in zip(entries, missing, strict=True) if not lacks
            ]


def test_the_types_of_a_frame_of_pandas_do_not_depend_on_its_entries():
    for table in (MIXTURE, EMPTY):
        kinds = {name: str(kind) for name, kind in table.to_pandas().dtypes.items()}
        assert kinds == {
            "name": "string", "place": "int64", "lag": "Int64", "rate": "float64", "share": "float64",
            "root": "complex128", "grows": "bool", "known": "boolean", "verdict": "string", "layer": "string",
        }  # fmt: skip
    assert MIXTURE.to_pandas()["lag"].tolist()[0] == LARGE


def test_a_frame_of_polars_has_the_entries_of_the_table(results):
    for table in all_tables(results):
        frame = table.to_polars()
        assert frame.columns == table.columns
        for name, entries in table.to_dict().items():
            if isinstance(frame.schema[name], pl.Struct):
                entries = [{"re": complex(entry).real, "im": complex(entry).imag} for entry in entries]
                assert frame[name].to_list() == entries
            else:
                assert all(map(is_same, frame[name].to_list(), entries))
        assert pl.DataFrame(table).equals(frame)  # through the Arrow stream


def test_a_change_of_a_frame_leaves_the_table_as_it_is():
    frame = MIXTURE.to_pandas()
    frame.loc[0, "rate"] = 7.0
    assert MIXTURE.rate[0] == 0.1


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_frame_without_its_package_says_which_extra_has_it(monkeypatch, package):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    message = rf"to_{package} needs {package}; run: pip install {package} \(extra gradflow-rnn\[{package}\]\)"
    with pytest.raises(DataError, match=message):
        getattr(MIXTURE, f"to_{package}")()


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_as_a_dict_is_its_json(results, name):
    record = results[name]
    assert record.to_json() == gradflow.to_text(record, "json")
    assert json.loads(dump_json(record.to_dict())) == json.loads(record.to_json())
    assert record.summary == record.to_dict()["summary"]
    for key, value in record.summary.items():
        assert getattr(record, key) == value or value != value
    for table, rows in record.to_dict()["tables"].items():
        assert len(rows) == len(getattr(record, table))


def test_a_record_draws_itself(results):
    for record, table in (
        (results["power"], None),
        (results["power"], "norms"),
        (results["compare"], "flow"),
    ):
        drawn, expected = record.plot(table=table), gradflow.figure(record, table=table)
        assert [axes.get_xlabel() for axes in drawn.axes] == [axes.get_xlabel() for axes in expected.axes]


@pytest.mark.parametrize("name", RECORDS)
def test_what_the_prompt_shows_of_a_record_is_short_and_names_its_tables(results, name):
    record = results[name]
    lines = repr(record).splitlines()
    assert lines[0] == type(record).__name__
    assert len(lines) <= 14
    assert max(map(len, lines)) <= 100
    words = " ".join(lines)
    for table, value in record.tables.items():
        assert f"{table} ({len(value)} row{'s' * (len(value) != 1)})" in words
    if name != "convert":
        assert record.conclusion.split()[:6] == words.split()[1:7]


def test_what_the_prompt_shows_of_many_layers_is_short():
    model = gradflow.from_state_dict({f"layer{k}": lstm(k) for k in range(9)})
    lines = repr(gradflow.inspect(model, length=5)).splitlines()
    assert len(lines) <= 15
    assert "… 3 more" in lines


def test_what_the_prompt_shows_of_a_table_is_short(results):
    for table in all_tables(results):
        lines = repr(table).splitlines()
        rows = "1 row" if len(table) == 1 else f"{len(table)} rows"
        assert lines[0] == f"{type(table).__name__}: {rows} × {len(table.columns)} columns"
        assert len(lines) <= 9
        assert all(len(line) <= 80 or line.startswith("… more columns: ") for line in lines)
        hidden = lines[-1].removeprefix("… more columns: ").split(", ") if "columns: " in lines[-1] else []
        assert [*lines[1].split(), *hidden] == table.columns


class Cells(HTMLParser):
    """The texts of the cells of an HTML table."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.tags = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if data.strip() and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_what_a_notebook_shows_of_a_table_is_escaped_and_short(results):
    found = Cells(MIXTURE._repr_html_())
    assert found.tags == {"table", "tr", "th", "td"}
    assert found.rows[0] == MIXTURE.columns
    assert [row[0] for row in found.rows[1:]] == ["<b>rnn</b>", r"a\nb", "漢"]
    assert found.rows[2][1:6] == ["2", "None", "nan", "0.5", "1-2j"]
    norms = results["power"].norms
    text = norms._repr_html_()
    assert text.count("<tr>") == 21
    assert f"20 of {len(norms)} rows" in text
