"""A figure shows what the record contains: the tests look at matplotlib's artists."""

import re
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.patches import Circle, ConnectionPatch
from matplotlib.transforms import Bbox

import gradflow
from gradflow.errors import UsageError
from gradflow.render import PICTURES
from gradflow.render.plots.figure import MAX_PANELS, encode_figure
from tests.render.drawings import (
    MAKERS,
    faint_layer,
    of_command,
    outing,
    pixels,
    points,
    things,
    walks,
    whole,
)

MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF-"}
NAMES = [
    "$x_1$", "<script>", "a&b", "\x1b[31m", "漢字", "[red]x[/red]", ":smile:", "x" * 300, "  ", "a\nb",
    "_hidden", "rnn:activation=relu,gain=0.3," * 9,
]  # fmt: skip
EDGES = {
    "one lag": {"walks": walks({"a": [0.0]}, limit=1.0)},
    "two rows": {"walks": walks({"a": [0.0, 1.0]})},
    "all equal": {"walks": walks({"a": [2.0] * 5}), "things": things({"a": 3.0, "b": 3.0})},
    "all zero": {"walks": walks({"a": [-np.inf] * 5}), "things": things({"a": -np.inf, "b": np.inf})},
    "nothing": {"walks": walks({"a": [np.nan] * 5}), "things": things({"a": np.nan}, error=np.nan)},
    "empty image": {"pixels": pixels([[np.nan]]), "points": points([np.nan], [np.nan])},
    "one pixel": {"pixels": pixels([[-np.inf]]), "points": points([0.0], [1.0])},
    "large": {"points": points([1e300, -1e300j], [1.0, 1e300]), "things": things({"a": 1e300, "b": -1e300})},
    "small": {"points": points([1e-300, 1e-300j], [1.0, 1.0]), "walks": walks({"a": [1e-300, 2e-300]})},
    "300 items": {"things": things({f"model.pt::encoder.layer{k}": -float(k) for k in range(300)})},
    "300 curves": {"walks": walks({f"curve {k}": [0.0, -float(k), -np.inf] for k in range(300)})},
    "long curve": {"walks": walks({"a": np.sin(np.arange(5000.0))}, band=1.0)},
}


def sheet(**tables):
    return gradflow.figure(outing(**tables))


def axes_of(**tables):
    (axes,) = sheet(**tables).axes
    return axes


def lines(axes):
    """Return the finite points of each line in data coordinates."""
    found = [line for line in axes.lines if line.get_transform() == axes.transData and len(line.get_xdata())]
    return [np.array([point for point in line.get_xydata() if np.isfinite(point).all()]) for line in found]


def words(axes):
    legend = axes.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def test_curves_go_through_the_points_of_the_record():
    axes = axes_of(walks=walks({"a": [1.0, -2.0, -np.inf], "b": [0.0, 3.0]}, band=0.5, limit=-7.0))
    a, limit, b, _ = lines(axes)
    assert a.tolist() == [[1.0, 1.0], [2.0, -2.0]]
    assert b.tolist() == [[1.0, 0.0], [2.0, 3.0]]
    assert limit.tolist() == [[1.0, -7.0], [2.0, -7.0], [3.0, -7.0]]
    band = axes.collections[1].get_paths()[0].vertices
    assert {tuple(point) for point in band.tolist()} == {(1.0, -0.5), (1.0, 0.5), (2.0, 2.5), (2.0, 3.5)}
    assert words(axes) == ["a", "a: limit", "b", "b: limit"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "steps that were walked",
        "height [m]",
    )


def test_bound_is_dashed_in_the_color_of_its_curve():
    axes = axes_of(walks=walks({"a": [1.0, -2.0], "b": [0.0, 3.0]}, limit=-7.0))
    a, limit, b, _ = axes.lines[:4]
    assert a.get_linestyle() == b.get_linestyle() == "-"
    assert limit.is_dashed()
    assert a.get_color() == limit.get_color() != b.get_color()


def test_level_on_the_axis_is_a_named_line():
    axes = axes_of(walks=walks({"a": [0.0, -5.0]}))
    assert -3.0 in [line.get_ydata()[0] for line in axes.lines[1:]]
    assert [text.get_text() for text in axes.texts] == ["sea level"]
    assert not axes_of(walks=walks({"a": [0.0, -2.0]})).texts


