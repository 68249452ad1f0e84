"""∂Cₜ/∂Cₜ₋₁ of an LSTM in full, and what a product of these leaves out."""

from collections.abc import Callable
from functools import partial, reduce

import numpy as np

from gradflow.derivations.topics.complex_cells import FUNCTIONS, derivative, sigmoid, slope
from gradflow.derivations.topics.gated import LETTERS, GatedNetwork, families, named_weights
from gradflow.derivations.topics.line import Array, DerivationLine, DerivationTopic
from gradflow.derivations.topics.numerals import lowered
from gradflow.notation.evaluate import Symbols

LAGS = 5
T = LAGS + 2  # the step t of every line; before t − 5 the network has run for a while
Between = Callable[[GatedNetwork, int], Array]


def build_topic(seed: int, *, hidden: int = 3) -> DerivationTopic:
    """Return the gradient of the cell state of a random LSTM of ``hidden`` units, neglected parts too."""
    net = GatedNetwork.draw_lstm(seed, hidden, T)
    (
        (product, carousel),
        (product_of_fainter, carousel_of_fainter),
        (product_of_gradient, carousel_of_gradient),
    ) = (_tell_lost(net), _tell_lost(net.scaled(0.1)), _tell_lost_of_gradient(net))
    return DerivationTopic(
        exercise="5-3d",
        title="the gradient of the cell state in full",
        statement=(
            "With $fₜ = σ(a_f)$, $iₜ = σ(a_i)$, $C̃ₜ = tanh(a_c)$, each $a = Whₜ₋₁ + Uxₜ + b$ with weights "
            "of its own, $Cₜ = fₜ ⊙ Cₜ₋₁ + iₜ ⊙ C̃ₜ$ and $hₜ₋₁ = oₜ₋₁ ⊙ tanh(Cₜ₋₁)$, derive $∂Cₜ/∂Cₜ₋₁$; "
            "let $δ = oₜ₋₁ ⊙ tanh′(Cₜ₋₁)$."
        ),
        symbols=lambda: _symbols(net),
        lines=_full_lines(net) + _neglected_lines(net),
        answer=(
            "$∂Cₜ/∂Cₜ₋₁$ is line 8: the carousel $diag(fₜ)$, and a term for each gate that sees $Cₜ₋₁$ by "
            "way of $hₜ₋₁$. In one step that is everything. A product of such factors is not $dCₜ/dCₖ$: "
            "$oᵢ$ carries earlier cell states too (line 13). How much that is depends on the weights. On "
            f"these, over 1 to {LAGS} steps, the product is off by {product} relative to the largest entry, "
            f"the carousel alone by {carousel}; with recurrent weights a tenth as large by "
            f"{product_of_fainter} and {carousel_of_fainter}. Of $dCₜ/dW$ with $W_f$, $W_i$, $W_c$ the "
            f"carousel alone misses {carousel_of_gradient}, the product {product_of_gradient}: on such "
            "weights the carousel alone is not enough. To be exact, multiply the Jacobians of all of "
            "$[h; C]$ and read the block afterwards (line 14)."
        ),
        slip=(
            "The sheet's line opens a bracket after each $σ′$ and closes one, at the very end; it adds "
            "$fₜ$, a vector, to matrices, takes $σ′$ at $W_f δ$ and not at the gate's own $a_f$, and has no "
            "$W_c$ where $tanh′(δ)$ stands; $W_f$ must be the part that multiplies $hₜ₋₁$. Lines 10 and 11 "
            "show two readings of it, line 8 shows what is meant. The footnote neglects that $Cₜ$ depends "
            "on gates and these on $W$. To the letter that would leave no gradient at all; lines 19 to 23 "
            "show what is lost where gates are held fixed as $C$ moves, lines 24 to 27 what that means for "
            "the gradient."
        ),
    )


