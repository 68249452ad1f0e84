"""The same for the GRU (Cho et al. 2014), in torch's form: gates, carousel, and the gradient in full."""

from dataclasses import dataclass
from functools import cached_property, reduce
from typing import NamedTuple

import numpy as np

from gradflow.analysis.derivations.complex_step import (
    FUNCTIONS,
    derivative,
    sigmoid,
    sigmoid_slope,
    tanh_slope,
)
from gradflow.analysis.derivations.drawn_gates import SATURATED, drawn_gates
from gradflow.analysis.derivations.figures import lowered
from gradflow.analysis.derivations.line import Array, Line, Topic
from gradflow.cells.gru import GRU
from gradflow.notation.evaluate import Symbols

GATES = "rzn"  # reset, update, candidate
LAG, FAR_BACK = 5, 100
T = LAG + 1  # the step t of every line
OPEN = SATURATED


class Point(NamedTuple):
    """All that one step computes: pre-activations and gates by name, v = W_n h + c, and h."""

    a: dict[str, Array]
    gates: dict[str, Array]
    v: Array
    h: Array


@dataclass(frozen=True, eq=False)
class SheetGRU:
    """W (n, n), U (n, n + 1) and b (n) by gate, the inner bias c (n), inputs (T, n + 1), h₀ (n)."""

    W: dict[str, Array]
    U: dict[str, Array]
    b: dict[str, Array]
    c: Array
    inputs: Array
    h: Array

    @classmethod
    def drawn(cls, seed: int, hidden: int) -> "SheetGRU":
        """Return a random network from a random state."""
        generator = np.random.default_rng(seed)
        return cls(
            *drawn_gates(GATES, hidden, generator),
            c=generator.standard_normal(hidden) / 2,
            inputs=generator.standard_normal((FAR_BACK, hidden + 1)),
            h=np.tanh(generator.standard_normal(hidden)),
        )

    def step(self, t: int, h: Array) -> Point:
        """Return what step t makes of hₜ₋₁."""
        a = {g: self.U[g] @ self.inputs[t - 1] + self.b[g] for g in GATES}
        a |= {g: a[g] + self.W[g] @ h for g in "rz"}
        v = self.W["n"] @ h + self.c
        r, z = sigmoid(a["r"]), sigmoid(a["z"])
        a["n"] = a["n"] + r * v
        n = np.tanh(a["n"])
        return Point(a, {"r": r, "z": z, "n": n}, v, (1.0 - z) * n + z * h)

    @cached_property
    def before(self) -> list[Array]:
        """h₀ … h_T₋₁."""
        found = [self.h]
        for t in range(1, len(self.inputs)):
            found.append(self.step(t, found[-1]).h)
        return found

    def point(self, t: int) -> Point:
        """Return all that step t computes."""
        return self.step(t, self.before[t - 1])

    def later(self, t: int, k: int) -> Array:
        """Return dhₜ/dhₖ (n, n)."""

        def run(h: Array) -> Array:
            for i in range(k + 1, t + 1):
                h = self.step(i, h).h
            return h

        return derivative(run, self.before[k])

    def moved(self, name: str) -> Array:
        """Return the derivative of a gate, or of what the point has under that name, by hₜ₋₁ (n, n)."""

        def value(h: Array) -> Array:
            point = self.step(T, h)
            found: Array = point.gates[name] if name in point.gates else getattr(point, name)
            return found

        return derivative(value, self.before[T - 1])

    def slope(self, name: str) -> Array:
        """Return σ′(a) or tanh′(a) (n) at step t, from its formula."""
        a = self.point(T).a[name]
        return tanh_slope(a) if name == "n" else sigmoid_slope(a)

    def cell(self, z: float | None = None) -> GRU:
        """Return the same weights as a cell of gradflow; the update gate has the bias z, if one is given."""
        bias = self.b if z is None else {**self.b, "z": np.full_like(self.h, z)}
        U, W, b = (np.concatenate([part[g] for g in GATES]) for part in (self.U, self.W, bias))
        return GRU(U, W, b, self.c)

    def jacobians(self, z: float | None = None) -> Array:
        """Return ∂hₜ/∂hₜ₋₁ of gradflow's cell at every step, (T, n, n)."""
        cell = self.cell(z)
        factors = cell.linearize(cell.run(self.inputs, self.h), self.inputs)
        return np.stack([factors.at(t).todense() for t in range(len(self.inputs))])


def _candidate(net: SheetGRU) -> Array:
    """Return diag(tanh′(a_n)) (diag(r) W_n + diag(v ⊙ σ′(a_r)) W_r)."""
    point = net.point(T)
    inner = point.gates["r"][:, None] * net.W["n"] + (point.v * net.slope("r"))[:, None] * net.W["r"]
    return np.asarray(net.slope("n")[:, None] * inner)


