"""∂Cₜ/∂Cₜ₋₁ of an LSTM in full, and what a product of these leaves out."""

from collections.abc import Callable
from functools import cache, reduce

import numpy as np

from gradflow.derivations.topics.complex_cells import FUNCTIONS, sigmoid, slope
from gradflow.derivations.topics.line import Array
from gradflow.derivations.topics.network import DerivationNetwork
from gradflow.derivations.topics.numerals import lowered
from gradflow.derivations.topics.topic import DerivationTopic, read_topic
from gradflow.notation.evaluate import Each, Symbols
from gradflow.printable import format_steps

LAGS = 5
T = LAGS + 2  # the step t of every line; before t − 5 the network has run for a while
FAINT_SHARE = 0.1  # of the recurrent weights, to show that what is left out depends on them
TEXT = """
5-3d: the full cell-state gradient

In an LSTM $fₜ = σ(a_f)$, $iₜ = σ(a_i)$, $C̃ₜ = tanh(a_c)$, each $a = Whₜ₋₁ + Uxₜ + b$ with weights of its own,
$Cₜ = fₜ ⊙ Cₜ₋₁ + iₜ ⊙ C̃ₜ$ and $hₜ₋₁ = oₜ₋₁ ⊙ tanh(Cₜ₋₁)$. Derive $∂Cₜ/∂Cₜ₋₁$; let $δ = oₜ₋₁ ⊙ tanh′(Cₜ₋₁)$.

tanh′(C) = 1 − tanh(C)²  for each C
    quotient rule on $tanh = sinh/cosh$; here for every $C$ from step 0 to $t$
∂hₜ₋₁/∂Cₜ₋₁ = diag(δ)
    $hₜ₋₁ = oₜ₋₁ ⊙ tanh(Cₜ₋₁)$ entry by entry; $oₜ₋₁$ was computed from $hₜ₋₂$, before $Cₜ₋₁$, and is a
    constant here
∂fₜ/∂Cₜ₋₁ = diag(σ′(a_f)) W_f diag(δ)
    5-1a for $fₜ = σ(a_f)$ as a function of $hₜ₋₁$, and the chain rule with (2)
∂iₜ/∂Cₜ₋₁ = diag(σ′(a_i)) W_i diag(δ)
    the same for the input gate
∂C̃ₜ/∂Cₜ₋₁ = diag(tanh′(a_c)) W_c diag(δ)
    the same for the candidate, with tanh in place of $σ$
∂(fₜ ⊙ Cₜ₋₁)/∂Cₜ₋₁ = diag(fₜ) + diag(Cₜ₋₁) · ∂fₜ/∂Cₜ₋₁
    product rule, for $⊙$ entry by entry: $(x f(x))′ = f(x) + x f′(x)$
∂(iₜ ⊙ C̃ₜ)/∂Cₜ₋₁ = diag(C̃ₜ) · ∂iₜ/∂Cₜ₋₁ + diag(iₜ) · ∂C̃ₜ/∂Cₜ₋₁
    product rule again
∂Cₜ/∂Cₜ₋₁ = diag(fₜ) + diag(Cₜ₋₁ ⊙ σ′(a_f)) W_f diag(δ) + diag(C̃ₜ ⊙ σ′(a_i)) W_i diag(δ)
    + diag(iₜ ⊙ tanh′(a_c)) W_c diag(δ)
    the sum of (6) and (7), with (3) to (5) inserted: this is the result
∂Cₜ/∂Cₜ₋₁ = ∂⁺Cₜ/∂Cₜ₋₁ + ∂⁺Cₜ/∂hₜ₋₁ · diag(δ)  for gradflow's own cell
    one step neglects nothing, because $Cₜ₋₁$ changes $hₜ₋₁$ through $δ$ alone. The right side has blocks of
    the Jacobian of the whole state $[h; C]$, computed by gradflow's own cell. The $+$ means that the other of
    $h$ and $C$ is held fixed
∂Cₜ/∂Cₜ₋₁ ≠ diag(σ′(W_f δ) ⊙ Cₜ₋₁ + fₜ + σ′(W_i δ) ⊙ C̃ₜ + iₜ ⊙ tanh′(δ))
    left = [0, I] Jₜ [diag(δ); I]
    right = S
    the sheet's line, with its two open brackets closed after $W_f δ$ and $W_i δ$
∂Cₜ/∂Cₜ₋₁ ≠ diag(fₜ) + diag(Cₜ₋₁ ⊙ σ′(a_f)) W_f diag(δ) + diag(C̃ₜ ⊙ σ′(a_i)) W_i diag(δ)
    + diag(iₜ ⊙ tanh′(a_c)) diag(δ)
    left = [0, I] Jₜ [diag(δ); I]
    right = G
    the sheet's line, read as far as possible as (8): $W_c$ is missing
∂oₜ₋₁/∂Cₜ₋₂ ≠ 0
    left = diag(oₜ₋₁ ⊙ (1 − oₜ₋₁)) W_o diag(oₜ₋₂ ⊙ tanh′(Cₜ₋₂))
    right = 0
    over two steps an output gate is not constant: $oₜ₋₁$ depends on $hₜ₋₂$, and so on $Cₜ₋₂$
dCₜ/dCₜ₋₂ = ∂Cₜ/∂Cₜ₋₁ · ∂Cₜ₋₁/∂Cₜ₋₂ + ∂⁺Cₜ/∂hₜ₋₁ · diag(tanh(Cₜ₋₁)) · ∂oₜ₋₁/∂Cₜ₋₂
    so there is a second term, which a product of factors (8) leaves out. The d marks the total derivative,
    along every path
dCₜ/dCₖ = [0, I] (∏ᵢ₌ₖ₊₁ᵗ Jᵢ) [diag(oₖ ⊙ tanh′(Cₖ)); I]
    nothing is left out if the Jacobians $Jᵢ$ of the whole state $[h; C]$ are multiplied, and the block is
    read afterwards. Here $k = t − 5$, and the Jacobians are those of gradflow's own cell
{lag_lines}
dCₜ/dW_f ≠ Σₖ₌₁ᵗ diag(∏ᵢ₌ₖ₊₁ᵗ fᵢ) · ∂⁺Cₖ/∂W_f
    left = Σₖ₌₁ᵗ [0, I] ∂sₜ/∂sₖ · ∂⁺sₖ/∂W_f
    right = F
    the same for a gradient: the sheet's double sum, with the carousel alone between two steps, is off by
    {carousel_of_f} relative to the largest entry, and for $W_i$ and $W_c$ by {carousel_of_i} and
    {carousel_of_c}
dCₜ/dW_f ≠ Σₖ₌₁ᵗ (∏ᵢ₌ₖ₊₁ᵗ ∂Cᵢ/∂Cᵢ₋₁) · ∂⁺Cₖ/∂W_f
    left = Σₖ₌₁ᵗ [0, I] ∂sₜ/∂sₖ · ∂⁺sₖ/∂W_f
    right = P
    the same sum, with a product of factors (8) between two steps, is off by {product_of_f}, and for $W_i$ and
    $W_c$ by {product_of_i} and {product_of_c}
∂⁺Cₖ/∂W_o = 0  for k = t
    no cell state depends on the output gate of its own step, so every term of the double sum over cell states
    is 0 for $W_o$
dCₜ/dW_o ≠ 0
    left = Σₖ₌₁ᵗ [0, I] ∂sₜ/∂sₖ · ∂⁺sₖ/∂W_o
    right = 0
    but $W_o$ affects every later cell state through $h$

Answer: $∂Cₜ/∂Cₜ₋₁ = diag(fₜ) + diag(Cₜ₋₁ ⊙ σ′(a_f)) W_f diag(δ) + diag(C̃ₜ ⊙ σ′(a_i)) W_i diag(δ) + diag(iₜ ⊙
tanh′(a_c)) W_c diag(δ)$ with $δ = oₜ₋₁ ⊙ tanh′(Cₜ₋₁)$: the carousel $diag(fₜ)$, and a term each for the
forget gate, the input gate and the candidate, which depend on $Cₜ₋₁$ through $hₜ₋₁$. For one step this is
exact. Over several steps, a product of such factors is not $dCₜ/dCₖ$, because $oᵢ$ depends on earlier cell
states too. The size of the error depends on the weights. For the exact gradient, multiply the Jacobians of
the whole state $[h; C]$, and read the block of $C$ afterwards.

Slip: The sheet's line opens a bracket after each $σ′$, but closes only one, at the end. It adds the vector
$fₜ$ to matrices. It takes $σ′$ at $W_f δ$ instead of $a_f$. It has $tanh′(δ)$ without $W_c$. Its $W_f$ must
be the part that multiplies $hₜ₋₁$. Lines 10 and 11 show two readings of it, and line 8 shows what is meant.
The footnote neglects that $Cₜ$ depends on the gates, and the gates on $W$. Taken literally, this would leave
no gradient at all. Lines 19 to 23 show what is lost if the gates are held fixed while $C$ changes, and lines
24 to 27 what this means for the gradient.
"""


