"""Records for tests of renderers: plain, with zeros, outside the range of a double, complex and invented."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import gradflow
from gradflow.printable import join_lines
from gradflow.record import Matrix, Record, column, matrix, scalar, table
from gradflow.table import Table

SMALL = {"hidden": 3, "seeds": 2, "features": 2}
MAKERS = {
    "exercise": lambda: gradflow.power(
        "0.58 0.24; 0.24 0.72", claim_vectors="0.8 -0.6; 0.6 0.8", claim_values="0.4 0.9"
    ),
    "nilpotent": lambda: gradflow.power("0 1; 0 0"),
    "large": lambda: gradflow.power("2 0; 0 1", steps=5000),
    "small": lambda: gradflow.power("0.5", steps=5000),
    "complex": lambda: gradflow.power("1+2j 3; 4j -5-1j", steps=7),
    "without-matrices": lambda: gradflow.power(random="ginibre", size=17),
    "derivation": lambda: gradflow.derive("cell-gradient", hidden=2, checks=True),
    "cells": lambda: gradflow.compare("rnn", "lstm", "rnn:gain=0", steps=40, **SMALL),
}


@dataclass(frozen=True, eq=False, repr=False)
class Parts(Table):
    """A table with every kind of entry."""

    name: list[str] = column("name")
    value: np.ndarray = column("value", unit="m/s")
    count: list[int | None] = column("count")
    good: list[bool] = column("good")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MadeUp(Record):
    """A record that no analysis returns."""

    command: ClassVar[str] = "made-up"

    label: str = scalar("label")
    number: complex = scalar("number")
    there_is_none: float | None = scalar("nothing")
    flag: np.bool_ = scalar("flag")
    narrow: np.float32 = scalar("narrow")
    sentence: str = scalar("sentence", prose=True)
    parts: Parts = table("parts", value="value")
    grid: Matrix | None = matrix("grid")
    left_out: Parts | None = table("left out")


HOSTILE = [
    "a|b", "<script>alert(1)</script>", "&amp;", "*a* _b_ `c`", "a,b;c\td", '"quoted"', "[red]x[/red]",
    "a\nb", "\\", "\x1b[31mred", ":smile:", "=1+1", "  ", "漢字", "# a",
]  # fmt: skip


@pytest.fixture(scope="session")
def made_up():
    """Return a function that makes a record with a text in every place where a text can be."""

    def made_up(text="plain", values=(0.5, np.inf, -np.inf, np.nan)):
        count = len(values)
        return MadeUp(
            params={"text": text, "list": [text], "nan": np.nan, "count": np.int64(3)},
            notes=(f"note {text}",),
            label=text,
            number=1 - 2j,
            there_is_none=None,
            flag=np.bool_(True),
            narrow=np.float32(0.1),
            sentence=join_lines([f"sentence {text}"]),
            parts=Parts([text] * count, np.array(values), [None] * count, [True] * count),
            grid=Matrix(np.array([[1.0, 2.0], [3.0, 4.0]]), -1),
        )

    return made_up


@pytest.fixture(scope="session")
def records(made_up):
    return {name: make() for name, make in MAKERS.items()} | {"made-up": made_up()}


@pytest.fixture(params=[*MAKERS, "made-up"])
def record(request, records):
    return records[request.param]


@pytest.fixture(params=HOSTILE)
def hostile(request):
    return request.param


@pytest.fixture(scope="session")
def draw():
    """Return the public function that renders a record."""
    return gradflow.to_text
