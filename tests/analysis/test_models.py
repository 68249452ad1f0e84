"""Trained models in memory: state dicts, modules, and what was loaded, for every question about them."""

import json
from dataclasses import replace

import numpy as np
import pytest

import gradflow
from gradflow.errors import DataError, UsageError
from gradflow.layouts.chains import chain_networks
from tests.test_tensors import Tensor

RANDOM = np.random.default_rng(0)


def draw(*shape):
    return RANDOM.uniform(-0.5, 0.5, shape).astype(np.float32)


LSTM = {"weight_ih_l0": draw(16, 3), "weight_hh_l0": draw(16, 4)}
RNN = {"weight_ih_l0": draw(4, 3), "weight_hh_l0": draw(4, 4)}
INPUTS = draw(9, 3)
TWO = {f"{name}.{key}": array for name in ("first", "second") for key, array in LSTM.items()}


class Module:
    """A model as torch has it: parameters that are tensors in training."""

    def __init__(self, arrays):
        self.arrays = arrays

    def state_dict(self):
        return {name: Tensor(array, requires_grad=True) for name, array in self.arrays.items()}


class Submodule:
    """A part of a model that states its activation, as torch's RNN does."""

    def __init__(self, nonlinearity):
        self.nonlinearity = nonlinearity


class StatingModule(Module):
    """A model of two parts, of which the second states its activation."""

    def named_modules(self):
        return [("", self), ("first", object()), ("second", Submodule("relu"))]


QUESTIONS = {
    "compare": lambda model, **more: gradflow.compare(model, steps=9, seeds=2, **more),
    "lyapunov": lambda model, **more: gradflow.lyapunov(model, steps=40, **more),
    "bptt": lambda model, **more: gradflow.bptt(model, steps=9, **more),
    "inspect": lambda model, **more: gradflow.inspect(model, input=INPUTS, length=9, **more),
}
ONE_NETWORK = ["compare", "lyapunov", "bptt"]


def numbers(record, path="none"):
    """Return what a record holds, with the name of the network in place of that of its file."""
    found = json.loads(record.to_json().replace(str(path), "lstm"))
    del found["params"]
    return found


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_model_is_the_same_in_whatever_form_it_is_given(question, tmp_path):
    ask = QUESTIONS[question]
    np.savez(tmp_path / "model.npz", **LSTM)
    loaded = gradflow.load(tmp_path / "model.npz")
    expected = numbers(ask(loaded))
    for model in (loaded.networks[0], LSTM, Module(LSTM)):
        assert numbers(ask(model)) == expected
    path = tmp_path / "model.npz"
    assert numbers(ask(path), path) == expected
    assert ask(path).to_json() == ask(str(path)).to_json()


def test_the_activation_that_a_module_states_is_used_and_not_called_assumed():
    arrays = {f"{name}.{key}": array for name in ("first", "second") for key, array in RNN.items()}
    found = gradflow.inspect(StatingModule(arrays), input=INPUTS, advice="none")
    relu = gradflow.inspect(arrays, input=INPUTS, advice="none", assume={"activation": "relu"})
    tanh = gradflow.inspect(arrays, input=INPUTS, advice="none")
    logs = [tanh.layers.log10_share[0], relu.layers.log10_share[1]]
    assert found.layers.log10_share == logs
    assert logs[1] != tanh.layers.log10_share[1]
    assumed = [note for note in found.notes if "assumed" in note]
    assert len(assumed) == 1
    assert assumed[0].startswith("first: ")


def test_convert_takes_models_too(tmp_path):
    sources = {"loaded": gradflow.from_state_dict(LSTM), "mapping": LSTM, "module": Module(LSTM)}
    for name, model in sources.items():
        gradflow.convert(model, tmp_path / f"{name}.npz")
    read = [np.load(tmp_path / f"{name}.npz") for name in sources]
    for arrays in read[1:]:
        assert list(arrays) == list(read[0])
        for name in arrays:
            np.testing.assert_array_equal(arrays[name], read[0][name])
    gradflow.convert(gradflow.from_state_dict(TWO)["second"], tmp_path / "one.npz")
    assert "weight_hh_l0" in np.load(tmp_path / "one.npz")
    with pytest.raises(UsageError, match="source 3: expected a file"):
        gradflow.convert(3, tmp_path / "none.npz")


@pytest.mark.parametrize("question", ONE_NETWORK)
@pytest.mark.parametrize("model", [TWO, Module(TWO), gradflow.from_state_dict(TWO)])
def test_of_several_networks_the_names_are_listed(question, model):
    with pytest.raises(UsageError, match=r"several networks; choose one, as in .*\['first'\]: first, second"):
        QUESTIONS[question](model)


