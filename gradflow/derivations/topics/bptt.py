"""Backpropagation through time, from the chain rule to the double sum."""

from collections.abc import Callable
from functools import cache

import numpy as np

from gradflow.analysis.shared.arguments import check_count
from gradflow.derivations.topics.complex_cells import FUNCTIONS
from gradflow.derivations.topics.line import Array
from gradflow.derivations.topics.network import DerivationNetwork
from gradflow.derivations.topics.topic import DerivationTopic, read_topic
from gradflow.notation.evaluate import Each, Symbols

MIN_BPTT_STEPS, MAX_BPTT_STEPS = 2, 10  # with one step there is no way back, and no slip of the sheet's shows
TEXT = """
5-1b: backpropagation through time

Given $hₜ = σ(Whₜ₋₁ + Uxₜ)$ and $L = Σₜ₌₀ᵀ Lₜ$, where $Lₜ$ is a number that depends on $hₜ$, derive $∂L/∂W =
Σₜ₌₀ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₜ · ∂hₜ/∂hₖ · ∂⁺hₖ/∂W$. The numbers are for $Lₜ = ‖hₜ − yₜ‖²/2$.

∂L/∂W = Σₜ₌₁ᵀ ∂Lₜ/∂W
    the derivative of a sum is the sum of the derivatives; $L₀$ does not count, because $h₀$ is given and does
    not depend on $W$
∂Lₜ/∂W = ∂Lₜ/∂hₜ · dhₜ/dW  for each t
    chain rule: $Lₜ$ depends on $W$ through $hₜ$ alone. The d marks the total derivative, along every path
    from $W$ to $hₜ$. Verified for all $t$ at once
dhₜ/dW = ∂⁺hₜ/∂W + ∂hₜ/∂hₜ₋₁ · dhₜ₋₁/dW  for each t
    $hₜ = σ(Whₜ₋₁ + Uxₜ)$ depends on $W$ in two ways: directly, and through $hₜ₋₁$. $∂⁺hₜ/∂W$ is the immediate
    derivative, with $hₜ₋₁$ held fixed
∂hₜ/∂hₜ₋₁ = diag(σ′(zₜ)) W  for each t
    5-1a, with $zₜ = Whₜ₋₁ + Uxₜ$: the term $Uxₜ$ changes only the point at which $σ′$ is taken
∂⁺(hₜ)ᵢ/∂Wⱼₗ = δᵢⱼ σ′((zₜ)ᵢ) (hₜ₋₁)ₗ  for each t, i, j and l
    row $j$ of $W$ feeds unit $j$ alone ($δᵢⱼ$ is 1 where $i = j$, else 0), and there $Wⱼₗ$ multiplies
    $(hₜ₋₁)ₗ$
∂hₜ/∂hₖ = ∏ᵢ₌ₖ₊₁ᵗ ∂hᵢ/∂hᵢ₋₁  for t = T and each k < T
    chain rule along the steps between, the latest factor on the left. Verified for $t = T$ and all $k < T$
∂hₜ/∂hₖ = ∏ᵢ₌ₖ₊₁ᵗ diag(σ′(zᵢ)) W  for t = T and each k < T
    (4) inserted into (6): $t − k$ factors; for $k = t$ the empty product is $I$
dhₜ/dW = Σₖ₌₁ᵗ ∂hₜ/∂hₖ · ∂⁺hₖ/∂W  for t = T
    (3) inserted into itself, back to $h₀$, whose derivative is 0; (6) collects the factors
∂L/∂W = Σₜ₌₁ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₜ · ∂hₜ/∂hₖ · ∂⁺hₖ/∂W
    (8) inserted into (2), and (2) into (1): this is the result
λₖᵀ = Σₜ₌ₖᵀ ∂Lₜ/∂hₜ · ∂hₜ/∂hₖ  for each k
    the derivative by $hₖ$ of all losses from step $k$ on. The left side comes from one sweep back, $λₖ =
    (∂Lₖ/∂hₖ)ᵀ + (∂hₖ₊₁/∂hₖ)ᵀ λₖ₊₁$ from $λ_T = (∂L_T/∂h_T)ᵀ$, which computes no product twice
∂L/∂W = Σₖ₌₁ᵀ diag(σ′(zₖ)) λₖ hₖ₋₁ᵀ
    (9) summed over $t$ first, with (5) as the last factor: programs compute the gradient in this form
∂L/∂W ≠ Σₜ₌₁ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₖ · ∂hₜ/∂hₖ · ∂⁺hₖ/∂W
    left = Σₖ₌₁ᵀ diag(σ′(zₖ)) λₖ hₖ₋₁ᵀ
    right = A
    (9) with the sheet's first factor, $∂Lₜ/∂hₖ$ instead of $∂Lₜ/∂hₜ$. It contains $∂hₜ/∂hₖ$ already, which
    then counts twice
∂L/∂W ≠ Σₜ₌₁ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₜ · ∂hₜ/∂hₖ · dhₖ/dW
    left = Σₖ₌₁ᵀ diag(σ′(zₖ)) λₖ hₖ₋₁ᵀ
    right = B
    (9) with the total derivative as last factor: a path through several steps counts once for each of them
∂L/∂W = Σₜ₌₁ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₖ · ∂hₖ/∂hₖ · ∂⁺hₖ/∂W
    the three factors as they are printed. They are right in this one reading: $∂Lₜ/∂hₖ$ includes all paths
    through later states, so that it is $∂Lₜ/∂hₜ · ∂hₜ/∂hₖ$. Then $∂hₖ/∂hₖ = I$, and the last factor is the
    immediate derivative

Answer: $∂L/∂W = Σₜ₌₀ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₜ · ∂hₜ/∂hₖ · ∂⁺hₖ/∂W$ with $∂hₜ/∂hₖ = ∏ᵢ₌ₖ₊₁ᵗ diag(σ′(zᵢ)) W$, and $hₖ₋₁$
held fixed in $∂⁺hₖ/∂W$. Each loss reaches each step at which $W$ was used, through one factor for each step
between. The inner sum is empty for $t = 0$. For $U$, replace $hₖ₋₁$ by $xₖ$.

Slip: The sheet prints $∂Lₜ/∂hₖ · ∂hₖ/∂hₖ · ∂hₖ/∂W$ and means $∂Lₜ/∂hₜ · ∂hₜ/∂hₖ · ∂⁺hₖ/∂W$ (line 9). In one
reading the printed factors give the gradient, too (line 14): $∂Lₜ/∂hₖ$ goes by way of all later states, so
that it contains $∂hₜ/∂hₖ$, the factor $∂hₖ/∂hₖ$ is $I$, and the last one is the immediate derivative. But
then the product of Jacobians, which 5-2 is about, does not show. Two other readings are wrong: if the middle
factor alone is corrected, $∂hₜ/∂hₖ$ counts twice (line 12); if the last factor is the whole derivative, a way
through several steps counts once for each of them (line 13).
"""