def _in_full(net: SheetGRU) -> Array:
    """Return the four terms of ∂hₜ/∂hₜ₋₁."""
    point, h = net.point(T), net.before[T - 1]
    r, z, n = point.gates.values()
    through = {
        "z": (h - n) * net.slope("z"),
        "n": (1.0 - z) * net.slope("n") * r,
        "r": (1.0 - z) * net.slope("n") * point.v * net.slope("r"),
    }
    return np.asarray(np.diag(z) + sum(scale[:, None] * net.W[name] for name, scale in through.items()))


def _values(net: SheetGRU, gate: str, z: float | None = None) -> Array:
    """Return the values of a gate of gradflow's cell at every step, (T, n)."""
    cell = net.cell(z)
    return cell.gates(cell.run(net.inputs, net.h), net.inputs)[GATES.index(gate)].values


def _gate(name: str) -> Line[SheetGRU]:
    letter = {"r": "rₜ", "z": "zₜ"}[name]
    return Line(
        f"∂{letter}/∂hₜ₋₁ = diag(σ′(a_{name})) W_{name}",
        {"r": "5-1a for the reset gate $rₜ = σ(a_r)$", "z": "the same for the update gate $zₜ = σ(a_z)$"}[
            name
        ],
        lambda net: (net.moved(name), net.slope(name)[:, None] * net.W[name]),
    )


def _symbols(net: SheetGRU) -> Symbols:
    """Return what the formulas are made of, derivatives and slopes by complex steps."""
    point, steps = net.point(T), range(T - LAG, T)
    return {
        **FUNCTIONS, "hₜ₋₁": net.before[T - 1], "v": point.v, "I": np.eye(len(net.h)),
        **{f"{name}ₜ": value for name, value in point.gates.items()},
        **{f"∂{name}ₜ/∂hₜ₋₁": net.moved(name) for name in (*GATES, "h")},
        **{f"W_{name}": W for name, W in net.W.items()},
        **{f"a_{name}": a for name, a in point.a.items()},
        **{f"∂{lowered('h', k + 1)}/∂{lowered('h', k)}": net.later(k + 1, k) for k in steps},
        f"d{lowered('h', T)}/d{lowered('h', T - LAG)}": net.later(T, T - LAG),
    }  # fmt: skip


