"""Points, items and pixels that a picture leaves out are never extremes, and a remark counts them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gradflow.drawing import DrawnColumn
from gradflow.render.plots.panels import AxisLabel, ItemPanel, PanelHead, PlotSeries
from gradflow.render.plots.reduction import are_integers, pool_image, thin_curve, thin_items

ANY = st.floats(-1e300, 1e300) | st.sampled_from([-np.inf, np.inf, np.nan])
CURVES = arrays(float, st.integers(1, 300), elements=ANY)


def curve(y, low=None, high=None):
    return PlotSeries(
        "a", 0, np.arange(len(y), dtype=float), np.asarray(y, float), DrawnColumn("y"), low, high
    )


def extremes(values):
    finite = values[np.isfinite(values)]
    return (finite.min(), finite.max()) if len(finite) else ()


def listing(*series):
    axis = AxisLabel("", "")
    names = [f"item {k}" for k in range(len(series[0].y))]
    return ItemPanel(PanelHead("t", "t", "t", axis, axis), names, list(series), {})


@given(CURVES, st.integers(4, 100))
def test_curve_keeps_extremes_ends_and_order(y, most):
    thin, remark = thin_curve(curve(y), most)
    assert extremes(thin.y) == extremes(y)
    assert (thin.x[0], thin.x[-1]) == (0, len(y) - 1)
    assert (np.diff(thin.x) > 0).all()
    np.testing.assert_array_equal(thin.y, y[thin.x.astype(int)])
    assert len(thin.y) <= max(most, len(y) if len(y) <= most else 1.5 * most + 2)
    assert bool(remark) == (len(thin.y) < len(y))


@given(CURVES, st.integers(6, 100))
def test_non_finite_values_are_kept(y, most):
    thin, _ = thin_curve(curve(y), most)
    assert np.isfinite(thin.y).all() == np.isfinite(y).all()


@given(
    CURVES.flatmap(lambda y: st.tuples(st.just(y), arrays(float, len(y), elements=ANY))), st.integers(4, 99)
)
def test_band_keeps_its_extremes(curves, most):
    y, edge = curves
    thin, _ = thin_curve(curve(y, edge, -edge), most)
    assert extremes(thin.low) == extremes(edge)
    assert extremes(thin.high) == extremes(-edge)


@given(st.permutations(range(40)))
def test_curve_is_thinned_along_x(order):
    x = np.array(order, float)
    thin, remark = thin_curve(PlotSeries("a", 0, x, x**2, DrawnColumn("y")), 10)
    assert (np.diff(thin.x) > 0).all()
    assert thin.y.tolist() == (thin.x**2).tolist()
    assert remark == f"a: {len(thin.x)} of 40 points are drawn, the lowest and highest of every stretch"


def test_two_narrow_peaks_survive_a_million_points():
    y = np.zeros(10**6)
    y[[123456, 654321]] = 7.0, -9.0
    thin, _ = thin_curve(curve(y), 2000)
    assert len(thin.y) <= 2002
    assert dict(zip(thin.x.tolist(), thin.y.tolist(), strict=True)) | {123456: 7.0, 654321: -9.0} == dict(
        zip(thin.x.tolist(), thin.y.tolist(), strict=True)
    )


@given(
    arrays(float, array_shapes(min_dims=2, max_dims=2, max_side=30), elements=ANY), *[st.integers(1, 12)] * 2
)
def test_pixel_is_the_largest_of_its_values(values, rows, columns):
    small, remark = pool_image(values, rows, columns)
    assert small.shape == (min(rows, len(values)), min(columns, values.shape[1]))
    starts = [np.arange(n) * length // n for n, length in zip(small.shape, values.shape, strict=True)]
    blocks = [
        [list(range(*ends)) for ends in zip(start, [*start[1:], length], strict=True)]
        for start, length in zip(starts, values.shape, strict=True)
    ]
    for i, block in enumerate(blocks[0]):
        for j, other in enumerate(blocks[1]):
            seen = [value for value in values[np.ix_(block, other)].ravel() if not np.isnan(value)]
            assert small[i, j] == max(seen) if seen else np.isnan(small[i, j])
    sides = [max(map(len, one)) for one in blocks]
    assert remark == (
        "" if sides == [1, 1] else f"a pixel is the largest of up to {sides[0]} by {sides[1]} values"
    )


@pytest.mark.parametrize("peak", [1, 150, 298])
def test_first_last_and_largest_items_are_kept(peak):
    y = np.where(np.arange(300) == peak, 5.0, 0.0)
    error = np.arange(300.0)
    thin, remark = thin_items(listing(curve(y, -error, error)), 60)
    assert {"item 0", f"item {peak}", "item 299"} <= set(thin.names)
    (one,) = thin.series
    places = [int(name.split()[1]) for name in thin.names]
    assert (one.y.tolist(), one.low.tolist(), one.high.tolist()) == (
        y[places].tolist(), (-error)[places].tolist(), error[places].tolist(),
    )  # fmt: skip
    assert one.x.tolist() == list(range(len(places)))
    assert len(places) <= 60
    assert remark == f"{len(places)} of 300 items are drawn, the largest among them"


def test_few_items_are_unchanged():
    content = listing(curve([1.0, np.nan, -np.inf]))
    assert thin_items(content, 3) == (content, "")


def test_integers_are_recognized():
    assert are_integers(np.array([1.0, -3.0, 1e300]))
    assert not are_integers(np.array([1.0, 1.5]))
