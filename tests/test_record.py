"""Results are data: scalars, tables and texts that Python reads as it reads its own."""

import json
from typing import get_type_hints

import numpy as np
import pytest

import gradflow

RECORDS = ["bptt", "compare", "convert", "derive", "init", "inspect", "lyapunov", "power", "theory"]


def lstm(seed=0, scale=0.3):
    """Return the arrays of an LSTM of 8 units on 4 features, as torch names them."""
    draw = np.random.default_rng(seed).standard_normal
    return {"weight_ih_l0": draw((32, 4)), "weight_hh_l0": scale * draw((32, 8))}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return a result of every public function that has one."""
    model = gradflow.from_state_dict({"first": lstm(0), "second": lstm(1)})
    return {
        "bptt": gradflow.bptt("rnn", hidden=4, steps=9),
        "compare": gradflow.compare("rnn", "lstm", "rnn:gain=0", hidden=4, steps=9, seeds=2),
        "convert": gradflow.convert(gradflow.from_state_dict(lstm()), tmp_path_factory.mktemp("new") / "weights.npz"),
        "derive": gradflow.derive("cell-gradient", hidden=2),
        "init": gradflow.init("gru", hidden=4, horizon=12),
        "inspect": gradflow.inspect(model, length=9),
        "lyapunov": gradflow.lyapunov("rnn", hidden=4, steps=50),
        "power": gradflow.power("0.9 1; 0 0.9"),
        "theory": gradflow.theory("rnn:init=ginibre,gain=1.5", hidden=8, steps=50, seeds=2),
    }


def paragraphs(text):
    return {" ".join(part.split()) for part in text.split("\n")}


@pytest.mark.parametrize("name", RECORDS)
def test_a_conclusion_is_one_text_with_a_line_for_each_subject(results, name):
    record = results[name]
    if "conclusion" not in get_type_hints(type(record)):
        assert name == "convert"
        return
    assert get_type_hints(type(record))["conclusion"] is str
    assert json.loads(gradflow.to_text(record, "json"))["summary"]["conclusion"] == record.conclusion
    lines = record.conclusion.split("\n")
    assert len(lines) == {"compare": 3, "inspect": 2}.get(name, 1)
    assert all(line.endswith(".") for line in lines)
    assert paragraphs(gradflow.to_text(record, "table")) >= {" ".join(line.split()) for line in lines}


def test_each_cell_and_each_layer_has_its_own_line(results):
    for name, subjects in {"compare": results["compare"].cells.cell, "inspect": ["first", "second"]}.items():
        lines = results[name].conclusion.split("\n")
        assert [line.split(" is ")[0].split(": ")[0] for line in lines] == subjects


def test_a_line_break_in_a_name_does_not_start_another_line():
    model = gradflow.from_state_dict({"first\nsecond": lstm()})
    assert "\n" not in gradflow.inspect(model, length=9).conclusion
