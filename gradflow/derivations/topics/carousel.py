"""The constant error carousel of an LSTM (Hochreiter & Schmidhuber 1997)."""

from functools import partial

import numpy as np

from gradflow.derivations.topics.complex_cells import FUNCTIONS, derivative
from gradflow.derivations.topics.gated import FAR_LAG, LAG, OPEN, SHUT, GatedNetwork, families
from gradflow.derivations.topics.line import Array, DerivationLine, DerivationTopic
from gradflow.notation.evaluate import Symbols


def build_topic(seed: int, *, hidden: int = 3) -> DerivationTopic:
    """Return the gradient along the cell state, for a random LSTM of ``hidden`` units."""
    net = GatedNetwork.draw_lstm(seed, hidden, FAR_LAG)
    return DerivationTopic(
        exercise="5-3c",
        title="the constant error carousel",
        statement=(
            "Let $fₜ = 1$ and $iₜ = 0$ for all $t$, so that $Cₜ = Cₜ₋₁$. What is $∂Cₜ/∂Cₖ = ∏ᵢ₌ₖ₊₁ᵗ "
            "∂Cᵢ/∂Cᵢ₋₁$?"
        ),
        symbols=lambda: _symbols(net),
        lines=_lines(net),
        answer=(
            "$∂Cₜ/∂Cₖ = I$, exactly and over any number of steps: the gradient neither vanishes nor "
            "explodes. A plain network multiplies by $diag(σ′) W$ at every step; an LSTM multiplies by "
            "$diag(fᵢ)$, which it can learn to hold near 1."
        ),
        slip=(
            "The product must run over $∂Cᵢ/∂Cᵢ₋₁$; with $∂Cₜ/∂Cₜ₋₁$ as printed it would be a power of the "
            "last factor (line 7); with $fᵢ = 1$ throughout that makes no difference. In the double sum "
            "before (c) $∂L/∂Cₜ$ must be $∂Lₜ/∂Cₜ$ (line 9)."
        ),
    )


def _along(net: GatedNetwork, t: int, k: int, C: Array) -> Array:
    """Return Cₜ of Cₖ with gates and candidates as they are, whatever C is."""
    for point in net.points[k + 1 : t + 1]:
        C = point["f"] * C + point["i"] * point["g"]
    return C


def _loss(net: GatedNetwork, t: int, C: Array) -> Array:
    """Return Lₜ = ½‖hₜ‖² of Cₜ, with oₜ as it is."""
    return np.asarray(((net.points[t]["o"] * np.tanh(C)) ** 2).sum() / 2)


def _losses(net: GatedNetwork, k: int, C: Array) -> Array:
    """Return Lₖ + … + L_LAG of Cₖ."""
    return np.asarray(sum(_loss(net, t, _along(net, t, k, C)) for t in range(k, LAG + 1)))


def _recount_losses(net: GatedNetwork, C: Array) -> Array:
    """Return Σₜ (Lₜ + … + L_LAG) of C₁: a loss counts once for each step on its way."""
    return np.asarray(sum(_losses(net, t, _along(net, t, 1, C)) for t in range(1, LAG + 1)))


def _direct(net: GatedNetwork, t: int, k: int) -> Array:
    """Return ∂⁺Cₜ/∂Cₖ (n, n), the gates held fixed."""
    return derivative(partial(_along, net, t, k), net.points[k]["c"])


def _own_block(net: GatedNetwork, steps: int) -> dict[str, dict[tuple[int, int], Array]]:
    """Return ∂C/∂C (n, n) over so many steps: that block of gradflow's Jacobian of [h; C]."""
    place = net.cell.parts["c"]
    return {"∂Cₜ/∂Cₖ": {(steps, 0): net.own_jacobian(steps, 0)[place, place]}}