def test_inspect_takes_every_network_of_a_model():
    for model in (TWO, Module(TWO)):
        assert gradflow.inspect(model, length=9).layers.layer == ["first", "second"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_the_arrays_leave_open_is_assumed(question):
    ask, relu = QUESTIONS[question], {"activation": "relu"}
    tanh = numbers(ask(gradflow.from_state_dict(RNN)))
    expected = numbers(ask(gradflow.from_state_dict(RNN, assume=relu)))
    assert expected["tables"] != tanh["tables"]
    for model in (RNN, Module(RNN)):
        found = ask(model, assume=relu)
        assert numbers(found) == expected
        assert found.params["assume"] == relu
        assert numbers(ask(model)) == tanh


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_assumption_without_effect_is_refused(question):
    ask, relu = QUESTIONS[question], {"activation": "relu"}
    with pytest.raises(UsageError, match="assume has no effect on a checkpoint that was already read"):
        ask(gradflow.from_state_dict(RNN), assume=relu)
    with pytest.raises(UsageError, match="says what activation is"):
        ask(LSTM, assume=relu)
    with pytest.raises(UsageError, match="unknown assumption 'activatoin'; did you mean 'activation'"):
        ask(RNN, assume={"activatoin": "relu"})


@pytest.mark.parametrize("question", ONE_NETWORK)
def test_nothing_is_assumed_of_fresh_cells(question):
    with pytest.raises(UsageError, match="assume has no effect on a cell with fresh weights"):
        QUESTIONS[question]("rnn", assume={"activation": "relu"})
    with pytest.raises(UsageError, match="assume has no effect beside Jacobians"):
        gradflow.lyapunov(jacobians=np.ones((9, 1, 1)), assume={"activation": "relu"})


def test_an_assumption_may_be_about_one_of_several_models():
    found = gradflow.compare("rnn", LSTM, RNN, steps=9, seeds=2, assume={"activation": "relu"})
    alone = gradflow.compare(RNN, steps=9, seeds=2, assume={"activation": "relu"})
    assert found.cells.cell == ["rnn", "lstm", "rnn (2)"]
    assert found.cells.rate[2] == alone.cells.rate[0]


def test_models_of_one_name_are_numbered():
    found = gradflow.compare(LSTM, "lstm", Module(LSTM), gradflow.from_state_dict(LSTM), steps=9, seeds=2)
    assert found.cells.cell == found.params["cells"] == ["lstm (2)", "lstm", "lstm (3)", "lstm (4)"]
    after = {name: 2 * array for name, array in LSTM.items()}
    changes = gradflow.inspect(LSTM, after, Module(LSTM), length=9)
    assert changes.files.file == changes.params["files"] == ["state dict", "state dict (2)", "Module"]
    assert len(gradflow.inspect(LSTM, after, length=9, diff=True).changes) > 0


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_is_no_model_is_refused(question):
    ask = QUESTIONS[question]
    for wrong in (3, None, np.eye(2), Module, [LSTM]):
        if question == "lyapunov" and wrong is None:
            continue
        with pytest.raises(UsageError, match=r"is not a (cell|file)|: expected a file"):
            ask(wrong)
    optimizer = Module({"state": np.eye(2)})
    with pytest.raises(DataError, match="Module: holds no recurrent layer"):
        ask(optimizer)
    optimizer.state_dict = lambda: [np.eye(2)]
    with pytest.raises(UsageError, match=r"Module: state_dict\(\) returns a list"):
        ask(optimizer)


def test_fresh_weights_have_names_alone():
    for call in (gradflow.init, gradflow.theory):
        for model in (LSTM, Module(LSTM), gradflow.from_state_dict(LSTM)):
            with pytest.raises(UsageError, match="is not the name of a cell with fresh weights; expected"):
                call(model)


@pytest.mark.parametrize("measure", [gradflow.compare, gradflow.bptt, gradflow.lyapunov])
def test_every_question_tells_what_was_assumed_left_out_and_fed_otherwise(measure):
    arrays = {"enc.weight_ih": np.ones((3, 2)), "enc.weight_hh": 0.1 * np.ones((3, 3))}
    arrays |= {"dec.weight_ih": np.ones((2, 3)), "dec.weight_hh": 0.1 * np.ones((2, 2))}
    model = chain_networks(gradflow.from_state_dict(arrays), ["enc", "dec"])
    alone = replace(model, networks=model.networks[1:], remarks=("opaque values: extra (Mode)",))
    notes = " ".join(measure(alone, steps=9).notes)
    assert "assumed, because the file does not say: activation=tanh" in notes
    assert "opaque values: extra (Mode)." in notes
    assert "in its model dec receives enc; here it receives the inputs of this call" in notes
