"""An argument of another type is a `GradflowError` that names it, whichever function and parameter it is."""

import inspect
import pickle
from types import NoneType, UnionType
from typing import Union, get_args, get_origin

import numpy as np
import pytest

import gradflow
from gradflow.errors import DataError, GradflowError, UsageError
from gradflow.render.style import Style

DRAW = np.random.default_rng(0).standard_normal
LSTM = {"weight_ih_l0": DRAW((8, 3)), "weight_hh_l0": 0.3 * DRAW((8, 2))}
SMALL = {"hidden": 2, "features": 2}
POWERS = gradflow.power("2", steps=2)
FLOW = gradflow.compare("rnn", steps=3, seeds=1, **SMALL)
NAMES = [name for name in gradflow.API if inspect.isfunction(getattr(gradflow, name))]


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """Return arguments and options with which each public function works."""
    folder = tmp_path_factory.mktemp("files")
    np.savez(folder / "model.npz", **LSTM)
    np.save(folder / "matrix.npy", np.eye(2))
    return {
        "bptt": (["rnn"], SMALL | {"steps": 3}),
        "compare": (["rnn"], SMALL | {"steps": 3, "seeds": 1}),
        "convert": ([LSTM, folder / "new.npz"], {}),
        "derive": (["jacobian"], {}),
        "figure": ([FLOW], {}),
        "from_state_dict": ([LSTM], {}),
        "init": (["rnn"], SMALL | {"horizon": 3, "seeds": 1}),
        "inspect": ([LSTM], {"length": 5, "advice": "none"}),
        "load": ([folder / "model.npz"], {}),
        "lyapunov": (["rnn"], SMALL | {"steps": 9}),
        "power": (["0 1; 1 0"], {"steps": 2}),
        "random_matrix": (["ginibre", 2], {}),
        "read_array": ([folder / "matrix.npy"], {}),
        "read_arrays": ([folder / "matrix.npy"], {}),
        "read_matrix": (["0 1; 1 0"], {}),
        "run": ([LSTM, np.ones((4, 3))], {}),
        "theory": (["rnn"], SMALL | {"steps": 9, "seeds": 1, "measure": False}),
        "to_text": ([POWERS], {}),
    }


def call(calls, name, parameter, value):
    """Call a function with another value of one of its parameters."""
    arguments, options = calls[name]
    parameters = list(inspect.signature(getattr(gradflow, name)).parameters.values())
    place = [one.name for one in parameters].index(parameter)
    if parameters[place].kind is inspect.Parameter.VAR_POSITIONAL:
        arguments = [value]
    elif place < len(arguments):
        arguments = [*arguments[:place], value, *arguments[place + 1 :]]
    else:
        options = options | {parameter: value}
    return getattr(gradflow, name)(*arguments, **options)


def list_parameters(kind=None):
    """Return the parameters of every public function, or those that take one type alone, and perhaps None."""
    return [
        (name, parameter.name)
        for name in NAMES
        for parameter in inspect.signature(getattr(gradflow, name)).parameters.values()
        if kind is None or list_types(parameter.annotation) <= {kind, NoneType, kind.__name__}
    ]


def list_types(annotation):
    return set(get_args(annotation)) if get_origin(annotation) in (Union, UnionType) else {annotation}


@pytest.mark.parametrize(
    "wrong",
    [object(), b"x", ["torch"], {1: 2}, np.eye(3), np.array([object(), None]), 1j, [None]],
    ids=["object", "bytes", "list", "dict", "array", "objects", "complex", "none"],
)
def test_no_value_ends_in_an_error_of_python(calls, wrong):
    foreign = []
    for name, parameter in list_parameters():
        try:
            call(calls, name, parameter, wrong)
        except GradflowError:  # or none: some values are right
            continue
        except Exception as error:
            foreign.append((name, parameter, repr(error)))
    assert foreign == []


@pytest.mark.parametrize(("name", "parameter"), list_parameters(int))
def test_a_number_as_text_is_shown_as_text(calls, name, parameter):
    with pytest.raises(UsageError, match=f"^{parameter} '5': expected an integer"):
        call(calls, name, parameter, "5")


@pytest.mark.parametrize(("name", "parameter"), list_parameters(float))
def test_only_a_real_number_is_a_number(calls, name, parameter):
    for wrong in ("5", 1j, [3], True):
        with pytest.raises(UsageError, match=f"^{parameter} .*: expected a (finite )?number"):
            call(calls, name, parameter, wrong)


@pytest.mark.parametrize(("name", "parameter"), list_parameters(bool))
def test_a_switch_takes_true_and_false_alone(calls, name, parameter):
    for wrong in ("no", 0, None, np.eye(2)):
        with pytest.raises(UsageError, match=f"^{parameter},? .*: expected True or False$"):
            call(calls, name, parameter, wrong)


def test_kinds_of_parameters_are_found():
    found = {kind: {parameter for _, parameter in list_parameters(kind)} for kind in (int, float, bool)}
    assert {"hidden", "length", "seed", "size"} <= found[int]
    assert {"gain", "input_scale", "tolerance"} <= found[float]
    assert {"pair_map", "checks", "bounds"} <= found[bool]


def test_numbers_and_switches_of_numpy_are_taken(calls):
    call(calls, "compare", "hidden", np.int64(2))
    call(calls, "compare", "input_scale", np.float32(2))
    call(calls, "compare", "pair_map", np.bool_(True))
    assert gradflow.random_matrix("jordan", np.int8(1), gain=np.float16(2)).tolist() == [[2.0]]


