"""A course's exercise: what happens to a gradient that is multiplied by a matrix at every step.

Each part computes the answer by hand, by a formula, and compares it with gradflow.
"""

import math

import numpy as np

import gradflow

# 1. A symmetric matrix [[a, b], [b, d]] has the eigenvalues (a + d)/2 ± √(((a − d)/2)² + b²).
a, b, d = 0.58, 0.24, 0.72
distance = math.hypot((a - d) / 2, b)
eigenvalues = [(a + d) / 2 + distance, (a + d) / 2 - distance]
W = [[a, b], [b, d]]
powers = gradflow.power(W, steps=30)
assert np.allclose(powers.eigenvalues.re, eigenvalues, rtol=1e-14, atol=0)
print(f"1. W has the eigenvalues {eigenvalues[0]:.1f} and {eigenvalues[1]:.1f}; W^n is {powers.regime}")

# 2. With unit eigenvectors (0.6, 0.8) and (0.8, −0.6), Wⁿ = 0.9ⁿ q₁q₁ᵀ + 0.4ⁿ q₂q₂ᵀ.
Q = np.array([[0.6, 0.8], [0.8, -0.6]])
W30 = Q @ np.diag([0.9**30, 0.4**30]) @ Q.T
assert np.allclose(np.ldexp(powers.power.entries, powers.power.exponent2), W30, rtol=1e-12, atol=0)
assert math.isclose(powers.log10_norm, 30 * math.log10(0.9), rel_tol=1e-12)
print(f"2. W^30 has the norm 0.9^30 = {0.9**30:.4f}")
print(f"   and the entries {W30.round(4).tolist()}")

# 3. The eigenvectors and the eigenvalues must have the same order.
right = gradflow.power(W, claim_vectors=Q, claim_values=[0.9, 0.4])
wrong = gradflow.power(W, claim_vectors=Q, claim_values=[0.4, 0.9])
assert (right.claim_holds, wrong.claim_holds) == (True, False)
print(f"3. {wrong.claim_slip}")

# 4. A Jordan block grows before it vanishes. Jᵏ = [[λᵏ, kλᵏ⁻¹], [0, λᵏ]] has the norm
#    (s + √(s² + 4λ²ᵏ))/2 with s = kλᵏ⁻¹.
jordan = gradflow.power([[0.9, 1.0], [0.0, 0.9]], steps=60)
k = np.arange(1, 61)
s = k * 0.9 ** (k - 1)
norms = (s + np.sqrt(s**2 + 4 * 0.9 ** (2 * k))) / 2
assert np.allclose(jordan.norms.norm[1:], norms, rtol=1e-12, atol=0)
assert jordan.peak_step == norms.argmax() + 1
print(f"4. A Jordan block with the eigenvalue 0.9 has the norm {norms[0]:.2f}. Its powers grow to")
print(f"   {norms.max():.2f} at step {jordan.peak_step}, then vanish: {norms[-1]:.2f} at step 60")

# 5. All eigenvalues are 1, and the power still grows: [[1, 1], [0, 1]]ⁿ = [[1, n], [0, 1]].
shear = gradflow.power("1 1; 0 1", steps=30)
assert shear.power.entries.tolist() == [[1, 30], [0, 1]]
print(f"5. (1 1; 0 1) has the eigenvalues {shear.eigenvalues.re.tolist()}; growth: {shear.regime}")


# 6. The carousel of an LSTM: with all weights 0, the forget gate is σ(b) and ∂c_t/∂c_{t−k} = σ(b)ᵏ.
def make_lstm(forget_bias: float, input_bias: float, units: int = 3) -> gradflow.Checkpoint:
    """Return an LSTM without weights, under torch's names; the rows of its bias are i, f, g, o."""
    return gradflow.from_state_dict(
        {
            "lstm.weight_ih_l0": np.zeros((4 * units, 1)),
            "lstm.weight_hh_l0": np.zeros((4 * units, units)),
            "lstm.bias_ih_l0": np.repeat([input_bias, forget_bias, 0.0, 0.0], units),
        }
    )


print("6. The cell state of an LSTM without weights keeps of a gradient over 100 steps:")
for forget_bias, input_bias in ((0, 0), (1, 0), (4, 0), (40, -40)):
    cell = make_lstm(forget_bias, input_bias)["lstm"]
    flow = gradflow.compare(cell, steps=100, seeds=1, block="cc").flow
    gate = 1 / (1 + math.exp(-forget_bias))
    assert np.allclose(flow.log10_norm, np.array(flow.lag) * math.log10(gate), rtol=1e-10, atol=1e-12)
    print(f"   forget bias {forget_bias:>2}: gate {gate:.4f}, factor {10 ** flow.log10_norm[-1]:.3g}")
