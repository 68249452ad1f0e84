"""Exercise 5-2c: what powers of a matrix do, and which eigenvalue decides it."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradflow.analysis.derivations.figures import figures, raised
from gradflow.analysis.derivations.line import Array, Line, Topic, decade
from gradflow.analysis.derivations.other_matrices import BASIS, others
from gradflow.analysis.inputs import check_count
from gradflow.analysis.regime import classify
from gradflow.linalg.enclosure import EPS
from gradflow.linalg.norms import frobenius_norm, spectral_norm
from gradflow.linalg.powers import matrix_power
from gradflow.linalg.scaled import Scaled, number_power
from gradflow.linalg.spectral_radius import Radius, spectral_radius
from gradflow.linalg.spectrum import Spectrum, spectrum

MOST = 1000  # steps
SHEET = np.array([[0.58, 0.24], [0.24, 0.72]])
# as the sheet prints them: Q and Λ of W = QΛQ⁻¹
PRINTED, VALUES = np.array([[0.8, -0.6], [0.6, 0.8]]), np.array([0.4, 0.9])
SHOWN = 4  # rows, up to which a matrix is written out
SIX_DIGITS = 1e-5  # relative, what printing them may cost
USELESS = 1e-6  # relative error, from which on six digits are not known
LARGE = 1000.0  # what a power that explodes gets past, and one that vanishes the inverse of
DOUBLINGS = 60

GENERAL = (
    "In general $Wⁿ$ does what $λᵢⁿ$ do: where $W$ is diagonalizable it is $QΛⁿQ⁻¹$, and where it is not a "
    "polynomial in $n$ comes beside them. If every $|λᵢ| < 1$, $Wⁿ → 0$, and a gradient that is multiplied "
    "by $W$ at every step vanishes, though it may grow first where $W$ is far from normal. If any $|λᵢ| > "
    "1$, $‖Wⁿ‖ → ∞$, whatever the others are, and a gradient $gᵀWⁿ$ explodes unless $g$ is at right angles "
    "to all that belongs to such $λᵢ$. If all $λᵢ = 1$ and $W$ is diagonalizable, $W = QIQ⁻¹ = I$ and "
    "nothing changes; if it is "
    "not, $Wⁿ$ grows like a power of $n$, though no eigenvalue says so."
)
FOUND = {
    "vanishing": "every $|λᵢ| < 1$, so that $Wⁿ → 0$",
    "exploding": "there is a $|λᵢ| > 1$, so that $‖Wⁿ‖ → ∞$",
    "preserving": "the largest $|λᵢ|$ is 1 and has its eigenvectors: $Wⁿ$ neither vanishes nor explodes",
    "polynomial": "to rounding the largest $|λᵢ|$ is 1 and lacks eigenvectors: $Wⁿ$ grows like a power of "
    "$n$",
    "nilpotent": "every $λᵢ = 0$, so that $Wⁿ = 0$ as soon as $n$ is the number of rows",
    "undecided": "rounding leaves open whether the largest $|λᵢ|$ is under or over 1",
}
SLIP = (
    "The printed decomposition is not one of $W$: $Q$ and $Q⁻¹$ are swapped. With $Q_s = [0.8, −0.6; 0.6, "
    "0.8]$ as printed, $Q_sΛ_sQ_s⁻¹ = [0.58, −0.24; −0.24, 0.72]$, while $Q_s⁻¹Λ_sQ_s = W$ (lines 1 to 3): "
    "the eigenvectors of $W$ are the rows of the printed $Q$, $(0.6, 0.8)$ for 0.9 and $(0.8, −0.6)$ for "
    "0.4 (line 4)."
)


@dataclass(frozen=True, eq=False)
class Given:
    """W (m, m), the power n that is asked for, and the eigenvalues."""

    W: Array
    n: int

    @cached_property
    def spectrum(self) -> Spectrum:
        """Eigenvalues and, where there is a basis of them, eigenvectors."""
        return spectrum(self.W)

    @cached_property
    def radius(self) -> Radius:
        """ρ, between the bounds that rounding leaves."""
        return spectral_radius(self.spectrum, Scaled(self.W))

    @property
    def regime(self) -> str:
        """What Wⁿ does as n grows, one of `gradflow.analysis.REGIMES`."""
        return classify(self.spectrum, self.radius)

    @cached_property
    def condition(self) -> float:
        """κ(Q)."""
        assert self.spectrum.vectors is not None
        return float(np.linalg.cond(self.spectrum.vectors))

    def log10_norm(self, steps: int) -> float:
        """Return log₁₀ ‖W^steps‖."""
        return spectral_norm(matrix_power(Scaled(self.W), steps).value).log10()

    def norm(self, steps: int) -> float:
        """Return ‖W^steps‖; inf or nan where no double holds it."""
        return spectral_norm(matrix_power(Scaled(self.W), steps).value).value()

    def product(self) -> Array:
        """Return Wⁿ, one factor after the other."""
        power = np.eye(len(self.W), dtype=self.W.dtype)
        for _ in range(self.n):
            power = power @ self.W
        return power

    def eigen(self) -> Array:
        """Return QΛⁿQ⁻¹."""
        found = self.spectrum
        assert found.vectors is not None
        assert found.inverse is not None
        return np.asarray((found.vectors * found.values**self.n) @ found.inverse)

    def eigen_slack(self) -> float:
        """Return what the eigenvalues' errors, n times over, cost QΛⁿQ⁻¹ relative to ρⁿ."""
        lost = float(self.spectrum.errors.max()) / (self.radius.value or 1.0) + EPS
        return decade(10 * self.n * self.condition * len(self.W) * lost)

    def departure(self) -> float:
        """Return ‖N‖_F of the Schur form D + N, D being diagonal (Henrici 1962), rounded up."""
        found = self.spectrum
        least = np.square(np.maximum(np.abs(found.values) - found.errors, 0.0)).sum()
        most = frobenius_norm(self.W) ** 2 * (1 + 10 * len(self.W) * EPS)
        return math.sqrt(max(most - float(least), 0.0))

    def schur_bound(self, steps: int) -> float:
        """Return Σₖ stepsᵏ ρ^(steps − k) ‖N‖ᵏ for k < m: ρ^steps times a polynomial."""
        high, away = self.radius.high, self.departure()
        terms = range(min(len(self.W) - 1, steps) + 1)
        return float(sum((steps * away) ** k * high ** (steps - k) for k in terms))


