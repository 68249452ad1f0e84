"""Mⁿ = QΛⁿQ⁻¹ by induction."""

from dataclasses import replace

import numpy as np

from gradflow.analysis.shared.arguments import check_count
from gradflow.derivations.topics.line import Array, DerivationLine, round_up_to_decade
from gradflow.derivations.topics.numerals import raised
from gradflow.derivations.topics.topic import DerivationTopic, read_topic
from gradflow.errors import UsageError
from gradflow.linalg.floating import DOUBLE_EPS
from gradflow.linalg.spectrum import spectrum

MAX_POWER_STEPS = 30  # each a line
MAX_CONDITION = 1e8  # of Q, past which QΛⁿQ⁻¹ says nothing any more

TEXT = """
5-2b: powers by eigendecomposition

Prove by induction that a diagonalizable $M = QΛQ⁻¹$ has $Mⁿ = QΛⁿQ⁻¹$ for every $n ≥ 1$; the columns of $Q$
are the eigenvectors, $Mvᵢ = λᵢ vᵢ$. Lines with a $k$ show numbers for $k = {k}$.

MQ = QΛ
    column by column: the $i$-th column of $MQ$ is $Mvᵢ$, that of $QΛ$ is $λᵢ vᵢ$
QQ⁻¹ = I
    $M$ is diagonalizable: its eigenvectors are independent, so $Q⁻¹$ exists
M¹ = QΛ¹Q⁻¹
    base, $n = 1$: (1) times $Q⁻¹$ from the right, with (2)
Mᵏ = QΛᵏQ⁻¹
    hypothesis: let it hold for some $k$
Mᵏ⁺¹ = QΛᵏQ⁻¹ · QΛQ⁻¹
    step: $Mᵏ⁺¹ = MᵏM$, with (4) for the first factor and (3) for the second
QΛᵏQ⁻¹ · QΛQ⁻¹ = QΛᵏΛQ⁻¹
    the inner $Q⁻¹Q$ is $I$ and drops out
ΛᵏΛ = Λᵏ⁺¹
    diagonal matrices are multiplied entry by entry: $λᵢᵏ λᵢ = λᵢᵏ⁺¹$
Mᵏ⁺¹ = QΛᵏ⁺¹Q⁻¹
    (7) inserted into (6): the statement for $k + 1$, which ends the induction

Answer: $Mⁿ = QΛⁿQ⁻¹$ holds for $n = 1$. If it holds for $k$, it holds for $k + 1$, and so it holds for every
$n ≥ 1$. For $n = 0$ both sides are $I$. Only the $λᵢⁿ$ change with $n$; $Q$ and $Q⁻¹$ stay as they are.
"""


def build_topic(
    seed: int, *, hidden: int = 3, matrix: Array | None = None, steps: int = 5
) -> DerivationTopic:
    """Return the induction for a matrix, or a random one of ``hidden`` rows."""
    check_count("steps", steps, 1, MAX_POWER_STEPS)
    M = _draw_matrix(seed, hidden) if matrix is None else matrix
    found = spectrum(M)
    Q, inverse = found.vectors, found.inverse
    if Q is None or inverse is None:
        raise UsageError(
            "the matrix is not diagonalizable, so there is no Q⁻¹; expected another one (regimes takes any)"
        )
    condition = float(np.linalg.cond(Q))
    if condition > MAX_CONDITION:
        raise UsageError(
            f"the eigenvectors of the matrix are nearly dependent, κ(Q) = {condition:.1e}: QΛⁿQ⁻¹ would be "
            f"rounding; expected at most {MAX_CONDITION:.0e} (regimes takes any)"
        )
    values = found.values if found.values.imag.any() else found.values.real
    k = max(steps - 1, 1)
    # κ(Q) magnifies every error of an eigenvalue
    size = float(np.linalg.norm(M, 2) / (np.abs(values).max() or 1.0))
    tolerance = round_up_to_decade(10 * len(M) * DOUBLE_EPS * MAX_POWER_STEPS * condition * size)
    symbols = {"M": M, "Q": Q, "Q⁻¹": inverse, "Λ": np.diag(values), "I": np.eye(len(M)), "k": k}
    topic = read_topic(
        TEXT.format(k=k),
        symbols,
        lines=[
            DerivationLine(
                f"{raised('M', n)} = {raised('QΛ', n)}Q⁻¹",
                f"$n = {n}$: {n} factors $M$ on the left, eigenvalues raised to {n} on the right",
            )
            for n in range(2, steps + 1)
        ],
    )
    return replace(topic, lines=[replace(line, tolerance=tolerance) for line in topic.lines])


def _draw_matrix(seed: int, size: int) -> Array:
    """Return SDS⁻¹ with different real eigenvalues and a well-conditioned S that is not orthogonal."""
    generator = np.random.default_rng(seed)
    disturbed = generator.standard_normal((size, size))
    basis = np.eye(size) + disturbed / (2.0 * np.linalg.norm(disturbed, 2))
    values = np.linspace(0.5, 1.1, size) * generator.choice([-1.0, 1.0], size)
    return np.asarray((basis * values) @ np.linalg.inv(basis))
