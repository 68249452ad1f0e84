"""The same for the GRU (Cho et al. 2014), in torch's form: gates, carousel, and the gradient in full."""

import numpy as np

from gradflow.derivations.topics.complex_cells import FUNCTIONS, derivative
from gradflow.derivations.topics.gated import (
    FAR_LAG,
    LAG,
    OPEN,
    SHUT,
    GatedNetwork,
    families,
    named_weights,
)
from gradflow.derivations.topics.line import Array, DerivationLine, DerivationTopic
from gradflow.notation.evaluate import Symbols, evaluate

T = LAG + 1  # the step t of every line
FULL = (
    "diag(zₜ) + diag((hₜ₋₁ − nₜ) ⊙ σ′(a_z)) W_z + diag((1 − zₜ) ⊙ tanh′(a_n) ⊙ rₜ) W_n "
    "+ diag((1 − zₜ) ⊙ tanh′(a_n) ⊙ v ⊙ σ′(a_r)) W_r"
)


def build_topic(seed: int, *, hidden: int = 3) -> DerivationTopic:
    """Return the gradient of the state of a random GRU of ``hidden`` units."""
    net = GatedNetwork.draw_gru(seed, hidden, FAR_LAG)
    return DerivationTopic(
        exercise="5-3, GRU",
        title="the same for the GRU",
        statement=(
            "With $rₜ = σ(a_r)$, $zₜ = σ(a_z)$, $nₜ = tanh(a_n)$, $a_r = W_r hₜ₋₁ + U_r xₜ + b_r$, $a_z$ "
            "likewise, $a_n = U_n xₜ + b_n + rₜ ⊙ v$, $v = W_n hₜ₋₁ + c$ and $hₜ = (1 − zₜ) ⊙ nₜ + zₜ ⊙ "
            "hₜ₋₁$ (torch's form), derive $∂hₜ/∂hₜ₋₁$. When does the gradient stay as it is, and what is "
            "always positive?"
        ),
        symbols=lambda: _symbols(net),
        lines=_full_lines(net) + _further_lines(net),
        answer=(
            "Line 7: $diag(zₜ)$, and a term for each gate. The update gate $zₜ$ is forget gate and input "
            "gate in one: at $zₜ = 1$ the state is kept and $∂hₜ/∂hₖ = I$ over any number of steps, at $zₜ "
            "= 0$ it is replaced by the candidate. The reset gate $rₜ$ says how much of the old state the "
            "candidate sees. The gates are always positive; $nₜ$ and $hₜ$ take both signs."
        ),
    )


def _symbols(net: GatedNetwork) -> Symbols:
    """Return what the formulas are made of, derivatives and slopes by complex steps."""
    point, h = net.points[T], net.points[T - 1]["h"]

    def by_state(quantity: str, times: str = "") -> Array:
        def value(h: Array) -> Array:
            after = {**net.after(T, T - 1, h), "before": h}
            rest = 1.0 - after["z"] if quantity == "rest" else after[quantity]
            return rest * after[times] if times else rest

        return derivative(value, h)

    return {
        **FUNCTIONS, **named_weights(net), "v": point["v"], "I": np.eye(len(h)), "t": T, "k": T - LAG,
        **families({"h": {T - 1: h}, **{name: {T: point[name]} for name in "rzn"}}),
        **{f"a_{name}": point[f"a_{name}"] for name in "rzn"},
        **{f"∂{name}ₜ/∂hₜ₋₁": by_state(name) for name in "rznh"},
        "∂(rₜ ⊙ v)/∂hₜ₋₁": by_state("r", "v"),
        "∂((1 − zₜ) ⊙ nₜ)/∂hₜ₋₁": by_state("rest", "n"),
        "∂(zₜ ⊙ hₜ₋₁)/∂hₜ₋₁": by_state("z", "before"),
        "dhₜ/dhₖ": net.total("h", T, T - LAG),
    }  # fmt: skip


