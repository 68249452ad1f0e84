"""Panels contain the numbers and metadata of the record, for every command and for an invented record."""

import re
from dataclasses import is_dataclass
from typing import get_args, get_type_hints

import numpy as np
import pytest

import gradflow
from gradflow.cli import COMMANDS
from gradflow.drawing import CurveDrawing, DrawingChoice, ImageDrawing, ItemDrawing, PlaneDrawing
from gradflow.errors import UsageError
from gradflow.record import ColumnMeaning, Record, TableMeaning, get_meanings
from gradflow.render.plots.panels import (
    CurvePanel,
    ImagePanel,
    ItemPanel,
    PlanePanel,
    get_drawn_tables,
    make_panels,
)
from tests.render.drawings import MAKERS, Outing, of_command, outing, pixels, points, things, walks, whole

RECORDS = [
    name
    for name in gradflow.API
    if isinstance(getattr(gradflow, name), type)
    and issubclass(getattr(gradflow, name), Record)
    and name not in ("Derivation", "NetworkStates")
]
LOG_HALF = np.log10(0.5)


def drawings(record):
    """Return each drawing of a class of records with the columns of its table."""
    for name, meaning in get_meanings(record, TableMeaning).items():
        kind = get_type_hints(record)[name]
        holder = next(one for one in (kind, *get_args(kind)) if is_dataclass(one))
        for drawing in meaning.drawn:
            yield name, drawing, get_meanings(holder, ColumnMeaning)


def lines_of(drawing):
    return drawing.y if isinstance(drawing, CurveDrawing | ItemDrawing) else ()


def named_columns(drawing):
    """Return every column that a drawing names."""
    if isinstance(drawing, PlaneDrawing):
        return [drawing.re, drawing.im, drawing.size]
    if isinstance(drawing, ImageDrawing):
        return [drawing.x, drawing.y, drawing.value, *drawing.panels]
    others = (
        [drawing.x, *drawing.apart, *drawing.panels] if isinstance(drawing, CurveDrawing) else drawing.names
    )
    parts = [part for line in drawing.y for part in (line.name, line.low, line.high, line.error) if part]
    return [*others, *parts]


def only(record, table, kind):
    (panel,) = make_panels(record, table)
    assert isinstance(panel, kind)
    return panel


def test_every_command_has_a_test_record():
    assert set(MAKERS) == set(COMMANDS) - {"derive", "run"}  # whose results are no picture


@pytest.mark.parametrize("name", RECORDS)
def test_drawings_name_columns_of_their_table(name):
    found = list(drawings(getattr(gradflow, name)))
    assert found
    for table, drawing, columns in found:
        assert set(named_columns(drawing)) <= set(columns), table


@pytest.mark.parametrize("name", RECORDS)
def test_columns_on_an_axis_share_a_unit(name):
    for table, drawing, columns in drawings(getattr(gradflow, name)):
        parts = [part for line in lines_of(drawing) for part in (line.name, line.low, line.high) if part]
        assert len({columns[part].unit for part in parts}) < 2, table
        for column in named_columns(drawing):
            assert columns[column].log10 == column.startswith("log10_"), (table, column)


@pytest.mark.parametrize("command", MAKERS)
def test_axes_have_labels_and_units(command):
    record = of_command(command)
    found = make_panels(record)
    assert {one.head.table for one in found} == set(get_drawn_tables(record))
    for one in found:
        assert one.head.title
        assert "_" not in one.head.title  # words, not names of tables
        assert one.head.y.label
        assert one.head.x.label or isinstance(one, ItemPanel)
    for table, rows in get_drawn_tables(record).items():
        labels = [axis.label for one in found if one.head.table == table for axis in (one.head.x, one.head.y)]
        for drawing in rows.meaning.drawn:
            for line in lines_of(drawing):
                unit = rows.columns[line.name].unit
                assert not unit or any(label.endswith(f"[{unit}]") for label in labels)


def test_each_drawing_and_value_has_a_panel():
    found = make_panels(whole())
    kinds = [CurvePanel, ItemPanel, PlanePanel, ImagePanel, CurvePanel, CurvePanel]
    assert [type(one) for one in found] == kinds
    assert [one.head.name for one in found] == [
        "walks", "things", "points", "pixels", "panels, near", "panels, far",
    ]  # fmt: skip
    assert found[0].head.x == ("steps that were walked", "step", False)
    assert found[0].head.y == ("height [m]", "height [m]", True)
    assert found[0].levels == {-3.0: "sea level"}


