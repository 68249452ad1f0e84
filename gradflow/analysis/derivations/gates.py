"""Exercise 5-3a and b: what the gates of an LSTM do, and which quantities are always positive."""

from dataclasses import replace

import numpy as np

from gradflow.analysis.derivations.drawn_gates import SATURATED
from gradflow.analysis.derivations.line import Array, Line, Topic
from gradflow.analysis.derivations.sheet_lstm import SheetLSTM

STEPS = 200
OPEN, SHUT = SATURATED, -SATURATED


def _before(net: SheetLSTM, **biases: float) -> Array:
    """Return C₀ … C_T₋₁ of gradflow's cell, (T, n)."""
    return np.concatenate([net.C[None], net.cells(**biases)[:-1]])


def _first(net: SheetLSTM, what: str) -> float:
    """Return the least entry of C̃, C or h after one step from the state 0 without b_c, over ± all inputs."""
    nothing = np.zeros_like(net.C)
    even = replace(net, b={**net.b, "c": nothing}, inputs=np.concatenate([net.inputs, -net.inputs]))
    points = [even.step(t, nothing, nothing) for t in range(1, 2 * STEPS + 1)]
    found = {"c": [point.gates["c"] for point in points], "C": [point.C for point in points]}
    return float(np.min(found.get(what, [point.h for point in points])))