STEPWISE: tuple[Line[SheetGRU], ...] = (
    _gate("r"),
    _gate("z"),
    Line(
        "∂(rₜ ⊙ v)/∂hₜ₋₁ = diag(rₜ) W_n + diag(v) · ∂rₜ/∂hₜ₋₁",
        "product rule, with $v = W_n hₜ₋₁ + c$, whose derivative is $W_n$",
        lambda net: (
            derivative(lambda h: net.step(T, h).gates["r"] * net.step(T, h).v, net.before[T - 1]),
            np.diag(net.point(T).gates["r"]) @ net.W["n"] + np.diag(net.point(T).v) @ net.moved("r"),
        ),
    ),
    Line(
        "∂nₜ/∂hₜ₋₁ = diag(tanh′(a_n)) (diag(rₜ) W_n + diag(v ⊙ σ′(a_r)) W_r)",
        "chain rule on $nₜ = tanh(a_n)$ with (3) inside, and (1) put into that",
        lambda net: (net.moved("n"), _candidate(net)),
    ),
    Line(
        "∂((1 − zₜ) ⊙ nₜ)/∂hₜ₋₁ = diag(1 − zₜ) · ∂nₜ/∂hₜ₋₁ − diag(nₜ) · ∂zₜ/∂hₜ₋₁",
        "product rule: $1 − zₜ$ falls as $zₜ$ rises",
        lambda net: (
            derivative(
                lambda h: (1.0 - net.step(T, h).gates["z"]) * net.step(T, h).gates["n"], net.before[T - 1]
            ),
            np.diag(1.0 - net.point(T).gates["z"]) @ net.moved("n")
            - np.diag(net.point(T).gates["n"]) @ net.moved("z"),
        ),
    ),
    Line(
        "∂(zₜ ⊙ hₜ₋₁)/∂hₜ₋₁ = diag(zₜ) + diag(hₜ₋₁) · ∂zₜ/∂hₜ₋₁",
        "product rule again",
        lambda net: (
            derivative(lambda h: net.step(T, h).gates["z"] * h, net.before[T - 1]),
            np.diag(net.point(T).gates["z"]) + np.diag(net.before[T - 1]) @ net.moved("z"),
        ),
    ),
    Line(
        "∂hₜ/∂hₜ₋₁ = diag(zₜ) + diag((hₜ₋₁ − nₜ) ⊙ σ′(a_z)) W_z + diag((1 − zₜ) ⊙ tanh′(a_n) ⊙ rₜ) W_n "
        "+ diag((1 − zₜ) ⊙ tanh′(a_n) ⊙ v ⊙ σ′(a_r)) W_r",
        "the sum of (5) and (6) with (2) and (4) put in: the carousel $diag(zₜ)$ and three ways through the "
        "gates",
        lambda net: (net.moved("h"), _in_full(net)),
    ),
    Line(
        "J = ∂hₜ/∂hₜ₋₁",
        "$J$ is the right side of (7); on the right stands the Jacobian that gradflow's own cell computes",
        lambda net: (_in_full(net), net.jacobians()[T - 1]),
    ),
)
AFTERWARDS: tuple[Line[SheetGRU], ...] = (
    Line(
        "dhₜ/dhₖ = ∏ᵢ₌ₖ₊₁ᵗ ∂hᵢ/∂hᵢ₋₁",
        "nothing is neglected here: $h$ is the whole state, so that a product of (7) is the derivative by "
        f"every way (not so in an LSTM, 5-3d); $t − k = {LAG}$, the factors by gradflow's own cell",
        lambda net: (net.later(T, T - LAG), reduce(np.matmul, net.jacobians()[T - LAG : T][::-1])),
        at={"t": T, "k": T - LAG},
    ),
    Line(
        "hₜ = hₖ",
        "the carousel: $zᵢ = 1$ at every step (a bias of 1000), and $hᵢ = 0 ⊙ nᵢ + 1 ⊙ hᵢ₋₁$; after "
        f"{FAR_BACK} steps, by gradflow's own cell",
        lambda net: (net.cell(OPEN).run(net.inputs, net.h)[FAR_BACK], net.h),
    ),
    Line(
        "∂hₜ/∂hₖ = I",
        f"with $zᵢ = 1$ and $σ′(a_z) = 0$ only $diag(zᵢ) = I$ is left of (7); over {FAR_BACK} steps, exactly",
        lambda net: (reduce(np.matmul, net.jacobians(OPEN)[::-1]), np.eye(len(net.h))),
    ),
    Line(
        "hₜ = nₜ",
        "the other end: $zₜ = 0$ at every step (a bias of $−1000$), and nothing is kept",
        lambda net: (net.cell(-OPEN).run(net.inputs, net.h)[1:], _values(net, "n", -OPEN)),
        at={"t": np.arange(1, FAR_BACK + 1)},
    ),
    Line("0 < rₜ", "both gates are values of $σ$: always positive", lambda net: (0.0, _values(net, "r"))),
    Line("0 < zₜ", "the same", lambda net: (0.0, _values(net, "z"))),
    Line(
        "|nₜ| < 1",
        "the candidate is a tanh, and so of either sign",
        lambda net: (np.abs(_values(net, "n")), 1.0),
    ),
    Line(
        "|hₜ| < 1",
        "$hₜ$ lies between $nₜ$ and $hₜ₋₁$, and so under 1 if $h₀$ does: a GRU cannot count as an LSTM does",
        lambda net: (np.abs(net.cell().run(net.inputs, net.h)), 1.0),
    ),
)


def derivation(seed: int, *, hidden: int = 3) -> Topic[SheetGRU]:
    """Return the gradient of the state of a random GRU of ``hidden`` units."""
    return Topic(
        exercise="5-3, GRU",
        title="the same for the GRU",
        statement=(
            "With $rₜ = σ(a_r)$, $zₜ = σ(a_z)$, $nₜ = tanh(a_n)$, $a_r = W_r hₜ₋₁ + U_r xₜ + b_r$, $a_z$ "
            "likewise, $a_n = U_n xₜ + b_n + rₜ ⊙ v$, $v = W_n hₜ₋₁ + c$ and $hₜ = (1 − zₜ) ⊙ nₜ + zₜ ⊙ "
            "hₜ₋₁$ (torch's form), derive $∂hₜ/∂hₜ₋₁$. When does the gradient stay as it is, and what is "
            "always positive?"
        ),
        case=SheetGRU.drawn(seed, hidden),
        symbols=_symbols,
        lines=STEPWISE + AFTERWARDS,
        answer=(
            "Line 7: $diag(zₜ)$, and a term for each gate. The update gate $zₜ$ is forget gate and input "
            "gate in one: at $zₜ = 1$ the state is kept and $∂hₜ/∂hₖ = I$ over any number of steps, at $zₜ "
            "= 0$ it is replaced by the candidate. The reset gate $rₜ$ says how much of the old state the "
            "candidate sees. The gates are always positive; $nₜ$ and $hₜ$ take both signs."
        ),
    )
