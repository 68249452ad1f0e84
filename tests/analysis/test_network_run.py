"""What networks receive in their model: levels as the frameworks feed them, chains, and what is not known."""

from dataclasses import replace

import numpy as np
import pytest

from gradflow import from_state_dict, inspect
from gradflow.analysis.shared.inputs import Inputs
from gradflow.analysis.shared.network_run import NetworkFeeder, run_network
from gradflow.cells.rnn import RNN
from gradflow.errors import DataError, UsageError
from gradflow.layouts.checkpoint import Checkpoint
from gradflow.layouts.feeds import MODEL_INPUT, Feed, UnknownFeed
from gradflow.layouts.network import Network, NetworkLayer, sort_networks
from tests.layouts.test_files import CHECKPOINTS, STATES, expected, loaded

SEVERAL = [path for path in CHECKPOINTS if "stacked" in path.name or "bidirectional" in path.name]
FEATURES, HIDDEN, STEPS = 3, 5, 30
DATA = np.random.default_rng(3).standard_normal((2, STEPS, FEATURES))


def test_files_with_several_levels_or_directions_are_here():
    kept = {path.name.partition(".")[0] for path in SEVERAL}
    assert {"torch_lstm_stacked", "torch_lstm_bidirectional", "torch_lstm_projection_bidirectional"} <= kept
    assert {"torch_gru_bidirectional", "keras_bidirectional", "keras_stacked"} <= kept


@pytest.mark.parametrize("path", SEVERAL, ids=lambda path: path.name)
def test_every_level_goes_where_the_framework_took_it(path):
    truth = expected(path)
    (network,) = loaded(path, truth).networks
    runs = {run.layer.name: run for run in run_network(network, truth["inputs"].astype(float))}
    assert set(runs) == {name.partition("/")[2] for name in truth.files if name.startswith("states/")}
    for name, run in runs.items():
        assert run.caution == ""
        np.testing.assert_allclose(run.trajectory.inputs, truth[f"fed/{name}"], rtol=0, atol=STATES)
        np.testing.assert_allclose(run.trajectory.states, truth[f"states/{name}"], rtol=0, atol=STATES)


def one_unit(name, gain):
    """A layer of one unit h' = relu(g h + x)."""
    cell = RNN(np.ones((1, 1)), np.array([[gain]]), np.zeros(1), "relu")
    return NetworkLayer(cell, "torch", (), name=name)


def stack(*gains):
    return Network("rnn", tuple((one_unit(f"l{k}", gain),) for k, gain in enumerate(gains)))


def test_above_an_overflow_a_level_is_fed_draws_and_says_why():
    runs = list(run_network(stack(0.5, 1e10, 0.5, 0.5), np.ones((50, 1))))
    assert [run.trajectory.blow_up for run in runs] == [None, 32, None, None]
    reason = "fed unit normal inputs because the state of l1 below overflows"
    assert [run.caution for run in runs] == ["", "", reason, reason]
    for run in runs[2:]:
        assert run.trajectory.inputs.shape == (50, 1)
        assert run.trajectory.inputs.min() < 0 < run.trajectory.inputs.max()  # no output of a relu


def test_a_level_that_overflows_was_fed_what_the_network_feeds_it():
    runs = list(run_network(stack(0.5, 1e10, 0.5), np.ones((50, 1))))
    np.testing.assert_array_equal(runs[1].trajectory.inputs, runs[0].trajectory.states[1:32])


def lstm(inputs, suffix="", seed=0):
    draw = np.random.default_rng(seed).standard_normal
    shapes = {"weight_ih": (4 * HIDDEN, inputs), "weight_hh": (4 * HIDDEN, HIDDEN), "bias_ih": (4 * HIDDEN,)}
    return {f"{name}{suffix}": 0.6 * draw(shape) for name, shape in shapes.items()}


def under(prefix, arrays):
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def two_networks():
    return from_state_dict(
        under("enc", lstm(FEATURES, "_l0", 1)) | under("dec", lstm(HIDDEN, "_l0", 2)), name="two"
    )