def _write_lag_lines(net: DerivationNetwork) -> str:
    """Return lines that compare dCₜ/dCₖ with the product of (8) and the carousel, at each lag."""
    lines, fainter = [], net.with_share(FAINT_SHARE)
    for product, symbol, name, first, between in (
        ("∏ᵢ₌{after}ᵗ ∂Cᵢ/∂Cᵢ₋₁", "P", "a product of (8)", 2, _multiply_factors),
        ("diag(∏ᵢ₌{after}ᵗ fᵢ)", "F", "the carousel alone", 1, _multiply_gates),
    ):
        losses, fainter_losses = _measure_losses(net, between), _measure_losses(fainter, between)
        for lag in range(first, LAGS + 1):
            start = lowered("ₜ₋", lag)
            right = "diag(fₜ)" if lag == 1 else product.format(after=lowered("ₜ₋", lag - 1))
            lines.append(
                f"dCₜ/dC{start} ≠ {right}\n"
                f"    left = [0, I] ∂sₜ/∂s{start} [diag(o{start} ⊙ tanh′(C{start})); I]\n"
                f"    right = {symbol}{start}\n"
                f"    what {name} leaves out over {format_steps(lag)}: {losses[lag]} relative to\n"
                f"    the largest entry; with recurrent weights a tenth as large, {fainter_losses[lag]}"
            )
    return "\n".join(lines)


