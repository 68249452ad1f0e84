"""The Jacobian of one layer, y = σ(Wx)."""

import math

import numpy as np

from gradflow.derivations.topics.complex_cells import FUNCTIONS, derivative, sigmoid
from gradflow.derivations.topics.line import Array, DerivationLine, DerivationTopic
from gradflow.notation.evaluate import Symbols


def build_topic(seed: int, *, hidden: int = 3) -> DerivationTopic:
    """Return the Jacobian of σ(Wx) for a random W of ``hidden`` rows and one column more."""
    # one column more, so that no transpose goes unnoticed
    generator = np.random.default_rng(seed)
    W = generator.standard_normal((hidden, hidden + 1)) * 2.0 / np.sqrt(hidden + 1)
    x = generator.standard_normal(hidden + 1)
    return DerivationTopic(
        exercise="5-1a",
        title="the Jacobian of a layer",
        statement=(
            "Given $y = σ(Wx)$ with $y ∈ ℝⁿ$, $x ∈ ℝᵈ$, $W ∈ ℝⁿˣᵈ$, derive $∂y/∂x = diag(σ′) W ∈ ℝⁿˣᵈ$."
        ),
        symbols=lambda: _symbols(W, x),
        lines=_lines(W, W @ x),
        answer=(
            "$∂y/∂x = diag(σ′(Wx)) W$, with $σ′ = σ(1 − σ)$ taken at $z = Wx$. The derivative of $σ$ "
            "depends on $x$, so the Jacobian is another matrix at every $x$. All of them share $W$."
        ),
    )


def _symbols(W: Array, x: Array) -> Symbols:
    return {
        **FUNCTIONS, "W": W, "x": x, "z": W @ x, "e": np.array(math.e), "j": np.arange(1, len(x) + 1),
        "∂z/∂x": derivative(lambda x: W @ x, x), "∂y/∂x": derivative(lambda x: sigmoid(W @ x), x),
    }  # fmt: skip


def _lines(W: Array, z: Array) -> list[DerivationLine]:
    i, j = (np.arange(1, size + 1) for size in W.shape)
    entries, each = {"i": i, "j": j}, {"z": z}
    return [
        DerivationLine(
            "zᵢ = Σⱼ Wᵢⱼ xⱼ",
            "with $z = Wx$, entry by entry; the output is $yᵢ = σ(zᵢ)$",
            {"i": i},
        ),
        DerivationLine("∂zᵢ/∂xⱼ = Wᵢⱼ", "only the term with $xⱼ$ depends on $xⱼ$", entries),
        DerivationLine(
            "σ′(z) = e⁻ᶻ/(1 + e⁻ᶻ)²",
            "chain rule on $σ(z) = (1 + e⁻ᶻ)⁻¹$: the outer derivative is $−(1 + e⁻ᶻ)⁻²$, the inner one "
            "$−e⁻ᶻ$",
            each,
        ),
        DerivationLine(
            "e⁻ᶻ/(1 + e⁻ᶻ)² = σ(z) (1 − σ(z))",
            "the fraction is $1/(1 + e⁻ᶻ) · e⁻ᶻ/(1 + e⁻ᶻ)$, and the second factor is $1 − σ(z)$",
            each,
        ),
        DerivationLine(
            "∂yᵢ/∂xⱼ = σ′(zᵢ) · ∂zᵢ/∂xⱼ",
            "chain rule: $yᵢ$ depends on $x$ through $zᵢ$ alone, because $σ$ acts entry by entry",
            entries,
        ),
        DerivationLine("∂yᵢ/∂xⱼ = σ′(zᵢ) Wᵢⱼ", "(2) put into (5)", entries),
        DerivationLine(
            "(diag(σ′(z)) W)ᵢⱼ = σ′(zᵢ) Wᵢⱼ",
            "a diagonal matrix from the left multiplies row $i$ by its $i$-th entry",
            entries,
        ),
        DerivationLine(
            "∂y/∂x = diag(σ′(Wx)) W",
            "(6) and (7) agree in every entry: this is the Jacobian, of shape $n×d$",
        ),
        DerivationLine(
            "σ′(z) = 1/4 − (σ(z) − 1/2)²",
            "the same as $σ(1 − σ)$, by completing the square: at most 1/4, at $z = 0$",
            each,
        ),
        DerivationLine(
            "‖∂y/∂x‖ ≤ ‖W‖/4",
            "by (9) no entry of $diag(σ′)$ is larger than 1/4; $‖·‖$ is the largest singular value",
        ),
    ]
