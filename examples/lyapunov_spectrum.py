"""A researcher's question: how chaotic is a random network, and does mean-field theory know it?

The Lyapunov spectrum of h' = tanh(W h) with weights of variance g²/N, the dimension of its attractor, and
the leading exponent of networks of several sizes beside the theory of infinitely many units.
"""

import math

import numpy as np

import gradflow

GAIN, UNITS = 3.0, 64
CELL = f"rnn:init=ginibre,gain={GAIN}"


def compute_dimension(exponents: np.ndarray) -> float:
    """Return the dimension by Kaplan & Yorke: j + (λ₁ + … + λ_j) / |λ_{j+1}|, for the last sum over 0."""
    sums = np.cumsum(np.sort(exponents)[::-1])
    j = int(np.flatnonzero(sums >= 0)[-1]) + 1
    return j + float(sums[j - 1] / abs(np.sort(exponents)[::-1][j]))


def solve_mean_field(gain: float) -> float:
    """Return λ₁ for N → ∞: q = g²⟨φ(√q z)²⟩ gives the variance q, and λ₁ = ½ ln(g²⟨φ′(√q z)²⟩)."""
    z = np.linspace(-12, 12, 4001)
    weights = np.exp(-z * z / 2)
    weights /= weights.sum()  # of a standard normal z
    q = gain**2
    for _ in range(200):
        q = gain**2 * weights @ np.tanh(np.sqrt(q) * z) ** 2
    slope = 1 - np.tanh(np.sqrt(q) * z) ** 2
    return float(np.log(gain**2 * weights @ slope**2) / 2)


spectrum = gradflow.lyapunov(CELL, hidden=UNITS, input="zero", steps=500, transient=200)
exponents, errors = spectrum.exponents.exponent, spectrum.exponents.standard_error
# All exponents too high by one error, or all too low: a cautious range for the dimension.
low, high = compute_dimension(exponents - errors), compute_dimension(exponents + errors)

print(f"{UNITS} units, gain {GAIN:g}, no input, {spectrum.steps} steps: {spectrum.verdict}\n")
print("  i   exponent [nats per step]")
for i in (0, 1, 7, 15, 31, 63):
    print(f"{i + 1:>3}   {exponents[i]:>8.4f} ± {errors[i]:.4f}")
print(f"\ndimension of the attractor  {spectrum.kaplan_yorke_dimension:.1f} ({low:.1f} to {high:.1f})")
print(f"entropy rate                {spectrum.entropy_rate:.2f} nats per step")
print(f"sum of the exponents        {exponents.sum():.6f} nats per step")
print(f"mean ln |det J|             {spectrum.mean_log_abs_det:.6f} nats per step, equal by the sum rule")

predicted = gradflow.theory(CELL, input="zero", measure=False).rate
print(f"\nleading exponent, theory    {predicted:.4f} for infinitely many units")
gaps = []
for units in (16, 128):
    measured = gradflow.theory(CELL, hidden=units, input="zero", steps=300, transient=100, seeds=4)
    row = measured.predictions.quantity.index("largest_exponent")
    mean, error = measured.predictions.measured[row], measured.predictions.standard_error[row]
    gaps.append(mean - predicted)
    print(f"measured, {units:>3} units         {mean:.4f} ± {error:.4f}, mean over {measured.seeds} networks")

# The exponents add up to the mean of ln |det J|, which is computed separately.
assert abs(exponents.sum() - spectrum.mean_log_abs_det) < 1e-9
assert math.isclose(spectrum.kaplan_yorke_dimension, compute_dimension(exponents), rel_tol=1e-12)
assert math.isclose(spectrum.entropy_rate, exponents[exponents > 0].sum(), rel_tol=1e-12)
assert spectrum.verdict == "exploding"
# The theory is that of the equations above, and the larger network is nearer to it.
assert math.isclose(predicted, solve_mean_field(GAIN), rel_tol=1e-9)
assert abs(gaps[1]) < abs(gaps[0])
