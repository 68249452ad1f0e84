"""Backpropagation through time, from the chain rule to the double sum."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from gradflow.analysis.shared.inputs import check_count
from gradflow.derivations.topics.complex_cells import FUNCTIONS
from gradflow.derivations.topics.line import Array, DerivationLine, DerivationTopic
from gradflow.derivations.topics.unrolled import UnrolledNetwork
from gradflow.notation.evaluate import Symbols

MIN_BPTT_STEPS, MAX_BPTT_STEPS = 2, 10  # with one step there is no way back, and no slip of the sheet's shows


def build_topic(seed: int, *, hidden: int = 3, steps: int = 4) -> DerivationTopic:
    """Return the gradient of the sheet's network over ``steps`` steps."""
    check_count("steps", steps, MIN_BPTT_STEPS, MAX_BPTT_STEPS)
    net = UnrolledNetwork.draw_sheet(seed, hidden, steps)
    return DerivationTopic(
        exercise="5-1b",
        title="backpropagation through time",
        statement=(
            "Given $hₜ = σ(Whₜ₋₁ + Uxₜ)$ and $L = Σₜ₌₀ᵀ Lₜ$, where $Lₜ$ is a number that depends on $hₜ$, "
            "derive $∂L/∂W = Σₜ₌₀ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₜ · ∂hₜ/∂hₖ · ∂⁺hₖ/∂W$. The numbers are for "
            "$Lₜ = ‖hₜ − yₜ‖²/2$."
        ),
        symbols=lambda: _symbols(net),
        lines=_lines(net),
        answer=(
            "$∂L/∂W = Σₜ₌₀ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₜ · ∂hₜ/∂hₖ · ∂⁺hₖ/∂W$ with $∂hₜ/∂hₖ = ∏ᵢ₌ₖ₊₁ᵗ diag(σ′(zᵢ)) W$: "
            "every loss goes back to every step at which $W$ was used, through one factor for each step "
            "between. The inner sum is empty for $t = 0$. For $U$, replace $hₖ₋₁$ by $xₖ$."
        ),
        slip=(
            "The sheet prints $∂Lₜ/∂hₖ · ∂hₖ/∂hₖ · ∂hₖ/∂W$. The right factors are $∂Lₜ/∂hₜ$, then $∂hₜ/∂hₖ$, "
            "then the immediate derivative $∂⁺hₖ/∂W$, with $hₖ₋₁$ held fixed. Lines 12 to 14 show what other "
            "readings give."
        ),
    )


def _symbols(net: UnrolledNetwork) -> Symbols:
    """Return what the formulas are made of, derivatives by complex steps, those of a loss as rows."""
    steps = range(1, net.steps + 1)
    pairs = [(t, k) for t in range(net.steps + 1) for k in range(t + 1)]
    immediate = {t: net.immediate(t) for t in steps}
    return {
        **FUNCTIONS, "W": net.W, "T": net.steps, "δ": np.eye(len(net.start)), "∂L/∂W": net.gradient(),
        "hₜ": dict(enumerate(net.states)), "zₜ": {t: net.z(t) for t in steps},
        "λₖ": dict(enumerate(_signals(net), 1)),
        "∂Lₜ/∂W": dict(enumerate(net.loss_gradients, 1)),
        "∂Lₜ/∂hₖ": {(t, k): net.loss_at(t, k) for t, k in pairs if t},
        "∂hₜ/∂hₖ": {(t, k): net.later(t, k) for t, k in pairs},
        "dhₜ/dW": {t: net.total(t) for t in (0, *steps)},
        "∂⁺hₜ/∂W": immediate,
        "∂⁺(hₜ)ᵢ/∂Wⱼₗ": {
            (t, i + 1, j + 1, column + 1): entry
            for t, cube in immediate.items()
            for (i, j, column), entry in np.ndenumerate(cube)
        },
    }  # fmt: skip


def _signals(net: UnrolledNetwork) -> list[Array]:
    """Return λ₁ … λ_T (n) by the recursion λₖ = (∂Lₖ/∂hₖ)ᵀ + (∂hₖ₊₁/∂hₖ)ᵀ λₖ₊₁, from the last one back."""
    signals = [net.loss_at(net.steps, net.steps)[0]]
    for k in range(net.steps - 1, 0, -1):
        signals.insert(0, net.loss_at(k, k)[0] + net.own_jacobian(k + 1).T @ signals[0])
    return signals


def _double_sum(
    net: UnrolledNetwork, row: Callable[[int, int], Array], cube: Callable[[int], Array]
) -> Array:
    """Return Σₜ Σₖ row ∂hₜ/∂hₖ cube (1, n, n)."""
    pairs = [(t, k) for t in range(1, net.steps + 1) for k in range(1, t + 1)]
    terms = [np.tensordot(row(t, k) @ net.later(t, k), cube(k), axes=1)[0] for t, k in pairs]
    return np.asarray(np.sum(terms, axis=0))


