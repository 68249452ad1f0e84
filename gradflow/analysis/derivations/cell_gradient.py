"""Exercise 5-3d: ∂Cₜ/∂Cₜ₋₁ of an LSTM in full, and what the product of these leaves out."""

import numpy as np

from gradflow.analysis.derivations.complex_step import FUNCTIONS, derivative, sigmoid_slope, slope, tanh_slope
from gradflow.analysis.derivations.line import Array, Line, Topic
from gradflow.analysis.derivations.neglected import (
    LAGS,
    NEGLECTED,
    T,
    blocks,
    factors,
    fainter,
    in_full,
    lost,
    lost_of_gradient,
    scales,
    slopes,
    truth,
)
from gradflow.analysis.derivations.sheet_lstm import SheetLSTM
from gradflow.notation.evaluate import Symbols


def _states(net: SheetLSTM) -> Array:
    """Return C₀ … Cₜ, (t + 1, n)."""
    return np.stack([point.C for point in net.points])


def _gate(net: SheetLSTM, name: str) -> Array:
    """Return ∂(gate)ₜ/∂Cₜ₋₁ (n, n)."""
    return derivative(lambda C: net.after(T, T - 1, C).gates[name], net.points[T - 1].C)


def _through_gate(net: SheetLSTM, name: str) -> Array:
    """Return diag(σ′(a)) W diag(δ)."""
    return slopes(net.points[T], name)[:, None] * net.W[name] * net.delta(T - 1)


def _without_weights(net: SheetLSTM) -> Array:
    """Return the four terms, the last one without W_c."""
    scale, delta = scales(net, T), net.delta(T - 1)
    through = [scale[name][:, None] * net.W[name] * delta for name in "fi"]
    return np.asarray(np.diag(net.points[T].gates["f"] + scale["c"] * delta) + sum(through))


def _as_printed(net: SheetLSTM) -> Array:
    """Return the sheet's line with its bracket closed after W_f δ, as the diagonal that it then is."""
    gates, delta = net.points[T].gates, net.delta(T - 1)

    def at(name: str) -> Array:
        return sigmoid_slope(net.W[name] @ delta)

    forget, let_in = at("f") * net.points[T - 1].C, at("i") * gates["c"]
    return np.diag(forget + gates["f"] + let_in + gates["i"] * tanh_slope(delta))


def _symbols(net: SheetLSTM) -> Symbols:
    """Return what the formulas are made of, derivatives and slopes by complex steps."""
    point, before = net.points[T], net.points[T - 1]
    gates = {"fₜ": point.gates["f"], "iₜ": point.gates["i"], "C̃ₜ": point.gates["c"]}
    return {
        **FUNCTIONS, **gates, "Cₜ₋₁": before.C,
        "δ": before.gates["o"] * slope(np.tanh, before.C),
        **{f"W_{name}": W for name, W in net.W.items()},
        **{f"a_{name}": a for name, a in point.a.items()},
        **{f"∂{letter}/∂Cₜ₋₁": _gate(net, name) for letter, name in zip(gates, "fic", strict=True)},
        "∂hₜ₋₁/∂Cₜ₋₁": derivative(lambda C: net.shown(T - 1, C), before.C),
        "∂⁺Cₜ/∂Cₜ₋₁": derivative(lambda C: net.step(T, before.h, C).C, before.C),
        "∂⁺Cₜ/∂hₜ₋₁": derivative(lambda h: net.step(T, h, before.C).C, before.h),
        "∂oₜ₋₁/∂Cₜ₋₂": derivative(
            lambda C: net.after(T - 1, T - 2, C).gates["o"], net.points[T - 2].C
        ),
        "∂Cₜ/∂Cₜ₋₁": truth(net), "∂Cₜ₋₁/∂Cₜ₋₂": net.cell_gradient(T - 1, T - 2),
        "dCₜ/dCₜ₋₂": truth(net, 2),
        **factors(net),
    }  # fmt: skip