SLIP_LINES: tuple[Line[Given], ...] = (
    Line(
        "Q_sΛ_sQ_s⁻¹ ≠ W",
        "with $Q_s = [0.8, −0.6; 0.6, 0.8]$ and $Λ_s = [0.4, 0; 0, 0.9]$ as the sheet prints them: "
        "they give $[0.58, −0.24; −0.24, 0.72]$",
        lambda it: (PRINTED @ np.diag(VALUES) @ np.linalg.inv(PRINTED), it.W),
    ),
    Line(
        "Q_s⁻¹Λ_sQ_s = W",
        "with the same two: $Q$ and $Q⁻¹$ are swapped",
        lambda it: (np.linalg.inv(PRINTED) @ np.diag(VALUES) @ PRINTED, it.W),
    ),
    Line(
        "Q_s⁻¹ = Q_sᵀ",
        "the columns are orthonormal, as those of $Q$ can be chosen for every symmetric matrix: that is why "
        "the slip is easy to miss",
        lambda _: (np.linalg.inv(PRINTED), PRINTED.T),
    ),
    Line(
        "W = [0.6, 0.8; 0.8, −0.6] [0.9, 0; 0, 0.4] [0.6, 0.8; 0.8, −0.6]",
        "one that is right, $QΛQ⁻¹$ with the larger eigenvalue first; this $Q$ is its own inverse",
        lambda it: (it.W, BASIS @ np.diag(VALUES[::-1]) @ np.linalg.inv(BASIS)),
    ),
)


