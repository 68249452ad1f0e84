"""The constant error carousel of an LSTM (Hochreiter & Schmidhuber 1997)."""

from collections.abc import Callable
from functools import cache, partial

import numpy as np

from gradflow.derivations.topics.complex_cells import FUNCTIONS, derivative
from gradflow.derivations.topics.line import Array
from gradflow.derivations.topics.network import FAR_LAG, LAG, OPEN, SHUT, DerivationNetwork
from gradflow.derivations.topics.topic import DerivationTopic, read_topic
from gradflow.notation.evaluate import Symbols

TEXT = f"""
5-3c: the constant error carousel

Let $fₜ = 1$ and $iₜ = 0$ for all $t$, so that $Cₜ = Cₜ₋₁$. What is $∂Cₜ/∂Cₖ = ∏ᵢ₌ₖ₊₁ᵗ ∂Cᵢ/∂Cᵢ₋₁$?

Cₜ = Cₖ  for fₜ = 1 and iₜ = 0
    $fᵢ = 1$ and $iᵢ = 0$ at every step (biases of $±1000$): $Cᵢ = 1 ⊙ Cᵢ₋₁ + 0 ⊙ C̃ᵢ$; checked after
    {FAR_LAG} steps of gradflow's own cell
∂⁺Cᵢ/∂Cᵢ₋₁ = diag(fᵢ)  for i = t
    in general, from $Cᵢ = fᵢ ⊙ Cᵢ₋₁ + iᵢ ⊙ C̃ᵢ$. The $+$ means that the gates and $C̃$ are held fixed, so
    that each unit is multiplied by its $fᵢ$. (5-3d treats the paths through the gates)
∂⁺Cₜ/∂Cₖ = ∏ᵢ₌ₖ₊₁ᵗ ∂⁺Cᵢ/∂Cᵢ₋₁
    chain rule, a factor for each step between; here and below $t − k = {LAG}$ unless stated otherwise
∂⁺Cₜ/∂Cₖ = diag(∏ᵢ₌ₖ₊₁ᵗ fᵢ)
    (2) inserted into (3): diagonal matrices are multiplied entry by entry, and no $W$ stands between them
∂Cₜ/∂Cₖ = I  for fₜ = 1 and iₜ = 0
    every $fᵢ = 1$ in (4). The paths through the gates add nothing: a gate at 0 or 1 has slope 0, and $iᵢ = 0$
    blocks the candidate. The left side is gradflow's Jacobian over {FAR_LAG} steps, gates included
∂Cₜ/∂Cₖ = σ(b_f)ᵗ⁻ᵏ I  for b_f = 1
    a gate below 1 forgets: without weights $fᵢ = σ(b_f)$, which is 0.731 for $b_f = 1$, so that 10 steps
    leave 0.0436
∂⁺Cₜ/∂Cₖ ≠ (∂⁺Cₜ/∂Cₜ₋₁)ᵗ⁻ᵏ
    left = diag(∏ᵢ₌ₖ₊₁ᵗ fᵢ)
    right = diag(F)
    the product as the sheet prints it, $∏ᵢ₌ₖ₊₁ᵗ ∂Cₜ/∂Cₜ₋₁$, repeats the last step's factor
∂⁺L/∂Cₖ = Σₜ₌ₖᵀ ∂⁺Lₜ/∂Cₜ · ∂⁺Cₜ/∂Cₖ  for k = 1
    chain rule: every later loss goes back along the carousel; with $Lₜ = ‖hₜ‖²/2$, $k = 1$, $T = {LAG}$
∂⁺L/∂Cₖ ≠ Σₜ₌ₖᵀ ∂⁺L/∂Cₜ · ∂⁺Cₜ/∂Cₖ  for k = 1
    left = Σₜ₌ₖᵀ ∂⁺Lₜ/∂Cₜ · ∂⁺Cₜ/∂Cₖ
    right = R
    with $∂L/∂Cₜ$ in place of $∂Lₜ/∂Cₜ$, as in the sheet's double sum before (c), a loss counts once for each
    step on its way

Answer: $∂Cₜ/∂Cₖ = I$, exactly and over any number of steps: the gradient neither vanishes nor explodes. A
plain network multiplies by $diag(σ′) W$ at every step; an LSTM multiplies by $diag(fᵢ)$, which it can learn
to hold near 1.

Slip: The product must run over $∂Cᵢ/∂Cᵢ₋₁$. With $∂Cₜ/∂Cₜ₋₁$, as printed, it is a power of the last factor
(line 7). If every $fᵢ = 1$, both are the same. In the double sum before (c) $∂L/∂Cₜ$ must be $∂Lₜ/∂Cₜ$ (line
9).
"""


def build_topic(seed: int, *, hidden: int = 3) -> DerivationTopic:
    """Return the gradient along the cell state, for a random LSTM of ``hidden`` units."""
    net = DerivationNetwork.draw_lstm(seed, hidden, FAR_LAG)

    def go_on(t: int, k: int, C: Array) -> Array:
        """Return Cₜ for a given Cₖ, with gates and candidates held fixed."""
        if not 0 <= k <= t:
            raise LookupError("C goes from k on to t")
        for point in net.points[k + 1 : t + 1]:
            C = point["fₜ"] * C + point["(iₜ ⊙ C̃ₜ)"]
        return C

    def add_losses(first: int, last: int, k: int, C: Array) -> Array:
        """Return the sum of the losses ‖hₜ‖²/2, shape (1,), for a given Cₖ, with every oₜ held fixed."""
        shown = [net.points[t]["oₜ"] * np.tanh(go_on(t, k, C)) for t in range(first, last + 1)]
        return np.asarray((np.stack(shown) ** 2).sum(keepdims=True)[0] / 2)

    def recount_losses(C: Array) -> Array:
        """Return Σₜ (Lₜ + … + L_T) for a given C₁: each loss counts once for every step up to it."""
        return np.asarray(sum(add_losses(t, LAG, 1, C) for t in range(1, LAG + 1)))

    def by_state(function: Callable[[Array], Array], k: int) -> Array:
        return derivative(function, net.points[k]["Cₜ"])

    steps, C = range(1, LAG + 1), net.cell.parts["c"]
    symbols = {
        **FUNCTIONS, "I": np.eye(hidden), "T": LAG, "t": LAG, "k": 0, **net.name_quantities("fₜ"),
        "∂⁺Cₜ/∂Cₖ": cache(lambda t, k: by_state(partial(go_on, t, k), k)),
        "∂⁺Lₜ/∂Cₜ": {(t, t): by_state(partial(add_losses, t, t, t), t) for t in steps},
        "∂⁺L/∂Cₖ": {k: by_state(partial(add_losses, k, LAG, k), k) for k in steps},
        "F": net.own["fₜ"][LAG] ** LAG, "R": by_state(recount_losses, 1),
    }  # fmt: skip
    opened, without_weights = net.with_bias(f=OPEN, i=SHUT), net.with_share(0.0, 0.0).with_bias(f=1.0)
    cases: dict[str, Symbols] = {
        "fₜ = 1 and iₜ = 0": {
            **opened.own, "t": FAR_LAG, "∂Cₜ/∂Cₖ": lambda t, k: opened.own_jacobian(t, k)[C, C],
        },
        "b_f = 1": {
            "b_f": 1.0, "t": 10, "∂Cₜ/∂Cₖ": lambda t, k: without_weights.own_jacobian(t, k)[C, C],
        },
        "i = t": {"i": LAG},
        "k = 1": {"k": 1},
    }  # fmt: skip
    return read_topic(TEXT, symbols, cases)
