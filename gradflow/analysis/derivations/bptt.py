"""Exercise 5-1b: backpropagation through time, from the chain rule to the double sum."""

from collections.abc import Callable
from functools import reduce

import numpy as np

from gradflow.analysis.derivations.complex_step import FUNCTIONS
from gradflow.analysis.derivations.figures import lowered
from gradflow.analysis.derivations.line import Array, Line, Topic
from gradflow.analysis.derivations.sheet_rnn import SheetRNN
from gradflow.analysis.inputs import check_count
from gradflow.notation.evaluate import Symbols

LEAST, MOST = 2, 10  # steps: with one there is no way back, and nothing of the sheet's to be told apart


def _all(net: SheetRNN, one: Callable[[int], Array]) -> Array:
    """Return one(t) for t = 1 … T, an axis the more."""
    return np.stack([one(t) for t in range(1, net.steps + 1)])


def _ways_back(net: SheetRNN, one: Callable[[int], Array]) -> Array:
    """Return one(k) for k = 0 … T − 1, from where there is a way to T, an axis the more."""
    return np.stack([one(k) for k in range(net.steps)])


def _factors(net: SheetRNN, t: int, k: int, one: Callable[[int], Array]) -> Array:
    """Return one(t) one(t − 1) … one(k + 1), the latest on the left."""
    return reduce(np.matmul, [one(i) for i in range(t, k, -1)], np.eye(len(net.W)))


def _double_sum(net: SheetRNN, one: Callable[[int, int], Array]) -> Array:
    return np.asarray(sum(one(t, k) for t in range(1, net.steps + 1) for k in range(1, t + 1)))


def _through(row: Array, cube: Array) -> Array:
    """Return a row vector (n) times ∂h/∂W (n, n, n), shape (n, n)."""
    return np.asarray(np.tensordot(row, cube, axes=1))


def _immediate(net: SheetRNN, t: int) -> Array:
    """Return δᵢⱼ σ′((zₜ)ᵢ) (hₜ₋₁)ₗ, shape (i, j, l)."""
    found: Array = np.einsum("ij,i,l->ijl", np.eye(len(net.W)), net.slopes(t), net.h[t - 1])
    return found


def _recursion(net: SheetRNN, t: int) -> Array:
    """Return ∂⁺hₜ/∂W + ∂hₜ/∂hₜ₋₁ dhₜ₋₁/dW; h₀ does not depend on W."""
    before = np.zeros((len(net.W),) * 3) if t == 1 else net.total(t - 1)
    return np.asarray(net.immediate(t) + np.tensordot(net.later(t, t - 1), before, axes=1))


def _signals(net: SheetRNN) -> list[Array]:
    """Return λ₁ … λ_T (n) by the recursion λₖ = (∂Lₖ/∂hₖ)ᵀ + (∂hₖ₊₁/∂hₖ)ᵀ λₖ₊₁, from the last one back."""
    signals = [net.loss_slope(net.steps)]
    for k in range(net.steps - 1, 0, -1):
        signals.insert(0, net.loss_slope(k) + net.jacobian(k + 1).T @ signals[0])
    return signals


def _matrix_form(net: SheetRNN) -> Array:
    """Return Σₖ diag(σ′(zₖ)) λₖ hₖ₋₁ᵀ."""
    signals = _signals(net)
    return np.asarray(
        sum(np.outer(net.slopes(k) * signals[k - 1], net.h[k - 1]) for k in range(1, net.steps + 1))
    )


def _symbols(net: SheetRNN) -> Symbols:
    """Return what the formulas are made of, derivatives by complex steps, those of a loss as rows."""
    h, z, L, signal = ([lowered(letter, k) for k in range(net.steps + 1)] for letter in "hzLλ")
    steps = range(1, net.steps + 1)
    pairs = [(t, k) for t in range(net.steps + 1) for k in range(t + 1)]
    found: dict[str, object] = {
        **FUNCTIONS, "W": net.W, "T": np.array(net.steps), "∂L/∂W": net.gradient(),
        **dict(zip(h, net.h, strict=True)),
        f"d{h[0]}/dW": np.zeros((len(net.W),) * 3),
        **{f"∂{h[t]}/∂{h[k]}": net.later(t, k) for t, k in pairs},
        **{f"∂{L[t]}/∂{h[k]}": net.loss_at(t, k)[None] for t, k in pairs if t},
    }  # fmt: skip
    for t in steps:
        found[z[t]] = net.W @ net.h[t - 1] + net.U @ net.inputs[t - 1]
        found[f"∂⁺{h[t]}/∂W"], found[f"d{h[t]}/dW"] = net.immediate(t), net.total(t)
        found[f"∂{L[t]}/∂W"] = net.loss_gradient(t)
        found[signal[t]] = sum(net.loss_at(later, t) for later in steps if later >= t)
    return found


