"""Parameters by name, by gate and by layer: what a name stands for, and its numbers as one vector."""

import itertools

import numpy as np
import pytest

from gradflow.analysis.bptt.parameters import choose_blocks, move_weights, values
from gradflow.cells.spec import parse_cell
from gradflow.cells.stack import Stack
from gradflow.errors import UsageError

SIZE, FEATURES, STEPS, BATCH = 3, 2, 4, 2
SPECS = [
    "rnn", "rnn:activation=relu,layers=2", "gru", "gru:reset=before", "gru:reset=before,layers=2",
    "lstm", "lstm:coupled=on", "lstm:forget_gate=off", "lstm:peephole=on", "lstm:peephole=on,coupled=on",
    "lstm:projection=2", "lstm:projection=2,layers=3", "lstm:peephole=on,projection=2,layers=2",
]  # fmt: skip


def drawn(spec):
    """A cell, and the states and inputs of a batch that went through it."""
    generator = np.random.default_rng(0)
    cell = parse_cell(spec).make(SIZE, FEATURES, generator)
    inputs = generator.standard_normal((BATCH, STEPS, FEATURES))
    return cell, cell.run(inputs), inputs


def named(spec, text):
    return choose_blocks(*drawn(spec), text)


def weights_of(cell):
    """Every array by ``layerN.name``."""
    own = cell.weights()
    return own if isinstance(cell, Stack) else {f"layer1.{name}": array for name, array in own.items()}


@pytest.mark.parametrize("spec", SPECS)
def test_all_is_every_number_of_every_array(spec):
    cell, states, inputs = drawn(spec)
    blocks = choose_blocks(cell, states, inputs, "all")
    arrays = weights_of(cell)
    assert sum(block.size for block in blocks) == sum(array.size for array in arrays.values())
    assert {f"layer{block.layer + 1}.{block.parameter}" for block in blocks} == set(arrays)
    expected = np.concatenate([array.ravel() for array in arrays.values()])
    np.testing.assert_array_equal(np.sort(values(cell, blocks)), np.sort(expected))


@pytest.mark.parametrize("spec", SPECS)
def test_a_parameter_is_its_array_row_by_row(spec):
    cell, states, inputs = drawn(spec)
    for name, array in weights_of(cell).items():
        np.testing.assert_array_equal(values(cell, choose_blocks(cell, states, inputs, name)), array.ravel())


@pytest.mark.parametrize("spec", [spec for spec in SPECS if "layers" not in spec])
def test_a_gate_is_its_rows_and_all_gates_are_the_parameter(spec):
    cell, states, inputs = drawn(spec)
    for parameter in ("weight_hh", "weight_ih", "bias"):
        array = getattr(cell, parameter)
        for gate, rows in cell.blocks.items():
            found = values(cell, choose_blocks(cell, states, inputs, f"{parameter}.{gate}"))
            np.testing.assert_array_equal(found, array[rows].ravel())
        every = ",".join(f"{parameter}.{gate}" for gate in cell.blocks)
        found = values(cell, choose_blocks(cell, states, inputs, every))
        np.testing.assert_array_equal(found, array.ravel())


@pytest.mark.parametrize("gates", ["ifo", "fo", "io"])
def test_a_peephole_is_its_row(gates):
    option = {"ifo": "", "fo": ",coupled=on", "io": ",forget_gate=off"}[gates]
    cell, states, inputs = drawn(f"lstm:peephole=on{option}")
    for row, gate in enumerate(gates):
        found = values(cell, choose_blocks(cell, states, inputs, f"peephole.{gate}"))
        np.testing.assert_array_equal(found, cell.peephole[row])


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("weight_hh.f, weight_hh", "weight_hh"),
        ("weight_hh,weight_hh.f,weight_hh.o", "weight_hh"),
        ("bias,bias,layer1.bias", "bias"),
        ("all,weight_ih,bias.i", "all"),
        ("layer1.all", "all"),
        (" weight_hh ", "weight_hh"),
    ],
)
def test_nobody_counts_a_number_twice(text, same):
    cell, states, inputs = drawn("lstm")
    found, expected = (values(cell, choose_blocks(cell, states, inputs, one)) for one in (text, same))
    np.testing.assert_array_equal(np.sort(found), np.sort(expected))


def test_parts_of_a_parameter_that_enters_in_two_ways_are_found_in_either():
    # with the reset gate before, r and z see h and n sees r⊙h
    assert [block.start for block in named("gru:reset=before", "weight_hh")] == [0, 2 * SIZE * SIZE]
    assert len(named("gru:reset=before", "weight_hh,weight_hh.z,weight_hh.n")) == 2
    assert len(named("gru:reset=before", "weight_hh.r,weight_hh.n")) == 2
    assert len(named("gru:reset=before", "weight_hh.z")) == 1


def test_without_a_layer_a_name_is_that_of_all_layers_and_with_one_of_that():
    cell, states, inputs = drawn("lstm:projection=2,layers=3")
    found = choose_blocks(cell, states, inputs, "weight_hr")
    assert [block.layer for block in found] == [0, 1, 2]
    (only,) = choose_blocks(cell, states, inputs, "layer2.weight_hr")
    assert only.layer == 1
    np.testing.assert_array_equal(values(cell, [only]), cell.layers[1].weight_hr.ravel())


