"""What the gates of an LSTM do, and which of its quantities are always positive."""

from functools import cache, partial

import numpy as np

from gradflow.derivations.topics.complex_cells import FUNCTIONS, quantities
from gradflow.derivations.topics.gated import LETTERS, OPEN, SHUT, GatedNetwork, named_weights
from gradflow.derivations.topics.line import Array, DerivationLine, DerivationTopic
from gradflow.notation.evaluate import Symbols

STEPS = 200
each_step = partial(DerivationLine, at={"t": np.arange(1, STEPS + 1)})


def build_topic(seed: int, *, hidden: int = 3) -> DerivationTopic:
    """Return what gates do and which quantities are positive, for a random LSTM of ``hidden`` units."""
    net = GatedNetwork.draw_lstm(seed, hidden, STEPS)
    return DerivationTopic(
        exercise="5-3a, b",
        title="the gates of an LSTM",
        statement=(
            "(a) What do the gates $fₜ$, $iₜ$ and $oₜ$ do? (b) Which of $fₜ, iₜ, oₜ, C̃ₜ, Cₜ, hₜ$ are "
            "always positive?"
        ),
        symbols=lambda: _symbols(net),
        lines=_equations() + _roles(net) + _signs(net),
        answer=(
            "(a) Each gate sees $hₜ₋₁$ and $xₜ$. Unit by unit, $fₜ$ says which share of the old cell state "
            "is kept, $iₜ$ which share of the candidate $C̃ₜ$ is added to it, $oₜ$ which share of $tanh(Cₜ)$ "
            "is shown to the rest of the network. (b) Only the gates $fₜ$, $iₜ$, $oₜ$: as values of $σ$ they "
            "lie in $(0, 1)$. $C̃ₜ$ and $hₜ$ lie in $(−1, 1)$, $Cₜ$ may be any number, and all three take "
            "both signs."
        ),
    )


def _symbols(net: GatedNetwork) -> Symbols:
    """Return what the formulas are made of: gates and states of gradflow's own cell, and the weights."""
    return {
        **FUNCTIONS, "min": np.min, "max": np.max, **net.own_families(), "xₜ": dict(enumerate(net.inputs, 1)),
        **named_weights(net), **named_weights(net, "U", "weight_ih"), **named_weights(net, "b", "bias"),
    }  # fmt: skip


def _equations() -> list[DerivationLine]:
    return [
        each_step(
            "fₜ = σ(W_f hₜ₋₁ + U_f xₜ + b_f)",
            f"the forget gate: on the left by gradflow's own cell with the same weights, at all of {STEPS} "
            "steps. The sheet writes $[W_f, U_f]$ as one matrix",
        ),
        each_step("iₜ = σ(W_i hₜ₋₁ + U_i xₜ + b_i)", "the input gate"),
        each_step("C̃ₜ = tanh(W_c hₜ₋₁ + U_c xₜ + b_c)", "the candidate"),
        each_step(
            "Cₜ = fₜ ⊙ Cₜ₋₁ + iₜ ⊙ C̃ₜ",
            "the cell state: what is kept of the old, and what is let in of the new",
        ),
        each_step("oₜ = σ(W_o hₜ₋₁ + U_o xₜ + b_o)", "the output gate"),
        each_step("hₜ = oₜ ⊙ tanh(Cₜ)", "the output: what is shown of the cell state"),
    ]


def _roles(net: GatedNetwork) -> list[DerivationLine]:
    return [
        each_step(
            "Cₜ = Cₜ₋₁",
            "(a) $fₜ = 1$ and $iₜ = 0$ (biases of $±1000$): everything is kept, nothing comes in",
            given=lambda: net.own_families(f=OPEN, i=SHUT),
        ),
        each_step(
            "Cₜ = C̃ₜ",
            "$fₜ = 0$ and $iₜ = 1$: everything is forgotten, the candidate takes its place",
            given=lambda: net.own_families(f=SHUT, i=OPEN),
        ),
        each_step(
            "Cₜ = Cₜ₋₁ + C̃ₜ",
            "$fₜ = 1$ and $iₜ = 1$: the candidates are added up",
            given=lambda: net.own_families(f=OPEN, i=OPEN),
        ),
        each_step(
            "|fₜ ⊙ Cₜ₋₁| ≤ |Cₜ₋₁|",
            "between the extremes each unit of the forget gate says which share of its unit of $C$ stays: "
            "never more than there was",
        ),
        each_step("hₜ = 0", "$oₜ = 0$: nothing is shown", given=lambda: net.own_families(o=SHUT)),
        each_step(
            "hₜ = tanh(Cₜ)",
            "$oₜ = 1$: all of it is shown, squashed to $(−1, 1)$",
            given=lambda: net.own_families(o=OPEN),
        ),
    ]


def _signs(net: GatedNetwork) -> list[DerivationLine]:
    first_steps = cache(lambda: _run_first_steps(net))
    return [
        each_step(
            "0 < fₜ",
            "(b) $σ(z) = 1/(1 + e⁻ᶻ)$ with $e⁻ᶻ > 0$: above 0, and under 1 (the 0 and 1 of (a) are limits, "
            "which doubles reach at $z = ±1000$). The smallest value of all steps is shown",
        ),
        each_step("0 < iₜ", "the same"),
        each_step("0 < oₜ", "the same"),
        each_step("fₜ < 1", "and so for $iₜ$ and $oₜ$"),
        each_step("|C̃ₜ| < 1", "a tanh lies between $−1$ and 1"),
        DerivationLine(
            "min C̃ₜ < 0",
            "and takes either sign: the smallest entry after one step from the state 0 with $b_c = 0$, over "
            f"{STEPS} inputs and their negatives",
            given=first_steps,
        ),
        each_step("|hₜ| < 1", "$oₜ$ in $(0, 1)$ times a tanh"),
        DerivationLine("min hₜ < 0", "it has the sign of $Cₜ$", given=first_steps),
        DerivationLine(
            "min Cₜ < 0",
            "after one step from 0, $C₁ = i₁ ⊙ C̃₁$",
            given=first_steps,
        ),
        each_step(
            "|Cₜ| < |Cₜ₋₁| + 1",
            "$fₜ$, $iₜ$ and $|C̃ₜ|$ are under 1: the cell state can leave $(−1, 1)$, but by less than 1 a "
            "step",
        ),
        DerivationLine(
            "1 < max Cₜ",
            f"and does: with $fₜ = iₜ = 1$ and $C̃ₜ = 1$ it counts, {STEPS} steps long",
            given=lambda: {"Cₜ": net.with_bias(f=OPEN, i=OPEN, g=OPEN).own["c"][1:]},
        ),
    ]


def _run_first_steps(net: GatedNetwork) -> dict[str, Array]:
    """Return C̃, C and h after one step from the state 0 without b_c, for ± all inputs, each (2T, n)."""
    cell, nothing = net.with_bias(g=0.0).cell, np.zeros_like(net.start)
    inputs = np.concatenate([net.inputs, -net.inputs])
    points = [quantities(cell, cell.weight_hh, nothing, one) for one in inputs]
    return {f"{LETTERS.get(name, name)}ₜ": np.stack([point[name] for point in points]) for name in "gch"}
