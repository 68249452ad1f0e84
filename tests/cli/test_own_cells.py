"""A cell that an author writes: what it must have, and what is said of what is missing."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Optional

import numpy as np
import pytest

import gradflow
from gradflow.cells import CELLS
from gradflow.cells.base import Layer, affine
from gradflow.cells.factor import LayerFactor
from gradflow.cells.rnn import RNN
from gradflow.cells.spec import describe_cell_options, parse_cell
from gradflow.errors import UsageError
from tests.slow import central_differences

STEP = 0.5  # ε of h' = h + ε tanh((W − Wᵀ) h + U x)


@dataclass(frozen=True, eq=False)
class AntisymmetricFactor(LayerFactor):
    """∂h'/∂h = 1 + ε diag(φ′) (W − Wᵀ): the fewest parts that a factor can have."""

    slope: np.ndarray  # (..., H, 1) ε φ′
    weight_hh: np.ndarray  # (..., H, H)

    per_point: ClassVar[tuple[str, ...]] = ("slope",)

    def matmat(self, block):
        """Return J X."""
        return block + self.slope * (self._subtract_transpose() @ block)

    def rmatmat(self, block):
        """Return Jᵀ Y."""
        return block - self._subtract_transpose() @ (self.slope * block)

    def _subtract_transpose(self):
        return self.weight_hh - self.weight_hh.swapaxes(-1, -2)


@dataclass(frozen=True, eq=False)
class AntisymmetricRNN(Layer):
    """The antisymmetric network (Chang et al. 2019), without damping: no parameter has a `Use`."""

    weight_ih: np.ndarray
    weight_hh: np.ndarray
    bias: np.ndarray

    @property
    def gate_names(self):
        """One block of rows."""
        return ["h"]

    def _activate(self, state, drive):
        return np.tanh(affine(self.weight_hh - self.weight_hh.swapaxes(-1, -2), state) + drive)

    def step(self, state, drive):
        """Return h + ε tanh((W − Wᵀ) h + U x + b)."""
        return state + STEP * self._activate(state, drive)

    def linearize(self, states, inputs):
        """Return the Jacobians."""
        value = self._activate(states[..., :-1, :], self.drive(inputs))
        return AntisymmetricFactor(STEP * (1 - value**2), self.weight_hh)

    @classmethod
    def random(cls, hidden_size, input_size, generator, *, init: str = "normal"):
        """Return normal input weights, and W with 1 above its diagonal: W − Wᵀ of two units is a rotation."""
        weight_hh = np.triu(np.ones((hidden_size, hidden_size)), 1)
        return cls(generator.standard_normal((hidden_size, input_size)), weight_hh, np.zeros(hidden_size))


class Incomplete(Layer):
    """A cell without a step and without fresh weights."""

    gate_names = ("h",)

    def linearize(self, states, inputs):
        """Return nothing."""


@dataclass(frozen=True, eq=False)
class RenamedFactor(AntisymmetricFactor):
    """A factor whose recurrent weights have another name."""

    weight_hh: ClassVar[None]
    recurrent: np.ndarray

    def _subtract_transpose(self):
        return self.recurrent - self.recurrent.swapaxes(-1, -2)


@dataclass(frozen=True, eq=False)
class RenamedRNN(AntisymmetricRNN):
    """A cell with this factor."""

    def linearize(self, states, inputs):
        """Return the Jacobians."""
        return RenamedFactor(states[..., 1:, :], recurrent=self.weight_hh)


class AnnotatedRNN(RNN):
    """A cell whose options have every kind of annotation that an author may write."""

    @classmethod
    def random(
        cls, hidden_size, input_size, generator, *, init: str = "torch", name: str | None = None,
        mode: Literal["fast", "slow"] = "fast", when: "Literal['now', 'later'] | None" = None,
        count: int, size: "int" = 3, gain: "float" = 1.0, bias: Optional[float] = None,  # noqa: UP045
        soft: "bool" = False, bare=0.5, word="tanh", nothing=None, noted: Annotated[str, "a|b"] = "a",
        maybe: Annotated[str, "a|b"] | None = None,
    ):  # fmt: skip
        """Return the options."""
        return mode, when, count, soft