def _every_step(net: SheetRNN, index: str = "t") -> dict[str, Array]:
    """Return an index from 1 to T."""
    return {index: np.arange(1, net.steps + 1)}


def _last(net: SheetRNN) -> dict[str, Array]:
    """Return t = T and k from 0 to T − 1."""
    return {"t": np.array(net.steps), "k": np.arange(net.steps)}


LINES: tuple[Line[SheetRNN], ...] = (
    Line(
        "∂L/∂W = Σₜ₌₁ᵀ ∂Lₜ/∂W",
        "the derivative of a sum is the sum of the derivatives; $L₀$ has no part in it, for $h₀$ is given "
        "and does not depend on $W$",
        lambda net: (net.gradient(), _all(net, net.loss_gradient).sum(axis=0)),
    ),
    Line(
        "∂Lₜ/∂W = ∂Lₜ/∂hₜ · dhₜ/dW",
        "chain rule: $Lₜ$ depends on $W$ through $hₜ$ alone. The d says that every way counts by which $W$ "
        "gets into $hₜ$. Verified for all $t$ at once",
        lambda net: (
            _all(net, net.loss_gradient),
            _all(net, lambda t: _through(net.loss_slope(t), net.total(t))),
        ),
        at=_every_step,
    ),
    Line(
        "dhₜ/dW = ∂⁺hₜ/∂W + ∂hₜ/∂hₜ₋₁ · dhₜ₋₁/dW",
        "$W$ gets into $hₜ = σ(Whₜ₋₁ + Uxₜ)$ twice: as the matrix that stands there, and through $hₜ₋₁$. "
        "$∂⁺hₜ/∂W$ is the immediate derivative, with $hₜ₋₁$ held fixed",
        lambda net: (_all(net, net.total), _all(net, lambda t: _recursion(net, t))),
        at=_every_step,
    ),
    Line(
        "∂hₜ/∂hₜ₋₁ = diag(σ′(zₜ)) W",
        "5-1a, with $zₜ = Whₜ₋₁ + Uxₜ$: what is added to $Whₜ₋₁$ changes where $σ′$ is taken, and nothing "
        "else",
        lambda net: (
            _all(net, lambda t: net.later(t, t - 1)),
            _all(net, net.jacobian),
        ),
        at=_every_step,
    ),
    Line(
        "∂⁺(hₜ)ᵢ/∂Wⱼₗ = δᵢⱼ σ′((zₜ)ᵢ) (hₜ₋₁)ₗ",
        "row $j$ of $W$ feeds unit $j$ alone ($δᵢⱼ$ is 1 where $i = j$, else 0), and there $Wⱼₗ$ multiplies "
        "$(hₜ₋₁)ₗ$",
        lambda net: (_all(net, net.immediate), _all(net, lambda t: _immediate(net, t))),
    ),
    Line(
        "∂hₜ/∂hₖ = ∏ᵢ₌ₖ₊₁ᵗ ∂hᵢ/∂hᵢ₋₁",
        "chain rule along the steps between, the latest factor on the left. Verified for $t = T$ and all $k "
        "< T$",
        lambda net: (
            _ways_back(net, lambda k: net.later(net.steps, k)),
            _ways_back(net, lambda k: _factors(net, net.steps, k, lambda i: net.later(i, i - 1))),
        ),
        at=_last,
    ),
    Line(
        "∂hₜ/∂hₖ = ∏ᵢ₌ₖ₊₁ᵗ diag(σ′(zᵢ)) W",
        "(4) put into (6): $t − k$ factors, and an empty product, for $k = t$, is $I$",
        lambda net: (
            _ways_back(net, lambda k: net.later(net.steps, k)),
            _ways_back(net, lambda k: _factors(net, net.steps, k, net.jacobian)),
        ),
        at=_last,
    ),
    Line(
        "dhₜ/dW = Σₖ₌₁ᵗ ∂hₜ/∂hₖ · ∂⁺hₖ/∂W",
        "(3) put into itself until $h₀$ is reached, whose derivative is 0; (6) gathers the factors in front",
        lambda net: (
            net.total(net.steps),
            sum(
                np.tensordot(net.later(net.steps, k), net.immediate(k), axes=1)
                for k in range(1, net.steps + 1)
            ),
        ),
        at=lambda net: {"t": net.steps},
    ),
    Line(
        "∂L/∂W = Σₜ₌₁ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₜ · ∂hₜ/∂hₖ · ∂⁺hₖ/∂W",
        "(8) into (2) into (1): what was to be derived",
        lambda net: (
            net.gradient(),
            _double_sum(net, lambda t, k: _through(net.loss_slope(t) @ net.later(t, k), net.immediate(k))),
        ),
    ),
    Line(
        "λₖᵀ = Σₜ₌ₖᵀ ∂Lₜ/∂hₜ · ∂hₜ/∂hₖ",
        "what all losses from $k$ on say about $hₖ$. It comes by one sweep back, $λₖ = (∂Lₖ/∂hₖ)ᵀ + "
        "(∂hₖ₊₁/∂hₖ)ᵀ λₖ₊₁$ from $λ_T = (∂L_T/∂h_T)ᵀ$ (left), no product being formed twice",
        lambda net: (
            np.stack(_signals(net)),
            _all(
                net,
                lambda k: np.asarray(
                    sum(net.loss_slope(t) @ net.later(t, k) for t in range(k, net.steps + 1))
                ),
            ),
        ),
        at=lambda net: _every_step(net, "k"),
    ),
    Line(
        "∂L/∂W = Σₖ₌₁ᵀ diag(σ′(zₖ)) λₖ hₖ₋₁ᵀ",
        "(9) summed over $t$ first, with (5) for the last factor: the form in which it is computed",
        lambda net: (net.gradient(), _matrix_form(net)),
    ),
    Line(
        "∂L/∂W ≠ Σₜ₌₁ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₖ · ∂hₜ/∂hₖ · ∂⁺hₖ/∂W",
        "the sheet's first factor, $∂Lₜ/∂hₖ$ for $∂Lₜ/∂hₜ$: it holds $∂hₜ/∂hₖ$ already, which would count "
        "twice",
        lambda net: (
            net.gradient(),
            _double_sum(net, lambda t, k: _through(net.loss_at(t, k) @ net.later(t, k), net.immediate(k))),
        ),
    ),
    Line(
        "∂L/∂W ≠ Σₜ₌₁ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₜ · ∂hₜ/∂hₖ · dhₖ/dW",
        "the last factor read as the whole derivative: a way through several steps would count once for each",
        lambda net: (
            net.gradient(),
            _double_sum(net, lambda t, k: _through(net.loss_slope(t) @ net.later(t, k), net.total(k))),
        ),
    ),
    Line(
        "∂L/∂W = Σₜ₌₁ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₖ · ∂hₖ/∂hₖ · ∂⁺hₖ/∂W",
        "the middle factor as it is printed, $∂hₖ/∂hₖ = I$: true only where $∂Lₜ/∂hₖ$ goes by way of all "
        "later states, so that it is $∂Lₜ/∂hₜ · ∂hₜ/∂hₖ$, and the last factor is the immediate one",
        lambda net: (
            net.gradient(),
            _double_sum(
                net,
                lambda t, k: _through(net.loss_at(t, k) @ net.later(k, k), net.immediate(k)),
            ),
        ),
    ),
)


