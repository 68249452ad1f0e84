"""Dimension and entropy of a spectrum: published attractors, the formula's corners, and what is not known."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradflow.analysis.lyapunov.dimension import entropy_rate, kaplan_yorke

# published spectra: Sprott 2003, Chaos and Time-Series Analysis, appendix A
PUBLISHED = {
    "lorenz": ([0.9056, 0.0, -14.5723], 2.06215),
    "roessler": ([0.0714, 0.0, -5.3943], 2.0132),
    "henon": ([0.41922, math.log(0.3) - 0.41922], 1.25827),
    "ikeda": ([0.50760, -0.71813 - 0.1025865882], 1.6186),
}
SPECTRA = st.lists(st.floats(-5, 5, allow_subnormal=False), min_size=1, max_size=8).map(
    lambda values: sorted(values, reverse=True)
)


@pytest.mark.parametrize("name", ["lorenz", "roessler", "henon"])
def test_dimension_of_published_attractors(name):
    exponents, expected = PUBLISHED[name]
    assert kaplan_yorke(exponents, len(exponents)) == pytest.approx(expected, abs=1e-4)
    assert entropy_rate(exponents, len(exponents)) == exponents[0]


def test_dimension_of_a_bakers_map_is_one_and_the_ratio():
    # stretch 2, contraction 1/4: 1 + ln 2/ln 4
    assert kaplan_yorke([math.log(2), -math.log(4)], 2) == pytest.approx(1.5, rel=1e-15)


@pytest.mark.parametrize(
    ("exponents", "expected"),
    [
        ([-0.1], 0.0),
        ([-0.1, -0.2], 0.0),
        ([0.0, -1.0], 1.0),
        ([0.0], 1.0),
        ([0.5, -0.5], 2.0),
        ([1.0, 0.5, 0.1], 3.0),
        ([0.5, -math.inf], 1.0),
        ([-math.inf, -math.inf], 0.0),
        ([0.0, -math.inf], 1.0),
        ([1.0, -0.5, -math.inf], 2.0),
    ],
)
def test_dimension_at_the_corners_of_the_formula(exponents, expected):
    assert kaplan_yorke(exponents, len(exponents)) == expected


@pytest.mark.parametrize(
    ("exponents", "dimension", "entropy"),
    [
        ([0.5, 0.2], None, None),
        ([0.5, -0.2], None, 0.5),
        ([0.5, -1.0], 1.5, 0.5),
        ([-0.5, -1.0], 0.0, 0.0),
        ([0.5, 0.0], None, 0.5),
    ],
)
def test_of_two_exponents_of_five_only_what_the_rest_cannot_change_is_said(exponents, dimension, entropy):
    assert kaplan_yorke(exponents, 5) == dimension
    assert entropy_rate(exponents, 5) == entropy


@settings(max_examples=200, deadline=None)
@given(SPECTRA)
def test_dimension_is_where_the_sums_of_the_exponents_joined_by_lines_cross_zero(exponents):
    found = kaplan_yorke(exponents, len(exponents))
    place = min(int(found), len(exponents))
    assert 0 <= found <= len(exponents)
    partial = math.fsum(exponents[:place])
    rest = (found - place) * exponents[place] if place < len(exponents) else 0.0
    if found < len(exponents):
        assert partial + rest == pytest.approx(0.0, abs=1e-12)
    else:
        assert partial >= -1e-12


@settings(max_examples=200, deadline=None)
@given(SPECTRA, st.integers(1, 8))
def test_what_is_said_of_the_leading_exponents_is_what_all_of_them_say(exponents, count):
    size, few = len(exponents), exponents[:count]
    whole = kaplan_yorke(exponents, size), entropy_rate(exponents, size)
    for found, truth in zip((kaplan_yorke(few, size), entropy_rate(few, size)), whole, strict=True):
        assert found is None or found == truth


@settings(max_examples=100, deadline=None)
@given(SPECTRA)
def test_entropy_is_the_largest_growth_of_any_volume(exponents):
    volumes = [math.fsum(exponents[:k]) for k in range(len(exponents) + 1)]
    assert entropy_rate(exponents, len(exponents)) == pytest.approx(max(volumes), abs=1e-12)
