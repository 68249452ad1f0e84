"""What the gates of an LSTM do, and which of its quantities are always positive."""

import numpy as np

from gradflow.derivations.topics.complex_cells import FUNCTIONS, step
from gradflow.derivations.topics.network import OPEN, SHUT, DerivationNetwork
from gradflow.derivations.topics.topic import DerivationTopic, read_topic
from gradflow.notation.evaluate import Each, Symbols

STEPS = 200
TEXT = f"""
5-3a, b: the gates of an LSTM

(a) What do the gates $fₜ$, $iₜ$ and $oₜ$ do? (b) Which of $fₜ, iₜ, oₜ, C̃ₜ, Cₜ, hₜ$ are always positive?

fₜ = σ(W_f hₜ₋₁ + U_f xₜ + b_f)  for each t
    the forget gate. The left side is computed by gradflow's own cell with the same weights, at all {STEPS}
    steps. The sheet writes $[W_f, U_f]$ as one matrix
iₜ = σ(W_i hₜ₋₁ + U_i xₜ + b_i)  for each t
    the input gate
C̃ₜ = tanh(W_c hₜ₋₁ + U_c xₜ + b_c)  for each t
    the candidate
Cₜ = fₜ ⊙ Cₜ₋₁ + iₜ ⊙ C̃ₜ  for each t
    the cell state: what is kept of the old state, and what is added of the candidate
oₜ = σ(W_o hₜ₋₁ + U_o xₜ + b_o)  for each t
    the output gate
hₜ = oₜ ⊙ tanh(Cₜ)  for each t
    the output: what is shown of the cell state
Cₜ = Cₜ₋₁  for fₜ = 1 and iₜ = 0
    (a) $fₜ = 1$ and $iₜ = 0$ (biases of $±1000$): everything is kept, nothing comes in
Cₜ = C̃ₜ  for fₜ = 0 and iₜ = 1
    $fₜ = 0$ and $iₜ = 1$: everything is forgotten, the candidate takes its place
Cₜ = Cₜ₋₁ + C̃ₜ  for fₜ = 1 and iₜ = 1
    $fₜ = 1$ and $iₜ = 1$: the candidates are added up
|fₜ ⊙ Cₜ₋₁| ≤ |Cₜ₋₁|  for each t
    between these extremes each unit of the forget gate is the share of its unit of $C$ that is kept, at most
    1
hₜ = 0  for oₜ = 0
    $oₜ = 0$: nothing is shown
hₜ = tanh(Cₜ)  for oₜ = 1
    $oₜ = 1$: all of it is shown, squashed to $(−1, 1)$
0 < fₜ  for each t
    (b) $σ(z) = 1/(1 + e⁻ᶻ)$ with $e⁻ᶻ > 0$: above 0, and under 1 (the 0 and 1 of (a) are limits, which
    doubles reach at $z = ±1000$). The smallest value of all steps is shown
0 < iₜ  for each t
    the same
0 < oₜ  for each t
    the same
fₜ < 1  for each t
    the same holds for $iₜ$ and $oₜ$
|C̃ₜ| < 1  for each t
    a tanh lies between $−1$ and 1
min C̃ₜ < 0  for one step from 0
    and takes both signs. The left side is the smallest entry after one step from the state 0 with $b_c = 0$,
    over {STEPS} inputs and their negatives
|hₜ| < 1  for each t
    $oₜ$ in $(0, 1)$ times a tanh
min hₜ < 0  for one step from 0
    it has the sign of $Cₜ$
min Cₜ < 0  for one step from 0
    after one step from 0, $C₁ = i₁ ⊙ C̃₁$
|Cₜ| < |Cₜ₋₁| + 1  for each t
    $fₜ$, $iₜ$ and $|C̃ₜ|$ are below 1: the cell state can leave $(−1, 1)$, but grows by less than 1 per step
1 < max Cₜ  for fₜ = iₜ = C̃ₜ = 1
    and it does leave it: with $fₜ = iₜ = C̃ₜ = 1$ it counts the steps, here {STEPS}

Answer: (a) Each gate is computed from $hₜ₋₁$ and $xₜ$. In each unit, $fₜ$ is the share of the old cell state
that is kept, $iₜ$ the share of the candidate $C̃ₜ$ that is added to it, and $oₜ$ the share of $tanh(Cₜ)$ that
the rest of the network receives. (b) Only the gates $fₜ$, $iₜ$, $oₜ$: as values of $σ$ they lie in $(0, 1)$.
$C̃ₜ$ and $hₜ$ lie in $(−1, 1)$, $Cₜ$ may be any number, and all three take both signs.
"""


def build_topic(seed: int, *, hidden: int = 3) -> DerivationTopic:
    """Return what gates do and which quantities are positive, for a random LSTM of ``hidden`` units."""
    net = DerivationNetwork.draw_lstm(seed, hidden, STEPS)
    symbols = {
        **FUNCTIONS, "min": np.min, "max": np.max, **net.own, "xₜ": dict(enumerate(net.inputs, 1)),
        **net.name_weights(), **net.name_weights("U", "weight_ih"), **net.name_weights("b", "bias"),
    }  # fmt: skip
    each = {"t": Each(range(1, STEPS + 1))}
    counting = net.with_bias(f=OPEN, i=OPEN, g=OPEN).own["Cₜ"]
    cases: dict[str, Symbols] = {
        "each t": each,
        "fₜ = 1 and iₜ = 0": {**each, **net.with_bias(f=OPEN, i=SHUT).own},
        "fₜ = 0 and iₜ = 1": {**each, **net.with_bias(f=SHUT, i=OPEN).own},
        "fₜ = 1 and iₜ = 1": {**each, **net.with_bias(f=OPEN, i=OPEN).own},
        "oₜ = 0": {**each, **net.with_bias(o=SHUT).own},
        "oₜ = 1": {**each, **net.with_bias(o=OPEN).own},
        "one step from 0": _take_first_steps(net),
        "fₜ = iₜ = C̃ₜ = 1": {"Cₜ": np.stack([counting[t] for t in range(1, STEPS + 1)])},
    }
    return read_topic(TEXT, symbols, cases)


def _take_first_steps(net: DerivationNetwork) -> Symbols:
    """Return C̃, C and h after one step from the state 0 without b_c, for ± all inputs, each (2T, n)."""
    inputs = np.concatenate([net.inputs, -net.inputs])
    cell = net.with_bias(g=0.0).cell
    points = [step(cell, net.W, np.zeros_like(net.start), one) for one in inputs]
    return {name: np.stack([point[name] for point in points]) for name in ("C̃ₜ", "Cₜ", "hₜ")}
