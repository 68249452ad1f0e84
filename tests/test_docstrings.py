"""Docstrings of the public API: numpydoc's form, shapes and sources, and errors and fields as they are."""

import re
from concurrent.futures import BrokenExecutor
from dataclasses import is_dataclass, replace
from doctest import DocTestParser
from inspect import isclass
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from numpydoc.docscrape import ClassDoc, FunctionDoc
from numpydoc.validate import validate

import gradflow
from gradflow.analysis import BLOCKS, DTYPES, INPUTS, LOSSES, NORMS, VIEWS
from gradflow.layouts import EXPORTERS
from gradflow.layouts.assumptions import ASSUMABLE_OPTIONS
from gradflow.linalg import ENSEMBLES
from gradflow.readers import INPUT_FORMATS
from gradflow.record import ColumnMeaning, MatrixMeaning, Record, ScalarMeaning, TableMeaning, get_meanings
from gradflow.render import FORMATS

API = {name: getattr(gradflow, name) for name in gradflow.API}
CLASSES = [name for name, found in API.items() if isclass(found)]
FUNCTIONS = [name for name in API if name not in CLASSES]
RECORDS = [name for name in CLASSES if issubclass(API[name], Record)]
KINDS = (ScalarMeaning, TableMeaning, MatrixMeaning)

# Every fault that numpydoc knows is one here, but for these.
NO_FAULT = {
    "ES01": "a first line may say it all",
    "SA01": "only a class needs to tell where it comes from: see below",
}
NO_FAULT_OF_A_CLASS = {"PR01": "a dataclass has Attributes, which are looked at below"}

WITHOUT_SOURCE = {
    "convert": "gives arrays other names",
    "figure": "draws a record",
    "from_state_dict": "finds arrays by their names",
    "load": "finds arrays by their names",
    "read_array": "reads a file",
    "read_arrays": "reads a file",
    "read_matrix": "reads a literal or a file",
    "run": "runs cells whose sources their classes name",
    "to_text": "writes a record",
}

# What may be typed, as a docstring lists it and as the table has it.
LISTED = [
    ("bptt", "loss", LOSSES),
    ("compare", "block", BLOCKS),
    ("compare", "dtype", DTYPES),
    ("compare", "input", INPUTS),
    ("compare", "input_format", INPUT_FORMATS),
    ("compare", "norm", NORMS),
    ("compare", "view", VIEWS),
    ("convert", "to", EXPORTERS),
    ("init", "layout", EXPORTERS),
    ("inspect", "assume", ASSUMABLE_OPTIONS),
    ("load", "assume", ASSUMABLE_OPTIONS),
    ("power", "random", ENSEMBLES),
    ("to_text", "format", FORMATS),
]

ARRAYS = Path(__file__).parent / "oracles" / "torch_cells.npz"  # of several
MISSING = "no-such-file.npy"
NOWHERE = "no-such-directory/weights.npz"


def state(weight=0.5):
    """Return a linear network of two units, all recurrent weights the same."""
    return gradflow.from_state_dict(
        {"rnn.weight_ih_l0": np.ones((2, 1)), "rnn.weight_hh_l0": np.full((2, 2), weight)},
        assume={"activation": "identity"},
    )


LARGEST = 1.7e308  # twice that is out of range
HUGE = 1e300  # the largest weight that is taken


def beyond_files():
    """Return a linear network with larger weights than a file may hold."""
    checkpoint = state()
    (layer,) = checkpoint.layers
    large = replace(layer, cell=layer.cell.replace_arrays(weight_hh=np.full((2, 2), LARGEST)))
    return replace(checkpoint, networks=(replace(checkpoint.networks[0], levels=((large,),)),))


def two_layers():
    """Return a linear network of two layers, the second of which multiplies the huge first by as much."""
    arrays = {f"rnn.weight_{kind}_l{k}": np.full((1, 1), HUGE) for kind in ("ih", "hh") for k in (0, 1)}
    return gradflow.from_state_dict(arrays, assume={"activation": "identity"})


class BrokenWorkers:
    """An executor whose worker ends before its work is done."""

    def map(self, function, pieces):
        raise BrokenExecutor
        yield