@pytest.mark.parametrize("chain", ["enc,dec", ["enc", "dec"], "order"])
def test_two_networks_in_a_chain_are_the_two_levels_of_one_network(chain):
    whole = from_state_dict(under("rnn", lstm(FEATURES, "_l0", 1) | lstm(HIDDEN, "_l1", 2)))
    stacked = inspect(whole, input=DATA, advice="none")
    chained = inspect(two_networks(), input=DATA, advice="none", chain=chain)
    assert chained.layers.layer == ["enc", "dec"]
    assert chained.layers.fed == ["input", "enc"]
    assert chained.params["chain"] in (["enc", "dec"], ["order"])
    assert chained.layers.log10_share == stacked.layers.log10_share
    assert chained.layers.log10_norm == stacked.layers.log10_norm
    assert "because" not in chained.conclusion


def test_without_a_chain_the_sentence_of_the_verdict_says_what_was_fed():
    found = inspect(two_networks(), input=DATA, advice="none")
    assert found.layers.fed == ["input", "unit normal"]
    first, second = found.conclusion.splitlines()
    assert first.startswith("enc is ")
    assert second.startswith(
        "dec, fed unit normal inputs because the input has 3 features, it takes 5, and the file does not say "
        "what feeds it (`chain` can), is "
    )


def test_a_note_says_which_networks_may_feed_each_other():
    note = "the file does not say which network feeds which, so each receives inputs of its own."
    told = f'{note} If dec receives the output of enc, add `chain="enc,dec"`.'
    assert told in inspect(two_networks(), advice="none").notes
    turned = from_state_dict(under("a", lstm(HIDDEN, "_l0", 2)) | under("b", lstm(FEATURES, "_l0", 1)))
    assert f'{note} If a receives the output of b, add `chain="b,a"`.' in inspect(turned, advice="none").notes
    apart = from_state_dict(under("a", lstm(FEATURES, "_l0")) | under("b", lstm(FEATURES, "_l0")))
    assert note in inspect(apart, advice="none").notes
    chained = inspect(two_networks(), advice="none", chain="order")
    assert not [text for text in chained.notes if "which network feeds which" in text]


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        (["enc", "deco"], "unknown layer 'deco'"),
        (["enc"], "chain of enc: expected at least two networks, of enc, dec"),
        ([""], "unknown layer"),
        (["enc", "enc"], "chain has enc twice"),
        (["dec", "enc"], "dec gives 5 features and enc takes 3"),
        ("enc,", "unknown layer"),
    ],
)
def test_a_chain_that_cannot_be_is_refused(chain, message):
    with pytest.raises(UsageError, match=message):
        inspect(two_networks(), chain=chain)


def test_a_chain_against_the_file_is_refused():
    stated = fed_by(None, Feed(("a",), double))
    with pytest.raises(UsageError, match="the file itself says what feeds b"):
        inspect(stated, chain="a,b")
    assert inspect(fed_by(None, UnknownFeed("it is code")), chain="a,b", advice="none").layers.fed[1] == "a"


def test_a_layer_inside_a_network_is_no_part_of_a_chain():
    whole = from_state_dict(under("rnn", lstm(FEATURES, "_l0") | lstm(HIDDEN, "_l1")) | under("b", lstm(5)))
    with pytest.raises(UsageError, match=r"rnn\.l0 is a layer inside a network"):
        inspect(whole, chain=["rnn.l0", "b"])


def double(outputs):
    (output,) = outputs.values()
    return 2 * output


def shorten(outputs):
    return outputs["a"][:, 1:]


def refuse(outputs):
    raise DataError("a mask hides steps")


def fed_by(*feeds):
    """Networks a, b, ... of one unit, each with a feed."""
    return Checkpoint(
        "model",
        tuple(
            replace(Network(name, ((one_unit(name, 0.5),),)), feed=feed)
            for name, feed in zip("abcd", feeds, strict=False)
        ),
    )


def feed(checkpoint, name, data=None, draws=4, named=()):
    inputs = Inputs.of(
        data, key=None, format=None, steps=None, features=None, scale=None, seed=0, count=draws
    )
    network = next(one for one in checkpoint.networks if one.name == name)
    return NetworkFeeder(checkpoint, inputs, draws, named).feed(network)