def test_series_have_band_error_and_bound():
    record = outing(
        walks=walks({"a": [3.0, 1.0], "b": [2.0]}, band=0.25, limit=-9.0), things=things({"c": 4.0})
    )
    a, limit, b, _ = only(record, "walks", CurvePanel).series
    assert [a.label, limit.label, b.label] == ["a", "a: limit", "b"]
    assert (a.x.tolist(), a.y.tolist()) == ([1.0, 2.0], [3.0, 1.0])
    assert (a.low.tolist(), a.high.tolist()) == ([2.75, 0.75], [3.25, 1.25])
    assert (limit.column.dashed, limit.y.tolist()) == (True, [-9.0, -9.0])
    assert a.place == limit.place != b.place
    (c,) = only(record, "things", ItemPanel).series
    assert (c.y.tolist(), c.low.tolist(), c.high.tolist()) == ([4.0], [3.5], [4.5])


def test_powers_of_a_half_are_a_straight_line():
    (norm, spectral) = only(gradflow.power("0.5", steps=20000), "norms", CurvePanel).series
    for one in (norm, spectral):
        np.testing.assert_allclose(one.y, one.x * LOG_HALF, rtol=1e-12, atol=1e-12)
    assert norm.x[-1] == 20000
    assert norm.y[-1] < -6000


def test_flow_beyond_a_double_is_drawn_with_format_limits():
    cell = "rnn:activation=identity,init=orthogonal,gain=0.001"
    record = gradflow.compare(cell, steps=2000, hidden=2, features=1, seeds=2)
    panel = only(record, "flow", CurvePanel)
    np.testing.assert_allclose(panel.series[0].y, -3.0 * panel.series[0].x, rtol=1e-9)
    assert panel.series[0].y[-1] < -5999
    smallest = [np.log10(float(np.finfo(kind).tiny)) for kind in (np.float32, np.float16)]
    assert all(any(abs(level - value) < 1e-12 for level in panel.levels) for value in smallest)


def test_flow_has_band_and_bound():
    record = of_command("compare")
    assert {one.label for one in only(record, "flow", CurvePanel).series} == {"rnn", "lstm", "gru"}
    (panel,) = make_panels(record, "flow", DrawingChoice(bounds=True))
    series = {one.label: one for one in panel.series}
    rows = np.array(record.flow.cell) == "rnn"
    assert series["rnn"].y.tolist() == record.flow.log10_norm[rows].tolist()
    assert series["rnn"].low.tolist() == record.flow.log10_norm_low[rows].tolist()
    assert series["rnn"].high.tolist() == record.flow.log10_norm_high[rows].tolist()
    assert series["rnn: bound"].y.tolist() == record.flow.log10_bound[rows].tolist()
    assert set(series) == {"rnn", "rnn: bound", "lstm", "gru"}  # a cell without a bound has no empty curve


def test_map_has_values_in_place():
    cell = "rnn:activation=identity,init=orthogonal,gain=0.5"
    record = gradflow.compare(cell, steps=6, hidden=2, features=1, seeds=1, pair_map=True)
    panel = only(record, "map", ImagePanel)
    for row, t in enumerate(panel.y):
        for column, k in enumerate(panel.x):
            wanted = (t - k) * LOG_HALF if k < t else np.nan
            assert panel.values[row, column] == pytest.approx(wanted, abs=1e-12, nan_ok=True)


def test_eigenvalues_are_sized_by_condition():
    panel = only(gradflow.power("0 1; 0 0.5"), "eigenvalues", PlanePanel)
    assert sorted(panel.re.tolist()) == [0.0, 0.5]
    # both condition numbers of [[0, 1], [0, 1/2]] are 1/cos of the angle between left and right vectors: √5
    np.testing.assert_allclose(panel.sizes, np.log10(np.sqrt(5.0)), rtol=1e-12)
    assert np.isposinf(only(gradflow.power("0.9 1; 0 0.9"), "eigenvalues", PlanePanel).sizes).all()


def test_exponents_have_standard_errors():
    record = of_command("lyapunov")
    (one,) = only(record, "exponents", CurvePanel).series
    assert ((one.low + one.high) / 2).tolist() == pytest.approx(list(record.exponents.exponent), rel=1e-12)
    assert ((one.high - one.low) / 2).tolist() == pytest.approx(
        list(record.exponents.standard_error), rel=1e-9
    )


def test_gates_have_panels_and_cells_keep_their_place():
    record = of_command("compare")
    found = make_panels(record)
    flow = {one.label: one.place for one in found[0].series}
    steps = [one for one in found if one.head.table == "gate_steps"]
    assert [one.head.name for one in steps] == [f"gate_steps, {gate}" for gate in "ifgorzn"]
    assert all(one.place == flow[one.label] for panel in steps for one in panel.series)
    assert all((one.low <= one.y).all() and (one.y <= one.high).all() for p in steps for one in p.series)