# A call for every error that a docstring speaks of.
PROVOKED = {
    ("bptt", "UsageError"): lambda: gradflow.bptt("ltsm"),
    ("bptt", "DataError"): lambda: gradflow.bptt("rnn", targets=[[1.0]]),
    ("bptt", "NumericalError"): lambda: gradflow.bptt(state(HUGE)["rnn"], steps=9),
    ("compare", "UsageError"): lambda: gradflow.compare("rnn", norm="3"),
    ("compare", "DataError"): lambda: gradflow.compare("rnn", input=MISSING),
    ("compare", "NumericalError"): lambda: gradflow.compare(two_layers()["rnn"], steps=3, input="zero"),
    ("convert", "UsageError"): lambda: gradflow.convert(state(), "weights.txt"),
    ("convert", "DataError"): lambda: gradflow.convert(state(), NOWHERE),
    ("derive", "UsageError"): lambda: gradflow.derive("jacobian", steps=3),
    ("derive", "DataError"): lambda: gradflow.derive("power", matrix=MISSING),
    ("figure", "UsageError"): lambda: gradflow.figure(gradflow.derive(list=True)),
    ("from_state_dict", "UsageError"): lambda: gradflow.from_state_dict([np.eye(2)]),
    ("from_state_dict", "DataError"): lambda: gradflow.from_state_dict({"linear.weight": np.eye(2)}),
    ("init", "UsageError"): lambda: gradflow.init("rnn", horizon=1),
    ("init", "DataError"): lambda: gradflow.init("rnn", output=NOWHERE),
    ("init", "NumericalError"): lambda: gradflow.init("rnn:gain=3", hidden=8, features=2, seeds=1),
    ("inspect", "UsageError"): lambda: gradflow.inspect(state(), input="zero", length=10**9),
    ("inspect", "DataError"): lambda: gradflow.inspect(MISSING),
    ("inspect", "NumericalError"): lambda: gradflow.inspect(beyond_files(), length=3),
    ("load", "UsageError"): lambda: gradflow.load(ARRAYS, layout="trch"),
    ("load", "DataError"): lambda: gradflow.load(MISSING),
    ("lyapunov", "UsageError"): lambda: gradflow.lyapunov(jacobians=np.ones((5, 2, 3))),
    ("lyapunov", "DataError"): lambda: gradflow.lyapunov(jacobians=MISSING),
    ("lyapunov", "NumericalError"): lambda: gradflow.lyapunov(jacobians=np.full((5, 2, 2), LARGEST)),
    ("power", "UsageError"): lambda: gradflow.power("1 2"),
    ("power", "DataError"): lambda: gradflow.power(MISSING),
    ("power", "NumericalError"): lambda: gradflow.power([[1e300, 1.0], [1.0, 1e-300]]),
    ("random_matrix", "UsageError"): lambda: gradflow.random_matrix("ginibre", 0),
    ("read_array", "UsageError"): lambda: gradflow.read_array(ARRAYS, "no such array"),
    ("read_array", "DataError"): lambda: gradflow.read_array(ARRAYS),
    ("read_arrays", "UsageError"): lambda: gradflow.read_arrays(3),
    ("read_arrays", "DataError"): lambda: gradflow.read_arrays(MISSING),
    ("read_matrix", "UsageError"): lambda: gradflow.read_matrix("1 2", "weight"),
    ("read_matrix", "DataError"): lambda: gradflow.read_matrix("1 nan"),
    ("run", "UsageError"): lambda: gradflow.run(state(), "zero"),
    ("run", "DataError"): lambda: gradflow.run(state(), MISSING),
    ("run", "NumericalError"): lambda: gradflow.run(state(HUGE), np.ones((9, 1))),
    ("theory", "UsageError"): lambda: gradflow.theory("lstm:projection=2"),
    ("theory", "DataError"): lambda: gradflow.theory("rnn", input=MISSING),
    ("theory", "NumericalError"): lambda: gradflow.theory("rnn", seeds=1, executor=BrokenWorkers()),
    ("to_text", "UsageError"): lambda: gradflow.to_text(gradflow.power("2"), "cvs"),
    ("to_text", "NumericalError"): lambda: gradflow.to_text(
        gradflow.power("2", steps=5000), "csv", table="power"
    ),
}
NOT_TO_BE_PROVOKED = {
    ("figure", "DataError"): "tests/render/test_figure.py takes matplotlib away",
    ("derive", "NumericalError"): "tests/analysis/test_derive.py makes a line that is wrong",
}


def hints_of(found):
    """Return the types of a function; Figure is known to type checkers alone."""
    return get_type_hints(found, localns={"Figure": Figure})


