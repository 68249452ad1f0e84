"""The same for the GRU (Cho et al. 2014), in torch's form: gates, carousel, and the gradient in full."""

from dataclasses import replace
from functools import cache

import numpy as np

from gradflow.derivations.topics.complex_cells import FUNCTIONS
from gradflow.derivations.topics.network import FAR_LAG, LAG, OPEN, SHUT, DerivationNetwork
from gradflow.derivations.topics.topic import DerivationTopic, read_topic
from gradflow.notation.evaluate import Each, Symbols, evaluate
from gradflow.notation.formulas import split_sides

T = LAG + 1  # the step t of every line
TEXT = f"""
5-3, GRU: the same for the GRU

With $rₜ = σ(a_r)$, $zₜ = σ(a_z)$, $nₜ = tanh(a_n)$, $a_r = W_r hₜ₋₁ + U_r xₜ + b_r$, $a_z$ likewise, $a_n =
U_n xₜ + b_n + rₜ ⊙ v$, $v = W_n hₜ₋₁ + c$ and $hₜ = (1 − zₜ) ⊙ nₜ + zₜ ⊙ hₜ₋₁$ (torch's form), derive
$∂hₜ/∂hₜ₋₁$. When does the gradient stay as it is, and what is always positive?

∂rₜ/∂hₜ₋₁ = diag(σ′(a_r)) W_r
    5-1a for the reset gate $rₜ = σ(a_r)$
∂zₜ/∂hₜ₋₁ = diag(σ′(a_z)) W_z
    the same for the update gate $zₜ = σ(a_z)$
∂(rₜ ⊙ v)/∂hₜ₋₁ = diag(rₜ) W_n + diag(v) · ∂rₜ/∂hₜ₋₁
    product rule, with $v = W_n hₜ₋₁ + c$, whose derivative is $W_n$
∂nₜ/∂hₜ₋₁ = diag(tanh′(a_n)) (diag(rₜ) W_n + diag(v ⊙ σ′(a_r)) W_r)
    chain rule on $nₜ = tanh(a_n)$ with (3) inside, and (1) inserted into (3)
∂((1 − zₜ) ⊙ nₜ)/∂hₜ₋₁ = diag(1 − zₜ) · ∂nₜ/∂hₜ₋₁ − diag(nₜ) · ∂zₜ/∂hₜ₋₁
    product rule: $1 − zₜ$ falls as $zₜ$ rises
∂(zₜ ⊙ hₜ₋₁)/∂hₜ₋₁ = diag(zₜ) + diag(hₜ₋₁) · ∂zₜ/∂hₜ₋₁
    product rule again
∂hₜ/∂hₜ₋₁ = diag(zₜ) + diag((hₜ₋₁ − nₜ) ⊙ σ′(a_z)) W_z + diag((1 − zₜ) ⊙ tanh′(a_n) ⊙ rₜ) W_n
    + diag((1 − zₜ) ⊙ tanh′(a_n) ⊙ v ⊙ σ′(a_r)) W_r
    the sum of (5) and (6), with (2) and (4) inserted: the carousel $diag(zₜ)$, and the paths through the
    update gate, the candidate and the reset gate
J = ∂hₜ/∂hₜ₋₁  for gradflow's own cell
    $J$ is the right side of (7). The right side of this line is the Jacobian that gradflow's own cell
    computes
dhₜ/dhₖ = ∏ᵢ₌ₖ₊₁ᵗ ∂hᵢ/∂hᵢ₋₁  for gradflow's own cell
    this neglects nothing: $h$ is the whole state, so a product of factors (7) is the total derivative. (In an
    LSTM it is not: 5-3d.) Here $t − k = {LAG}$, and the factors are those of gradflow's own cell
hₜ = hₖ  for zₜ = 1
    the carousel: $zᵢ = 1$ at every step (a bias of 1000), and $hᵢ = 0 ⊙ nᵢ + 1 ⊙ hᵢ₋₁$; checked after
    {FAR_LAG} steps of gradflow's own cell
∂hₜ/∂hₖ = I  for zₜ = 1
    with $zᵢ = 1$ and $σ′(a_z) = 0$ only $diag(zᵢ) = I$ is left of (7); over {FAR_LAG} steps, exactly
hₜ = nₜ  for zₜ = 0
    the other end: $zₜ = 0$ at every step (a bias of $−1000$), and nothing is kept
0 < rₜ  for each t
    both gates are values of $σ$: always positive
0 < zₜ  for each t
    the same
|nₜ| < 1  for each t
    the candidate is a tanh, and so of either sign
|hₜ| < 1  for each t from 0
    $hₜ$ lies between $nₜ$ and $hₜ₋₁$, so $|hₜ| < 1$ if $|h₀| < 1$: a GRU cannot count as an LSTM can

Answer: $∂hₜ/∂hₜ₋₁ = diag(zₜ) + diag((hₜ₋₁ − nₜ) ⊙ σ′(a_z)) W_z + diag((1 − zₜ) ⊙ tanh′(a_n) ⊙ rₜ) W_n +
diag((1 − zₜ) ⊙ tanh′(a_n) ⊙ v ⊙ σ′(a_r)) W_r$: the carousel $diag(zₜ)$, and a term for each way through the
gates and the candidate. The update gate $zₜ$ is forget gate and input gate in one: at $zₜ = 1$ the state is
kept and $∂hₜ/∂hₖ = I$ over any number of steps, at $zₜ = 0$ it is replaced by the candidate. The reset gate
$rₜ$ says how much of the old state the candidate sees. The gates are always positive; $nₜ$ and $hₜ$ take both
signs.
"""


def build_topic(seed: int, *, hidden: int = 3) -> DerivationTopic:
    """Return the gradient of the state of a random GRU of ``hidden`` units."""
    net = DerivationNetwork.draw_gru(seed, hidden, FAR_LAG)
    by_state = cache(lambda t, k: net.by_state("hₜ", t, k))
    parts = ["rₜ", "zₜ", "nₜ", "(rₜ ⊙ v)", "((1 − zₜ) ⊙ nₜ)", "(zₜ ⊙ hₜ₋₁)"]
    symbols = {
        **FUNCTIONS, **net.name_weights(), "I": np.eye(hidden), "t": T, "k": T - LAG,
        **net.name_quantities("rₜ", "zₜ", "nₜ", "hₜ"),
        **{name: net.points[T][name] for name in ("v", "a_r", "a_z", "a_n")},
        **{f"∂{part}/∂hₜ₋₁": net.by_state(part, T, T - 1) for part in parts},
        "∂hₜ/∂hₖ": by_state, "dhₜ/dhₖ": by_state,
    }  # fmt: skip
    kept, replaced = net.with_bias(z=OPEN), net.with_bias(z=SHUT)
    carried = kept.own_jacobian(FAR_LAG, 0)
    each = Each(range(1, FAR_LAG + 1))
    cases: dict[str, Symbols] = {
        "gradflow's own cell": {"∂hₜ/∂hₖ": net.own_jacobian},
        "zₜ = 1": {
            **kept.own,
            "∂hₜ/∂hₖ": {(FAR_LAG, 0): carried},
            "t": FAR_LAG,
            "k": 0,
        },
        "zₜ = 0": {**replaced.own, "t": each},
        "each t": {**net.own, "t": each},
        "each t from 0": {**net.own, "t": Each(range(FAR_LAG + 1))},
    }
    topic = read_topic(TEXT, symbols, cases)
    # line 8 compares the right side of line 7 with gradflow's own Jacobian
    return replace(topic, symbols={**symbols, "J": evaluate(split_sides(topic.lines[6].formula)[1], symbols)})