def _powers(case: Given) -> list[Line[Given]]:
    """Return what Wⁿ is, entry by entry and by its eigenvalues, and between which bounds its norm lies."""
    n, lines = case.n, []
    found = matrix_power(Scaled(case.W), n)
    power = found.value.collapsed()
    if len(case.W) <= SHOWN and not power.exponent and found.error < USELESS:
        lines.append(
            Line[Given](
                f"{raised('W', n)} = {figures(power.array)}",
                f"{n} factors $W$, with $W = {figures(case.W)}$; printed to six digits, hence equal to six",
                lambda it: (it.product(), _printed(power.array)),
                SIX_DIGITS,
            )
        )
    if case.spectrum.diagonalizable and case.eigen_slack() < USELESS:
        lines.append(
            Line[Given](
                f"{raised('W', n)} = {raised('QΛ', n)}Q⁻¹",
                f"5-2b; the eigenvalues in $Λ$ are ${figures(case.spectrum.values)}$",
                lambda it: (it.product(), it.eigen()),
                case.eigen_slack(),
            )
        )
    # of a power that is 0, or was lost to rounding, there may be something left that no bound allows for
    return [*lines, _lower(n), *([_upper(case)] if found.error < 1.0 else [])]


def _printed(entries: Array) -> Array:
    """Return a matrix as it is printed, each entry to six digits."""

    def rounded(part: Array) -> Array:
        return np.array([[float(f"{entry:.6g}") for entry in row] for row in part])

    whole = rounded(entries.real)
    return whole + 1j * rounded(entries.imag) if np.iscomplexobj(entries) else whole


def _lower(n: int) -> Line[Given]:
    """Return the bound of ‖Wⁿ‖ from below, which every matrix has."""
    return Line(
        f"{raised('ρ', n)} ≤ ‖{raised('W', n)}‖",
        "$ρ$ is the largest $|λᵢ|$, $‖·‖$ the largest singular value: an eigenvector $v$ of norm 1 that "
        "belongs to it has $‖Wⁿv‖ = ρⁿ$, "
        "whatever the matrix",
        lambda it: (number_power(it.radius.low, it.n).value(), it.norm(it.n)),
    )


def _upper(case: Given) -> Line[Given]:
    """Return the bound of ‖Wⁿ‖ from above: by κ(Q), or by a polynomial where there is no Q."""
    n = case.n
    if case.spectrum.diagonalizable:
        return Line(
            f"‖{raised('W', n)}‖ ≤ κ(Q) {raised('ρ', n)}",
            "$‖QΛⁿQ⁻¹‖ ≤ ‖Q‖ ‖Λⁿ‖ ‖Q⁻¹‖$, with $κ(Q) = ‖Q‖ ‖Q⁻¹‖$ and $‖Λⁿ‖ = ρⁿ$: apart from a factor that "
            f"does not depend on $n$, here $κ(Q) = {figures(case.condition)}$, $ρ$ alone decides",
            lambda it: (it.norm(it.n), it.condition * number_power(it.radius.high, it.n).value()),
        )
    return Line(
        f"‖{raised('W', n)}‖ ≤ Σₖ₌₀ᵐ⁻¹ {n}ᵏ ρ^{{{n} − k}} ‖N‖ᵏ",
        "$W$ is not diagonalizable, so there is no $κ(Q)$. By Schur $W = V(D + N)Vᴴ$ with a unitary $V$, "
        f"$D$ the eigenvalues and $N$ strictly upper triangular, so that $Nᵐ = 0$ ($m = {len(case.W)}$ "
        "rows) and $‖N‖$ its Frobenius norm: $ρⁿ$ times a polynomial in $n$",
        lambda it: (it.norm(it.n), it.schur_bound(it.n)),
    )