@pytest.mark.parametrize("spec", SPECS)
def test_what_is_added_to_a_parameter_is_added_there_and_nowhere_else(spec):
    cell, states, inputs = drawn(spec)
    before = {name: array.copy() for name, array in weights_of(cell).items()}
    names = [*before, "all", "weight_hh,bias"]
    for name in names:
        blocks = choose_blocks(cell, states, inputs, name)
        change = np.random.default_rng(1).standard_normal(sum(block.size for block in blocks))
        other = move_weights(cell, blocks, change)
        assert type(other) is type(cell)
        np.testing.assert_array_equal(values(other, blocks), values(cell, blocks) + change)
        touched = {f"layer{block.layer + 1}.{block.parameter}" for block in blocks}
        for key, array in weights_of(other).items():
            assert (array != before[key]).all() if key in touched else (array == before[key]).all()
    for name, array in weights_of(cell).items():
        np.testing.assert_array_equal(array, before[name])


def test_what_is_added_to_a_gate_leaves_the_others_alone():
    cell, states, inputs = drawn("gru")
    blocks = choose_blocks(cell, states, inputs, "weight_hh.z")
    other = move_weights(cell, blocks, np.ones(SIZE * SIZE))
    apart = other.weight_hh - cell.weight_hh
    np.testing.assert_allclose(apart[cell.blocks["z"]], 1, rtol=1e-15)
    assert not apart[cell.blocks["r"]].any()
    assert not apart[cell.blocks["n"]].any()


def test_weights_that_lie_otherwise_in_memory_are_moved_all_the_same():
    cell, states, inputs = drawn("rnn")
    turned = cell.replace_arrays(weight_hh=np.asfortranarray(cell.weight_hh))
    blocks = choose_blocks(turned, states, inputs, "weight_hh")
    change = np.arange(9.0)
    expected = cell.weight_hh + change.reshape(3, 3)
    np.testing.assert_array_equal(values(turned, blocks), cell.weight_hh.ravel())
    np.testing.assert_array_equal(move_weights(turned, blocks, change).weight_hh, expected)


@pytest.mark.parametrize("spec", ["lstm:peephole=on", "gru", "gru:reset=before", "lstm:projection=2"])
def test_points_are_the_sequences_of_a_step_and_then_of_the_next(spec):
    cell, states, inputs = drawn(spec)
    together = choose_blocks(cell, states, inputs, "all")
    for sequence in range(BATCH):
        alone = choose_blocks(cell, states[sequence : sequence + 1], inputs[sequence : sequence + 1], "all")
        for both, own in zip(together, alone, strict=True):
            if own.seen is not None:
                np.testing.assert_array_equal(both.seen[sequence::BATCH], own.seen)
            if own.scale is not None:
                np.testing.assert_array_equal(both.scale[sequence::BATCH], own.scale)


def test_what_a_parameter_sees_is_kept_to_the_last_bit_at_any_size():
    cell, states, inputs = drawn("rnn")
    for exponent in (-1000, -300, 0, 300, 1000):
        scaled = np.ldexp(states, exponent)
        (block,) = choose_blocks(cell, scaled, inputs, "weight_hh")
        assert np.abs(block.seen).max() < 2.0**201
        apart = np.broadcast_to(block.exponents, STEPS * BATCH)
        expected = np.swapaxes(states[:, :-1], 0, 1).reshape(-1, SIZE)
        living = expected.any(axis=1)
        assert not block.seen[~living].any()
        found = np.ldexp(block.seen[living], (apart[living] - exponent)[:, None])
        np.testing.assert_array_equal(found, expected[living])


UNKNOWN = [
    ("lstm", "weigth_hh", "weight_hh"),
    ("rnn", "weight_hhh", "weight_hh"),
    ("lstm", "weight_hh.q", "weight_hh.o"),
    ("lstm", "biass", "bias"),
    ("lstm", "al", "all"),
    ("lstm:peephole=on", "peephole.g", "peephole"),
    ("gru", "bias_nh", "bias_hn"),
    ("lstm:layers=2", "layer3.weight_ih", "layer2.weight_ih"),
    ("lstm:layers=2", "layer1.wight_hh.f", "layer1.weight_hh.f"),
    ("lstm:layers=2", "layer0.bias", "layer"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "text", "nearest"), UNKNOWN)
def test_an_unknown_name_is_refused_with_the_nearest_and_all_that_there_are(spec, text, nearest):
    with pytest.raises(UsageError) as caught:
        named(spec, text)
    said = str(caught.value)
    assert repr(text) in said
    assert f"did you mean '{nearest}" in said
    if "layers" in spec:
        assert "layer2.weight_hh.i" in said


@pytest.mark.parametrize("text", ["", ",", "weight_hh,", "layer1.", ".f", "weight_hh.", "weight_hh f"])
def test_an_empty_name_is_none(text):
    with pytest.raises(UsageError, match="unknown parameter"):
        named("lstm", text)


@pytest.mark.parametrize("spec", SPECS)
def test_every_name_that_is_told_is_one(spec):
    with pytest.raises(UsageError) as caught:
        named(spec, "?")
    names = str(caught.value).partition("Valid: ")[2].split(", ")
    assert names[-1] == "all"
    for name in names:
        assert named(spec, name)
    # and every one of two differs from the other in what it stands for
    keys = [tuple((b.layer, b.parameter, b.start, b.size) for b in named(spec, name)) for name in names]
    if "layers" not in spec:
        assert all(one != other for one, other in itertools.combinations(keys, 2))
