"""The way to Wⁿ by QΛⁿQ⁻¹: what it costs in digits, and when to say that it cannot be trusted."""

import math
from collections.abc import Iterator

from gradflow.linalg.floating import DOUBLE_EPS
from gradflow.linalg.norms import frobenius_norm
from gradflow.linalg.scaled import Scaled, elementwise_power, number_power, shift_exponents
from gradflow.linalg.spectrum import Spectrum

# A relative error worth a warning, and the κ(Q)·eps·n past which one must come whatever was measured.
MIN_UNTRUSTED_ERROR, MIN_LOST_ERROR = 1e-6, 1e-2
BY_MULTIPLICATION = "W^n was computed by multiplication instead."


def eigen_route_error(eigen: Spectrum, graded: Scaled, steps: int, power: Scaled) -> float | None:
    """Return ‖QΛⁿQ⁻¹ − Wⁿ‖ / ‖Wⁿ‖, Frobenius; None where there is no Q⁻¹ or Wⁿ is 0."""
    same = power.with_grading(graded.grading)  # that of the eigenvectors
    size = frobenius_norm(same.array)
    if eigen.vectors is None or eigen.inverse is None or size == 0.0:
        return None
    radius = eigen.radius or 1.0
    grown = number_power(radius, steps)
    route = (eigen.vectors * elementwise_power(eigen.modal_values / radius, steps)) @ eigen.inverse
    offset = grown.exponent + graded.exponent * steps - same.exponent
    error = frobenius_norm(shift_exponents(route * grown.mantissa, offset) - same.array) / size
    return error if math.isfinite(error) else None


def _lost_digits(error: float) -> str:
    """Return how much a relative error takes away, in words."""
    return "all its digits" if error >= 1.0 else f"all but {-math.log10(error):.0f} of its digits"


def warnings(
    eigen: Spectrum, condition: float | None, route: float | None, error: float | None, steps: int
) -> Iterator[str]:
    """Yield what to beware of: where the eigen route, or rounding itself, costs digits."""
    if eigen.diagonalizable is False:
        if eigen.errors[eigen.defective].all():
            yield (
                "A matrix within rounding of W is not diagonalizable, because eigenvectors are missing: "
                f"QΛQ⁻¹ would have no correct digit. {BY_MULTIPLICATION}"
            )
        else:
            yield (
                "W is not diagonalizable, because eigenvectors are missing: there is no QΛQ⁻¹. "
                f"{BY_MULTIPLICATION}"
            )
    elif condition is None:
        yield f"Floating point has no Q⁻¹ for this W. {BY_MULTIPLICATION}"
    elif route is None and condition * DOUBLE_EPS * steps > MIN_LOST_ERROR:
        yield (
            f"The eigen route QΛ^nQ⁻¹ could not be computed, with κ(Q) = {condition:.1e} and n = {steps}. "
            f"{BY_MULTIPLICATION}"
        )
    elif route is not None and route > MIN_UNTRUSTED_ERROR:
        yield (
            f"The eigen route QΛ^nQ⁻¹ cannot be trusted: with κ(Q) = {condition:.1e} and n = {steps} it is "
            f"off by a relative {route:.1e} here. {BY_MULTIPLICATION}"
        )
    elif route is not None and condition * DOUBLE_EPS * steps > MIN_LOST_ERROR and eigen.errors.any():
        yield (
            f"The eigen route QΛ^nQ⁻¹ differs from W^n by a relative {route:.1e} only, but κ(Q) = "
            f"{condition:.1e} and n = {steps} let rounding cost it "
            f"{_lost_digits(condition * DOUBLE_EPS * steps)}. "
            f"{BY_MULTIPLICATION}"
        )
    if eigen.diagonalizable is None:
        yield "Rounding leaves open whether W is diagonalizable."
    if error is None or error > MIN_UNTRUSTED_ERROR:
        size = "by more than W^n itself" if error is None else f"by a relative {error:.1e}"
        yield (
            f"Rounding may have moved W^n {size}: log10_norm_low and log10_norm_high bound what is certain."
        )
