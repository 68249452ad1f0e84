"""The Jacobians of a product as they come: in order, to the last, from one piece of inputs to the next."""

import math
import tracemalloc
from itertools import islice

import numpy as np
import pytest

import gradflow
from gradflow.analysis.shared.inputs import Inputs
from gradflow.analysis.shared.orbit import PIECE_STEPS, CellOrbit, StackOrbit
from gradflow.analysis.shared.trajectory import STRETCH_STEPS
from gradflow.cells import CELLS
from gradflow.cells.rnn import RNN
from gradflow.cells.spec import parse_cell


def inputs(source=None, **options):
    given = {"key": None, "format": None, "steps": None, "seed": 7, "count": 9}
    given["features"] = 3 if source is None or isinstance(source, str) else None
    given["scale"] = None if isinstance(source, str) and source == "zero" else 0.5
    return Inputs.of(source, **{**given, **options})


def linear(gain):
    """h' = gain h."""
    return RNN(np.zeros((1, 1)), np.array([[gain]]), np.zeros(1), "identity")


@pytest.mark.parametrize("source", ["normal", "constant", "zero"])
@pytest.mark.parametrize("length", [1, 7, 64, 1000])
def test_a_stream_is_what_a_draw_of_as_many_steps_is(source, length):
    whole = inputs(source, steps=200)
    for draw in range(3):
        pieces = list(islice(whole.stream(draw, length), -(-200 // length)))
        assert {len(piece) for piece in pieces} == {length}
        np.testing.assert_array_equal(np.concatenate(pieces)[:200], whole.draw(draw))


@pytest.mark.parametrize("length", [1, 7, 64, 1000])
def test_a_stream_of_data_ends_with_them_and_goes_through_the_batch_in_turn(length):
    data = np.random.default_rng(0).standard_normal((2, 150, 3))
    given = inputs(data)
    for draw in range(5):
        np.testing.assert_array_equal(np.concatenate(list(given.stream(draw, length))), 0.5 * data[draw % 2])
        np.testing.assert_array_equal(given.draw(draw), 0.5 * data[draw % 2])


@pytest.mark.parametrize("spec", [*CELLS, *(f"{name}:layers=2" for name in CELLS)])
def test_a_cell_goes_on_from_piece_to_piece_as_if_there_were_one(spec):
    cell = parse_cell(spec).make(4, 3, np.random.default_rng(1))
    steps = 2 * STRETCH_STEPS + 11
    fed = np.random.default_rng(2).standard_normal((steps, 3))
    start = np.random.default_rng(3).standard_normal(cell.state_size)
    whole = cell.linearize(cell.run(fed, start), fed)
    found = list(CellOrbit(cell, iter([fed[:5], fed[5:90], fed[90:]]), start))
    assert len(found) == steps
    for t, step in enumerate(found):
        # the same operations on blocks of other lengths: rounding of sums of a few terms
        dense = whole.at(t).todense()
        np.testing.assert_allclose(step.factor.todense(), dense, rtol=0, atol=1e-14)
        assert step.log_abs_det == pytest.approx(np.linalg.slogdet(dense)[1], abs=1e-9)


def test_no_determinants_are_found_where_none_are_asked_for():
    fed = np.zeros((9, 1))
    orbits = (
        CellOrbit(linear(0.5), iter([fed]), np.ones(1), dets=False),
        StackOrbit(np.ones((9, 1, 1)), dets=False),
    )
    for orbit in orbits:
        assert np.isnan([step.log_abs_det for step in orbit]).all()


@pytest.mark.parametrize("steps", [1, STRETCH_STEPS, STRETCH_STEPS + 1, 3 * STRETCH_STEPS])
def test_a_stack_comes_in_its_order_to_the_last(steps):
    stack = np.random.default_rng(0).standard_normal((steps, 3, 3))
    orbit = StackOrbit(stack)
    found = list(orbit)
    np.testing.assert_array_equal([step.factor.todense() for step in found], stack)
    np.testing.assert_allclose(
        [step.log_abs_det for step in found], np.linalg.slogdet(stack)[1], rtol=0, atol=1e-12
    )
    assert (orbit.size, orbit.blow_up) == (3, None)


@pytest.mark.parametrize(
    ("gain", "length"), [(1e9, PIECE_STEPS), (2.0, PIECE_STEPS), (2.0, 100), (2.0, 1024), (2.0, 1023)]
)
def test_an_orbit_ends_at_the_step_whose_state_leaves_the_doubles(gain, length):
    # gain^t > 2^1024 at the first t over 1024 ln 2/ln gain; 2^1024 itself is too large
    expected = math.ceil(1024 * math.log(2) / math.log(gain))
    zeros = (np.zeros((length, 1)) for _ in range(100))
    orbit = CellOrbit(linear(gain), zeros, np.ones(1))
    found = list(orbit)
    assert orbit.blow_up == expected
    assert len(found) == expected - 1
    np.testing.assert_allclose([step.log_abs_det for step in found], math.log(gain), rtol=1e-14)


@pytest.mark.parametrize("steps", [100, 1000])  # at the end of a batch, and within one
def test_a_step_that_overflows_ends_the_run_and_is_named(steps):
    found = gradflow.lyapunov(
        "rnn:activation=identity,init=orthogonal,gain=1e30", hidden=3, input="zero", transient=2, steps=steps
    )
    # from some 0.1, 1e30 at each of 10 steps is 1e299, at 11 too much; steps 3 to 10 are measured
    assert found.blow_up_step == 11
    assert found.steps == 8
    assert found.verdict == "exploding"
    assert any("step 11" in note for note in found.notes)
    np.testing.assert_allclose(found.exponents.exponent, 30 * math.log(10), rtol=1e-13)


def test_an_underflow_is_noted_and_only_then():
    steep = RNN(np.zeros((1, 1)), np.array([[1e-200]]), np.array([800.0]), "sigmoid")
    for cell, expected in ((steep, True), (linear(0.5), False)):
        orbit = CellOrbit(cell, iter([np.zeros((5, 1))]), np.ones(1))
        assert len(list(orbit)) == 5
        assert orbit.underflow is expected


def peak(steps):
    """The most memory that a run held beyond what it began with."""
    tracemalloc.start()
    try:
        gradflow.lyapunov("rnn", hidden=4, features=64, steps=steps, transient=0, count=1)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_steps():
    gradflow.lyapunov("rnn", hidden=2, steps=20)  # loads what there is to load
    # two pieces of inputs, drawn and scaled, and their states; 20000 steps of inputs alone were 10 MB
    pieces = 2 * 3 * PIECE_STEPS * 64 * 8
    long = peak(20000)
    assert long < peak(2000) + 2e5
    assert long < 2 * pieces