def _symbols(net: GatedNetwork) -> Symbols:
    """Return what the formulas are made of, derivatives and slopes by complex steps."""
    point, before = net.points[T], net.points[T - 1]
    steps = range(1, T + 1)
    by_gate = {f"∂{LETTERS.get(name, name)}ₜ/∂Cₜ₋₁": net.total(name, T, T - 1) for name in "fig"}
    return {
        **FUNCTIONS, **by_gate, **named_weights(net), "I": np.eye(len(before["c"])), "t": T, "k": T - LAGS,
        **families({name: {t: net.points[t][name] for t in steps} for name in "figoc"}),
        "a_f": point["a_f"], "a_i": point["a_i"], "a_c": point["a_g"],
        "δ": before["o"] * slope(np.tanh, before["c"]),
        "∂hₜ₋₁/∂Cₜ₋₁": derivative(lambda C: net.after(T - 1, T - 1, C)["h"], before["c"]),
        "∂oₜ₋₁/∂Cₜ₋₂": net.total("o", T - 1, T - 2),
        "∂⁺Cₜ/∂Cₜ₋₁": net.partial("c", T, "c"), "∂⁺Cₜ/∂hₜ₋₁": net.partial("c", T, "h"),
        "∂(fₜ ⊙ Cₜ₋₁)/∂Cₜ₋₁": derivative(lambda C: net.after(T, T - 1, C)["f"] * C, before["c"]),
        "∂(iₜ ⊙ C̃ₜ)/∂Cₜ₋₁": derivative(
            lambda C: net.after(T, T - 1, C)["i"] * net.after(T, T - 1, C)["g"], before["c"]
        ),
        "∂Cₜ/∂Cₖ": {(t, t - 1): net.total("c", t, t - 1) for t in steps[1:]},
        "dCₜ/dCₖ": {(T, k): net.total("c", T, k) for k in range(T - LAGS, T)},
        **{f"dCₜ/dW_{name}": net.by_weights(name, T) for name in "fo"},
        **{f"∂⁺Cₖ/∂W_{name}": {k: net.immediate(name, k) for k in steps} for name in "fo"},
    }  # fmt: skip


def _full_lines(net: GatedNetwork) -> list[DerivationLine]:
    return [
        DerivationLine(
            "tanh′(C) = 1 − tanh(C)²",
            "quotient rule on $tanh = sinh/cosh$; here for every $C$ from step 0 to $t$",
            {"C": np.stack([point["c"] for point in net.points])},
        ),
        DerivationLine(
            "∂hₜ₋₁/∂Cₜ₋₁ = diag(δ)",
            "$hₜ₋₁ = oₜ₋₁ ⊙ tanh(Cₜ₋₁)$ entry by entry; $oₜ₋₁$ was computed from $hₜ₋₂$, before $Cₜ₋₁$, and "
            "is a constant here",
        ),
        DerivationLine(
            "∂fₜ/∂Cₜ₋₁ = diag(σ′(a_f)) W_f diag(δ)",
            "5-1a for $fₜ = σ(a_f)$ as a function of $hₜ₋₁$, and the chain rule with (2)",
        ),
        DerivationLine("∂iₜ/∂Cₜ₋₁ = diag(σ′(a_i)) W_i diag(δ)", "the same for the input gate"),
        DerivationLine(
            "∂C̃ₜ/∂Cₜ₋₁ = diag(tanh′(a_c)) W_c diag(δ)",
            "the same for the candidate, with tanh in place of $σ$",
        ),
        DerivationLine(
            "∂(fₜ ⊙ Cₜ₋₁)/∂Cₜ₋₁ = diag(fₜ) + diag(Cₜ₋₁) · ∂fₜ/∂Cₜ₋₁",
            "product rule, for $⊙$ entry by entry: $(x f(x))′ = f(x) + x f′(x)$",
        ),
        DerivationLine(
            "∂(iₜ ⊙ C̃ₜ)/∂Cₜ₋₁ = diag(C̃ₜ) · ∂iₜ/∂Cₜ₋₁ + diag(iₜ) · ∂C̃ₜ/∂Cₜ₋₁", "product rule again"
        ),
        DerivationLine(
            "∂Cₜ/∂Cₜ₋₁ = diag(fₜ) + diag(Cₜ₋₁ ⊙ σ′(a_f)) W_f diag(δ) + diag(C̃ₜ ⊙ σ′(a_i)) W_i diag(δ) "
            "+ diag(iₜ ⊙ tanh′(a_c)) W_c diag(δ)",
            "the sum of (6) and (7) with (3) to (5) put in: this is what was to be shown",
        ),
        DerivationLine(
            "∂Cₜ/∂Cₜ₋₁ = ∂⁺Cₜ/∂Cₜ₋₁ + ∂⁺Cₜ/∂hₜ₋₁ · diag(δ)",
            "in one step nothing is neglected, because $hₜ₋₁$ moves with $Cₜ₋₁$ by $δ$ alone: on the right "
            "stand the blocks of the Jacobian of all of $[h; C]$, as gradflow's own cell has it (the $+$ "
            "means with the other of the two held fixed)",
            given=lambda: dict(zip(("∂⁺Cₜ/∂hₜ₋₁", "∂⁺Cₜ/∂Cₜ₋₁"), _own_blocks(net, T), strict=True)),
        ),
        DerivationLine(
            "∂Cₜ/∂Cₜ₋₁ ≠ diag(σ′(W_f δ) ⊙ Cₜ₋₁ + fₜ + σ′(W_i δ) ⊙ C̃ₜ + iₜ ⊙ tanh′(δ))",
            "the sheet's line, its two open brackets closed after $W_f δ$ and $W_i δ$",
            right=lambda: _as_printed(net),
        ),
        DerivationLine(
            "∂Cₜ/∂Cₜ₋₁ ≠ diag(fₜ) + diag(Cₜ₋₁ ⊙ σ′(a_f)) W_f diag(δ) + diag(C̃ₜ ⊙ σ′(a_i)) W_i diag(δ) "
            "+ diag(iₜ ⊙ tanh′(a_c)) diag(δ)",
            "the same with the benefit of the doubt, read as (8): $W_c$ is missing",
            right=lambda: _without_candidate_weights(net),
        ),
    ]