@pytest.mark.parametrize(
    ("name", "parameter", "value", "says"),
    [
        (
            "derive",
            "topic",
            3,
            "topic 3: expected the name of a topic or a number of the sheet, such as 'jac",
        ),
        ("derive", "topic", np.eye(3), "topic, an array of shape (3, 3): expected the name of a topic"),
        (
            "load",
            "path",
            None,
            "path None: expected the name of a file; give a state dict to gradflow.from_s",
        ),
        (
            "load",
            "path",
            LSTM,
            "path, an object of type dict: expected the name of a file; give a state dict",
        ),
        ("load", "assume", "relu", "assume 'relu': expected a mapping, such as {'activation': 'relu'}"),
        ("load", "assume", {3: "relu"}, "unknown assumption 3. Valid: activation, gate_activation"),
        ("from_state_dict", "mapping", 3, "state dict 3: expected a mapping of names to arrays; pass model."),
        ("read_array", "source", 3, "source 3: expected the name of a file"),
        ("read_array", "key", 3, "key 3: expected text, or leave it out"),
        ("read_array", "dimensions", 2, "dimensions 2: expected a list of integers, such as [1, 2]"),
        ("read_matrix", "text", None, "source None: expected the name of a file"),
        ("convert", "source", 3, "source 3: expected a file, a state dict, or a module"),
        ("convert", "target", 3, "target 3: expected text or a path"),
        ("figure", "record", 3, "record 3: expected what an analysis returned, such as gradflow.compare("),
        ("figure", "labels", 3, "labels 3: expected a list of texts, such as ['before', 'after'], or leave"),
        ("figure", "labels", "ab", "labels 'ab': expected a list of texts"),
        ("figure", "labels", [3], "labels [3]: expected a list of texts"),
        ("to_text", "record", 3, "record 3: expected what an analysis returned"),
        ("to_text", "format", 3, "format 3: expected text, such as 'table'"),
        ("to_text", "style", 3, "style 3: expected a gradflow.render.style.Style"),
        ("to_text", "table", 3, "table 3: expected text, or leave it out"),
        ("inspect", "advice", ["torch"], "advice ['torch']: expected text, or leave it out"),
        ("inspect", "length", "5", "length '5': expected an integer, or leave it out"),
        pytest.param(
            "compare",
            "seed",
            2**20000,
            "seed, an integer of 20001 bits: expected an integer from 0 to",
            id="huge",
        ),
        ("compare", "cells", ["rnn", "lstm"], "['rnn', 'lstm'] is not a cell; expected a name such as 'ls"),
        ("compare", "cells", ["rnn"], "or a module that has one; give each cell as an argument of its own"),
        (
            "lyapunov",
            "cell",
            3,
            "3 is not a cell; expected a name such as 'lstm', a file, a netw",
        ),
        ("bptt", "cell", np.eye(2), "an array of shape (2, 2) is not a cell; expected a name"),
        ("bptt", "loss", 3, "loss 3: expected text, such as 'mean'"),
        ("init", "cell", object(), "an object of type object is not the name of a cell with fresh weights"),
        ("random_matrix", "ensemble", 3, "unknown random matrix 3. Valid: ginibre"),
        ("random_matrix", "size", "3", "size '3': expected an integer from 1 to"),
    ],
)
def test_a_message_has_the_value_and_what_was_expected(calls, name, parameter, value, says):
    with pytest.raises(UsageError) as caught:
        call(calls, name, parameter, value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (object(), "matrix is an object of type object: expected an array, or nested lists of numbers"),
        ([[1, None], [2, 3]], "matrix has an entry that is None: expected an array, or nested lists"),
        ([1, 2], "'matrix' has shape (2,); expected 2 dimensions, not 1; reshape it"),
        (np.zeros((2, 2, 2)), "expected 2 dimensions, not 3; choose a part, such as matrix[0]"),
        (
            np.zeros((2, 3)),
            "the matrix is 2×3; expected a square one: give a square block of it",
        ),
    ],
)
def test_a_message_about_an_array_in_memory_needs_no_file(matrix, says):
    with pytest.raises(GradflowError) as caught:
        gradflow.power(matrix)
    assert says in str(caught.value)
    assert "key" not in str(caught.value)


def test_a_matrix_may_be_a_path(tmp_path):
    np.save(tmp_path / "w.npy", [[0.0, 1.0], [1.0, 0.0]])
    for found in (gradflow.power(tmp_path / "w.npy"), gradflow.derive("power", matrix=tmp_path / "w.npy")):
        assert found.params["matrix"] == str(tmp_path / "w.npy")
    np.save(tmp_path / "q.npy", [[1.0, 1.0], [1.0, -1.0]])
    np.save(tmp_path / "v.npy", [[1.0, 0.0], [0.0, -1.0]])
    claimed = gradflow.power("0 1; 1 0", claim_vectors=tmp_path / "q.npy", claim_values=tmp_path / "v.npy")
    assert claimed.claim_holds is True
    assert gradflow.read_matrix(tmp_path / "w.npy").tolist() == [[0.0, 1.0], [1.0, 0.0]]
    with pytest.raises(DataError, match="no such file"):
        gradflow.power(tmp_path / "none.npy")


def test_a_style_is_taken():
    assert "norms" in gradflow.to_text(POWERS, "table", Style(details=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_public_function_can_be_pickled_and_keeps_its_signature(name):
    function = getattr(gradflow, name)
    assert pickle.loads(pickle.dumps(function)) is function
    assert inspect.signature(function) == inspect.signature(gradflow.registry.load(gradflow.API[name]))


def test_an_unknown_parameter_is_an_error_of_python():
    with pytest.raises(TypeError, match=r"compare\(\) got an unexpected keyword argument 'hiden'"):
        gradflow.compare("rnn", hiden=3)