STEPWISE: tuple[Line[SheetLSTM], ...] = (
    Line(
        "tanh′(C) = 1 − tanh(C)²",
        "quotient rule on $tanh = sinh/cosh$; here for every $C$ from step 0 to $t$",
        lambda net: (slope(np.tanh, _states(net)), 1.0 - np.tanh(_states(net)) ** 2),
        at=lambda net: {"C": _states(net)},
    ),
    Line(
        "∂hₜ₋₁/∂Cₜ₋₁ = diag(δ)",
        "$hₜ₋₁ = oₜ₋₁ ⊙ tanh(Cₜ₋₁)$ entry by entry; $oₜ₋₁$ was computed from $hₜ₋₂$, before $Cₜ₋₁$, and is a "
        "constant here",
        lambda net: (
            derivative(lambda C: net.shown(T - 1, C), net.points[T - 1].C),
            np.diag(net.delta(T - 1)),
        ),
    ),
    Line(
        "∂fₜ/∂Cₜ₋₁ = diag(σ′(a_f)) W_f diag(δ)",
        "5-1a for $fₜ = σ(a_f)$ as a function of $hₜ₋₁$, and the chain rule with (2)",
        lambda net: (_gate(net, "f"), _through_gate(net, "f")),
    ),
    Line(
        "∂iₜ/∂Cₜ₋₁ = diag(σ′(a_i)) W_i diag(δ)",
        "the same for the input gate",
        lambda net: (_gate(net, "i"), _through_gate(net, "i")),
    ),
    Line(
        "∂C̃ₜ/∂Cₜ₋₁ = diag(tanh′(a_c)) W_c diag(δ)",
        "the same for the candidate, with tanh in place of $σ$",
        lambda net: (_gate(net, "c"), _through_gate(net, "c")),
    ),
    Line(
        "∂(fₜ ⊙ Cₜ₋₁)/∂Cₜ₋₁ = diag(fₜ) + diag(Cₜ₋₁) · ∂fₜ/∂Cₜ₋₁",
        "product rule, for $⊙$ entry by entry: $(x f(x))′ = f(x) + x f′(x)$",
        lambda net: (
            derivative(lambda C: net.after(T, T - 1, C).gates["f"] * C, net.points[T - 1].C),
            np.diag(net.points[T].gates["f"]) + np.diag(net.points[T - 1].C) @ _gate(net, "f"),
        ),
    ),
    Line(
        "∂(iₜ ⊙ C̃ₜ)/∂Cₜ₋₁ = diag(C̃ₜ) · ∂iₜ/∂Cₜ₋₁ + diag(iₜ) · ∂C̃ₜ/∂Cₜ₋₁",
        "product rule again",
        lambda net: (
            derivative(
                lambda C: net.after(T, T - 1, C).gates["i"] * net.after(T, T - 1, C).gates["c"],
                net.points[T - 1].C,
            ),
            np.diag(net.points[T].gates["c"]) @ _gate(net, "i")
            + np.diag(net.points[T].gates["i"]) @ _gate(net, "c"),
        ),
    ),
    Line(
        "∂Cₜ/∂Cₜ₋₁ = diag(fₜ) + diag(Cₜ₋₁ ⊙ σ′(a_f)) W_f diag(δ) + diag(C̃ₜ ⊙ σ′(a_i)) W_i diag(δ) "
        "+ diag(iₜ ⊙ tanh′(a_c)) W_c diag(δ)",
        "the sum of (6) and (7) with (3) to (5) put in: what was to be shown",
        lambda net: (truth(net), in_full(net, T)),
    ),
    Line(
        "∂Cₜ/∂Cₜ₋₁ = ∂⁺Cₜ/∂Cₜ₋₁ + ∂⁺Cₜ/∂hₜ₋₁ · diag(δ)",
        "in one step nothing is neglected, for $hₜ₋₁$ moves with $Cₜ₋₁$ by $δ$ alone: on the right stand "
        "the blocks of the Jacobian of all of $[h; C]$, as gradflow's own cell has it (the $+$ says: with "
        "the other of the two held fixed)",
        lambda net: (truth(net), blocks(net, 1)),
    ),
    Line(
        "∂Cₜ/∂Cₜ₋₁ ≠ diag(σ′(W_f δ) ⊙ Cₜ₋₁ + fₜ + σ′(W_i δ) ⊙ C̃ₜ + iₜ ⊙ tanh′(δ))",
        "the sheet's line, its two open brackets closed after $W_f δ$ and $W_i δ$",
        lambda net: (truth(net), _as_printed(net)),
    ),
    Line(
        "∂Cₜ/∂Cₜ₋₁ ≠ diag(fₜ) + diag(Cₜ₋₁ ⊙ σ′(a_f)) W_f diag(δ) + diag(C̃ₜ ⊙ σ′(a_i)) W_i diag(δ) "
        "+ diag(iₜ ⊙ tanh′(a_c)) diag(δ)",
        "the same read kindly, as (8): $W_c$ is missing",
        lambda net: (truth(net), _without_weights(net)),
    ),
)