@pytest.mark.parametrize(("value", "end"), [(-np.inf, 0.0), (np.inf, 1.0)])
def test_infinite_values_are_marked_and_counted(value, end):
    figure = sheet(walks=walks({"a": [0.0, value, value]}), things=things({"a": 1.0, "b": value}))
    curve, items = figure.axes
    marks = [line for line in curve.lines if line.get_transform() == curve.get_xaxis_transform()]
    assert [line.get_xydata().tolist() for line in marks] == [[[2.0, end], [3.0, end]]]
    marks = [line for line in items.lines if line.get_transform() == items.get_yaxis_transform()]
    assert [line.get_xydata()[0].tolist() for line in marks if len(line.get_xdata()) == 1] == [[end, 1.0]]
    told = figure.get_supxlabel()
    assert f"Walks: a: {'an exact 0' if value < 0 else 'inf (or over 1e+300)'} at 2 of 3 places" in told
    assert f"Things: {'-inf' if value < 0 else 'inf (or over 1e+300)'} at 1 of 2 places" in told


def test_points_are_sized_by_condition_and_defective_ones_are_crosses():
    axes = axes_of(points=points([0.5, 0.9j, -0.9j, 1.5], [1.0, 100.0, 1e6, np.inf]))
    (circle,) = (patch for patch in axes.patches if isinstance(patch, Circle))
    assert (circle.center, circle.radius) == ((0, 0), 1)
    dots = next(one for one in axes.collections if isinstance(one, PathCollection))
    assert dots.get_offsets().tolist() == [[0.5, 0.0], [0.0, 0.9], [0.0, -0.9]]
    assert (np.diff(dots.get_sizes()) > 0).all()
    (cross,) = (line for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata()))
    assert cross.get_xydata().tolist() == [[1.5, 0.0]]
    assert axes.get_aspect() == 1.0
    assert words(axes) == ["condition 1", "condition 100", "condition 1e+06", "defective"]


def test_image_has_values_in_place_zeros_gray_and_missing_white():
    axes = axes_of(pixels=pixels([[0.0, -1.0, -2.0], [-3.0, -np.inf, np.nan]]))
    (image,) = axes.images
    shown = image.get_array()
    assert shown[0].tolist() == [0.0, -1.0, -2.0]
    assert (shown[1, 0], image.origin, list(image.get_extent())) == (-3.0, "lower", [-0.5, 2.5, -0.5, 1.5])
    assert image.get_clim() == (-3.0, 0.0)
    colors = image.to_rgba(shown)
    assert to_hex(colors[1, 1]) == "#d4d4d4"
    assert to_hex(colors[1, 2]) == "#ffffff"
    (scale,) = axes.child_axes
    assert scale.get_ylabel() == "depth [m]"


def test_exponents_have_error_bars():
    record = of_command("lyapunov")
    axes = gradflow.figure(record, table="exponents").axes[0]
    (bars,) = (one for one in axes.collections if isinstance(one, LineCollection))
    lengths = [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()]
    np.testing.assert_allclose(lengths, 2 * np.array(record.exponents.standard_error), rtol=1e-9)