def build_topic(seed: int, *, hidden: int = 3) -> DerivationTopic:
    """Return the gradient of the cell state of a random LSTM of ``hidden`` units, neglected parts too."""
    net = DerivationNetwork.draw_lstm(seed, hidden, T)
    rows = {gate: _take_rows(net, gate) for gate in net.name_weights()}
    gradients = {
        f"{name}_of_{gate[-1]}": _describe_gap(
            net.by_weights("Cₜ", T)[:, rows[gate]], _add_up(net, rows[gate], between)
        )
        for gate in ("W_f", "W_i", "W_c")
        for name, between in (("product", _multiply_factors), ("carousel", _multiply_gates))
    }
    text = TEXT.format(lag_lines=_write_lag_lines(net), **gradients)
    by_output, direct = _own_blocks(net, T)
    cases: dict[str, Symbols] = {
        "each C": {"C": Each(np.stack([point["Cₜ"] for point in net.points]))},
        "gradflow's own cell": {"∂⁺Cₜ/∂hₜ₋₁": by_output, "∂⁺Cₜ/∂Cₜ₋₁": direct},
        "k = t": {"k": T},
    }
    return read_topic(text, _symbols(net, rows), cases)


def _symbols(net: DerivationNetwork, rows: dict[str, slice]) -> Symbols:
    """Return the symbols of the formulas; derivatives and slopes are computed by complex steps."""
    point, before, size = net.points[T], net.points[T - 1], len(net.start) // 2
    by_block = {part: net.by_state("Cₜ", T, T - 1)[:, at] for part, at in net.cell.parts.items()}
    by_weights = net.by_weights("Cₜ", T)
    immediate = cache(lambda k: net.by_copy("Cₜ", k, k))
    return {
        **FUNCTIONS, **net.name_weights(), "I": np.eye(size), "t": T, "k": T - LAGS,
        **net.name_quantities("fₜ", "iₜ", "C̃ₜ", "oₜ", "Cₜ"),
        **{name: point[name] for name in ("a_f", "a_i", "a_c")},
        "δ": before["oₜ"] * slope(np.tanh, before["Cₜ"]),
        **{
            f"∂{part}/∂Cₜ₋₁": net.by_cell_state(part, T, T - 1)
            for part in ("fₜ", "iₜ", "C̃ₜ", "(fₜ ⊙ Cₜ₋₁)", "(iₜ ⊙ C̃ₜ)")
        },
        "∂hₜ₋₁/∂Cₜ₋₁": net.by_cell_state("hₜ", T - 1, T - 1),
        "∂oₜ₋₁/∂Cₜ₋₂": net.by_cell_state("oₜ", T - 1, T - 2),
        "∂⁺Cₜ/∂Cₜ₋₁": by_block["c"], "∂⁺Cₜ/∂hₜ₋₁": by_block["h"],
        "∂Cₜ/∂Cₖ": {(t, t - 1): net.by_cell_state("Cₜ", t, t - 1) for t in range(2, T + 1)},
        "dCₜ/dCₖ": {(T, k): net.by_cell_state("Cₜ", T, k) for k in range(T - LAGS, T)},
        **{f"dCₜ/d{gate}": by_weights[:, rows[gate]] for gate in ("W_f", "W_o")},
        **{f"∂⁺Cₖ/∂{gate}": _cut(immediate, rows[gate]) for gate in ("W_f", "W_o")},
        **{f"∂⁺sₖ/∂{gate}": _cut(net.own_immediate, rows[gate]) for gate in ("W_f", "W_o")},
        "∂sₜ/∂sₖ": net.own_jacobian,
        "Jᵢ": lambda i: net.own_jacobian(i, i - 1), "[0, I]": np.eye(2 * size)[size:],
        "Pₖ": lambda k: _multiply_factors(net, k), "Fₖ": lambda k: _multiply_gates(net, k),
        "P": _add_up(net, rows["W_f"], _multiply_factors), "F": _add_up(net, rows["W_f"], _multiply_gates),
        "S": _read_sheet(net), "G": _omit_candidate_weights(net),
    }  # fmt: skip


