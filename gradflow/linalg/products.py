"""Products of many matrices that are never formed: each factor only knows how to act."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.scaled import Scaled


class Factor(Protocol):
    """A matrix J of shape (n, n) that acts on blocks of columns without being formed."""

    @property
    def size(self) -> int:
        """Rows and columns n."""

    def matmat(self, block: NDArray[Any]) -> NDArray[Any]:
        """Return J X for a block X of shape (n, m)."""

    def rmatmat(self, block: NDArray[Any]) -> NDArray[Any]:
        """Return Jᵀ Y for a block Y of shape (n, m)."""

    def todense(self) -> NDArray[Any]:
        """Return J itself, shape (n, n)."""


def backward_products(factors: Sequence[Factor]) -> Iterator[Scaled]:
    """Yield (J_T)ᵀ, (J_T J_{T−1})ᵀ, … (J_T ⋯ J_1)ᵀ for factors J_1 … J_T.

    What backpropagation does to a gradient at the end, one step further back each time. The transpose is
    kept because a step further back then acts from the left; norms are the same.

    Examples
    --------
    >>> from gradflow.cells.rnn import RNN
    >>> cell = RNN(np.zeros((1, 1)), np.array([[0.5]]), np.zeros(1), "identity")
    >>> _, factor = cell.step(np.zeros(1), np.zeros(1))
    >>> [float(product.array[0, 0]) for product in backward_products([factor] * 3)]
    [0.5, 0.25, 0.125]
    """
    product = Scaled(np.eye(factors[-1].size))
    for factor in reversed(factors):
        product = Scaled.of(factor.rmatmat(product.array), product.exponent)
        yield product