def test_credit_is_the_share_of_each_lag():
    record = of_command("bptt")
    share, cumulative, lost = make_panels(record, "lags")
    assert share.series[0].y.tolist() == record.lags.share.tolist()
    np.testing.assert_allclose(cumulative.series[0].y, np.cumsum(share.series[0].y), atol=1e-12)
    assert lost.levels == {-1.0: "10 %", -2.0: "1 %", -3.0: "0.1 %"}


def test_values_off_every_axis_are_counted():
    heights = {"a": [0.0, -np.inf, -np.inf], "b": [np.inf, np.nan, 1.0]}
    panel = only(outing(walks=walks(heights)), "walks", CurvePanel).head
    assert set(panel.remarks) == {
        "a: an exact 0 at 2 of 3 places", "b: inf (or over 1e+300) at 1 of 3 places",
        "b: no value at 1 of 3 places",
    }  # fmt: skip
    told = only(outing(things=things({"a": -np.inf, "b": 1.0})), "things", ItemPanel).head.remarks
    assert told == ("-inf at 1 of 2 places",)
    told = only(outing(pixels=pixels([[0.0, -np.inf], [np.nan, np.inf]])), "pixels", ImagePanel).head.remarks
    kinds = ("an exact 0", "inf (or over 1e+300)", "no value")
    assert set(told) == {f"{what} at 1 of 4 places" for what in kinds}
    plane = only(outing(points=points([0.5, np.nan, np.inf], [1.0] * 3)), "points", PlanePanel)
    assert (plane.re.tolist(), plane.head.remarks) == (
        [0.5],
        ("2 of 3 points are not finite, or over 1e+300",),
    )


def test_empty_curve_is_dropped_and_counted():
    panel = only(outing(walks=walks({"a": [1.0, 2.0], "b": [np.nan] * 2})), "walks", CurvePanel)
    assert [one.label for one in panel.series] == ["a"]
    assert panel.head.remarks == ("b: no value at 2 of 2 places",)


def test_many_curves_share_one_remark():
    heights = {f"w{k}": [0.0, -np.inf] for k in range(300)}
    panel = only(outing(walks=walks(heights, limit=0.0)), "walks", CurvePanel).head
    assert panel.remarks == ("an exact 0 in 300 of 600 curves",)


def test_table_without_picture_is_refused_with_the_valid_ones():
    record = whole()
    with pytest.raises(
        UsageError, match="'words' has no picture; tables with a picture: walks, things, points"
    ):
        make_panels(record, "words")
    with pytest.raises(UsageError, match="no table of the result has a picture"):
        make_panels(Outing(params={}, conclusion=""))


def test_labels_name_the_curves_of_every_panel_in_order():
    record = of_command("compare")
    labels = DrawingChoice(("plain", "LSTM", "gated"))
    found = make_panels(record, choice=labels)
    assert [one.label for one in found[0].series] == ["plain", "LSTM", "gated"]
    plain = make_panels(record)
    for one, other in zip(found, plain, strict=True):
        assert type(one) is type(other)
        if isinstance(one, CurvePanel):
            assert [series.y.tolist() for series in one.series] == [
                series.y.tolist() for series in other.series
            ]
    shown = " ".join(str(one.head.title) + str(getattr(one, "names", "")) for one in found)
    assert "plain" in shown
    assert "rnn" not in shown


@pytest.mark.parametrize(
    ("command", "labels", "says"),
    [
        ("compare", ("a", "b"), "2 labels for 3 curves (rnn, lstm, gru): give one label for each"),
        ("compare", ("a", "b", "c", "d"), "4 labels for 3 curves"),
        ("compare", ("a", "b", "b"), "expected different ones"),
        ("power", ("a",), "no curves with names"),
    ],
)
def test_labels_of_another_number_are_refused(command, labels, says):
    with pytest.raises(gradflow.errors.UsageError, match=re.escape(says)):
        make_panels(of_command(command), choice=DrawingChoice(labels))


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({}, "$‖∂s_T/∂s_{T−k}‖$"),
        ({"view": "forward"}, "$‖∂s_k/∂s_0‖$"),
        ({"block": "hh,cc"}, "norm of the product"),
        ({"norm": "min"}, "norm of the product"),
    ],
)
def test_axis_of_the_flow_names_what_was_measured(options, label):
    record = gradflow.compare("lstm", hidden=2, features=2, steps=3, seeds=1, **options)
    assert make_panels(record, "flow")[0].head.y.label == label


def test_panels_of_bptt_have_their_own_titles():
    titles = [one.head.title for one in make_panels(of_command("bptt"))]
    assert len(set(titles)) == len(titles) == 5
