"""Exercise 5-1a: the Jacobian of one layer."""

from typing import NamedTuple

import numpy as np

from gradflow.analysis.derivations.complex_step import FUNCTIONS, derivative, sigmoid, sigmoid_slope, slope
from gradflow.analysis.derivations.figures import entries
from gradflow.analysis.derivations.line import Array, Line, Topic
from gradflow.notation.evaluate import Symbols


class Layer(NamedTuple):
    """W (n, d) and x (d), with d = n + 1, so that no transpose goes unnoticed."""

    W: Array
    x: Array

    @property
    def z(self) -> Array:
        """W x."""
        return self.W @ self.x

    def y(self, x: Array) -> Array:
        """Return σ(W x)."""
        return sigmoid(self.W @ x)

    def slopes(self) -> Array:
        """Return σ(z)(1 − σ(z))."""
        return sigmoid_slope(self.z)

    def entrywise(self) -> Array:
        """Return σ′(zᵢ) Wᵢⱼ, one entry after the other."""
        slopes, (rows, columns) = self.slopes(), self.W.shape
        return np.array([[slopes[i] * self.W[i, j] for j in range(columns)] for i in range(rows)])


def _norm(matrix: Array) -> float:
    return float(np.linalg.norm(matrix, 2))


def _indices(it: Layer) -> dict[str, Array]:
    """Return i and j, each from 1 on."""
    rows, columns = it.W.shape
    return {"i": np.arange(1, rows + 1), "j": np.arange(1, columns + 1)}


def _symbols(it: Layer) -> Symbols:
    """Return what the formulas are made of."""
    by_inputs = derivative(lambda x: it.W @ x, it.x)
    return {
        **FUNCTIONS, "W": it.W, "x": it.x, "z": it.z, "∂y/∂x": derivative(it.y, it.x),
        **entries("z{}", it.z), **entries("W{},{}", it.W), **entries("∂z{}/∂x{}", by_inputs),
        **entries("∂y{}/∂x{}", derivative(it.y, it.x)),
    }  # fmt: skip


LINES: tuple[Line[Layer], ...] = (
    Line(
        "zᵢ = Σⱼ Wᵢⱼ xⱼ",
        "with $z = Wx$, entry by entry; the output is $yᵢ = σ(zᵢ)$",
        lambda it: (it.z, np.array([sum(w * x for w, x in zip(row, it.x, strict=True)) for row in it.W])),
    ),
    Line(
        "∂zᵢ/∂xⱼ = Wᵢⱼ",
        "only the term with $xⱼ$ depends on $xⱼ$",
        lambda it: (derivative(lambda x: it.W @ x, it.x), it.W),
        at=_indices,
    ),
    Line(
        "σ′(z) = e⁻ᶻ/(1 + e⁻ᶻ)²",
        "chain rule on $σ(z) = (1 + e⁻ᶻ)⁻¹$: the outer derivative is $−(1 + e⁻ᶻ)⁻²$, the inner one $−e⁻ᶻ$",
        lambda it: (slope(sigmoid, it.z), np.exp(-it.z) / (1.0 + np.exp(-it.z)) ** 2),
        at=lambda it: {"z": it.z},
    ),
    Line(
        "e⁻ᶻ/(1 + e⁻ᶻ)² = σ(z) (1 − σ(z))",
        "the fraction is $1/(1 + e⁻ᶻ) · e⁻ᶻ/(1 + e⁻ᶻ)$, and the second factor is $1 − σ(z)$",
        lambda it: (
            np.exp(-it.z) / (1.0 + np.exp(-it.z)) ** 2,
            sigmoid(it.z) * (1.0 - sigmoid(it.z)),
        ),
        at=lambda it: {"z": it.z},
    ),
    Line(
        "∂yᵢ/∂xⱼ = σ′(zᵢ) · ∂zᵢ/∂xⱼ",
        "chain rule: $yᵢ$ depends on $x$ through $zᵢ$ alone, for $σ$ acts entry by entry",
        lambda it: (
            derivative(it.y, it.x),
            slope(sigmoid, it.z)[:, None] * derivative(lambda x: it.W @ x, it.x),
        ),
        at=_indices,
    ),
    Line(
        "∂yᵢ/∂xⱼ = σ′(zᵢ) Wᵢⱼ",
        "(2) put into (5)",
        lambda it: (derivative(it.y, it.x), it.entrywise()),
        at=_indices,
    ),
    Line(
        "(diag(σ′(z)) W)ᵢⱼ = σ′(zᵢ) Wᵢⱼ",
        "a diagonal matrix from the left multiplies row $i$ by its $i$-th entry",
        lambda it: (np.diag(it.slopes()) @ it.W, it.entrywise()),
        at=_indices,
    ),
    Line(
        "∂y/∂x = diag(σ′(Wx)) W",
        "(6) and (7) agree in every entry: this is the Jacobian, of shape $n×d$",
        lambda it: (derivative(it.y, it.x), np.diag(it.slopes()) @ it.W),
    ),
    Line(
        "σ′(z) = 1/4 − (σ(z) − 1/2)²",
        "the same as $σ(1 − σ)$, by completing the square: at most 1/4, and that at $z = 0$",
        lambda it: (slope(sigmoid, it.z), 0.25 - (sigmoid(it.z) - 0.5) ** 2),
        at=lambda it: {"z": it.z},
    ),
    Line(
        "‖∂y/∂x‖ ≤ ‖W‖/4",
        "$σ′ = σ(1 − σ)$ is at most 1/4, at $z = 0$: no entry of $diag(σ′)$ is larger; $‖·‖$ is the "
        "largest singular value",
        lambda it: (_norm(derivative(it.y, it.x)), _norm(it.W) / 4),
    ),
)


def derivation(seed: int, *, hidden: int = 3) -> Topic[Layer]:
    """Return the Jacobian of σ(Wx) for a random W of ``hidden`` rows and one column more."""
    generator = np.random.default_rng(seed)
    W = generator.standard_normal((hidden, hidden + 1)) * 2.0 / np.sqrt(hidden + 1)
    layer = Layer(W, generator.standard_normal(hidden + 1))
    return Topic(
        exercise="5-1a",
        title="the Jacobian of a layer",
        statement=(
            "Given $y = σ(Wx)$ with $y ∈ ℝⁿ$, $x ∈ ℝᵈ$, $W ∈ ℝⁿˣᵈ$, derive $∂y/∂x = diag(σ′) W ∈ ℝⁿˣᵈ$."
        ),
        case=layer,
        symbols=_symbols,
        lines=LINES,
        answer=(
            "$∂y/∂x = diag(σ′(Wx)) W$, with $σ′ = σ(1 − σ)$ taken at $z = Wx$. The derivative of $σ$ "
            "depends on $x$, so the Jacobian is another matrix at every $x$; what all of them share is $W$."
        ),
    )
