"""What the powers of one matrix do: decay, growth, transients, and which eigenvalue decides."""

import math
from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradflow.analysis.power.eigen_route import eigen_route_error, warnings
from gradflow.analysis.power.entries import write_power
from gradflow.analysis.power.growth import transient_growth
from gradflow.analysis.power.power_norms import (
    PowerNorms,
    agree_on_radius,
    bound_power_norms,
    compute_powers,
    describe_unknown_norms,
    grade,
)
from gradflow.analysis.power.record import MAX_SHOWN_SIZE, Eigenvalues, Norms, Powers
from gradflow.analysis.power.regime import classify, conclusion
from gradflow.analysis.power.stated_decomposition import Verdict, check_claim
from gradflow.analysis.shared.arguments import MAX_POWER, check_count, square_matrix
from gradflow.analysis.shared.progress import Progress, ProgressCounter
from gradflow.analysis.shared.side_call import SideCall
from gradflow.blas_threads import use_one_blas_thread
from gradflow.errors import NumericalError, UsageError
from gradflow.linalg.enclosure import vector_condition
from gradflow.linalg.ensembles import LARGEST_SIZE, random_matrix
from gradflow.linalg.floating import DOUBLE_EPS
from gradflow.linalg.grading import ungrade_vectors
from gradflow.linalg.kreiss import kreiss_constant
from gradflow.linalg.norms import departure_from_normality, spectral_norm
from gradflow.linalg.numerical_radius import NumericalRadius, numerical_radius
from gradflow.linalg.power_bounds import NORM_ERROR
from gradflow.linalg.powers import log2_largest_walks
from gradflow.linalg.scaled import LOG10_2, Scaled, ScaledNumber, from_log10, number, shift_exponents
from gradflow.linalg.spectral_radius import Radius, spectral_radius
from gradflow.linalg.spectrum import Spectrum, spectrum
from gradflow.linalg.supporting_lines import RadiusInterval
from gradflow.printable import format_count, format_log10
from gradflow.readers.arrays import read_matrix
from gradflow.readers.in_memory import convert_array, name_origin
from gradflow.record import Matrix

MAX_KREISS_SIZE = 200
MIN_SIDE_SIZE = 200  # rows from which the eigenvalues are computed beside the powers, on a second core
HIDDEN_BITS = 400  # that an entry may be under the largest and still be among the numbers that are computed
SMALLEST_SUBNORMAL = math.ulp(0.0)
DEFAULT_RANDOM_SIZE = 10
DEFAULT_RANDOM_GAIN = 1.0