def _symbols(net: GatedNetwork) -> Symbols:
    """Return what the formulas are made of, those of losses as rows."""
    steps = range(1, LAG + 1)
    rows = {
        t: [derivative(partial(loss, net, t), net.points[t]["c"])[None] for loss in (_loss, _losses)]
        for t in steps
    }
    return {
        **FUNCTIONS, "I": np.eye(len(net.start) // 2), "T": LAG, "t": LAG, "k": 0,
        **families({"f": {t: net.points[t]["f"] for t in steps}}),
        "∂⁺Cₜ/∂Cₖ": {(t, k): _direct(net, t, k) for t in range(LAG + 1) for k in range(t + 1)},
        "∂⁺Lₜ/∂Cₜ": {(t, t): row for t, (row, _) in rows.items()},
        "∂⁺L/∂Cₖ": {k: row for k, (_, row) in rows.items()},
    }  # fmt: skip


def _lines(net: GatedNetwork) -> list[DerivationLine]:
    opened = net.with_bias(f=OPEN, i=SHUT)
    return [
        DerivationLine(
            "Cₜ = Cₖ",
            "$fᵢ = 1$ and $iᵢ = 0$ at every step (biases of $±1000$): $Cᵢ = 1 ⊙ Cᵢ₋₁ + 0 ⊙ C̃ᵢ$; after "
            f"{FAR_LAG} steps, by gradflow's own cell",
            {"t": FAR_LAG},
            given=lambda: {"Cₜ": dict(enumerate(opened.own["c"]))},
        ),
        DerivationLine(
            "∂⁺Cᵢ/∂Cᵢ₋₁ = diag(fᵢ)",
            "in general, by $Cᵢ = fᵢ ⊙ Cᵢ₋₁ + iᵢ ⊙ C̃ᵢ$; the $+$ means with the gates and $C̃$ held fixed: "
            "unit by unit a factor $fᵢ$. (5-3d treats what comes by way of the gates)",
            {"i": LAG},
        ),
        DerivationLine(
            "∂⁺Cₜ/∂Cₖ = ∏ᵢ₌ₖ₊₁ᵗ ∂⁺Cᵢ/∂Cᵢ₋₁",
            f"chain rule, a factor for each step between; here and below $t − k = {LAG}$ unless stated "
            "otherwise",
        ),
        DerivationLine(
            "∂⁺Cₜ/∂Cₖ = diag(∏ᵢ₌ₖ₊₁ᵗ fᵢ)",
            "(2) put into (3): diagonal matrices are multiplied entry by entry, and no $W$ stands between "
            "them",
        ),
        DerivationLine(
            "∂Cₜ/∂Cₖ = I",
            "every $fᵢ = 1$ in (4), and nothing comes by way of the gates: where $fᵢ$ is 1 and $iᵢ$ is 0 "
            f"their slopes are 0, and $iᵢ = 0$ stops the candidate. Left: gradflow's Jacobian over "
            f"{FAR_LAG} steps, gates included",
            {"t": FAR_LAG},
            given=lambda: _own_block(opened, FAR_LAG),
        ),
        DerivationLine(
            "∂Cₜ/∂Cₖ = σ(b_f)ᵗ⁻ᵏ I",
            "a gate a little under 1 forgets all the same: without weights $fᵢ = σ(b_f)$, and with $b_f = 1$ "
            "it is 0.731, so that 10 steps leave 0.0436",
            {"t": 10},
            given=lambda: {"b_f": 1.0, **_own_block(net.scaled(0.0, 0.0).with_bias(f=1.0), 10)},
        ),
        DerivationLine(
            "∂⁺Cₜ/∂Cₖ ≠ (∂⁺Cₜ/∂Cₜ₋₁)ᵗ⁻ᵏ",
            "the product as the sheet prints it, $∏ᵢ₌ₖ₊₁ᵗ ∂Cₜ/∂Cₜ₋₁$, repeats the last step's factor",
            right=lambda: np.diag(net.points[LAG]["f"] ** LAG),
        ),
        DerivationLine(
            "∂⁺L/∂Cₖ = Σₜ₌ₖᵀ ∂⁺Lₜ/∂Cₜ · ∂⁺Cₜ/∂Cₖ",
            "chain rule: every later loss goes back along the carousel; with $Lₜ = ‖hₜ‖²/2$, $k = 1$, $T = "
            f"{LAG}$",
            {"k": 1},
        ),
        DerivationLine(
            "∂⁺L/∂Cₖ ≠ Σₜ₌ₖᵀ ∂⁺L/∂Cₜ · ∂⁺Cₜ/∂Cₖ",
            "with $∂L/∂Cₜ$ in place of $∂Lₜ/∂Cₜ$, as in the sheet's double sum before (c), a loss counts "
            "once for each step on its way",
            {"k": 1},
            right=lambda: derivative(partial(_recount_losses, net), net.points[1]["c"])[None],
        ),
    ]
