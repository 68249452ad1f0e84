"""Records to draw: one of every command, and an invented one with every kind of picture."""

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np

import gradflow
from gradflow.drawing import CurveDrawing, DrawnColumn, ImageDrawing, ItemDrawing, PlaneDrawing
from gradflow.record import Record, column, scalar, table
from gradflow.table import Table

SMALL = {"hidden": 3, "features": 2, "seeds": 2}
UNIT = np.ones((1, 1))


def _convert():
    with tempfile.TemporaryDirectory() as folder:
        return gradflow.convert(_layer(0.5), Path(folder) / "weights.npz")


def _layer(weight):
    return gradflow.from_state_dict(
        {"weight_ih_l0": UNIT, "weight_hh_l0": weight * UNIT}, assume={"activation": "tanh"}
    )


def faint_layer():
    """Return a layer that leaves little of a gradient."""
    return _layer(0.5)


MAKERS = {
    "power": lambda: gradflow.power("0.9 1; 0 0.9", steps=12),
    "compare": lambda: gradflow.compare(
        "rnn", "lstm", "gru", steps=12, pair_map=True, paths=True, gate_steps=True, **SMALL
    ),
    "bptt": lambda: gradflow.bptt("rnn", steps=12, hidden=3, features=2, batch=1, pair_map=True),
    "lyapunov": lambda: gradflow.lyapunov("rnn", hidden=3, features=2, steps=60, seeds=3),
    "theory": lambda: gradflow.theory("rnn:init=ginibre", gain="0.5:1.5:0.5", measure=False),
    "init": lambda: gradflow.init("gru", hidden=4, horizon=12),
    "inspect": lambda: gradflow.inspect(_layer(0.5), length=11, gate_steps=True),
    "convert": _convert,
}


@cache
def of_command(name):
    """Return a record of a command; it is made once."""
    return MAKERS[name]()


@dataclass(frozen=True, eq=False, repr=False)
class Walks(Table):
    """Curves with a band and a bound."""

    name: list[str] = column("who walks")
    step: np.ndarray = column("steps that were walked; from 1", unit="step")
    log10_height: np.ndarray = column("log₁₀ of the height", unit="m", log10=True, levels={-3.0: "sea level"})
    lowest: np.ndarray = column("the lowest of all")
    highest: np.ndarray = column("the highest of all")
    limit: np.ndarray = column("what none is under")


@dataclass(frozen=True, eq=False, repr=False)
class Things(Table):
    """Items with an error."""

    thing: list[str] = column("what it is")
    size: np.ndarray = column("its size", unit="m")
    error: np.ndarray = column("standard error", unit="m")


@dataclass(frozen=True, eq=False, repr=False)
class Points(Table):
    """Points of the complex plane."""

    across: np.ndarray = column("real part")
    up: np.ndarray = column("imaginary part")
    condition: np.ndarray = column("condition")


@dataclass(frozen=True, eq=False, repr=False)
class Pixels(Table):
    """An image, row by row."""

    x: np.ndarray = column("the place across", unit="km")
    y: np.ndarray = column("the place up", unit="km")
    log10_depth: np.ndarray = column("log₁₀ of the depth", unit="m", log10=True)


@dataclass(frozen=True, eq=False, repr=False)
class Words(Table):
    """A table without a picture."""

    word: list[str] = column("a word")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Outing(Record):
    """A record that no analysis returns."""

    command: ClassVar[str] = "outing"

    conclusion: str = scalar("in words", prose=True)

    walks: Walks | None = table(
        "walks",
        drawn=[
            CurveDrawing(
                "step",
                (
                    DrawnColumn("log10_height", low="lowest", high="highest"),
                    DrawnColumn("limit", dashed=True),
                ),
                apart=("name",),
            )
        ],
    )
    things: Things | None = table(
        "things", drawn=[ItemDrawing(("thing",), (DrawnColumn("size", error="error"),))]
    )
    points: Points | None = table("points", drawn=[PlaneDrawing("across", "up", size="condition")])
    pixels: Pixels | None = table("pixels", drawn=[ImageDrawing("x", "y", "log10_depth")])
    panels: Walks | None = table(
        "one for each",
        drawn=[CurveDrawing("step", (DrawnColumn("log10_height", marks=True),), panels=("name",))],
    )
    words: Words | None = table("words")


def outing(**tables):
    """Return a record with some tables."""
    return Outing(params={}, conclusion="All were home by six.", **tables)


def walks(heights, band=0.0, limit=np.nan):
    """Return curves by name; each starts at step 1 and has a band from y − band to y + band."""
    names = [name for name, curve in heights.items() for _ in curve]
    y = np.array([value for curve in heights.values() for value in curve], float)
    steps = np.array([k + 1 for curve in heights.values() for k in range(len(curve))], float)
    return Walks(names, steps, y, y - band, y + band, np.full(len(y), limit))


def things(sizes, error=0.5):
    """Return items by name."""
    return Things(list(sizes), np.array(list(sizes.values()), float), np.full(len(sizes), error))


def points(values, conditions):
    """Return points of the plane."""
    values = np.array(values, complex)
    return Points(values.real, values.imag, np.array(conditions, float))


def pixels(values):
    """Return an image; the first row of values is the lowest."""
    rows, columns = np.indices(np.shape(values))
    return Pixels(columns.ravel() + 0.0, rows.ravel() + 0.0, np.ravel(values).astype(float))


def whole():
    """Return a record with every kind of picture and a table without one."""
    heights = {"near": [0.0, -1.0, -2.0, -np.inf], "far": [1.0, 0.0, -4.0, -5.0]}
    return outing(
        walks=walks(heights, band=0.25, limit=-6.0),
        things=things({"a stone": 2.0, "a leaf": -1.0}),
        points=points([0.5, 0.9j, -0.9j, 1.5], [1.0, 100.0, 1e6, np.inf]),
        pixels=pixels([[0.0, -1.0, -2.0], [-3.0, -np.inf, -5.0]]),
        panels=walks(heights),
        words=Words(["no", "picture"]),
    )