def takes_array(kind):
    """Whether ArrayLike is among the types; older numpy dissolves it into its own."""
    parts = {kind, *get_args(kind)}
    return ArrayLike in parts or (bool(get_args(ArrayLike)) and set(get_args(ArrayLike)) <= parts)


def gives_array(kind):
    return "ndarray" in str(kind).lower()


def read(name):
    """Return the sections of a public name's docstring."""
    return (ClassDoc if name in CLASSES else FunctionDoc)(API[name])


def types_of(name, section):
    """Return what is documented in a section: each name, and its type."""
    return {one: entry.type for entry in read(name)[section] for one in entry.name.split(", ")}


def text_of(name, parameter):
    (entry,) = [entry for entry in read(name)["Parameters"] if parameter in entry.name.split(", ")]
    return " ".join(entry.desc)


@pytest.mark.parametrize("name", API)
def test_numpydoc_finds_no_fault(name):
    loose = NO_FAULT | (NO_FAULT_OF_A_CLASS if name in CLASSES else {})
    faults = validate(f"gradflow.{name}")["errors"]
    assert [fault for fault in faults if fault[0] not in loose] == []


def test_an_example_shows_what_comes_out():
    for name in API:
        examples = DocTestParser().get_examples("\n".join(read(name)["Examples"]))
        assert any(example.want for example in examples), name


def test_every_array_has_its_shape():
    for name in FUNCTIONS:
        hints = hints_of(API[name])
        arrays = [one for one, kind in hints.items() if takes_array(kind)]
        types = types_of(name, "Parameters")
        assert [one for one in arrays if not re.search(r"array-like \(.+\)", types[one])] == [], name
        if gives_array(hints["return"]):
            assert re.match(r"array \(.+\) of ", read(name)["Returns"][0].type), name


def test_some_arrays_are_looked_at():
    assert "array-like (n, n)" in types_of("power", "Parameters")["matrix"]
    assert takes_array(hints_of(gradflow.power)["matrix"])
    assert not takes_array(hints_of(gradflow.power)["key"])
    assert gives_array(hints_of(gradflow.random_matrix)["return"])


def test_every_computation_has_a_source_with_its_year():
    dated = {name for name in FUNCTIONS if re.search(r"\b(19|20)\d\d\b", " ".join(read(name)["References"]))}
    assert dated == set(FUNCTIONS) - set(WITHOUT_SOURCE)


def test_every_error_that_is_spoken_of_can_be_had():
    known = [*PROVOKED, *NOT_TO_BE_PROVOKED]
    for name in FUNCTIONS:
        spoken_of = [(name, entry.type) for entry in read(name)["Raises"]]
        assert sorted(spoken_of) == sorted(one for one in known if one[0] == name)
        assert spoken_of


@pytest.mark.parametrize(("name", "leaf"), PROVOKED)
def test_an_error_is_the_one_that_is_spoken_of(name, leaf):
    with pytest.raises(gradflow.GradflowError) as caught:
        PROVOKED[name, leaf]()
    assert type(caught.value).__name__ == leaf


@pytest.mark.parametrize(("name", "parameter", "table"), LISTED)
def test_a_list_of_words_is_that_of_the_table(name, parameter, table):
    words = set(re.findall(r"[\w-]+", text_of(name, parameter)))
    assert [word for word in table if word not in words] == []


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_names_the_functions_that_return_it(name):
    returning = {one for one in FUNCTIONS if hints_of(API[one])["return"] is API[name]}
    seen = {function for group, _ in read(name)["See Also"] for function, _ in group}
    assert {f"gradflow.{one}" for one in returning} <= seen
    assert bool(returning) != (name == "GradflowError")


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_lists_every_field_and_column_with_its_meaning_and_unit(name):
    record, hints = API[name], hints_of(API[name])
    expected = {
        field: get_meanings(record, kind)[field] for kind in KINDS for field in get_meanings(record, kind)
    }
    for table in get_meanings(record, TableMeaning):
        (holder,) = [one for one in (hints[table], *get_args(hints[table])) if is_dataclass(one)]
        expected |= {
            f"{table}.{column}": told for column, told in get_meanings(holder, ColumnMeaning).items()
        }
    listed = {entry.name: entry for entry in read(name)["Attributes"]}
    assert listed.keys() == {"params", "notes", *expected}
    for field, meaning in expected.items():
        assert listed[field].desc[0] == meaning.description
        unit = getattr(meaning, "unit", "")
        assert re.findall(r"\[(.+)\]", listed[field].type) == ([unit] if unit else [])