@use_one_blas_thread
def power(
    matrix: str | PathLike[str] | ArrayLike | None = None,
    *,
    key: str | None = None,
    steps: int = 30,
    random: str | None = None,
    size: int | None = None,
    gain: float | None = None,
    seed: int | None = None,
    kreiss: bool = False,
    entries: bool = False,
    claim_vectors: str | PathLike[str] | ArrayLike | None = None,
    claim_values: str | PathLike[str] | ArrayLike | None = None,
    progress: Progress | None = None,
) -> Powers:
    """Compute what the powers of a matrix do, and say which eigenvalue decides it.

    Wⁿ comes from scaled products, step by step and then by squaring, which neither over- nor underflow; the
    eigendecomposition explains it. Eigenvalues, the spectral radius and every norm carry bounds that hold,
    and the regime is what the bounds of the spectral radius prove.

    Parameters
    ----------
    matrix : str, path or array-like (n, n), optional
        A literal (``"0.58 0.24; 0.24 0.72"``), a file, ``-`` for standard input, or an array. Exactly one of
        ``matrix`` and ``random``.
    key : str, optional
        Which array of a file with several, with slices: ``"weight_hh[128:256]"``.
    steps : int
        The power n, from 0 to 10¹⁸.
    random : str, optional
        A random matrix instead: ginibre, uniform, symmetric, orthogonal or jordan, of ``size`` rows.
    size, gain, seed : int, float, int, optional
        Of the random matrix, see `gradflow.random_matrix`; 10, 1 and 0 unless given.
    kreiss : bool
        Compute the Kreiss constant past 200 rows too.
    entries : bool
        Carry the matrices past 16 rows too.
    claim_vectors, claim_values : str, path or array-like (n, n), optional
        Q and Λ of a decomposition that somebody states, to be checked; both or neither. Λ may be (n,) too.
    progress : callable, optional
        Called as ``progress(done, total)`` when work begins and after each of the powers of which a norm is
        taken. What it raises ends the work.

    Returns
    -------
    Powers
        The summary as attributes (``regime``, ``spectral_radius``, ``peak_step``, …), the tables ``norms``,
        ``eigenvalues`` and ``claim`` with their columns as arrays, the matrices ``power``, ``vectors`` and
        ``values`` as ``entries`` times 2 to the ``exponent2``, and ``notes``.

    Raises
    ------
    UsageError
        For a matrix that is not square, a claim of another shape, steps out of range, or options that
        contradict each other.
    DataError
        For a matrix that cannot be read.
    NumericalError
        Where entries are so far apart in size that eigenvalues or products cannot be computed.

    References
    ----------
    Trefethen & Embree 2005, chapters 16 and 18, for powers and the Kreiss constant; Henrici 1962 for the
    departure from normality; Mengi & Overton 2005 for the numerical radius; Wilkinson 1965 for the condition
    of an eigenvalue and Gershgorin's discs; Kågström & Ruhe 1980 for eigenvalues that lack eigenvectors;
    Higham 2002, sections 3.5 and 18.1, for the rounding of products.

    Examples
    --------
    >>> result = power("0.58 0.24; 0.24 0.72", steps=30)
    >>> result.regime, round(result.spectral_radius, 12), result.power.entries.round(8).tolist()
    ('vanishing', 0.9, [[0.01526082, 0.02034776], [0.02034776, 0.02713034]])
    """
    counter = ProgressCounter(progress)
    check_count("steps", steps, 0, MAX_POWER)
    steps = int(steps)
    if sum(isinstance(source, str) and source == "-" for source in (matrix, claim_vectors, claim_values)) > 1:
        raise UsageError("standard input (-) can be read once: give the other matrices as files or literals")
    if (claim_vectors is None) != (claim_values is None):
        raise UsageError("a claimed decomposition needs both its vectors and its values")
    square = _square(matrix, key, random, size, gain, seed)
    params = {
        "matrix": name_origin(matrix), "key": key, "steps": steps, "random": random,
        "size": len(square) if random else None,
        "gain": (DEFAULT_RANDOM_GAIN if gain is None else gain) if random else None,
        "seed": (0 if seed is None else seed) if random else None,
        "kreiss": kreiss, "entries": entries,
        "claim_vectors": name_origin(claim_vectors), "claim_values": name_origin(claim_values),
    }  # fmt: skip
    verdict = None
    if claim_vectors is not None and claim_values is not None:
        stated = (_array(claim_vectors, "claimed vectors"), _array(claim_values, "claimed values"))
        verdict = check_claim(square, *stated)
    try:
        # what leaves the range of a double is seen where it is used
        with np.errstate(all="ignore"):
            return _measure_powers(square, steps, params, verdict, counter, kreiss=kreiss, entries=entries)
    except np.linalg.LinAlgError as error:
        raise NumericalError(
            f"the eigenvalues or singular values could not be computed ({error}); expected entries that are "
            "nearer to each other in size"
        ) from error