def _neglected_lines(net: GatedNetwork) -> list[DerivationLine]:
    size = len(net.start) // 2
    return [
        DerivationLine(
            "∂oₜ₋₁/∂Cₜ₋₂ ≠ 0",
            "over two steps an output gate is no longer a constant: $oₜ₋₁$ sees $hₜ₋₂$, which depends on "
            "$Cₜ₋₂$",
            right=lambda: 0.0,
        ),
        DerivationLine(
            "dCₜ/dCₜ₋₂ = ∂Cₜ/∂Cₜ₋₁ · ∂Cₜ₋₁/∂Cₜ₋₂ + ∂⁺Cₜ/∂hₜ₋₁ · diag(tanh(Cₜ₋₁)) · ∂oₜ₋₁/∂Cₜ₋₂",
            "hence the second term, which a product of (8) leaves out. The d means that every way counts",
        ),
        DerivationLine(
            "dCₜ/dCₖ = [0, I] (∏ᵢ₌ₖ₊₁ᵗ Jᵢ) [diag(oₖ ⊙ tanh′(Cₖ)); I]",
            "nothing is left out if the Jacobians $Jᵢ$ of all of $[h; C]$ are multiplied and the block is "
            f"read afterwards; here $k = t − {LAGS}$, the Jacobians by gradflow's own cell",
            given=lambda: {
                "Jᵢ": {i: net.own_jacobian(i, i - 1) for i in range(T - LAGS + 1, T + 1)},
                "[0, I]": np.eye(2 * size)[size:],
            },
        ),
        *(
            DerivationLine(
                f"dCₜ/d{lowered('Cₜ₋', lag)} ≠ {lowered('∏ᵢ₌ₜ₋', lag - 1)}ᵗ ∂Cᵢ/∂Cᵢ₋₁",
                f"what a product of (8) leaves out over {lag} steps",
                right=partial(_product, net, T - lag),
            )
            for lag in range(2, LAGS + 1)
        ),
        *(
            DerivationLine(
                f"dCₜ/d{lowered('Cₜ₋', lag)} ≠ diag({_carousel_formula(lag)})",
                f"what the carousel alone leaves out over {lag} step{'s' * (lag > 1)}",
                right=partial(_carousel, net, T - lag),
            )
            for lag in range(1, LAGS + 1)
        ),
        DerivationLine(
            "dCₜ/dW_f ≠ Σₖ₌₁ᵗ diag(∏ᵢ₌ₖ₊₁ᵗ fᵢ) · ∂⁺Cₖ/∂W_f",
            "the same for a gradient: the sheet's double sum with the carousel alone between",
            right=lambda: _sum_over_copies(net, "f", _carousel),
        ),
        DerivationLine(
            "dCₜ/dW_f ≠ Σₖ₌₁ᵗ (∏ᵢ₌ₖ₊₁ᵗ ∂Cᵢ/∂Cᵢ₋₁) · ∂⁺Cₖ/∂W_f",
            "and with (8) between",
            right=lambda: _sum_over_copies(net, "f", _product),
        ),
        DerivationLine(
            "∂⁺Cₖ/∂W_o = 0",
            "no cell state sees the output gate of its own step, so that for $W_o$ the double sum over cell "
            "states has no terms at all",
            {"k": T},
        ),
        DerivationLine(
            "dCₜ/dW_o ≠ 0",
            "though $W_o$ gets into every later cell state by way of $h$",
            right=lambda: 0.0,
        ),
    ]