def build_topic(seed: int, *, hidden: int = 3, steps: int = 4) -> DerivationTopic:
    """Return the gradient of the sheet's network over ``steps`` steps."""
    check_count("steps", steps, MIN_BPTT_STEPS, MAX_BPTT_STEPS)
    net = DerivationNetwork.draw_sheet(seed, hidden, steps)
    immediate = cache(lambda t: net.by_copy("s", t, t))
    loss_gradient = cache(lambda t, k: net.by_state("L", t, k))
    symbols = {
        **FUNCTIONS, "W": net.W, "T": steps, "δ": np.eye(hidden), "∂L/∂W": net.gradient()[0],
        "hₜ": lambda t: net.points[t]["s"], "zₜ": lambda t: net.points[t]["zₜ"],
        "λₖ": dict(enumerate(_sweep_back(net), 1)),
        "∂Lₜ/∂W": cache(lambda t: net.by_weights("L", t)[0]), "∂Lₜ/∂hₖ": loss_gradient,
        "∂hₜ/∂hₖ": cache(lambda t, k: net.by_state("s", t, k)),
        "dhₜ/dW": cache(lambda t: net.by_weights("s", t)), "∂⁺hₜ/∂W": immediate,
        "∂⁺(hₜ)ᵢ/∂Wⱼₗ": lambda t, *entry: immediate(t)[tuple(k - 1 for k in entry)],
        "A": _add_up(net, loss_gradient, net.own_immediate),
        "B": _add_up(net, lambda t, _: loss_gradient(t, t), lambda k: net.by_weights("s", k)),
    }  # fmt: skip
    each, units = Each(range(1, steps + 1)), Each(range(1, hidden + 1))
    cases: dict[str, Symbols] = {
        "t = T": {"t": steps},
        "each t": {"t": each},
        "each k": {"k": each},
        "t = T and each k < T": {"t": steps, "k": Each(range(steps))},
        "each t, i, j and l": {"t": each, "i": units, "j": units, "l": units},
    }
    return read_topic(TEXT, symbols, cases)


def _sweep_back(net: DerivationNetwork) -> list[Array]:
    """Return λ₁ … λ_T (n) by the recursion λₖ = (∂Lₖ/∂hₖ)ᵀ + (∂hₖ₊₁/∂hₖ)ᵀ λₖ₊₁, from the last one back."""
    signals = [net.by_state("L", net.steps, net.steps)[0]]
    for k in range(net.steps - 1, 0, -1):
        signals.insert(0, net.by_state("L", k, k)[0] + net.own_jacobian(k + 1, k).T @ signals[0])
    return signals


def _add_up(net: DerivationNetwork, row: Callable[[int, int], Array], cube: Callable[[int], Array]) -> Array:
    """Return Σₜ Σₖ row(t, k) ∂hₜ/∂hₖ cube(k), shape (n, n), with the Jacobians of gradflow's own cell."""
    pairs = [(t, k) for t in range(1, net.steps + 1) for k in range(1, t + 1)]
    terms = [np.tensordot(row(t, k) @ net.own_jacobian(t, k), cube(k), axes=1)[0] for t, k in pairs]
    return np.asarray(np.sum(terms, axis=0))