def _measure_powers(
    square: NDArray[Any],
    steps: int,
    params: Mapping[str, Any],
    verdict: Verdict | None,
    counter: ProgressCounter,
    *,
    kreiss: bool,
    entries: bool,
) -> Powers:
    scaled, graded = Scaled.of(square), grade(square)
    # neither of these needs the powers, and together they take as long
    at_once = len(square) >= MIN_SIDE_SIZE
    spectral = SideCall(lambda: _measure_spectrum(graded), at_once=at_once)
    ranged = SideCall(lambda: _measure_range(scaled, spectral.wait()[1]), at_once=at_once)
    powers = compute_powers(square, graded, steps, counter)
    eigen, radius = spectral.wait()
    norms = bound_power_norms(powers, square, graded, eigen, radius)
    radius, contradiction = agree_on_radius(norms, radius)
    regime = classify(eigen, radius)
    growth = transient_growth(graded, norms.steps, norms.bounds, norms.zero_from)
    constant = _kreiss(square, regime, radius, norms, kreiss)
    vectors = ungrade_vectors(eigen.vectors, graded.grading)
    condition = None
    if vectors is not None:
        # a grading leaves eigenvalues alone and stretches eigenvectors
        condition = eigen.vector_condition if graded.grading is None else vector_condition(vectors)
    route = eigen_route_error(eigen, graded, steps, norms.last)
    error = norms.relative_error
    shown = entries or len(square) <= MAX_SHOWN_SIZE
    norm, range_radius = ranged.wait()
    return Powers(
        params=params,
        notes=(
            *contradiction,
            *warnings(eigen, condition, route, error, steps),
            *describe_unknown_norms(norms),
            *_lost_range(eigen, radius),
            *(_hidden_entries(square, steps, norms) if shown else ()),
            *_kreiss_notes(constant, regime, kreiss or len(square) <= MAX_KREISS_SIZE),
        ),
        size=len(square),
        spectral_radius=number(radius.value, radius.exponent).value_or_none(),
        spectral_radius_low=number(radius.low, radius.exponent).value_or_none(),
        spectral_radius_high=number(radius.high, radius.exponent).value_or_none(),
        spectral_radius_error=_radius_error(radius),
        norm=norm.value_or_none(),
        numerical_radius=number(range_radius.value, scaled.exponent).value_or_none(),
        numerical_radius_error=number(range_radius.error, scaled.exponent).value_or_none(),
        departure_from_normality=number(
            departure_from_normality(
                scaled.array, shift_exponents(eigen.values, graded.exponent - scaled.exponent), vectors
            ),
            scaled.exponent,
        ).value_or_none(),
        diagonalizable=eigen.diagonalizable,
        eigenvector_condition=condition,
        kreiss_constant=constant,
        regime=regime,
        peak_step=growth.peak_step,
        peak_log10_norm=growth.peak_log10_norm,
        log10_norm=None if math.isnan(norms.bounds.computed[-1]) else float(norms.bounds.computed[-1]),
        power_error=error,
        eigen_route_error=route,
        claim_holds=verdict.holds if verdict else None,
        claim_residual=verdict.residual if verdict else None,
        claim_slip=verdict.slip if verdict else None,
        conclusion="\n".join(
            [
                *([verdict.describe()] if verdict and verdict.holds else []),
                conclusion(regime, eigen, radius, growth, _write_power(square, steps, norms)),
            ]
        ),
        norms=_norm_table(norms, radius),
        eigenvalues=_eigenvalues(eigen, graded.exponent, steps),
        claim=verdict.table if verdict else None,
        power=_grid(norms.last) if shown and not math.isnan(norms.bounds.computed[-1]) else None,
        vectors=Matrix(vectors) if shown and vectors is not None else None,
        values=_grid(Scaled(np.diag(_real_if_real(eigen.values)), graded.exponent)) if shown else None,
    )


def _array(source: str | PathLike[str] | ArrayLike, name: str) -> NDArray[Any]:
    return read_matrix(source) if isinstance(source, str | PathLike) else convert_array(source, name, (1, 2))


