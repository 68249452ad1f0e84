"""The Jacobian of one layer, y = σ(Wx)."""

import math

import numpy as np

from gradflow.derivations.topics.complex_cells import FUNCTIONS, derivative, sigmoid
from gradflow.derivations.topics.topic import DerivationTopic, read_topic
from gradflow.notation.evaluate import Each

TEXT = """
5-1a: the Jacobian of a layer

Given $y = σ(Wx)$ with $y ∈ ℝⁿ$, $x ∈ ℝᵈ$, $W ∈ ℝⁿˣᵈ$, derive $∂y/∂x = diag(σ′) W ∈ ℝⁿˣᵈ$.

zᵢ = Σⱼ Wᵢⱼ xⱼ  for each i
    with $z = Wx$, entry by entry; the output is $yᵢ = σ(zᵢ)$
∂zᵢ/∂xⱼ = Wᵢⱼ  for each i and j
    only the term with $xⱼ$ depends on $xⱼ$
σ′(z) = e⁻ᶻ/(1 + e⁻ᶻ)²  for each entry z
    chain rule on $σ(z) = (1 + e⁻ᶻ)⁻¹$: the outer derivative is $−(1 + e⁻ᶻ)⁻²$, the inner one $−e⁻ᶻ$
e⁻ᶻ/(1 + e⁻ᶻ)² = σ(z) (1 − σ(z))  for each entry z
    the fraction is $1/(1 + e⁻ᶻ) · e⁻ᶻ/(1 + e⁻ᶻ)$, and the second factor is $1 − σ(z)$
∂yᵢ/∂xⱼ = σ′(zᵢ) · ∂zᵢ/∂xⱼ  for each i and j
    chain rule: $yᵢ$ depends on $x$ through $zᵢ$ alone, because $σ$ acts entry by entry
∂yᵢ/∂xⱼ = σ′(zᵢ) Wᵢⱼ  for each i and j
    (2) inserted into (5)
(diag(σ′(z)) W)ᵢⱼ = σ′(zᵢ) Wᵢⱼ  for each i and j
    a diagonal matrix from the left multiplies row $i$ by its $i$-th entry
∂y/∂x = diag(σ′(Wx)) W
    (6) and (7) agree in every entry: this is the Jacobian, of shape $n×d$
σ′(z) = 1/4 − (σ(z) − 1/2)²  for each entry z
    the same as $σ(1 − σ)$, by completing the square: at most 1/4, at $z = 0$
‖∂y/∂x‖ ≤ ‖W‖/4
    by (9) no entry of $diag(σ′)$ is larger than 1/4; $‖·‖$ is the largest singular value

Answer: $∂y/∂x = diag(σ′(Wx)) W$, with $σ′ = σ(1 − σ)$ taken at $z = Wx$. The derivative of $σ$ depends on
$x$, so the Jacobian is another matrix at every $x$. All of them share $W$.
"""


def build_topic(seed: int, *, hidden: int = 3) -> DerivationTopic:
    """Return the Jacobian of σ(Wx) for a random W of ``hidden`` rows and one column more."""
    # one column more, so that no transpose goes unnoticed
    generator = np.random.default_rng(seed)
    W = generator.standard_normal((hidden, hidden + 1)) * 2.0 / np.sqrt(hidden + 1)
    x = generator.standard_normal(hidden + 1)
    rows, columns = (range(1, size + 1) for size in W.shape)
    symbols = {
        **FUNCTIONS, "W": W, "x": x, "z": W @ x, "e": math.e, "j": columns,
        "∂z/∂x": derivative(lambda x: W @ x, x), "∂y/∂x": derivative(lambda x: sigmoid(W @ x), x),
    }  # fmt: skip
    cases = {
        "each i": {"i": Each(rows)},
        "each i and j": {"i": Each(rows), "j": Each(columns)},
        "each entry z": {"z": Each(W @ x)},
    }
    return read_topic(TEXT, symbols, cases)
