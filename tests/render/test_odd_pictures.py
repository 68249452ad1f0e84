"""Pictures of extreme numbers, of many curves and of unusual names."""

import re

import numpy as np
import pytest

import gradflow
from gradflow.render.plots.panels import make_panels
from gradflow.render.style import Style
from tests.render.drawings import outing, pixels, points, things, walks

ENDS = (1.7e308, -1.7e308, 5e-324, 0.0)


@pytest.mark.parametrize("value", ENDS)
def test_extreme_number_is_drawn_or_counted(value):
    record = outing(
        walks=walks({"a": [0.0, value, 1.0]}), things=things({"a": value, "b": 1.0}),
        points=points([complex(value, -value), 1j], [1.0, 2.0]), pixels=pixels([[value, 1.0]]),
    )  # fmt: skip
    told = [remark for content in make_panels(record) for remark in content.head.remarks]
    assert any("over 1e+300" in remark or "-inf" in remark for remark in told) == (abs(value) > 1)
    gradflow.figure(record).draw_without_rendering()  # a warning is an error here
    for table in ("walks", "things", "points", "pixels"):
        for style in (Style(table), Style(table, color=True), Style(table, unicode=False)):
            assert len(gradflow.to_text(record, "chart", style).splitlines()) > 3


def test_denormals_have_an_axis():
    record = outing(walks=walks({"a": [0.0, 5e-324, 1e-323]}))
    assert "Walks" in gradflow.to_text(record, "chart")


@pytest.mark.parametrize("matrix", ["1.7e308", "8e307 1; 0 -8e307"])
def test_powers_of_a_huge_matrix_are_drawn(matrix):
    found = gradflow.power(matrix)
    gradflow.figure(found).draw_without_rendering()
    assert "Eigenvalues" in gradflow.to_text(found, "chart", table="eigenvalues")


def test_maps_share_their_colors():
    record = gradflow.compare("rnn", "lstm", hidden=3, steps=9, seeds=1, features=2, pair_map=True)
    logs = record.map.log10_norm
    for axes in gradflow.figure(record, table="map").axes:
        assert axes.images[0].get_clim() == pytest.approx((logs.min(), logs.max()), rel=1e-12)
    first, second = make_panels(record, "map")
    assert first.ends == second.ends == (logs.min(), logs.max())


def test_bounds_of_many_curves_have_their_colors():
    heights = {f"w{k}": [0.0, -1.0 - k] for k in range(12)}
    axes = gradflow.figure(outing(walks=walks(heights, limit=1.0)), table="walks").axes[0]
    curves = [line for line in axes.lines if not isinstance(line.get_color(), str)]  # levels are gray
    solid = [line for line in curves if line.get_linestyle() == "-"]
    dashed = [line for line in curves if line.get_linestyle() != "-"]
    assert len(solid) == len(dashed) == 12
    for line, bound in zip(solid, dashed, strict=True):
        np.testing.assert_array_equal(line.get_color(), bound.get_color())
    assert "12 curves" in axes.get_title(loc="left")


def test_name_keeps_blanks_and_colon():
    record = outing(walks=walks({"colon: a, b. c": [0.0, -1.0], "other": [0.0, -2.0]}, limit=1.0))
    series = make_panels(record, "walks")[0].series
    assert [one.place for one in series] == [0, 0, 1, 1]
    axes = gradflow.figure(record, table="walks").axes[0]
    assert axes.get_legend().get_texts()[0].get_text() == "colon: a, b. c"


def test_numbers_below_a_chart_never_touch():
    record = outing(walks=walks({"a": [0.0, -1.0, -2.0]}))
    for width in range(40, 121):
        text = gradflow.to_text(record, "chart", Style("walks", width=width))
        below = next(line for line in reversed(text.splitlines()) if re.fullmatch(r"[\d. -]+", line))
        numbers = [float(word) for word in below.split()]
        assert numbers == sorted(numbers)
