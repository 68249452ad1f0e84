"""Exercise 5-2b: Mⁿ = QΛⁿQ⁻¹ by induction."""

from dataclasses import dataclass, replace

import numpy as np

from gradflow.analysis.derivations.figures import raised
from gradflow.analysis.derivations.line import Array, Line, Topic, decade
from gradflow.analysis.inputs import check_count
from gradflow.errors import UsageError
from gradflow.linalg.enclosure import EPS
from gradflow.linalg.spectrum import spectrum
from gradflow.notation.evaluate import Symbols

MOST = 30  # steps, each a line
WORST = 1e8  # condition of Q, past which QΛⁿQ⁻¹ says nothing any more


@dataclass(frozen=True, eq=False)
class Decomposed:
    """M (n, n), its eigenvectors Q as columns, its eigenvalues; k is where the induction is looked at."""

    M: Array
    Q: Array
    inverse: Array
    values: Array
    k: int

    @property
    def Lambda(self) -> Array:
        """Λ."""
        return np.diag(self.values)

    def product(self, n: int) -> Array:
        """Return M M … M, n times."""
        product = np.eye(len(self.M), dtype=self.M.dtype)
        for _ in range(n):
            product = product @ self.M
        return product

    def eigen(self, n: int) -> Array:
        """Return QΛⁿQ⁻¹, each eigenvalue raised to n."""
        return np.asarray((self.Q * self.values**n) @ self.inverse)

    def tolerance(self) -> float:
        """Return what rounding may cost: κ(Q) magnifies every error of an eigenvalue."""
        condition = float(np.linalg.cond(self.Q))
        size = float(np.linalg.norm(self.M, 2) / (np.abs(self.values).max() or 1.0))
        return decade(10 * len(self.M) * EPS * MOST * condition * size)


PROOF: tuple[Line[Decomposed], ...] = (
    Line(
        "MQ = QΛ",
        "column by column: the $i$-th column of $MQ$ is $Mvᵢ$, that of $QΛ$ is $λᵢ vᵢ$",
        lambda it: (it.M @ it.Q, it.Q @ it.Lambda),
    ),
    Line(
        "QQ⁻¹ = I",
        "$M$ is diagonalizable: its eigenvectors are independent, so $Q⁻¹$ exists",
        lambda it: (it.Q @ it.inverse, np.eye(len(it.Q))),
    ),
    Line(
        "M¹ = QΛ¹Q⁻¹",
        "base, $n = 1$: (1) times $Q⁻¹$ from the right, with (2)",
        lambda it: (it.M, it.eigen(1)),
    ),
    Line(
        "Mᵏ = QΛᵏQ⁻¹",
        "hypothesis: let it hold for some $k$",
        lambda it: (it.product(it.k), it.eigen(it.k)),
    ),
    Line(
        "Mᵏ⁺¹ = QΛᵏQ⁻¹ · QΛQ⁻¹",
        "step: $Mᵏ⁺¹ = MᵏM$, with (4) for the first factor and (3) for the second",
        lambda it: (it.product(it.k + 1), it.eigen(it.k) @ it.eigen(1)),
    ),
    Line(
        "QΛᵏQ⁻¹ · QΛQ⁻¹ = QΛᵏΛQ⁻¹",
        "the inner $Q⁻¹Q$ is $I$ and drops out",
        lambda it: (
            it.eigen(it.k) @ it.eigen(1),
            it.Q @ np.linalg.matrix_power(it.Lambda, it.k) @ it.Lambda @ it.inverse,
        ),
    ),
    Line(
        "ΛᵏΛ = Λᵏ⁺¹",
        "diagonal matrices are multiplied entry by entry: $λᵢᵏ λᵢ = λᵢᵏ⁺¹$",
        lambda it: (
            np.linalg.matrix_power(it.Lambda, it.k) @ it.Lambda,
            np.diag(it.values ** (it.k + 1)),
        ),
    ),
    Line(
        "Mᵏ⁺¹ = QΛᵏ⁺¹Q⁻¹",
        "(7) put into (6): the statement for $k + 1$, which ends the induction",
        lambda it: (it.product(it.k + 1), it.eigen(it.k + 1)),
    ),
)


def _instance(n: int) -> Line[Decomposed]:
    return Line(
        f"{raised('M', n)} = {raised('QΛ', n)}Q⁻¹",
        f"$n = {n}$: {n} factors $M$ on the left, eigenvalues raised to {n} on the right",
        lambda it: (it.product(n), it.eigen(n)),
    )


def _symbols(it: Decomposed) -> Symbols:
    """Return what the formulas are made of."""
    return {
        "M": it.M, "Q": it.Q, "Q⁻¹": it.inverse, "Λ": it.Lambda, "I": np.eye(len(it.M)), "k": np.array(it.k),
    }  # fmt: skip


def derivation(
    seed: int, *, hidden: int = 3, matrix: Array | None = None, steps: int = 5
) -> Topic[Decomposed]:
    """Return the induction for a matrix, or a random one of ``hidden`` rows."""
    check_count("steps", steps, 1, MOST)
    M = _drawn(seed, hidden) if matrix is None else matrix
    found = spectrum(M)
    if found.vectors is None or found.inverse is None:
        raise UsageError(
            "the matrix is not diagonalizable, so there is no Q⁻¹; expected another one (regimes takes any)"
        )
    condition = float(np.linalg.cond(found.vectors))
    if condition > WORST:
        raise UsageError(
            f"the eigenvectors of the matrix are nearly dependent, κ(Q) = {condition:.1e}: QΛⁿQ⁻¹ would be "
            f"rounding; expected at most {WORST:.0e} (regimes takes any)"
        )
    values = found.values if found.values.imag.any() else found.values.real
    case = Decomposed(M, found.vectors, found.inverse, values, max(steps - 1, 1))
    lines = [*PROOF, *(_instance(n) for n in range(2, steps + 1))]
    return Topic(
        exercise="5-2b",
        title="powers by the eigendecomposition",
        statement=(
            "Prove by induction that a diagonalizable $M = QΛQ⁻¹$ has $Mⁿ = QΛⁿQ⁻¹$ for every $n ≥ 1$; the "
            "columns of $Q$ are the eigenvectors, $Mvᵢ = λᵢ vᵢ$. Numbers with a $k$ are those of $k = "
            f"{case.k}$."
        ),
        case=case,
        symbols=_symbols,
        lines=tuple(replace(line, tolerance=case.tolerance()) for line in lines),
        answer=(
            "$Mⁿ = QΛⁿQ⁻¹$ holds for $n = 1$, and with $k$ for $k + 1$, hence for every $n ≥ 1$; for $n = "
            "0$ both sides are $I$. What $Mⁿ$ does is thus what $λᵢⁿ$ do: $Q$ and $Q⁻¹$ stay as they are."
        ),
    )


def _drawn(seed: int, size: int) -> Array:
    """Return SDS⁻¹ with different real eigenvalues and a well-conditioned S that is not orthogonal."""
    generator = np.random.default_rng(seed)
    disturbed = generator.standard_normal((size, size))
    basis = np.eye(size) + disturbed / (2.0 * np.linalg.norm(disturbed, 2))
    values = np.linspace(0.5, 1.1, size) * generator.choice([-1.0, 1.0], size)
    return np.asarray((basis * values) @ np.linalg.inv(basis))
