"""What powers of a matrix do, and which eigenvalue decides it."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradflow.analysis.power.regime import classify
from gradflow.analysis.shared.arguments import check_count
from gradflow.derivations.topics.line import Array, DerivationLine, round_up_to_decade
from gradflow.derivations.topics.numerals import raised, write_numbers
from gradflow.derivations.topics.topic import DerivationTopic
from gradflow.linalg.floating import DOUBLE_EPS
from gradflow.linalg.norms import frobenius_norm, spectral_norm
from gradflow.linalg.powers import Power, matrix_power
from gradflow.linalg.scaled import Scaled, ScaledNumber, number_power
from gradflow.linalg.spectral_radius import Radius, spectral_radius
from gradflow.linalg.spectrum import Spectrum, spectrum
from gradflow.notation.evaluate import Symbols

MAX_REGIME_STEPS = 1000
SHEET = np.array([[0.58, 0.24], [0.24, 0.72]])
# as the sheet prints them: Q and Λ of W = QΛQ⁻¹
PRINTED_VECTORS, PRINTED_VALUES = np.array([[0.8, -0.6], [0.6, 0.8]]), np.diag([0.4, 0.9])
MAX_ROWS_SHOWN = 4  # up to which a matrix is written out
SIX_DIGITS = 1e-5  # relative, what printing them may cost
USELESS = 1e-6  # relative error, from which on six digits are not known
LARGE = 1000.0  # what a power that explodes gets past, and one that vanishes the inverse of
DOUBLINGS = 60

GENERAL = (
    "In general the powers $λᵢⁿ$ decide. If $W$ is diagonalizable, $Wⁿ = QΛⁿQ⁻¹$. If it is not, polynomials "
    "in $n$ multiply the $λᵢⁿ$. If every $|λᵢ| < 1$, $Wⁿ → 0$: a gradient that is multiplied by $W$ at every "
    "step vanishes. If $W$ is far from normal, the gradient may grow first. If any $|λᵢ| > 1$, $‖Wⁿ‖ → ∞$, "
    "whatever the other eigenvalues are: a gradient $gᵀWⁿ$ explodes. It does not explode if $g$ is "
    "orthogonal to all eigenvectors of these $λᵢ$, generalized eigenvectors included. If all $λᵢ = 1$ and "
    "$W$ is diagonalizable, $W = QIQ⁻¹ = I$ and nothing changes. If all $λᵢ = 1$ and $W$ is not "
    "diagonalizable, $‖Wⁿ‖$ grows like a power of $n$, although no $|λᵢ|$ is above 1."
)
# what is seen of each regime, and why its consequence holds
OBSERVED = {
    "vanishing": "every $|λᵢ| < 1$, so that $Wⁿ → 0$",
    "exploding": "some $|λᵢ| > 1$, so that $‖Wⁿ‖ → ∞$",
    "preserving": "the largest $|λᵢ|$ is 1 and no eigenvector is missing: $Wⁿ$ neither vanishes nor explodes",
    "polynomial": "the largest $|λᵢ|$ is 1 up to rounding, and eigenvectors are missing: $Wⁿ$ grows like a "
    "power of $n$",
    "nilpotent": "every $λᵢ = 0$, so that $Wⁿ = 0$ if $n$ is at least the number of rows",
    "undecided": "rounding leaves open whether the largest $|λᵢ|$ is below or above 1",
}
CONSEQUENCES = {
    "vanishing": "every $|λᵢ| < 1$, so the upper bound goes to 0, and $‖Wⁿ‖$ too",
    "exploding": "one $|λᵢ| > 1$ is enough, because the lower bound $ρⁿ$ grows without limit",
    "polynomial": "no $|λᵢ| > 1$, but $‖Wⁿ‖$ grows, because eigenvectors of a $|λᵢ| = 1$ are missing",
}
SLIP = (
    "The printed decomposition is not one of $W$: $Q$ and $Q⁻¹$ are swapped. With $Q_s = [0.8, −0.6; 0.6, "
    "0.8]$ as printed, $Q_sΛ_sQ_s⁻¹ = [0.58, −0.24; −0.24, 0.72]$, while $Q_s⁻¹Λ_sQ_s = W$ (lines 1 to 3): "
    "the eigenvectors of $W$ are the rows of the printed $Q$, $(0.6, 0.8)$ for 0.9 and $(0.8, −0.6)$ for "
    "0.4 (line 4)."
)
SLIP_LINES = [
    DerivationLine(
        "Q_sΛ_sQ_s⁻¹ ≠ W",
        "with $Q_s = [0.8, −0.6; 0.6, 0.8]$ and $Λ_s = [0.4, 0; 0, 0.9]$ as the sheet prints them: "
        "they give $[0.58, −0.24; −0.24, 0.72]$",
        checks={"left": "[0.58, −0.24; −0.24, 0.72]", "right": "[0.58, 0.24; 0.24, 0.72]"},
    ),
    DerivationLine("Q_s⁻¹Λ_sQ_s = W", "the same matrices in the right order: the sheet swaps $Q$ and $Q⁻¹$"),
    DerivationLine(
        "Q_s⁻¹ = Q_sᵀ",
        "the columns are orthonormal, because $W$ is symmetric. This makes the slip easy to miss",
    ),
    DerivationLine(
        "W = [0.6, 0.8; 0.8, −0.6] [0.9, 0; 0, 0.4] [0.6, 0.8; 0.8, −0.6]",
        "a correct $QΛQ⁻¹$, with the larger eigenvalue first; this $Q$ is its own inverse",
    ),
]
PARTS = DerivationLine(
    "W³⁰ = 0.9³⁰ [0.36, 0.48; 0.48, 0.64] + 0.4³⁰ [0.64, −0.48; −0.48, 0.36]",
    "$QΛ³⁰Q⁻¹$ as a sum over eigenvalues. The matrices are $vvᵀ$, with the eigenvector $v = [0.6; 0.8]$ of "
    "0.9 and $v = [0.8; −0.6]$ of 0.4. The second term is $3·10⁻¹¹$ times as large as the first, too small "
    "for six digits",
    tolerance=1e-13,
)


def build_topic(seed: int, *, matrix: Array | None = None, steps: int = 30) -> DerivationTopic:  # noqa: ARG001
    """Return what the powers of a matrix do, the sheet's unless one is given."""
    check_count("steps", steps, 1, MAX_REGIME_STEPS)
    case = _PowerCase(SHEET if matrix is None else matrix, steps)
    is_sheet = np.array_equal(case.W, SHEET)
    size = len(case.W)
    named = f"$W = {write_numbers(case.W)}$" if size <= MAX_ROWS_SHOWN else f"a matrix $W$ of {size} rows"
    lines = [*_power_lines(case), *_consequence(case), *_other_matrices(steps)]
    if is_sheet:
        lines = [*SLIP_LINES, lines[0], *([PARTS] if steps == 30 else []), *lines[1:]]
    return DerivationTopic(
        exercise="5-2c",
        title="vanishing and exploding powers",
        statement=(
            f"Compute $Wⁿ$ for $n = {steps}$ and {named}. What do you observe? What happens if every $|λᵢ| "
            "< 1$, if any $|λᵢ| > 1$, if all $λᵢ = 1$?"
        ),
        symbols=case.symbols(),
        lines=lines,
        answer=" ".join(
            [
                *_describe_result(case),
                _observe(case) if is_sheet else f"For this matrix {OBSERVED[case.regime]}.",
                GENERAL,
            ]
        ),
        slip=SLIP if is_sheet else None,
    )