def _cut(immediate: Callable[[int], Array], rows: slice) -> Callable[[int], Array]:
    return lambda k: immediate(k)[:, rows]


def _take_rows(net: DerivationNetwork, gate: str) -> slice:
    """Return the rows of W that belong to a gate."""
    size, place = len(net.start) // 2, [*net.name_weights()].index(gate)
    return slice(place * size, (place + 1) * size)


# The same by gradflow's own cell, and what is lost.


def _own_blocks(net: DerivationNetwork, t: int) -> tuple[Array, Array]:
    """Return ∂⁺Cₜ/∂hₜ₋₁ and ∂⁺Cₜ/∂Cₜ₋₁ (n, n)."""
    h, C = net.cell.parts.values()
    jacobian = net.own_jacobian(t, t - 1)
    return jacobian[C, h], jacobian[C, C]


def _delta(net: DerivationNetwork, t: int) -> Array:
    """Return oₜ⊙tanh′(Cₜ) (n)."""
    return np.asarray(net.own["oₜ"][t] / np.cosh(net.own["Cₜ"][t]) ** 2)


def _factor(net: DerivationNetwork, t: int) -> Array:
    """Return ∂Cₜ/∂Cₜ₋₁ (n, n)."""
    by_output, direct = _own_blocks(net, t)
    return np.asarray(direct + by_output * _delta(net, t - 1))


def _read_sheet(net: DerivationNetwork) -> Array:
    """Return the sheet's line with its bracket closed after W_f δ. It is a diagonal matrix."""
    gates, delta, W = net.points[T], _delta(net, T - 1), net.name_weights()
    forget, let_in = (sigmoid(a) * sigmoid(-a) for a in (W["W_f"] @ delta, W["W_i"] @ delta))
    kept = forget * net.points[T - 1]["Cₜ"] + gates["fₜ"]
    return np.diag(kept + let_in * gates["C̃ₜ"] + gates["iₜ"] / np.cosh(delta) ** 2)


def _omit_candidate_weights(net: DerivationNetwork) -> Array:
    """Return the four terms, the last one without W_c."""
    point, W = net.points[T], net.name_weights()["W_c"]
    scale = point["iₜ"] / np.cosh(point["a_c"]) ** 2
    return np.asarray(_factor(net, T) - scale[:, None] * (W - np.eye(len(W))) * _delta(net, T - 1))


def _multiply_factors(net: DerivationNetwork, k: int) -> Array:
    """Return ∏ ∂Cᵢ/∂Cᵢ₋₁ from k + 1 to t."""
    return reduce(np.matmul, [_factor(net, i) for i in range(T, k, -1)], np.eye(len(net.start) // 2))


def _multiply_gates(net: DerivationNetwork, k: int) -> Array:
    """Return ∏ diag(fᵢ) from k + 1 to t: the carousel alone."""
    return np.diag(
        np.prod([np.ones(len(net.start) // 2), *(net.own["fₜ"][i] for i in range(k + 1, T + 1))], axis=0)
    )


def _add_up(net: DerivationNetwork, rows: slice, between: Callable[[DerivationNetwork, int], Array]) -> Array:
    """Return Σₖ B(k) ∂⁺Cₖ/∂W for some rows of W, where ``between`` computes B."""
    C = net.cell.parts["c"]
    terms = [np.tensordot(between(net, k), net.own_immediate(k)[C, rows], axes=1) for k in range(1, T + 1)]
    return np.asarray(np.sum(terms, axis=0))


def _measure_losses(
    net: DerivationNetwork, between: Callable[[DerivationNetwork, int], Array]
) -> dict[int, str]:
    """Return how far ``between`` is from dCₜ/dCₖ over each number of steps, in words."""
    return {
        lag: _describe_gap(net.by_cell_state("Cₜ", T, T - lag), between(net, T - lag))
        for lag in range(1, LAGS + 1)
    }


def _describe_gap(truth: Array, other: Array) -> str:
    """Return how far two arrays are apart, relative to the largest entry."""
    share = np.abs(truth - other).max() / max(np.abs(truth).max(), np.abs(other).max())
    return "0" if share < 1e-12 else f"{share:.2g}"
