"""Exercise 5-2a: the gradient as an expanded sum, every term written out, for any steps and any cell."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from gradflow.analysis.derivations.cell_copies import CellCopies
from gradflow.analysis.derivations.figures import lowered, raised
from gradflow.analysis.derivations.line import ROUNDING, TINY, Array, Line, Topic
from gradflow.analysis.derivations.sheet_rnn import SheetRNN
from gradflow.analysis.inputs import check_count

MOST = 8  # steps, which have 36 terms


@dataclass(frozen=True, eq=False)
class Unrolled:
    """What the terms are made of: the truth of each, and its chain of factors, for one network."""

    state: str  # its letter
    steps: int
    term: Callable[[int, int], Array]  # ∂Lₜ/∂Wₖ, without a formula for it
    chained: Callable[[int, int], Array]  # the same by the chain rule
    gradient: Callable[[], Array]  # ∂L/∂W, without a formula for it
    jacobian: Callable[[int], Array]  # ∂sₜ/∂sₜ₋₁
    between: Callable[[int, int], Array]  # ∂sₜ/∂sₖ
    factor: Callable[[int], str]  # the formula of ∂sₜ/∂sₜ₋₁

    def chain(self, t: int, k: int) -> str:
        """Return the formula of one term."""
        state, loss = lowered(self.state, t), lowered("L", t)
        factors = [f"∂{loss}/∂{state}", *map(self.factor, range(t, k, -1))]
        return " · ".join([*factors, f"∂⁺{lowered(self.state, k)}/∂W"])

    def pairs(self) -> list[tuple[int, int]]:
        """Return every t and k of the double sum."""
        return [(t, k) for t in range(1, self.steps + 1) for k in range(t, 0, -1)]


def _sheet(net: SheetRNN) -> Unrolled:
    def chained(t: int, k: int) -> Array:
        row = net.h[t] - net.targets[t - 1]
        for i in range(t, k, -1):
            row = row @ net.jacobian(i)
        return np.outer(row * net.slopes(k), net.h[k - 1])

    return Unrolled(
        "h", net.steps, net.term, chained, net.gradient, net.jacobian, net.later,
        lambda t: f"diag(σ′({lowered('z', t)})) W",
    )  # fmt: skip


def _cell(net: CellCopies) -> Unrolled:
    return Unrolled(
        "s", net.steps, net.term, net.chained, net.gradient, net.jacobian, net.between,
        lambda t: f"∂{lowered('s', t)}/∂{lowered('s', t - 1)}",
    )  # fmt: skip


def _term(net: Unrolled, t: int, k: int) -> Line[Unrolled]:
    loss, copy, count = lowered("L", t), lowered("W", k), t - k
    way = (
        f"from $L$ at step {t} back to the weights of the same step: no Jacobian between"
        if not count
        else f"from $L$ at step {t} back to the weights of step {k}: {count} Jacobian{'s' * (count > 1)} "
        "between"
    )
    return Line(
        f"∂{loss}/∂{copy} = {net.chain(t, k)}",
        way,
        lambda it: (it.term(t, k), it.chained(t, k)),
    )


def _sums(net: Unrolled) -> list[Line[Unrolled]]:
    """Return the whole gradient: as the sum over copies, and as the sum of all chains."""
    apart = " + ".join(f"∂{lowered('L', t)}/∂{lowered('W', k)}" for t, k in net.pairs())
    written = " + ".join(net.chain(t, k) for t, k in net.pairs())
    return [
        Line(
            f"∂L/∂W = {apart}",
            "a change of $W$ is the same change of every copy: the chain rule adds up what they do",
            lambda it: (it.gradient(), sum(it.term(t, k) for t, k in it.pairs())),
        ),
        Line(
            f"∂L/∂W = {written}",
            f"the lines before put into (1): the sum in full, {len(net.pairs())} terms",
            lambda it: (it.gradient(), sum(it.chained(t, k) for t, k in it.pairs())),
        ),
    ]


def _several(net: Unrolled) -> list[Line[Unrolled]]:
    """Return what stands between the last step and the first: as many matrices as there are steps."""
    T, state = net.steps, net.state
    if T < 3:
        return []
    last, first = lowered(state, T), lowered(state, 1)
    product = " · ".join(map(net.factor, range(T, 1, -1)))
    power = raised(f"({net.factor(T)})", T - 1)
    same, truth = np.linalg.matrix_power(net.jacobian(T), T - 1), net.between(T, 1)
    scale = max(np.abs(same).max(), np.abs(truth).max())
    equal = scale < TINY or np.abs(same - truth).max() <= ROUNDING * scale
    return [
        Line(
            f"∂{last}/∂{first} = {product}",
            f"the chain rule over {T - 1} steps, which all terms from $L$ at step {T} to step 1 share",
            lambda it: (
                it.between(T, 1),
                reduce(np.matmul, [it.jacobian(t) for t in range(T, 1, -1)]),
            ),
        ),
        Line(
            f"∂{last}/∂{first} {'=' if equal else '≠'} {power}",
            "here, and not in general, the same matrix times itself: this cell's Jacobian is the same at "
            "every step"
            if equal
            else "not one matrix times itself, as the sheet says for short: $W$ is the same at every step, "
            "but the slopes are taken at each step's own state",
            lambda it: (it.between(T, 1), same),
            ROUNDING,
        ),
    ]


SLIP = (
    "'The matrix $diag(σ′) W$ $n$ times with itself' is meant for short: the factors differ from step to "
    "step by $σ′$, and their product is not a power"
)


def derivation(seed: int, *, cell: str | None = None, hidden: int = 3, steps: int = 3) -> Topic[Unrolled]:
    """Return the gradient term by term, of the sheet's network or of a cell that is named."""
    check_count("steps", steps, 1, MOST)
    if cell is None:
        net = _sheet(SheetRNN.drawn(seed, hidden, steps))
        whose, which = "$hₜ = σ(Whₜ₋₁ + Uxₜ)$", ", $n$ times $diag(σ′) W$ with $σ′$ at each step's own $z$"
    else:
        net = _cell(CellCopies.drawn(cell, seed, hidden, steps))
        whose, which = f"{cell}, whose whole state is $s$ and whose recurrent weights are $W$", ""
    first, whole = _sums(net)
    terms = [_term(net, t, k) for t, k in net.pairs()]
    return Topic(
        exercise="5-2a",
        title=f"the expanded sum for T = {steps}",
        statement=(
            f"Write down $∂L/∂W$ as an expanded sum for $T = {steps}$, for {whose}. To tell the terms apart "
            "each step $k$ has a copy $Wₖ$ of $W$; for the numbers $Lₜ = ‖hₜ − yₜ‖²/2$, "
            "$hₜ$ being what the network shows."
        ),
        case=net,
        lines=(first, *terms, whole, *_several(net)),
        answer=(
            f"Line {len(terms) + 2}: {len(terms)} terms. A loss goes back over $n$ steps through $n$ "
            f"Jacobians{which}. If all of them shrink what they multiply, the terms from far back vanish; "
            "if they stretch it, those terms outweigh all others."
        ),
        slip=f"{SLIP}{' (last line)' if steps > 2 else ''}." if cell is None else None,
    )