class LooselyAnnotatedRNN(RNN):
    """A cell with an annotation that only a type checker can read."""

    @classmethod
    def random(cls, hidden_size, input_size, generator, *, place: "Unknown" = "here", gain: "float" = 1.0):  # noqa: F821
        """Return the options."""
        return place, gain


@pytest.fixture
def own(monkeypatch):
    """Put a class into the table of cells as ``own``."""
    return lambda kind: monkeypatch.setitem(CELLS, "own", f"{__name__}:{kind.__name__}")


def test_the_help_shows_options_of_any_annotation(own, cli):
    assert describe_cell_options(AnnotatedRNN) == [
        "init=torch", "name=TEXT", "mode=fast|slow", "when=now|later", "count=INTEGER", "size=3", "gain=1",
        "bias=NUMBER", "soft=off", "bare=0.5", "word=tanh", "nothing=NUMBER", "noted=a|b", "maybe=TEXT",
        "layers=1",
    ]  # fmt: skip
    assert describe_cell_options(LooselyAnnotatedRNN) == ["place=here", "gain=1", "layers=1"]
    for kind in (AnnotatedRNN, LooselyAnnotatedRNN):
        own(kind)
        outcome = cli("compare", "-h")
        assert (outcome.code, outcome.err) == (0, "")
        assert "Options of own:" in outcome.out


def test_options_are_read_by_their_annotations(own):
    own(AnnotatedRNN)
    made = parse_cell("own:mode=slow,when=later,count=7,soft=on").make(2, 2, None)
    assert made == ("slow", "later", 7, True)
    for text, word in (("mode=slwo", "slow"), ("when=nwo", "now")):
        with pytest.raises(UsageError, match=f"did you mean '{word}'"):
            parse_cell(f"own:{text}")
    own(LooselyAnnotatedRNN)
    assert parse_cell("own:place=there,gain=2").make(2, 2, None) == ("there", 2.0)


def test_the_fewest_parts_suffice_for_norms_and_exponents(own):
    own(AntisymmetricRNN)
    cell = parse_cell("own").make(6, 2, np.random.default_rng(0))
    inputs = np.random.default_rng(1).standard_normal((3, 2))
    states = cell.run(inputs)
    for t in range(3):
        expected = central_differences(lambda s, t=t: cell.run(inputs[t : t + 1], s)[1], states[t])
        np.testing.assert_allclose(cell.linearize(states, inputs).at(t).todense(), expected, atol=2e-9)
    # Without inputs h = 0 and J = 1 + εA, which is √(1 + ε²) times a rotation for two units.
    given = {"hidden": 2, "features": 2, "steps": 40, "input": "zero"}
    rate = 0.5 * math.log(1 + STEP**2)
    assert gradflow.compare("own", seeds=1, **given).cells.rate == pytest.approx([rate], rel=1e-12)
    assert gradflow.lyapunov("own", **given).sum_rule_error < 1e-12


def test_bptt_says_that_a_cell_has_no_uses(own, check_refused):
    own(AntisymmetricRNN)
    check_refused(2, "bptt", "own", "--hidden", 4, "--steps", 5, says=["AntisymmetricRNN", "`uses`"])


def test_a_stack_says_that_a_cell_has_no_input_jacobian(own, check_refused):
    own(AntisymmetricRNN)
    check_refused(
        2, "compare", "own:layers=2", "--hidden", 4, "--steps", 5,
        says=["AntisymmetricFactor", "`input_matmat` and"],
    )  # fmt: skip


def test_what_a_class_must_have_is_named(own, check_refused):
    own(Incomplete)
    check_refused(2, "compare", "own", says=["Incomplete", "random, step", "add-a-cell.md"])
    own(RenamedRNN)
    check_refused(2, "compare", "own", "--hidden", 4, says=["RenamedFactor", "no field weight_hh"])
    with pytest.raises(UsageError, match="define per_point, matmat, rmatmat"):
        type("EmptyFactor", (LayerFactor,), {})
