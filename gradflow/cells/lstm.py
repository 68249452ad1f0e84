"""Long short-term memory with a forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

i = σ(W_i x + U_i h + b_i)    f = σ(W_f x + U_f h + b_f)
g = tanh(W_g x + U_g h + b_g) o = σ(W_o x + U_o h + b_o)
c' = f⊙c + i⊙g                h' = o⊙tanh c'
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradflow.cells.activations import sigmoid, sigmoid_slope, tanh_slope
from gradflow.cells.base import Cell
from gradflow.cells.initialization import fresh_weights

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LSTMFactor:
    """∂[h'; c']/∂[h; c], of shape (2H, 2H), as the six vectors and the weights that make it.

    With M = diag(i′g)U_i + diag(f′c)U_f + diag(i g′)U_g, s = o⊙sech²c' and q = o′⊙tanh c':

        ∂c'/∂c = diag(f)        ∂c'/∂h = M
        ∂h'/∂c = diag(s f)      ∂h'/∂h = diag(s) M + diag(q) U_o
    """

    forget: Array  # (H,) f
    into_cell: Array  # (3, H): i′g, f′c, i g′, the rows of M before U_i, U_f, U_g
    through_cell: Array  # (H,) s
    through_output: Array  # (H,) q
    weight_hh: Array  # (4H, H)

    @property
    def size(self) -> int:
        """2H."""
        return 2 * len(self.forget)

    def _mixed(self) -> tuple[Array, Array]:
        """Return M and U_o, both (H, H)."""
        count = len(self.forget)
        gates = self.weight_hh.reshape(4, count, count)
        # g gate, i row, j column
        return np.einsum("gi,gij->ij", self.into_cell, gates[:3]), gates[3]

    def matmat(self, block: Array) -> Array:
        """Return J [X_h; X_c]."""
        mixed, output = self._mixed()
        hidden, cell = np.split(block, 2)
        into = mixed @ hidden + self.forget[:, None] * cell
        out = self.through_cell[:, None] * into + self.through_output[:, None] * (output @ hidden)
        return np.vstack([out, into])

    def rmatmat(self, block: Array) -> Array:
        """Return Jᵀ [Y_h; Y_c]."""
        mixed, output = self._mixed()
        hidden, cell = np.split(block, 2)
        into = self.through_cell[:, None] * hidden + cell
        out = mixed.T @ into + output.T @ (self.through_output[:, None] * hidden)
        return np.vstack([out, self.forget[:, None] * into])

    def todense(self) -> Array:
        """Return J."""
        mixed, output = self._mixed()
        through = self.through_cell[:, None]
        return np.block(
            [
                [through * mixed + self.through_output[:, None] * output, through * np.diag(self.forget)],
                [mixed, np.diag(self.forget)],
            ]
        )


@dataclass(frozen=True, eq=False)
class LSTM(Cell):
    """An LSTM cell; its state is [h; c], shape (2H,), both halves of it.

    Attributes
    ----------
    weight_ih : array (4H, I)
        Rows stacked i, f, g, o.
    weight_hh : array (4H, H)
    bias : array (4H,)

    Examples
    --------
    With all weights 0 the forget bias alone decides; σ(0) = 1/2:

    >>> cell = LSTM(np.zeros((4, 1)), np.zeros((4, 1)), np.zeros(4))
    >>> _, factor = cell.step(np.zeros(2), np.zeros(1))
    >>> factor.todense()
    array([[0.  , 0.25],
           [0.  , 0.5 ]])
    """

    weight_ih: Array
    weight_hh: Array
    bias: Array

    @property
    def state_size(self) -> int:
        """2H."""
        return 2 * int(self.weight_hh.shape[1])

    @property
    def input_size(self) -> int:
        """I."""
        return int(self.weight_ih.shape[1])

    def step(self, state: Array, x: Array) -> tuple[Array, LSTMFactor]:
        """Return [h'; c'] and its Jacobian by [h; c]."""
        h, c = np.split(state, 2)
        z_i, z_f, z_g, z_o = np.split(self.weight_hh @ h + self.weight_ih @ x + self.bias, 4)
        i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
        cell = f * c + i * g
        factor = LSTMFactor(
            forget=f,
            into_cell=np.stack([sigmoid_slope(z_i) * g, sigmoid_slope(z_f) * c, i * tanh_slope(z_g)]),
            through_cell=o * tanh_slope(cell),
            through_output=sigmoid_slope(z_o) * np.tanh(cell),
            weight_hh=self.weight_hh,
        )
        return np.concatenate([o * np.tanh(cell), cell]), factor

    @classmethod
    def random(
        cls,
        hidden_size: int,
        input_size: int,
        generator: np.random.Generator,
        *,
        forget_bias: float | None = None,
        init: str = "torch",
        gain: float = 1.0,
    ) -> "LSTM":
        """Return a cell with fresh weights; ``forget_bias`` replaces the forget gate's random bias."""
        weights = fresh_weights(init, 4, hidden_size, input_size, gain, generator)
        if forget_bias is not None:
            weights.bias.reshape(4, hidden_size)[1] = forget_bias
        return cls(weights.weight_ih, weights.weight_hh, weights.bias)