@dataclass(frozen=True, eq=False)
class _PowerCase:
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

    @cached_property
    def regime(self) -> str:
        """What Wⁿ does as n grows, one of `gradflow.analysis.REGIMES`."""
        return classify(self.spectrum, self.radius)

    @cached_property
    def condition(self) -> float:
        """κ(Q)."""
        assert self.spectrum.vectors is not None
        return float(np.linalg.cond(self.spectrum.vectors))

    @cached_property
    def power(self) -> Power:
        """Wⁿ, with a bound of its rounding."""
        return matrix_power(Scaled(self.W), self.n)

    def norm(self, steps: int) -> ScaledNumber:
        """Return ‖W^steps‖, however large or small."""
        return spectral_norm(matrix_power(Scaled(self.W), steps).value)

    def named_norm(self, steps: int) -> Symbols:
        """Return ‖W^steps‖ as a symbol; inf or nan where no double holds it."""
        return {f"‖{raised('W', steps)}‖": self.norm(steps).value()}

    def symbols(self) -> Symbols:
        """Return what the formulas are made of."""
        found = self.spectrum
        basis: Symbols = {"Q": found.vectors, "Q⁻¹": found.inverse} if found.diagonalizable else {}
        return {
            "W": self.W, "i": 1j, "Λ": np.diag(found.values), "κ": np.linalg.cond, **basis,
            **self.named_norm(self.n),
            "Q_s": PRINTED_VECTORS, "Q_s⁻¹": np.linalg.inv(PRINTED_VECTORS), "Λ_s": PRINTED_VALUES,
        }  # fmt: skip

    def eigen_slack(self) -> float:
        """Return what the eigenvalues' errors, n times over, cost QΛⁿQ⁻¹ relative to ρⁿ."""
        lost = float(self.spectrum.errors.max()) / (self.radius.value or 1.0) + DOUBLE_EPS
        return round_up_to_decade(10 * self.n * self.condition * len(self.W) * lost)

    def departure(self) -> float:
        """Return ‖N‖_F of the Schur form D + N, D being diagonal (Henrici 1962), rounded up."""
        found = self.spectrum
        least = np.square(np.maximum(np.abs(found.values) - found.errors, 0.0)).sum()
        most = frobenius_norm(self.W) ** 2 * (1 + 10 * len(self.W) * DOUBLE_EPS)
        return math.sqrt(max(most - float(least), 0.0))