def _carousel_formula(lag: int) -> str:
    return f"{lowered('∏ᵢ₌ₜ₋', lag - 1)}ᵗ fᵢ" if lag > 1 else "fₜ"


# The same by gradflow's own cell, and what is lost.


def _own_blocks(net: GatedNetwork, t: int) -> tuple[Array, Array]:
    """Return ∂⁺Cₜ/∂hₜ₋₁ and ∂⁺Cₜ/∂Cₜ₋₁ (n, n)."""
    h, C = net.cell.parts.values()
    jacobian = net.own_jacobian(t, t - 1)
    return jacobian[C, h], jacobian[C, C]


def _delta(net: GatedNetwork, t: int) -> Array:
    """Return oₜ⊙tanh′(Cₜ) (n)."""
    return np.asarray(net.own["o"][t - 1] / np.cosh(net.own["c"][t]) ** 2)


def _factor(net: GatedNetwork, t: int) -> Array:
    """Return ∂Cₜ/∂Cₜ₋₁ (n, n)."""
    by_output, direct = _own_blocks(net, t)
    return np.asarray(direct + by_output * _delta(net, t - 1))


def _as_printed(net: GatedNetwork) -> Array:
    """Return the sheet's line with its bracket closed after W_f δ, as the diagonal that it then is."""
    gates, delta, W = net.points[T], _delta(net, T - 1), net.weights()
    at = {name: sigmoid(W[name] @ delta) * sigmoid(-W[name] @ delta) for name in "fi"}
    forget, let_in = at["f"] * net.points[T - 1]["c"], at["i"] * gates["g"]
    return np.diag(forget + gates["f"] + let_in + gates["i"] / np.cosh(delta) ** 2)


def _without_candidate_weights(net: GatedNetwork) -> Array:
    """Return the four terms, the last one without W_c."""
    point, W = net.points[T], net.weights()["g"]
    scale = point["i"] / np.cosh(point["a_g"]) ** 2
    return np.asarray(_factor(net, T) - scale[:, None] * (W - np.eye(len(W))) * _delta(net, T - 1))


def _product(net: GatedNetwork, k: int) -> Array:
    """Return ∏ ∂Cᵢ/∂Cᵢ₋₁ from k + 1 to t."""
    return reduce(np.matmul, [_factor(net, i) for i in range(T, k, -1)], np.eye(len(net.start) // 2))


def _carousel(net: GatedNetwork, k: int) -> Array:
    """Return ∏ diag(fᵢ) from k + 1 to t."""
    return np.diag(net.own["f"][k:T].prod(axis=0))


def _sum_over_copies(net: GatedNetwork, gate: str, between: Between) -> Array:
    """Return Σₖ ∏ᵢ ∂⁺Cₖ/∂W with the product, or the carousel alone, between."""
    terms = [np.tensordot(between(net, k), net.immediate(gate, k), axes=1) for k in range(1, T + 1)]
    return np.asarray(np.sum(terms, axis=0))


def _tell_lost(net: GatedNetwork) -> tuple[str, str]:
    """Return by how much the product, and the carousel alone, miss dCₜ/dCₖ for each lag, in words."""
    truths = {k: net.total("c", T, k) for k in range(T - 1, T - LAGS - 1, -1)}
    product, carousel = (
        _tell_gaps([(truth, between(net, k)) for k, truth in truths.items()])
        for between in (_product, _carousel)
    )
    return product, carousel


def _tell_lost_of_gradient(net: GatedNetwork) -> tuple[str, str]:
    """Return the same for dCₜ/dW with W_f, W_i and W_c."""
    truths = {gate: net.by_weights(gate, T) for gate in "fig"}
    product, carousel = (
        _tell_gaps([(truth, _sum_over_copies(net, gate, between)) for gate, truth in truths.items()])
        for between in (_product, _carousel)
    )
    return product, carousel


def _tell_gaps(pairs: list[tuple[Array, Array]]) -> str:
    """Return how far each pair is apart, relative to its largest entry."""
    shares = [np.abs(a - b).max() / max(np.abs(a).max(), np.abs(b).max()) for a, b in pairs]
    return ", ".join("0" if share < 1e-12 else f"{share:.2g}" for share in shares)
