"""What is neglected where factors ∂Cₜ/∂Cₜ₋₁ of an LSTM are multiplied, lag by lag (5-3d, footnote)."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from gradflow.analysis.derivations.complex_step import derivative, sigmoid_slope, tanh_slope
from gradflow.analysis.derivations.figures import lowered
from gradflow.analysis.derivations.line import Array, Line
from gradflow.analysis.derivations.sheet_lstm import Point, SheetLSTM

LAGS = 5
T = LAGS + 2  # the step t of every line; before t − 5 the network has run for a while


def truth(net: SheetLSTM, lag: int = 1) -> Array:
    """Return dCₜ/dCₜ₋ₗₐ₉ (n, n), by every way there is."""
    return net.cell_gradient(T, T - lag)


def slopes(point: Point, name: str) -> Array:
    """Return σ′(a) or tanh′(a) of a gate (n), from its formula."""
    return tanh_slope(point.a[name]) if name == "c" else sigmoid_slope(point.a[name])


def scales(net: SheetLSTM, t: int) -> dict[str, Array]:
    """Return what each gate of Cₜ is multiplied by: Cₜ₋₁⊙σ′(a_f), C̃ₜ⊙σ′(a_i), iₜ⊙tanh′(a_c)."""
    point = net.points[t]
    seen = {"f": net.points[t - 1].C, "i": point.gates["c"], "c": point.gates["i"]}
    return {name: seen[name] * slopes(point, name) for name in "fic"}


def in_full(net: SheetLSTM, t: int) -> Array:
    """Return the four terms of ∂Cₜ/∂Cₜ₋₁ (n, n)."""
    terms = [scale[:, None] * net.W[name] * net.delta(t - 1) for name, scale in scales(net, t).items()]
    return np.asarray(np.diag(net.points[t].gates["f"]) + sum(terms))


def blocks(net: SheetLSTM, lag: int) -> Array:
    """Return [0, I] ∏ Jᵢ [diag(δ); I], Jᵢ being gradflow's Jacobians of [h; C]."""
    start = np.vstack([np.diag(net.delta(T - lag)), np.eye(len(net.C))])
    return np.asarray((net.jacobian(T, T - lag) @ start)[len(net.C) :])


def _product(net: SheetLSTM, k: int) -> Array:
    """Return ∏ ∂Cᵢ/∂Cᵢ₋₁ from k + 1 to t."""
    return reduce(np.matmul, [in_full(net, i) for i in range(T, k, -1)], np.eye(len(net.C)))


def _carousel(net: SheetLSTM, k: int) -> Array:
    """Return ∏ diag(fᵢ) from k + 1 to t."""
    return np.diag(net.along("f")[k:T].prod(axis=0))


def lost(net: SheetLSTM, *, product: bool) -> str:
    """Return by how much the product, or the carousel alone, misses dCₜ/dCₖ for each lag, in words."""
    between = _product if product else _carousel
    return _words([(truth(net, lag), between(net, T - lag)) for lag in range(1, LAGS + 1)])


def lost_of_gradient(net: SheetLSTM, *, product: bool) -> str:
    """Return the same for dCₜ/dW with W_f, W_i and W_c."""
    return _words([(_by_weights(net, gate), _summed(net, gate, product=product)) for gate in "fic"])


def _words(pairs: Sequence[tuple[Array, Array]]) -> str:
    """Return how far each pair is apart, relative to its largest entry."""
    shares = [
        float(np.abs(whole - rest).max() / max(np.abs(whole).max(), np.abs(rest).max()))
        for whole, rest in pairs
    ]
    return ", ".join("0" if share < 1e-12 else f"{share:.2g}" for share in shares)


def fainter(net: SheetLSTM, share: float) -> SheetLSTM:
    """Return the same network with that share of its recurrent weights."""
    return replace(net, W={gate: share * W for gate, W in net.W.items()})


def _by_output(net: SheetLSTM) -> Array:
    """Return ∂⁺Cₜ/∂hₜ₋₁ diag(tanh(Cₜ₋₁)) ∂oₜ₋₁/∂Cₜ₋₂."""
    before = net.points[T - 1]
    seen = derivative(lambda h: net.step(T, h, before.C).C, before.h)
    return np.asarray(seen * np.tanh(before.C) @ _output(net))


def _output(net: SheetLSTM) -> Array:
    """Return ∂oₜ₋₁/∂Cₜ₋₂ (n, n)."""
    return derivative(lambda C: net.after(T - 1, T - 2, C).gates["o"], net.points[T - 2].C)


def _by_weights(net: SheetLSTM, gate: str) -> Array:
    """Return dCₜ/dW (n, n, n) for the recurrent weights of a gate, by every way there is."""
    return derivative(lambda W: replace(net, W={**net.W, gate: W}).points[T].C, net.W[gate])


def _immediate(net: SheetLSTM, k: int, gate: str) -> Array:
    """Return ∂⁺Cₖ/∂W (n, n, n), hₖ₋₁ and Cₖ₋₁ held fixed."""
    before = net.points[k - 1]

    def cell(W: Array) -> Array:
        return replace(net, W={**net.W, gate: W}).step(k, before.h, before.C).C

    return derivative(cell, net.W[gate])