def _power_lines(case: _PowerCase) -> list[DerivationLine]:
    """Return what Wⁿ is, entry by entry and by its eigenvalues, and between which bounds its norm lies."""
    n, lines = case.n, []
    name, entries = raised("W", n), _write_power(case)
    if entries:
        lines.append(
            DerivationLine(
                entries,
                f"the product of {n} factors $W = {write_numbers(case.W)}$, printed and compared to six "
                "digits",
                tolerance=SIX_DIGITS,
            )
        )
    if case.spectrum.diagonalizable and case.eigen_slack() < USELESS:
        lines.append(
            DerivationLine(
                f"{name} = {raised('QΛ', n)}Q⁻¹",
                f"5-2b; the eigenvalues in $Λ$ are ${write_numbers(case.spectrum.values)}$",
                tolerance=case.eigen_slack(),
            )
        )
    lines.append(
        DerivationLine(
            f"{raised('ρ', n)} ≤ ‖{name}‖",
            "$ρ$ is the largest $|λᵢ|$ and $‖·‖$ the largest singular value. For every matrix, an "
            "eigenvector $v$ of that $λᵢ$ with $‖v‖ = 1$ has $‖Wⁿv‖ = ρⁿ$",
            symbols={raised("ρ", n): number_power(case.radius.low, n).value()},
        )
    )
    # of a power that is 0, or was lost to rounding, there may be something left that no bound allows for
    return [*lines, *([_upper_bound(case)] if case.power.error < 1.0 else [])]


def _upper_bound(case: _PowerCase) -> DerivationLine:
    """Return the bound of ‖Wⁿ‖ from above: by κ(Q), or by a polynomial where there is no Q."""
    n, m = case.n, len(case.W)
    if case.spectrum.diagonalizable:
        return DerivationLine(
            f"‖{raised('W', n)}‖ ≤ κ(Q) {raised('ρ', n)}",
            "$‖QΛⁿQ⁻¹‖ ≤ ‖Q‖ ‖Λⁿ‖ ‖Q⁻¹‖$, with $‖Λⁿ‖ = ρⁿ$ and $κ(Q) = ‖Q‖ ‖Q⁻¹‖$, here "
            f"${write_numbers(case.condition)}$. This factor does not depend on $n$, so $ρ$ alone decides",
            symbols={raised("ρ", n): number_power(case.radius.high, n).value()},
        )
    last = "ᵐ⁻¹" if m - 1 <= n else raised("", n)
    return DerivationLine(
        f"‖{raised('W', n)}‖ ≤ Σₖ₌₀{last} {n}ᵏ ρ^{{{n} − k}} ‖N‖ᵏ",
        "$W$ is not diagonalizable, so there is no $Q$. Schur's decomposition is $W = V(D + N)Vᴴ$: $V$ is "
        f"unitary, $D$ has the eigenvalues, and $N$ is strictly upper triangular, so $Nᵐ = 0$ for $m = {m}$ "
        "rows. $‖N‖$ is the Frobenius norm. The bound is $ρⁿ$ times a polynomial in $n$",
        symbols={"m": m, "ρ": case.radius.high, "‖N‖": case.departure()},
    )