def derivation(seed: int, *, hidden: int = 3, steps: int = 4) -> Topic[SheetRNN]:
    """Return the gradient of the sheet's network over ``steps`` steps."""
    check_count("steps", steps, LEAST, MOST)
    return Topic(
        exercise="5-1b",
        title="backpropagation through time",
        statement=(
            "Given $hₜ = σ(Whₜ₋₁ + Uxₜ)$ and $L = Σₜ₌₀ᵀ Lₜ$, where $Lₜ$ is a number that depends on $hₜ$, "
            "derive $∂L/∂W = Σₜ₌₀ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₜ · ∂hₜ/∂hₖ · ∂⁺hₖ/∂W$. For the numbers $Lₜ = ‖hₜ − yₜ‖²/2$."
        ),
        case=SheetRNN.drawn(seed, hidden, steps),
        symbols=_symbols,
        lines=LINES,
        answer=(
            "$∂L/∂W = Σₜ₌₀ᵀ Σₖ₌₁ᵗ ∂Lₜ/∂hₜ · ∂hₜ/∂hₖ · ∂⁺hₖ/∂W$ with $∂hₜ/∂hₖ = ∏ᵢ₌ₖ₊₁ᵗ diag(σ′(zᵢ)) W$: "
            "every loss goes back to every step at which $W$ was used, through one factor for each step "
            "between. The inner sum is empty for $t = 0$. For $U$ take $xₖ$ in place of $hₖ₋₁$."
        ),
        slip=(
            "The sheet prints $∂Lₜ/∂hₖ · ∂hₖ/∂hₖ · ∂hₖ/∂W$. Meant is $∂Lₜ/∂hₜ$ in front, $∂hₜ/∂hₖ$ between, "
            "and at the end the immediate derivative $∂⁺hₖ/∂W$, with $hₖ₋₁$ held fixed. Lines 12 to 14 show "
            "what other readings come to."
        ),
    )