def test_items_stand_below_each_other_on_an_axis_with_0():
    axes = axes_of(things=things({"a stone": 20.0, "a leaf": 19.0}, error=0.5))
    assert lines(axes)[0].tolist() == [[20.0, 0.0], [19.0, 1.0]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a stone", "a leaf"]
    bottom, top = axes.get_ylim()
    assert bottom > top  # the first on top
    assert axes.get_xlim()[0] <= 0.0
    (bars,) = (one for one in axes.collections if isinstance(one, LineCollection))
    assert [segment[:, 0].tolist() for segment in bars.get_segments()] == [[19.5, 20.5], [18.5, 19.5]]


@pytest.mark.parametrize("name", NAMES)
def test_hostile_name_is_text(name):
    figure = sheet(walks=walks({name: [0.0, 1.0], "other": [1.0, 0.0]}), things=things({name: 1.0}))
    data = encode_figure(outing(walks=walks({name: [0.0, 1.0], "other": [1.0, 0.0]})), "png")
    assert data.startswith(MAGIC["png"])
    curve, items = figure.axes
    shown = [words(curve)[0], items.get_yticklabels()[0].get_text()]
    for text in shown:
        assert "".join(text.split()) == "".join(name.replace("\x1b", r"\x1b").replace("\n", r"\n").split())
    texts = [*curve.get_legend().get_texts(), *items.get_yticklabels()]
    assert not any(text.get_parse_math() or text.get_usetex() for text in texts)


@pytest.mark.parametrize("edge", EDGES)
def test_edge_cases_give_no_warning(edge):
    figure = sheet(**EDGES[edge])
    figure.draw_without_rendering()  # a warning is an error here
    assert all(np.isfinite(axes.get_position().bounds).all() for axes in figure.axes)


def test_long_curve_keeps_its_extremes():
    heights = np.sin(np.arange(5000.0))
    heights[1234] = 3.0
    figure = sheet(walks=walks({"a": heights}))
    drawn = lines(figure.axes[0])[0]
    assert drawn[:, 1].max() == 3.0
    assert len(drawn) <= 2002
    assert f"a: {len(drawn)} of 5000 points are drawn" in " ".join(figure.get_supxlabel().split())


def test_too_many_panels_are_refused():
    heights = {f"w{k}": [0.0, 1.0] for k in range(MAX_PANELS + 1)}
    with pytest.raises(UsageError, match=f"{MAX_PANELS + 1} panels, more than {MAX_PANELS}"):
        sheet(panels=walks(heights))
    del heights["w0"]
    assert len(sheet(panels=walks(heights)).axes) == MAX_PANELS


def apart(boxes):
    """Check that boxes do not overlap by more than a dot."""
    for one, other in combinations(boxes, 2):
        assert not one.padded(-1.0).overlaps(other.padded(-1.0)), f"{one} overlaps {other}"


def tick_boxes(axis, renderer):
    """Return the boxes of the visible numbers or names along an axis."""
    low, high = sorted(axis.get_view_interval())
    ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [tick.label1.get_window_extent(renderer) for tick in ticks if tick.label1.get_text()]


@pytest.mark.parametrize("command", MAKERS)
def test_nothing_is_cut_or_overlaps(command):
    figure = gradflow.figure(of_command(command))
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    page = figure.bbox.padded(1.0)
    panels = []
    for axes in figure.axes:
        legend = axes.get_legend()
        keys = [legend.get_window_extent(renderer)] if legend else []
        panels.append(Bbox.union([axes.get_tightbbox(renderer), *keys]))
        apart([*tick_boxes(axes.xaxis, renderer), *tick_boxes(axes.yaxis, renderer), axes.bbox, *keys])
    assert all(page.contains(*corner) for box in panels for corner in (box.min, box.max))
    apart(panels)


@pytest.mark.parametrize("steps", [20, 60, 300, 5000])
def test_names_of_close_levels_do_not_overlap(steps):
    figure = gradflow.figure(gradflow.power("1 2 3; 4 5 6; 7 8 10", steps=steps), table="norms")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    names = [line for text in axes.texts for line in text.get_text().splitlines()]
    assert names.count("norm 1") == names.count("float16: largest") == 1
    renderer = FigureCanvasAgg(figure).get_renderer()
    apart([text.get_window_extent(renderer) for text in axes.texts])


def test_names_of_levels_stand_at_their_lines_or_are_joined_to_them():
    figure = gradflow.figure(gradflow.power("1 2 3; 4 5 6; 7 8 10", steps=300), table="norms")
    (axes,) = figure.axes
    low, high = axes.get_ylim()
    heights = {text.xy[1] for text in axes.texts}
    edge = axes.get_yaxis_transform()
    levels = {line.get_ydata()[0] for line in axes.lines if line.get_transform() == edge}
    joints = {(patch.xy1[1], patch.xy2[1]) for patch in axes.patches if isinstance(patch, ConnectionPatch)}
    assert len(heights) == len(levels) >= len(joints) > 0
    assert {level for level, _ in joints} | (levels & heights) == levels
    assert {height for _, height in joints} | (levels & heights) == heights
    assert low - 1e-9 <= min(heights) <= max(heights) <= high + 1e-9


def test_curve_at_the_place_of_another_has_gaps():
    curve = np.array([0.0, -5.0, -10.0])
    axes = axes_of(walks=walks({"a": curve, "b": curve + 1e-6, "c": curve - 1e-6, "d": curve / 2}))
    a, b, c, d = (line for line in axes.lines if len(line.get_xdata()) == 3)
    assert not a.is_dashed()
    assert not d.is_dashed()
    assert b.is_dashed()
    assert c.is_dashed()
    assert b._unscaled_dash_pattern != c._unscaled_dash_pattern


def test_name_of_a_group_of_items_is_written_once():
    record = of_command("compare")
    axes = gradflow.figure(record, table="gates").axes[0]
    cells = list(dict.fromkeys(record.gates.cell))
    assert [text.get_text() for text in axes.texts] == cells
    assert [label.get_text() for label in axes.get_yticklabels()] == record.gates.gate
    heads = [(text.xy[1], text.get_text()) for text in axes.texts]
    for height, cell in zip(axes.get_yticks(), record.gates.cell, strict=True):
        assert max(head for head in heads if head[0] < height)[1] == cell


def test_deviations_have_marks_at_three_errors_and_no_empty_lines():
    record = gradflow.theory("rnn:init=ginibre,gain=0.5", hidden=64, steps=200, seeds=2, input="zero")
    figure = gradflow.figure(record)
    (axes,) = figure.axes
    found = dict(zip(record.predictions.quantity, record.predictions.deviation, strict=True))
    kept = [name for name, deviation in found.items() if not np.isnan(deviation)]
    assert 0 < len(kept) < len(found)
    assert [label.get_text() for label in axes.get_yticklabels()] == kept
    assert all(name in figure.get_supxlabel() for name in set(found) - set(kept))
    marks = [line.get_xdata()[0] for line in axes.lines if line.get_transform() == axes.get_xaxis_transform()]
    assert {-3.0, 0.0, 3.0} <= set(marks)
    assert words(axes) == ["as predicted (0)", "three errors (±3)"]
    low, high = axes.get_xlim()
    assert low < -3.0 < 3.0 < high


@pytest.mark.parametrize(("command", "table"), [("theory", "sweep"), ("init", "trials")])
def test_axis_of_an_option_has_its_name(command, table):
    record = of_command(command)
    assert gradflow.figure(record, table=table).axes[0].get_xlabel() == record.parameter


def test_share_is_labeled_with_its_steps_and_limits_differ():
    record = of_command("inspect")
    axes = gradflow.figure(record, table="layers").axes[0]
    assert f"left after {record.length} steps" in axes.get_xlabel()
    shallow = gradflow.figure(gradflow.inspect(faint_layer(), length=60), table="layers").axes[0]
    assert words(shallow)[:2] == ["below: vanishing (10⁻⁴)", "below: borderline (0.01)"]
    patterns = {str(line._unscaled_dash_pattern) for line in shallow.get_legend().get_lines()}
    assert len(patterns) == len(words(shallow))


def test_errors_of_windows_are_on_a_logarithmic_axis():
    record = of_command("bptt")
    axes = gradflow.figure(record, table="windows").axes[0]
    errors = np.array(record.windows.truncation_error)
    drawn = axes.lines[0].get_xdata()
    np.testing.assert_allclose(drawn[errors > 0], np.log10(errors[errors > 0]), rtol=1e-12)
    assert np.isnan(drawn[errors == 0]).all()


@pytest.mark.parametrize("kind", PICTURES)
def test_file_has_its_magic_and_no_date(kind):
    first, second = (encode_figure(whole(), kind) for _ in range(2))
    assert first == second
    assert first.startswith(MAGIC[kind])
    assert not any(word in first for word in (b"CreationDate", b"dc:date", b"ModDate", b"tIME"))


def test_letters_are_text_in_pdf_and_outlines_in_svg():
    pdf, svg = (encode_figure(whole(), kind) for kind in ("pdf", "svg"))
    assert b"/CIDFontType2" in pdf  # TrueType, with a map of its glyphs to letters
    assert b"/ToUnicode" in pdf
    assert b"/Type3" not in pdf
    assert b"<text" not in svg


def test_table_without_picture_is_refused():
    with pytest.raises(UsageError, match="'words' has no picture"):
        gradflow.figure(whole(), table="words")


@pytest.mark.parametrize(
    ("ends", "texts"),
    [
        ((-30.0, 0.0), {"10⁰", "10⁻¹⁰", "10⁻²⁰", "10⁻³⁰"}),
        ((-2.0, 1.0), {"10⁻²", "10⁻¹", "10⁰", "10¹"}),
        ((-1.0, 0.0), {"0.1", "0.2", "0.5", "1"}),
        ((0.0, 0.1), {"1", "1.2"}),
        ((-5000.5, -5000.0), {"5·10⁻⁵⁰⁰¹", "1·10⁻⁵⁰⁰⁰"}),
        ((4000.0, 5000.0), {"10⁴⁰⁰⁰", "10⁵⁰⁰⁰"}),
    ],
)
def test_ticks_of_a_logarithmic_axis_are_powers_or_numbers(ends, texts):
    axes = gradflow.figure(outing(walks=walks({"a": list(ends)}))).axes[0]
    formatter, low, high = axes.yaxis.get_major_formatter(), *axes.get_ylim()
    shown = {formatter(tick): tick for tick in axes.get_yticks() if low <= tick <= high}
    assert texts <= set(shown)
    for text, tick in shown.items():
        power = re.fullmatch(r"(?:([\d.]+)·)?10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", text)
        number = float((power[1] or 1) if power else text)
        decades = float(power[2].translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))) if power else 0.0
        assert np.log10(number) + decades == pytest.approx(tick, abs=1e-6)