def _square(
    source: str | PathLike[str] | ArrayLike | None,
    key: str | None,
    random: str | None,
    size: int | None,
    gain: float | None,
    seed: int | None,
) -> NDArray[Any]:
    """Return W from whichever of the two sources was given."""
    if source is None and random is not None:
        if key is not None:
            raise UsageError(f"key {key!r} picks an array of a file: a random matrix has none")
        size = DEFAULT_RANDOM_SIZE if size is None else size
        check_count("size", size, 1, LARGEST_SIZE)
        seed = 0 if seed is None else seed
        check_count("seed", seed, 0, MAX_POWER)
        return random_matrix(random, size, gain=DEFAULT_RANDOM_GAIN if gain is None else gain, seed=seed)
    if source is None or random is not None:
        raise UsageError(
            "expected exactly one of a matrix and a random ensemble, "
            "as in matrix '0.58 0.24; 0.24 0.72' or random ginibre"
        )
    for name, value in {"size": size, "gain": gain, "seed": seed}.items():
        if value is not None:
            raise UsageError(f"{name} {value} goes with a random ensemble: leave it out beside a matrix")
    return square_matrix(source, key)


def _measure_spectrum(graded: Scaled) -> tuple[Spectrum, Radius]:
    eigen = spectrum(graded.array)
    return eigen, spectral_radius(eigen, graded)


def _measure_range(scaled: Scaled, radius: Radius) -> tuple[ScaledNumber, NumericalRadius]:
    """Return ‖W‖, and the numerical radius in units of 2 to the exponent of W, given that ρ ≤ w ≤ ‖W‖."""
    norm = spectral_norm(scaled)
    low = shift_exponents(np.array(radius.low), radius.exponent - scaled.exponent)
    high = shift_exponents(np.array(norm.mantissa), norm.exponent - scaled.exponent)
    rounding = NORM_ERROR * len(scaled.array) * DOUBLE_EPS
    known = RadiusInterval(float(low), float(high) * (1.0 + rounding))
    return norm, numerical_radius(scaled.array, known)


def _write_power(square: NDArray[Any], steps: int, norms: PowerNorms) -> str:
    """Return Wⁿ entry by entry; nothing where W is too large, or Wⁿ is 0, which is said otherwise."""
    if norms.entries is None or norms.zero_from is not None:
        return ""
    return write_power(square, steps, norms.entries)


def _norm_table(norms: PowerNorms, radius: Radius) -> Norms:
    bounds = norms.bounds
    return Norms(
        step=norms.steps,
        log10_norm=bounds.computed,
        norm=np.array(
            [
                size.value() if log > -math.inf else from_log10(log)
                for size, log in zip(norms.norms, bounds.computed.tolist(), strict=True)
            ]
        ),
        log10_norm_low=bounds.low,
        log10_norm_high=bounds.high,
        log10_spectral=_log10_powers(radius.log10(), norms.steps),
    )


def _log10_powers(log10: float, steps: list[int]) -> NDArray[np.float64]:
    """Return k·log10 for each k, with 0⁰ = 1."""
    return np.array([k * log10 if k else 0.0 for k in steps])


def _radius_error(radius: Radius) -> float | None:
    """Return the error of ρ; None where ρ itself is out of range."""
    if number(radius.value, radius.exponent).value_or_none() is None:
        return None
    return number(radius.error, radius.exponent).value_or_none()


def _eigenvalues(eigen: Spectrum, exponent: int, steps: int) -> Eigenvalues:
    """Return the eigenvalues as doubles: nan where too large, with lost digits in the error."""
    with np.errstate(divide="ignore", over="ignore", under="ignore", invalid="ignore"):
        values, errors = shift_exponents(eigen.values, exponent), shift_exponents(eigen.errors, exponent)
        moduli = np.abs(values)
        angles = np.angle(eigen.values)
        whole = (shift_exponents(values, -exponent) == eigen.values) & (
            shift_exponents(errors, -exponent) == eigen.errors
        )
        errors = np.where(whole, errors, errors + 2 * SMALLEST_SUBNORMAL)
        values[~np.isfinite(moduli)] = complex(math.nan, math.nan)
        errors[~np.isfinite(moduli)] = math.nan
        moduli[~np.isfinite(moduli)] = math.nan
        logs = np.log10(np.abs(eigen.values)) + exponent * LOG10_2
        # the error of |λ| in log₁₀: what is 1 to rounding has no half-life
        within = np.abs(logs) <= eigen.errors / np.where(eigen.values == 0, 1.0, np.abs(eigen.values))
        half_life = np.where((logs < 0) & ~within, LOG10_2 / -logs, np.inf)
    return Eigenvalues(
        index=list(range(1, len(values) + 1)),
        re=values.real,
        im=values.imag,
        modulus=moduli,
        error=errors,
        angle=angles,
        condition=eigen.conditions,
        log10_power=np.array([_log10_powers(log, [steps])[0] for log in logs.tolist()]),
        half_life=half_life,
    )