def _consequence(case: Given) -> list[Line[Given]]:
    """Return what the bounds say of large n."""
    m = len(case.W)
    if case.regime == "nilpotent":
        return [
            Line(
                f"{raised('W', m)} = 0",
                f"every eigenvalue is 0 and $W$ has $m = {m}$ rows: $D = 0$, and nothing is left after $m$ "
                "steps",
                lambda it: (matrix_power(Scaled(it.W), m).value.array, np.zeros_like(it.W)),
            )
        ]
    sign = {"vanishing": -1, "exploding": 1, "polynomial": 1}.get(case.regime)
    reached = (1 << doubling for doubling in range(DOUBLINGS))
    if sign is None:
        return []
    late = next((k for k in reached if sign * case.log10_norm(k) > math.log10(LARGE)), None)
    if late is None:
        return []
    norm, bound = f"‖{raised('W', late)}‖", figures(LARGE if sign > 0 else 1 / LARGE)
    reasons = {
        "vanishing": "every $|λᵢ| < 1$: the bound goes to 0, and $Wⁿ$ with it",
        "exploding": "one $|λᵢ| > 1$ is enough: $ρⁿ$ grows past any bound",
        "polynomial": "no $|λᵢ| > 1$, and yet $Wⁿ$ grows, for on the unit circle eigenvectors are missing",
    }
    if sign > 0:
        return [Line(f"{bound} < {norm}", reasons[case.regime], lambda it: (LARGE, it.norm(late)))]
    return [Line(f"{norm} < {bound}", reasons[case.regime], lambda it: (it.norm(late), 1 / LARGE))]


PARTS: Line[Given] = Line(
    "W³⁰ = 0.9³⁰ [0.36, 0.48; 0.48, 0.64] + 0.4³⁰ [0.64, −0.48; −0.48, 0.36]",
    "the sum over eigenvalues that $QΛ³⁰Q⁻¹$ is, with $vvᵀ$ of $v = [0.6; 0.8]$ and of $v = [0.8; −0.6]$: "
    "the second part is $3·10⁻¹¹$ of the first, and all that is seen belongs to 0.9",
    lambda it: (
        it.product(),
        0.9**30 * np.array([[0.36, 0.48], [0.48, 0.64]]) + 0.4**30 * np.array([[0.64, -0.48], [-0.48, 0.36]]),
    ),
)


def _observed(case: Given) -> str:
    """Return what is seen of the powers of the sheet's matrix."""
    power, share = case.product(), (4 / 9) ** case.n
    rest = f"is by then {share:.2g} of that" if share > SIX_DIGITS else "is not seen any more in six digits"
    return (
        f"For $n = {case.n}$ the entries lie between {power.min():.3g} and {power.max():.3g}. The powers "
        "vanish "
        f"like $0.9ⁿ$, along the eigenvector $[0.6; 0.8]$; what belongs to 0.4 {rest}."
    )


def derivation(seed: int, *, matrix: Array | None = None, steps: int = 30) -> Topic[Given]:  # noqa: ARG001
    """Return what the powers of a matrix do, the sheet's unless one is given."""
    check_count("steps", steps, 1, MOST)
    case = Given(SHEET if matrix is None else matrix, steps)
    own = np.array_equal(case.W, SHEET)
    found = _observed(case) if own else f"For this matrix {FOUND[case.regime]}."
    size = len(case.W)
    named = f"$W = {figures(case.W)}$" if size <= SHOWN else f"a matrix $W$ of {size} rows"
    lines = [*_powers(case), *_consequence(case), *others(steps)]
    if own:
        lines = [*SLIP_LINES, lines[0], *([PARTS] if steps == 30 else []), *lines[1:]]
    return Topic(
        exercise="5-2c",
        title="vanishing and exploding powers",
        statement=(
            f"Compute $Wⁿ$ for $n = {steps}$ and {named}. What do you observe? What happens if every $|λᵢ| "
            "< 1$, if any $|λᵢ| > 1$, if all $λᵢ = 1$?"
        ),
        case=case,
        lines=tuple(lines),
        answer=f"{found} {GENERAL}",
        slip=SLIP if own else None,
    )