def _summed(net: SheetLSTM, gate: str, *, product: bool) -> Array:
    """Return Σₖ ∏ᵢ ∂⁺Cₖ/∂W with the product, or the carousel alone, between."""
    between = _product if product else _carousel
    return np.asarray(
        sum(np.tensordot(between(net, k), _immediate(net, k, gate), axes=1) for k in range(1, T + 1))
    )


def factors(net: SheetLSTM) -> dict[str, Array]:
    """Return fₖ, ∂Cₖ/∂Cₖ₋₁ and dCₜ/dCₖ of the last steps, each under its name with numbers for indices."""
    found: dict[str, Array] = {}
    for k in range(T - LAGS, T):
        below, above = lowered("C", k), lowered("C", k + 1)
        found[lowered("f", k + 1)] = net.points[k + 1].gates["f"]
        found[f"∂{above}/∂{below}"] = net.cell_gradient(k + 1, k)
        found[f"d{lowered('C', T)}/d{below}"] = net.cell_gradient(T, k)
    return found


def _beyond_one(lag: int) -> Line[SheetLSTM]:
    return Line(
        f"dCₜ/d{lowered('Cₜ₋', lag)} ≠ {lowered('∏ᵢ₌ₜ₋', lag - 1)}ᵗ ∂Cᵢ/∂Cᵢ₋₁",
        f"what a product of (8) leaves out over {lag} steps",
        lambda net: (truth(net, lag), _product(net, T - lag)),
        at={"t": T},
    )


def _carousel_alone(lag: int) -> Line[SheetLSTM]:
    kept = f"{lowered('∏ᵢ₌ₜ₋', lag - 1)}ᵗ fᵢ" if lag > 1 else "fₜ"
    return Line(
        f"dCₜ/d{lowered('Cₜ₋', lag)} ≠ diag({kept})",
        f"what the carousel alone leaves out over {lag} step{'s' * (lag > 1)}",
        lambda net: (truth(net, lag), _carousel(net, T - lag)),
        at={"t": T},
    )


NEGLECTED: tuple[Line[SheetLSTM], ...] = (
    Line(
        "∂oₜ₋₁/∂Cₜ₋₂ ≠ 0",
        "over two steps an output gate is no constant any more: $oₜ₋₁$ sees $hₜ₋₂$, which depends on $Cₜ₋₂$",
        lambda net: (_output(net), 0.0),
    ),
    Line(
        "dCₜ/dCₜ₋₂ = ∂Cₜ/∂Cₜ₋₁ · ∂Cₜ₋₁/∂Cₜ₋₂ + ∂⁺Cₜ/∂hₜ₋₁ · diag(tanh(Cₜ₋₁)) · ∂oₜ₋₁/∂Cₜ₋₂",
        "hence the second term, which a product of (8) leaves out. The d says that every way counts",
        lambda net: (truth(net, 2), _product(net, T - 2) + _by_output(net)),
    ),
    Line(
        "dCₜ/dCₖ = [0, I] (∏ᵢ₌ₖ₊₁ᵗ Jᵢ) [diag(oₖ ⊙ tanh′(Cₖ)); I]",
        "nothing is left out if the Jacobians $Jᵢ$ of all of $[h; C]$ are multiplied and the block is read "
        f"afterwards; here $k = t − {LAGS}$, the Jacobians by gradflow's own cell",
        lambda net: (truth(net, LAGS), blocks(net, LAGS)),
    ),
    *(_beyond_one(lag) for lag in range(2, LAGS + 1)),
    *(_carousel_alone(lag) for lag in range(1, LAGS + 1)),
    Line(
        "dCₜ/dW_f ≠ Σₖ₌₁ᵗ diag(∏ᵢ₌ₖ₊₁ᵗ fᵢ) · ∂⁺Cₖ/∂W_f",
        "the same for a gradient: the sheet's double sum with the carousel alone between",
        lambda net: (_by_weights(net, "f"), _summed(net, "f", product=False)),
    ),
    Line(
        "dCₜ/dW_f ≠ Σₖ₌₁ᵗ (∏ᵢ₌ₖ₊₁ᵗ ∂Cᵢ/∂Cᵢ₋₁) · ∂⁺Cₖ/∂W_f",
        "and with (8) between",
        lambda net: (_by_weights(net, "f"), _summed(net, "f", product=True)),
    ),
    Line(
        "∂⁺Cₖ/∂W_o = 0",
        "no cell state sees the output gate of its own step, so that for $W_o$ the double sum over cell "
        "states has no terms at all",
        lambda net: (_immediate(net, T, "o"), np.zeros((len(net.C),) * 3)),
    ),
    Line(
        "dCₜ/dW_o ≠ 0",
        "though $W_o$ gets into every later cell state by way of $h$",
        lambda net: (_by_weights(net, "o"), 0.0),
    ),
)