def _consequence(case: _PowerCase) -> list[DerivationLine]:
    """Return what the bounds say of large n."""
    m = len(case.W)
    if case.regime == "nilpotent":
        return [
            DerivationLine(
                f"{raised('W', m)} = 0",
                f"every eigenvalue is 0 and $W$ has $m = {m}$ rows, so $D = 0$ and nothing is left after $m$ "
                "steps",
                symbols={raised("W", m): matrix_power(Scaled(case.W), m).value.array},
            )
        ]
    if case.regime not in CONSEQUENCES:
        return []
    sign = -1 if case.regime == "vanishing" else 1
    powers = (1 << doubling for doubling in range(DOUBLINGS))
    late = next((k for k in powers if sign * case.norm(k).log10() > math.log10(LARGE)), None)
    if late is None:
        return []
    norm = f"‖{raised('W', late)}‖"
    formula = f"{write_numbers(LARGE)} < {norm}" if sign > 0 else f"{norm} < {write_numbers(1 / LARGE)}"
    return [DerivationLine(formula, CONSEQUENCES[case.regime], symbols=case.named_norm(late))]


def _other_matrices(n: int) -> list[DerivationLine]:
    """Return the answers to the sheet's other questions on examples of their own."""
    Q = np.array([[0.6, 0.8], [0.8, -0.6]])
    return [
        DerivationLine(
            "1 < ‖[0.9, 1; 0, 0.5]³‖",
            "every $|λᵢ| < 1$, but the norm grows first, because the eigenvectors are far from orthogonal: "
            "the upper bound goes to 0, but starts above 1",
        ),
        DerivationLine(
            f"{raised('[1.1, 0; 0, 0.5]', n)} = [{raised('1.1', n)}, 0; 0, {raised('0.5', n)}]",
            "one eigenvalue is above 1 and one below: the norm is $1.1ⁿ$ and grows without limit. Only a "
            "vector without a part along the eigenvector $[1; 0]$ vanishes, like $0.5ⁿ$",
        ),
        DerivationLine(
            "QIQ⁻¹ = I",
            "if all eigenvalues are 1 and $W$ is diagonalizable, $Λ = I$, and $Wⁿ = W = I$ for every $Q$",
            symbols={"Q": Q, "Q⁻¹": np.linalg.inv(Q), "I": np.eye(2)},
        ),
        DerivationLine(
            f"{raised('[1, 1; 0, 1]', n)} = [1, {n}; 0, 1]",
            "all eigenvalues are 1, but there is only one eigenvector, $[1; 0]$: the matrix is not the "
            "identity, and its powers grow like $n$",
        ),
    ]


def _write_power(case: _PowerCase) -> str:
    """Return the formula of Wⁿ entry by entry; nothing where a double or a reader cannot hold it."""
    power = case.power.value.collapse()
    if len(case.W) > MAX_ROWS_SHOWN or power.exponent or case.power.error >= USELESS:
        return ""
    return f"{raised('W', case.n)} = {write_numbers(power.array)}"


def _describe_result(case: _PowerCase) -> list[str]:
    """Return the eigenvalues and Wⁿ as a sentence, or the largest modulus alone if W is too large."""
    power = _write_power(case)
    if len(case.W) > MAX_ROWS_SHOWN:
        low, high = case.radius.low, case.radius.high
        if high - low <= SIX_DIGITS * high:
            return [f"The largest $|λᵢ|$ is ${write_numbers(case.radius.value)}$."]
        return [f"The largest $|λᵢ|$ lies between ${write_numbers(low)}$ and ${write_numbers(high)}$."]
    *others, last = (write_numbers(value) for value in case.spectrum.values)
    values = (
        f"eigenvalues are ${', '.join(others)}$ and ${last}$" if others else f"only eigenvalue is ${last}$"
    )
    error = float(case.spectrum.errors.max())
    known = f" (known to within {error:.0e})" if error > SIX_DIGITS * (case.radius.value or 1.0) else ""
    return [f"The {values}{known}{f', and ${power}$' if power else ''}."]


def _observe(case: _PowerCase) -> str:
    """Return what is seen of the powers of the sheet's matrix."""
    share = (4 / 9) ** case.n
    rest = f"{share:.2g} times as large" if share > SIX_DIGITS else "too small to show in six digits"
    return (
        "The powers vanish like $0.9ⁿ$, along the eigenvector $[0.6; 0.8]$. "
        f"The part of the eigenvalue 0.4 is {rest}."
    )