def _lines(net: UnrolledNetwork) -> list[DerivationLine]:
    every, units = np.arange(1, net.steps + 1), np.arange(1, len(net.start) + 1)
    last: Mapping[str, ArrayLike] = {"t": net.steps, "k": np.arange(net.steps)}
    return [
        DerivationLine(
            "∂L/∂W = Σₜ₌₁ᵀ ∂Lₜ/∂W",
            "the derivative of a sum is the sum of the derivatives; $L₀$ does not count, because $h₀$ is "
            "given and does not depend on $W$",
        ),
        DerivationLine(
            "∂Lₜ/∂W = ∂Lₜ/∂hₜ · dhₜ/dW",
            "chain rule: $Lₜ$ depends on $W$ through $hₜ$ alone. The d means that every way counts by which "
            "$W$ gets into $hₜ$. Verified for all $t$ at once",
            {"t": every},
        ),
        DerivationLine(
            "dhₜ/dW = ∂⁺hₜ/∂W + ∂hₜ/∂hₜ₋₁ · dhₜ₋₁/dW",
            "$W$ gets into $hₜ = σ(Whₜ₋₁ + Uxₜ)$ twice: as the matrix that stands there, and through $hₜ₋₁$. "
            "$∂⁺hₜ/∂W$ is the immediate derivative, with $hₜ₋₁$ held fixed",
            {"t": every},
        ),
        DerivationLine(
            "∂hₜ/∂hₜ₋₁ = diag(σ′(zₜ)) W",
            "5-1a, with $zₜ = Whₜ₋₁ + Uxₜ$: the term added to $Whₜ₋₁$ changes only where $σ′$ is taken",
            {"t": every},
        ),
        DerivationLine(
            "∂⁺(hₜ)ᵢ/∂Wⱼₗ = δᵢⱼ σ′((zₜ)ᵢ) (hₜ₋₁)ₗ",
            "row $j$ of $W$ feeds unit $j$ alone ($δᵢⱼ$ is 1 where $i = j$, else 0), and there $Wⱼₗ$ "
            "multiplies $(hₜ₋₁)ₗ$",
            {"t": every, "i": units, "j": units, "l": units},
        ),
        DerivationLine(
            "∂hₜ/∂hₖ = ∏ᵢ₌ₖ₊₁ᵗ ∂hᵢ/∂hᵢ₋₁",
            "chain rule along the steps between, the latest factor on the left. Verified for $t = T$ and all "
            "$k < T$",
            last,
        ),
        DerivationLine(
            "∂hₜ/∂hₖ = ∏ᵢ₌ₖ₊₁ᵗ diag(σ′(zᵢ)) W",
            "(4) put into (6): $t − k$ factors; for $k = t$ the empty product is $I$",
            last,
        ),
        DerivationLine(
            "dhₜ/dW = Σₖ₌₁ᵗ ∂hₜ/∂hₖ · ∂⁺hₖ/∂W",
            "(3) put into itself until $h₀$ is reached, whose derivative is 0; (6) gathers the factors in "
            "front",
            {"t": net.steps},
        ),
        DerivationLine(
            "∂L/∂W = Σₜ₌₁ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₜ · ∂hₜ/∂hₖ · ∂⁺hₖ/∂W",
            "(8) into (2) into (1): this is what was to be derived",
        ),
        DerivationLine(
            "λₖᵀ = Σₜ₌ₖᵀ ∂Lₜ/∂hₜ · ∂hₜ/∂hₖ",
            "what all losses from $k$ on say about $hₖ$. One sweep back gives it, $λₖ = (∂Lₖ/∂hₖ)ᵀ + "
            "(∂hₖ₊₁/∂hₖ)ᵀ λₖ₊₁$ from $λ_T = (∂L_T/∂h_T)ᵀ$ (left), without forming any product twice",
            {"k": every},
        ),
        DerivationLine(
            "∂L/∂W = Σₖ₌₁ᵀ diag(σ′(zₖ)) λₖ hₖ₋₁ᵀ",
            "(9) summed over $t$ first, with (5) for the last factor: the form in which it is computed",
        ),
        DerivationLine(
            "∂L/∂W ≠ Σₜ₌₁ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₖ · ∂hₜ/∂hₖ · ∂⁺hₖ/∂W",
            "the sheet's first factor, $∂Lₜ/∂hₖ$ for $∂Lₜ/∂hₜ$: it contains $∂hₜ/∂hₖ$ already, which would "
            "count twice",
            right=lambda: _double_sum(net, net.loss_at, net.own_immediate),
        ),
        DerivationLine(
            "∂L/∂W ≠ Σₜ₌₁ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₜ · ∂hₜ/∂hₖ · dhₖ/dW",
            "the last factor read as the whole derivative: a way through several steps would count once for "
            "each of them",
            right=lambda: _double_sum(net, lambda t, _: net.loss_at(t, t), net.total),
        ),
        DerivationLine(
            "∂L/∂W = Σₜ₌₁ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₖ · ∂hₖ/∂hₖ · ∂⁺hₖ/∂W",
            "the middle factor as it is printed, $∂hₖ/∂hₖ = I$: true only where $∂Lₜ/∂hₖ$ goes by way of all "
            "later states, so that it is $∂Lₜ/∂hₜ · ∂hₜ/∂hₖ$, and the last factor is the immediate one",
        ),
    ]
