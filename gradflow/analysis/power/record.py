"""What `gradflow.power` returns: the summary, the tables and the matrices, each with its meaning."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis import REGIMES
from gradflow.analysis.power.stated_decomposition import Claim
from gradflow.drawing import CurveDrawing, DrawnColumn, PlaneDrawing
from gradflow.linalg.floating import NAMED_LOG10_NORMS
from gradflow.record import Matrix, Record, column, scalar, table
from gradflow.record import matrix as grid
from gradflow.table import Table

MAX_SHOWN_SIZE = 16
ASK_FOR_ENTRIES = f"past {MAX_SHOWN_SIZE} rows give `entries=True`"
NO_BASIS = "; there is none where W is not diagonalizable"


@dataclass(frozen=True, eq=False, repr=False)
class Norms(Table):
    """The norm of each power."""

    step: list[int] = column("exponent k")
    log10_norm: NDArray[np.float64] = column(
        "log₁₀ ‖Wᵏ‖₂; none if rounding leaves no digit", log10=True, levels=NAMED_LOG10_NORMS
    )
    norm: NDArray[np.float64] = column("‖Wᵏ‖₂; none outside the range of a double", log10_in="log10_norm")
    log10_norm_low: NDArray[np.float64] = column("log₁₀ of a lower bound of ‖Wᵏ‖₂", log10=True, detail=True)
    log10_norm_high: NDArray[np.float64] = column("log₁₀ of an upper bound of ‖Wᵏ‖₂", log10=True, detail=True)
    log10_spectral: NDArray[np.float64] = column(
        "k·log₁₀ ρ, what the spectral radius alone predicts", log10=True
    )


@dataclass(frozen=True, eq=False, repr=False)
class Eigenvalues(Table):
    """The eigenvalues, largest modulus first."""

    index: list[int] = column("rank by modulus, from 1")
    re: NDArray[np.float64] = column("real part")
    im: NDArray[np.float64] = column("imaginary part")
    modulus: NDArray[np.float64] = column("|λ|")
    error: NDArray[np.float64] = column("an exact eigenvalue lies within this distance")
    angle: NDArray[np.float64] = column("argument", unit="radian")
    condition: NDArray[np.float64] = column(
        "1/|yᴴx| for unit left and right eigenvectors; inf where defective"
    )
    log10_power: NDArray[np.float64] = column("log₁₀ |λ|ⁿ", log10=True)
    half_life: NDArray[np.float64] = column("steps until |λ|ᵏ is halved; inf: never", unit="step")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Powers(Record):
    """What the powers of a square matrix W do, up to Wⁿ.

    ``norms`` is the main table. A matrix is its ``entries`` times 2 to the ``exponent2``, so that no power is
    out of range; what a double cannot hold is None as a scalar, nan in a column.

    See Also
    --------
    gradflow.power : Computes it.

    Examples
    --------
    Powers of this matrix hold Fibonacci numbers, F₃₁, F₃₀ and F₂₉; its spectral radius is the golden ratio:

    >>> import gradflow
    >>> found = gradflow.power("1 1; 1 0", steps=30)
    >>> found.power.entries.tolist(), found.power.exponent2
    ([[1346269.0, 832040.0], [832040.0, 514229.0]], 0)
    >>> found.regime, round(found.spectral_radius - (1 + 5**0.5) / 2, 12)
    ('exploding', 0.0)
    """

    command: ClassVar[str] = "power"
    verdicts: ClassVar[tuple[str, ...]] = REGIMES

    size: int = scalar("rows and columns of W")
    spectral_radius: float | None = scalar("ρ, the largest |λ|: decides the long run")
    spectral_radius_low: float | None = scalar("lower bound of ρ")
    spectral_radius_high: float | None = scalar("upper bound of ρ")
    spectral_radius_error: float | None = scalar("largest possible distance of ρ from spectral_radius")
    norm: float | None = scalar("‖W‖₂, the largest growth in one step")
    numerical_radius: float | None = scalar("w, the largest |x*Wx|: ‖Wᵏ‖ ≤ 2wᵏ")
    numerical_radius_error: float | None = scalar("largest possible distance of w from numerical_radius")
    departure_from_normality: float | None = scalar("Henrici, Frobenius; 0: W is normal")
    diagonalizable: bool | None = scalar(
        "whether W = QΛQ⁻¹ exists, to rounding; none if rounding leaves it open"
    )
    eigenvector_condition: float | None = scalar("κ(Q): the digits that QΛⁿQ⁻¹ may lose")
    kreiss_constant: float | None = scalar("lower bound of K, where K ≤ sup‖Wᵏ‖ ≤ e·size·K")
    regime: str = scalar("what Wⁿ does as n grows")
    peak_step: int = scalar("step in 0…n with the largest norm of which a digit is known")
    peak_log10_norm: float = scalar("log₁₀ of this norm; a value above 0 means growth")
    log10_norm: float | None = scalar("log₁₀ ‖Wⁿ‖₂; none if no digit is known")
    power_error: float | None = scalar("bound of the relative error of Wⁿ by rounding; none if 1 or more")
    eigen_route_error: float | None = scalar("relative distance of QΛⁿQ⁻¹ from Wⁿ")
    claim_holds: bool | None = scalar("whether the claimed decomposition is right")
    claim_residual: float | None = scalar("‖W − QΛQ⁻¹‖/‖W‖ of the claim, Frobenius")
    claim_slip: str | None = scalar("what is wrong with the claim, and the likely mistake", prose=True)
    conclusion: str = scalar(
        "in words, Wⁿ too if W is small; a claim that holds in a line before", prose=True
    )

    norms: Norms = table(
        "norm of every power",
        index="step",
        value="log10_norm",
        drawn=[
            CurveDrawing(
                "step",
                (
                    DrawnColumn(
                        "log10_norm", low="log10_norm_low", high="log10_norm_high", label="norm of the power"
                    ),
                    DrawnColumn("log10_spectral", dashed=True, label="spectral radius alone"),
                ),
            )
        ],
    )
    eigenvalues: Eigenvalues = table(
        "eigenvalues of W", index="index", drawn=[PlaneDrawing("re", "im", size="condition")]
    )
    claim: Claim | None = table(
        "the claimed eigenpairs, one by one",
        index="index",
        absent="give `claim_vectors` and `claim_values`",
        shown=True,
    )
    power: Matrix | None = grid("Wⁿ, entry by entry", absent=ASK_FOR_ENTRIES)
    vectors: Matrix | None = grid(
        "Q, the eigenvectors as columns of norm 1", absent=ASK_FOR_ENTRIES + NO_BASIS
    )
    values: Matrix | None = grid("Λ, the eigenvalues on the diagonal", absent=ASK_FOR_ENTRIES)

    def get_verdicts(self) -> frozenset[str]:
        """Return the regime."""
        return frozenset({self.regime})
