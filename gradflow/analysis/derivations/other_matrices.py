"""Exercise 5-2c on matrices of its own: one that grows first, one that explodes, and all eigenvalues 1."""

from typing import Any

import numpy as np

from gradflow.analysis.derivations.figures import raised
from gradflow.analysis.derivations.line import Line

BASIS = np.array([[0.6, 0.8], [0.8, -0.6]])
SLANTED = np.array([[0.9, 1.0], [0.0, 0.5]])


def others(n: int) -> tuple[Line[Any], ...]:
    """Return the answers to the sheet's other questions on examples of their own."""
    larger, block = np.diag([1.1, 0.5]), np.array([[1.0, 1.0], [0.0, 1.0]])
    return (
        Line(
            "1 < ‖[0.9, 1; 0, 0.5]³‖",
            "every $|λᵢ| < 1$, and yet it grows first, for its eigenvectors are far from orthogonal: a "
            "bound that "
            "goes to 0 need not start at 1",
            lambda _: (1.0, float(np.linalg.norm(np.linalg.matrix_power(SLANTED, 3), 2))),
        ),
        Line(
            f"{raised('[1.1, 0; 0, 0.5]', n)} = [{raised('1.1', n)}, 0; 0, {raised('0.5', n)}]",
            "one eigenvalue over 1, one under it: the norm is $1.1ⁿ$ and grows past any bound; only what "
            "has no part along the eigenvector $[1; 0]$ escapes, and vanishes like $0.5ⁿ$",
            lambda _: (np.linalg.matrix_power(larger, n), np.array([[1.1**n, 0.0], [0.0, 0.5**n]])),
        ),
        Line(
            "QIQ⁻¹ = I",
            "all eigenvalues 1 and diagonalizable: then $Λ = I$, whatever $Q$ is, and $Wⁿ = W = I$",
            lambda _: (BASIS @ np.eye(2) @ np.linalg.inv(BASIS), np.eye(2)),
        ),
        Line(
            f"{raised('[1, 1; 0, 1]', n)} = [1, {n}; 0, 1]",
            "all eigenvalues 1 and not diagonalizable (there is one eigenvector, $[1; 0]$): not the "
            "identity, and it grows like $n$",
            lambda _: (np.linalg.matrix_power(block, n), np.array([[1.0, n], [0.0, 1.0]])),
        ),
    )