EQUATIONS: tuple[Line[SheetLSTM], ...] = (
    Line(
        "fₜ = σ(W_f hₜ₋₁ + U_f xₜ + b_f)",
        f"the forget gate, beside gradflow's own cell with the same weights, at all of {STEPS} steps. The "
        "sheet writes $[W_f, U_f]$ as one matrix",
        lambda net: (net.values("f"), net.along("f")),
    ),
    Line(
        "iₜ = σ(W_i hₜ₋₁ + U_i xₜ + b_i)",
        "the input gate",
        lambda net: (net.values("i"), net.along("i")),
    ),
    Line(
        "C̃ₜ = tanh(W_c hₜ₋₁ + U_c xₜ + b_c)",
        "the candidate",
        lambda net: (net.values("c"), net.along("c")),
    ),
    Line(
        "Cₜ = fₜ ⊙ Cₜ₋₁ + iₜ ⊙ C̃ₜ",
        "the cell state: what is kept of the old, and what is let in of the new",
        lambda net: (net.cells(), net.along("f") * _before(net) + net.along("i") * net.along("c")),
    ),
    Line(
        "oₜ = σ(W_o hₜ₋₁ + U_o xₜ + b_o)",
        "the output gate",
        lambda net: (net.values("o"), net.along("o")),
    ),
    Line(
        "hₜ = oₜ ⊙ tanh(Cₜ)",
        "the output: what is shown of the cell state",
        lambda net: (net.outputs(), net.along("o") * np.tanh(net.cells())),
    ),
)
ROLES: tuple[Line[SheetLSTM], ...] = (
    Line(
        "Cₜ = Cₜ₋₁",
        "(a) $fₜ = 1$ and $iₜ = 0$ (biases of $±1000$): everything is kept, nothing comes in",
        lambda net: (net.cells(f=OPEN, i=SHUT), _before(net, f=OPEN, i=SHUT)),
    ),
    Line(
        "Cₜ = C̃ₜ",
        "$fₜ = 0$ and $iₜ = 1$: everything is forgotten, the candidate takes its place",
        lambda net: (net.cells(f=SHUT, i=OPEN), net.values("c", f=SHUT, i=OPEN)),
    ),
    Line(
        "Cₜ = Cₜ₋₁ + C̃ₜ",
        "$fₜ = 1$ and $iₜ = 1$: the candidates are added up",
        lambda net: (
            net.cells(f=OPEN, i=OPEN),
            _before(net, f=OPEN, i=OPEN) + net.values("c", f=OPEN, i=OPEN),
        ),
    ),
    Line(
        "|fₜ ⊙ Cₜ₋₁| ≤ |Cₜ₋₁|",
        "between the extremes each unit of the forget gate says which share of its unit of $C$ stays: never "
        "more than there was",
        lambda net: (np.abs(net.along("f") * _before(net)), np.abs(_before(net))),
    ),
    Line(
        "hₜ = 0",
        "$oₜ = 0$: nothing is shown",
        lambda net: (net.outputs(o=SHUT), np.zeros_like(net.cells())),
    ),
    Line(
        "hₜ = tanh(Cₜ)",
        "$oₜ = 1$: all of it is shown, squashed to $(−1, 1)$",
        lambda net: (net.outputs(o=OPEN), np.tanh(net.cells(o=OPEN))),
    ),
)
SIGNS: tuple[Line[SheetLSTM], ...] = (
    Line(
        "0 < fₜ",
        "(b) $σ(z) = 1/(1 + e⁻ᶻ)$ with $e⁻ᶻ > 0$: above 0, and under 1 (the 0 and 1 of (a) are limits, "
        "which doubles reach at $z = ±1000$). The least value of all steps is shown",
        lambda net: (0.0, net.values("f")),
    ),
    Line("0 < iₜ", "the same", lambda net: (0.0, net.values("i"))),
    Line("0 < oₜ", "the same", lambda net: (0.0, net.values("o"))),
    Line("fₜ < 1", "and so for $iₜ$ and $oₜ$", lambda net: (net.values("f"), 1.0)),
    Line("|C̃ₜ| < 1", "a tanh lies between $−1$ and 1", lambda net: (np.abs(net.values("c")), 1.0)),
    Line(
        "min C̃ₜ < 0",
        "and takes either sign: the least entry after one step from the state 0 with $b_c = 0$, over "
        f"{STEPS} "
        "inputs and their negatives",
        lambda net: (_first(net, "c"), 0.0),
    ),
    Line("|hₜ| < 1", "$oₜ$ in $(0, 1)$ times a tanh", lambda net: (np.abs(net.outputs()), 1.0)),
    Line("min hₜ < 0", "it has the sign of $Cₜ$", lambda net: (_first(net, "h"), 0.0)),
    Line("min Cₜ < 0", "after one step from 0, $C₁ = i₁ ⊙ C̃₁$", lambda net: (_first(net, "C"), 0.0)),
    Line(
        "|Cₜ| < |Cₜ₋₁| + 1",
        "$fₜ$, $iₜ$ and $|C̃ₜ|$ are under 1: the cell state can leave $(−1, 1)$, but by less than 1 a step",
        lambda net: (np.abs(net.cells()), np.abs(_before(net)) + 1.0),
    ),
    Line(
        "1 < max Cₜ",
        f"and does: with $fₜ = iₜ = 1$ and $C̃ₜ = 1$ it counts, {STEPS} steps long",
        lambda net: (1.0, float(net.cells(f=OPEN, i=OPEN, c=OPEN).max())),
    ),
)


def derivation(seed: int, *, hidden: int = 3) -> Topic[SheetLSTM]:
    """Return what gates do and which quantities are positive, for a random LSTM of ``hidden`` units."""
    return Topic(
        exercise="5-3a, b",
        title="the gates of an LSTM",
        statement=(
            "(a) What do the gates $fₜ$, $iₜ$ and $oₜ$ do? (b) Which of $fₜ, iₜ, oₜ, C̃ₜ, Cₜ, hₜ$ are "
            "always positive?"
        ),
        case=SheetLSTM.drawn(seed, hidden, STEPS),
        lines=EQUATIONS + ROLES + SIGNS,
        answer=(
            "(a) Each gate sees $hₜ₋₁$ and $xₜ$. Unit by unit, $fₜ$ says which share of the old cell state "
            "is kept, $iₜ$ which share of the "
            "candidate $C̃ₜ$ is added to it, $oₜ$ which share of $tanh(Cₜ)$ is shown to the rest of the "
            "network. (b) The gates $fₜ$, $iₜ$, $oₜ$ alone: as values of $σ$ they lie in $(0, 1)$. $C̃ₜ$ "
            "and $hₜ$ lie in $(−1, 1)$, $Cₜ$ may be any number, and all three take both signs."
        ),
    )