def derivation(seed: int, *, hidden: int = 3) -> Topic[SheetLSTM]:
    """Return the gradient of the cell state of a random LSTM of ``hidden`` units, neglected parts too."""
    net = SheetLSTM.drawn(seed, hidden, T)
    faint = fainter(net, 0.1)
    return Topic(
        exercise="5-3d",
        title="the gradient of the cell state in full",
        statement=(
            "With $fₜ = σ(a_f)$, $iₜ = σ(a_i)$, $C̃ₜ = tanh(a_c)$, each $a = Whₜ₋₁ + Uxₜ + b$ with weights "
            "of its own, $Cₜ = fₜ ⊙ Cₜ₋₁ + iₜ ⊙ C̃ₜ$ and $hₜ₋₁ = oₜ₋₁ ⊙ tanh(Cₜ₋₁)$, derive $∂Cₜ/∂Cₜ₋₁$; "
            "let $δ = oₜ₋₁ ⊙ tanh′(Cₜ₋₁)$."
        ),
        case=net,
        symbols=_symbols,
        lines=STEPWISE + NEGLECTED,
        answer=(
            "$∂Cₜ/∂Cₜ₋₁$ is line 8: the carousel $diag(fₜ)$, and a term for each gate that sees $Cₜ₋₁$ by "
            "way of $hₜ₋₁$. In one step that is everything. A product of such factors is not $dCₜ/dCₖ$: "
            "$oᵢ$ carries earlier cell states too (line 13). How much that is hangs on the weights. On "
            f"these, over 1 to {LAGS} steps, the product is off by {lost(net, product=True)} relative to "
            f"the largest entry, the carousel alone by {lost(net, product=False)}; with recurrent weights a "
            f"tenth as large by {lost(faint, product=True)} and {lost(faint, product=False)}. Of "
            "$dCₜ/dW$ with $W_f$, $W_i$, $W_c$ the carousel alone misses "
            f"{lost_of_gradient(net, product=False)}, the product {lost_of_gradient(net, product=True)}: on "
            "such weights the carousel alone will not do. Whoever wants to be sure multiplies the "
            "Jacobians "
            "of all of $[h; C]$ and reads the block afterwards (line 14)."
        ),
        slip=(
            "The sheet's line opens a bracket after each $σ′$ and closes one, at the very end; it adds "
            "$fₜ$, a "
            "vector, to matrices, takes $σ′$ at $W_f δ$ and not at the gate's own $a_f$, and has no $W_c$ "
            "where "
            "$tanh′(δ)$ stands; $W_f$ must be the part that multiplies $hₜ₋₁$. Lines 10 and 11 show two "
            "readings "
            "of it, line 8 what is meant. The footnote neglects that $Cₜ$ depends on gates and these on $W$. "
            "To the letter that would leave no gradient at all; lines 19 to 23 show what is lost where "
            "gates are "
            "held fixed as $C$ moves, lines 24 to 27 what that comes to in the gradient."
        ),
    )