def _full_lines(net: GatedNetwork) -> list[DerivationLine]:
    return [
        DerivationLine("∂rₜ/∂hₜ₋₁ = diag(σ′(a_r)) W_r", "5-1a for the reset gate $rₜ = σ(a_r)$"),
        DerivationLine("∂zₜ/∂hₜ₋₁ = diag(σ′(a_z)) W_z", "the same for the update gate $zₜ = σ(a_z)$"),
        DerivationLine(
            "∂(rₜ ⊙ v)/∂hₜ₋₁ = diag(rₜ) W_n + diag(v) · ∂rₜ/∂hₜ₋₁",
            "product rule, with $v = W_n hₜ₋₁ + c$, whose derivative is $W_n$",
        ),
        DerivationLine(
            "∂nₜ/∂hₜ₋₁ = diag(tanh′(a_n)) (diag(rₜ) W_n + diag(v ⊙ σ′(a_r)) W_r)",
            "chain rule on $nₜ = tanh(a_n)$ with (3) inside, and (1) put into that",
        ),
        DerivationLine(
            "∂((1 − zₜ) ⊙ nₜ)/∂hₜ₋₁ = diag(1 − zₜ) · ∂nₜ/∂hₜ₋₁ − diag(nₜ) · ∂zₜ/∂hₜ₋₁",
            "product rule: $1 − zₜ$ falls as $zₜ$ rises",
        ),
        DerivationLine("∂(zₜ ⊙ hₜ₋₁)/∂hₜ₋₁ = diag(zₜ) + diag(hₜ₋₁) · ∂zₜ/∂hₜ₋₁", "product rule again"),
        DerivationLine(
            f"∂hₜ/∂hₜ₋₁ = {FULL}",
            "the sum of (5) and (6) with (2) and (4) put in: the carousel $diag(zₜ)$ and three ways through "
            "the gates",
        ),
        DerivationLine(
            "J = ∂hₜ/∂hₜ₋₁",
            "$J$ is the right side of (7); on the right stands the Jacobian that gradflow's own cell "
            "computes",
            given=lambda: {
                "J": evaluate(FULL, _symbols(net)),
                "∂hₜ/∂hₜ₋₁": net.own_jacobian(T, T - 1),
            },
        ),
    ]


def _further_lines(net: GatedNetwork) -> list[DerivationLine]:
    opened = net.with_bias(z=OPEN)
    every, far = {"t": np.arange(1, FAR_LAG + 1)}, {"t": FAR_LAG, "k": 0}
    return [
        DerivationLine(
            "dhₜ/dhₖ = ∏ᵢ₌ₖ₊₁ᵗ ∂hᵢ/∂hᵢ₋₁",
            "nothing is neglected here: $h$ is the whole state, so that a product of (7) is the derivative "
            f"by every way (not so in an LSTM, 5-3d); $t − k = {LAG}$, the factors by gradflow's own cell",
            given=lambda: {
                "∂hₜ/∂hₖ": {(i, i - 1): net.own_jacobian(i, i - 1) for i in range(T - LAG + 1, T + 1)}
            },
        ),
        DerivationLine(
            "hₜ = hₖ",
            "the carousel: $zᵢ = 1$ at every step (a bias of 1000), and $hᵢ = 0 ⊙ nᵢ + 1 ⊙ hᵢ₋₁$; after "
            f"{FAR_LAG} steps, by gradflow's own cell",
            far,
            given=opened.own_families,
        ),
        DerivationLine(
            "∂hₜ/∂hₖ = I",
            f"with $zᵢ = 1$ and $σ′(a_z) = 0$ only $diag(zᵢ) = I$ is left of (7); over {FAR_LAG} steps, "
            "exactly",
            far,
            given=lambda: {"∂hₜ/∂hₖ": {(FAR_LAG, 0): opened.own_jacobian(FAR_LAG, 0)}},
        ),
        DerivationLine(
            "hₜ = nₜ",
            "the other end: $zₜ = 0$ at every step (a bias of $−1000$), and nothing is kept",
            every,
            given=lambda: net.own_families(z=SHUT),
        ),
        DerivationLine(
            "0 < rₜ", "both gates are values of $σ$: always positive", every, given=net.own_families
        ),
        DerivationLine("0 < zₜ", "the same", every, given=net.own_families),
        DerivationLine(
            "|nₜ| < 1", "the candidate is a tanh, and so of either sign", every, given=net.own_families
        ),
        DerivationLine(
            "|hₜ| < 1",
            "$hₜ$ lies between $nₜ$ and $hₜ₋₁$, and so under 1 if $h₀$ does: a GRU cannot count as an LSTM "
            "does",
            {"t": np.arange(FAR_LAG + 1)},
            given=net.own_families,
        ),
    ]
