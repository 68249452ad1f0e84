"""The gradient as an expanded sum, every term written out, for any steps and any cell."""

from functools import cache

import numpy as np

from gradflow.analysis.shared.arguments import check_count
from gradflow.derivations.topics.complex_cells import FUNCTIONS
from gradflow.derivations.topics.line import ROUNDING, TINY, Array, DerivationLine
from gradflow.derivations.topics.network import DerivationNetwork
from gradflow.derivations.topics.numerals import lowered, raised
from gradflow.derivations.topics.topic import DerivationTopic
from gradflow.notation.evaluate import Symbols
from gradflow.printable import format_count

MAX_EXPANDED_STEPS = 8  # which have 36 terms


def build_topic(seed: int, *, cell: str | None = None, hidden: int = 3, steps: int = 3) -> DerivationTopic:
    """Return the gradient term by term, of the sheet's network or of a cell that is named."""
    check_count("steps", steps, 1, MAX_EXPANDED_STEPS)
    if cell is None:
        net, state = DerivationNetwork.draw_sheet(seed, hidden, steps), "h"
        whose, which = "$hₜ = σ(Whₜ₋₁ + Uxₜ)$", ", $n$ times $diag(σ′) W$ with $σ′$ at each step's own $z$"
    else:
        net, state = DerivationNetwork.draw_fresh(cell, seed, hidden, steps), "s"
        whose, which = f"{cell}, with its whole state $s$ and its recurrent weights $W$", ""
    terms = steps * (steps + 1) // 2
    return DerivationTopic(
        exercise="5-2a",
        title=f"the expanded sum for T = {steps}",
        statement=(
            f"Write down $∂L/∂W$ as an expanded sum for $T = {steps}$, for {whose}. To tell the terms apart, "
            "each step $k$ has a copy $Wₖ$ of $W$. The numbers are for $Lₜ = ‖hₜ − yₜ‖²/2$, where $hₜ$ is "
            "the output of the network."
        ),
        symbols=_symbols(net, state),
        lines=_lines(net, state),
        answer=(
            f"${_write_sum(steps, state)}$, in full {format_count(terms, 'term', 'terms')}; in "
            f"$∂⁺{state}ₖ/∂W$ the state before, ${state}ₖ₋₁$, is held fixed. A loss goes back "
            f"over $n$ steps through $n$ Jacobians{which}. If all of them shrink what they multiply, "
            "the terms from far back vanish; if they stretch it, those terms outweigh all others."
        ),
        slip=(
            "'The matrix $diag(σ′) W$ $n$ times with itself' is loose wording: the factors differ from step "
            f"to step by $σ′$, and their product is not a power{' (last line)' if steps > 2 else ''}."
            if cell is None
            else None
        ),
    )


def _symbols(net: DerivationNetwork, state: str) -> Symbols:
    """Return what the formulas are made of: the truth by complex steps, the factors by the cell itself."""

    def between(t: int, k: int) -> Array:
        if t - k == 1:
            return net.own_jacobian(t, k)
        if (t, k) == (net.steps, 1):
            return net.by_state("s", t, k)
        raise LookupError("only steps in a row, and the first and the last one, stand in a formula")

    return {
        **(FUNCTIONS | net.name_quantities("zₜ") if state == "h" else {}),
        "W": net.W, "∂L/∂W": net.gradient()[0], "∂Lₜ/∂Wₖ": cache(lambda t, k: net.by_copy("L", t, k)[0]),
        f"∂Lₜ/∂{state}ₜ": {(t, t): net.by_state("L", t, t) for t in range(1, net.steps + 1)},
        f"∂{state}ₜ/∂{state}ₖ": cache(between), f"∂⁺{state}ₖ/∂W": cache(net.own_immediate),
    }  # fmt: skip


def _factor(state: str, t: int) -> str:
    """Return the formula of the Jacobian of step t."""
    if state == "h":
        return f"diag(σ′({lowered('z', t)})) W"
    return f"∂{lowered(state, t)}/∂{lowered(state, t - 1)}"


def _chain(state: str, t: int, k: int) -> str:
    """Return the formula of one term."""
    factors = [_factor(state, i) for i in range(t, k, -1)]
    first, last = f"∂{lowered('L', t)}/∂{lowered(state, t)}", f"∂⁺{lowered(state, k)}/∂W"
    return " · ".join([first, *factors, last])


def _list_pairs(steps: int) -> list[tuple[int, int]]:
    """Return the step of the loss and the step of the weights of every term."""
    return [(t, k) for t in range(1, steps + 1) for k in range(t, 0, -1)]


def _write_sum(steps: int, state: str) -> str:
    """Return the formula of the expanded sum."""
    return f"∂L/∂W = {' + '.join(_chain(state, *pair) for pair in _list_pairs(steps))}"


def _lines(net: DerivationNetwork, state: str) -> list[DerivationLine]:
    pairs = _list_pairs(net.steps)
    copies = {pair: f"∂{lowered('L', pair[0])}/∂{lowered('W', pair[1])}" for pair in pairs}
    return [
        DerivationLine(
            f"∂L/∂W = {' + '.join(copies.values())}",
            "a change of $W$ is the same change of every copy: the chain rule adds up their effects",
        ),
        *(
            DerivationLine(f"{copy} = {_chain(state, *pair)}", _describe_way(*pair))
            for pair, copy in copies.items()
        ),
        DerivationLine(
            _write_sum(net.steps, state),
            f"the lines before, inserted into (1): the sum in full, {len(pairs)} terms",
        ),
        *(_power_lines(net, state) if net.steps > 2 else []),
    ]


def _describe_way(t: int, k: int) -> str:
    if t == k:
        return f"from $L$ at step {t} back to the weights of the same step: no Jacobian between"
    count = f"{t - k} Jacobian{'s' * (t - k > 1)}"
    return f"from $L$ at step {t} back to the weights of step {k}: {count} between"


def _power_lines(net: DerivationNetwork, state: str) -> list[DerivationLine]:
    """Return what stands between the last step and the first: as many matrices as there are steps."""
    T = net.steps
    whole = f"∂{lowered(state, T)}/∂{lowered(state, 1)}"
    power, truth = np.linalg.matrix_power(net.own_jacobian(T, T - 1), T - 1), net.by_state("s", T, 1)
    chain = " · ".join(_factor(state, t) for t in range(T, 1, -1))
    scale = max(np.abs(power).max(), np.abs(truth).max())
    equal = scale < TINY or np.abs(power - truth).max() <= ROUNDING * scale
    return [
        DerivationLine(
            f"{whole} = {chain}",
            f"the chain rule over {T - 1} steps, which all terms from $L$ at step {T} to step 1 share",
        ),
        DerivationLine(
            f"{whole} {'=' if equal else '≠'} {raised(f'({_factor(state, T)})', T - 1)}",
            "a power here, because this cell's Jacobian is the same at every step; in general it is none"
            if equal
            else "no power of one matrix, as the sheet says for short: $W$ is the same at every step, but "
            "each step has slopes of its own",
            symbols={"P": power},
            checks={} if equal else {"left": chain, "right": "P"},
            tolerance=ROUNDING,
        ),
    ]