def _kreiss(
    square: NDArray[Any], regime: str, radius: Radius, norms: PowerNorms, wanted: bool
) -> float | None:
    """Return K(W), never under what the norms prove: sup‖Wᵏ‖ ≤ e·n·K (Kreiss 1962)."""
    if regime in ("exploding", "polynomial"):
        return math.inf
    if regime == "undecided" or not (wanted or len(square) <= MAX_KREISS_SIZE):
        return None
    proved = from_log10(norms.log10_growth - math.log10(math.e * len(square)))
    # where ρ < 1 is out of range it is far from 1, and how far does not matter
    inside = number(radius.value, radius.exponent).value_or_none() or 0.0
    return kreiss_constant(square, inside, proved if proved > 1.0 else 1.0)


def _kreiss_notes(constant: float | None, regime: str, wanted: bool) -> Iterator[str]:
    if constant is None and wanted:
        open_regime = regime == "undecided"
        lost = "at the point where it is attained, z − W is singular to rounding"
        reason = "the regime is undecided, so it may be infinite" if open_regime else lost
        yield f"The Kreiss constant cannot be computed: {reason}."


def _lost_range(eigen: Spectrum, radius: Radius) -> Iterator[str]:
    """Yield what is said of a ρ, and of eigenvalues, that no double holds."""
    if radius.value and number(radius.value, radius.exponent).value_or_none() is None:
        yield (
            f"No double holds ρ = {format_log10(radius.log10())}: spectral_radius and its bounds are left "
            "out. log10_spectral at step 1 is its logarithm."
        )
    largest = np.abs(shift_exponents(eigen.values, radius.exponent))
    count = int(np.count_nonzero(~np.isfinite(largest)))
    if count:
        are = format_count(count, "eigenvalue is", "eigenvalues are")
        yield (
            f"{are} over the largest double: re, im and modulus are left out. log10_power at n = 1 is the "
            "logarithm of the modulus."
        )


def _hidden_entries(square: NDArray[Any], steps: int, norms: PowerNorms) -> Iterator[str]:
    """Yield how many entries of the matrix that is shown read 0, though a walk along W leads there."""
    grid = _grid(norms.last)
    if not grid.entries.any():
        return
    if norms.entries is not None:
        is_zero = np.array([[entry.is_zero for entry in row] for row in norms.entries])
        count = int(np.count_nonzero((grid.entries == 0) & ~is_zero))
        if count:
            reads = format_count(count, "entry reads", "entries read")
            yield f"In the matrix power {reads} 0, far under the largest; the conclusion has every entry."
        return
    top = grid.exponent2 + float(np.log2(np.abs(grid.entries).max()))
    walks = log2_largest_walks(square, steps)
    count = int(np.count_nonzero((grid.entries == 0) & (walks > -np.inf) & (walks < top - HIDDEN_BITS)))
    if count == 1:
        yield "1 entry of W^n is so far under the largest that it reads 0. It may not be 0."
    elif count:
        yield f"{count} entries of W^n are so far under the largest that they read 0. They may not be 0."


def _grid(scaled: Scaled) -> Matrix:
    collapsed = scaled.collapse()
    return Matrix(collapsed.array, collapsed.exponent)


def _real_if_real(values: NDArray[np.complex128]) -> NDArray[Any]:
    return values.real if not values.imag.any() else values