def test_layers_above_the_input_of_the_model_are_computed():
    data = np.arange(12.0).reshape(2, 6, 1)
    given = feed(fed_by(Feed((MODEL_INPUT,), double, ("Dense",), 1)), "a", data)
    np.testing.assert_array_equal(given.values, 2 * data)
    assert given[1:] == ("the input through Dense", True, None)


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (UnknownFeed("Lambda between is code"), "Lambda between is code"),
        (Feed(("c",), double), "it receives the output of c, which is not at hand"),
        (Feed(("a",), refuse), "a mask hides steps"),
        (Feed(("a",), shorten), r"the layers below give inputs of shape (2, 5, 1), not (2, 6, 1)"),
        (Feed(("b",), double), "its inputs depend on its own output, or on too many networks"),
        (Feed((MODEL_INPUT,), double, (), 7), "the input has 1 features and the model takes 7"),
        (Feed((MODEL_INPUT,), double), "the file does not say how many features the model's input has"),
    ],
)  # fmt: skip
def test_inputs_that_the_file_does_not_tell_are_drawn_and_the_reason_is_given(second, reason):
    given = feed(fed_by(None, second), "b", np.ones((2, 6, 1)))
    assert given.drawn.describe("b").endswith(f" inputs because {reason}")


@pytest.mark.parametrize("unknown", [UnknownFeed("it is code"), Feed(("c",), double)])
def test_data_are_not_those_of_a_network_whose_inputs_are_unknown_unless_it_is_named(unknown):
    data = np.ones((2, 6, 1))
    given = feed(fed_by(unknown), "a", data)
    assert (given.fed, given.took_input, given.drawn.network) == ("unit normal", False, "a")
    own = feed(fed_by(unknown), "a", data, named=["a"])
    np.testing.assert_array_equal(own.values, data)
    assert own[1:] == ("input", True, None)


def test_a_chain_from_the_data_comes_before_data_of_a_named_network():
    data = np.ones((2, 6, 1))
    chained = feed(fed_by(None, Feed(("a",), double)), "b", data, named=["b"])
    assert chained[1:] == ("a", True, None)
    own = feed(fed_by(UnknownFeed("it is code"), Feed(("a",), double)), "b", data, named=["b"])
    assert own[1:] == ("input", True, None)


def test_several_inputs_of_a_model_are_drawn_apart_and_named_where_data_are_given():
    model = fed_by(*(UnknownFeed("the model has 2 inputs", name) for name in "xyx"))
    first, second, third = (feed(model, name) for name in "abc")
    assert first.drawn is second.drawn is third.drawn is None
    np.testing.assert_array_equal(first.values, third.values)
    assert not np.isclose(first.values, second.values).all(axis=(1, 2)).any()
    assert not np.isclose(first.values[:, None], second.values[None]).all(axis=(2, 3)).any()
    given = feed(model, "a", np.ones((2, 6, 1)))
    assert given.drawn.describe("a") == "fed unit normal inputs because the model has 2 inputs"


def test_what_is_above_an_unknown_feed_says_where_its_inputs_began():
    given = feed(fed_by(UnknownFeed("it is code"), Feed(("a",), double), Feed(("b",), double)), "c")
    assert given.drawn.describe("c") == "above a, which is fed unit normal inputs because it is code"


def test_networks_that_feed_each_other_without_end_are_refused():
    circle = fed_by(Feed(("b",), double), Feed(("a",), double))
    assert "depend on its own output" in feed(circle, "a").drawn.reason


def test_a_thousand_networks_in_a_row_end_in_words():
    names = [f"n{k}" for k in range(1000)]
    networks = tuple(
        replace(Network(name, ((one_unit(name, 0.5),),)), feed=Feed((below,), double) if below else None)
        for name, below in zip(names, [None, *names], strict=False)
    )
    assert "too many networks" in feed(Checkpoint("deep", networks), "n999").drawn.reason


def test_networks_stand_after_those_that_feed_them():
    later, alone = Feed(("c",), double), UnknownFeed("it is code")
    names = [network.name for network in sort_networks(fed_by(later, alone, Feed(("b",), double)).networks)]
    assert names == ["b", "c", "a"]
    feeds = (None, Feed(("a",), double), UnknownFeed("it is code"), Feed(("a",), double))
    assert [network.name for network in sort_networks(fed_by(*feeds).networks)] == ["a", "b", "c", "d"]
    circle = fed_by(Feed(("b",), double), Feed(("a",), double), Feed(("missing",), double)).networks
    assert [network.name for network in sort_networks(circle)] == ["b", "a", "c"]
