"""The Jacobian of an LSTM step as the vectors and the weights that make it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradflow.cells.factor import Array, LayerFactor, Pull, carried, log_abs_product
from gradflow.linalg.products import Dense, inverse_error, solved, transposed

FEW = 5  # columns under which forming the mixture of the gates does not pay


@dataclass(frozen=True, eq=False)
class LSTMFactor(LayerFactor):
    """∂[h'; c']/∂[h; c], of shape (R + H, R + H).

    With M = Σ diag(a)U over the gates that feed the cell (a = ∂c'/∂z: i′g, f′c, i g′ for i, f, g),
    s = o⊙sech²c' and q = o′⊙tanh c', and k = f plus what the peepholes add:

        ∂c'/∂c = diag(k)        ∂c'/∂h = M
        ∂h'/∂c = diag(s k)      ∂h'/∂h = diag(s) M + diag(q) U_o

    and a projection P from the left where there is one.
    """

    kept: Array  # (..., H, 1) k
    into_cell: Array  # (G − 1, ..., H, 1): a of each gate but o, in the order of the weights
    through_cell: Array  # (..., H, 1) s
    through_output: Array  # (..., H, 1) q
    weight_hh: Array  # (..., G·H, R)
    weight_ih: Array  # (..., G·H, I)
    weight_hr: Array | None  # (..., R, H)

    per_point: ClassVar[tuple[str, ...]] = ("kept", "into_cell", "through_cell", "through_output")

    @property
    def size(self) -> int:
        """R + H."""
        return int(self.weight_hh.shape[-1]) + self._count()

    def _count(self) -> int:
        """Return H, of which the rows of the last gate alone are known to be."""
        return int(self.weight_hh.shape[-2]) // (len(self.into_cell) + 1)

    def _mixed(self, weights: Array) -> tuple[Array, Array]:
        """Return M and U_o, both (..., H, columns), of recurrent or input weights."""
        count, rows = self._count(), weights.shape[-2]
        gates = weights.reshape(*weights.shape[:-2], rows // count, count, weights.shape[-1])
        # g gate, i row, j column
        return np.einsum("g...i,...gij->...ij", self.into_cell[..., 0], gates[..., :-1, :, :]), gates[
            ..., -1, :, :
        ]

    def _by_gate(self, block: Array) -> bool:
        """Return whether to do without M: it costs more than a few columns, and `each` column has its own."""
        return bool(block.shape[-1] < FEW or self.kept.shape[-1] > 1)

    def _split(self, block: Array) -> tuple[Array, Array]:
        outputs = self.weight_hh.shape[-1]
        return block[..., :outputs, :], block[..., outputs:, :]

    def _shown(self, into: Array, direct: Array) -> Array:
        """Return [h'; c'] of a change ``into`` of c' and a change ``direct`` of the output gate's z."""
        out = self.through_cell * into + self.through_output * direct
        return np.concatenate([out if self.weight_hr is None else self.weight_hr @ out, into], axis=-2)

    def _traced(self, block: Array) -> tuple[Array, Array]:
        """Return the adjoint of `_shown`: what [Y_h; Y_c] asks of c', and of the output gate's z."""
        hidden, cell = self._split(block)
        if self.weight_hr is not None:
            hidden = transposed(self.weight_hr) @ hidden
        return self.through_cell * hidden + cell, self.through_output * hidden

    def matmat(self, block: Array) -> Array:
        """Return J [X_h; X_c]."""
        hidden, cell = self._split(block)
        into, direct = self._spread(self.weight_hh, hidden)
        return self._shown(into + self.kept * cell, direct)

    def _spread(self, weights: Array, block: Array) -> tuple[Array, Array]:
        """Return M X and U_o X for recurrent or input weights."""
        if self._by_gate(block):
            # g gate, i unit, m column
            gates = np.split(weights @ block, len(self.into_cell) + 1, axis=-2)
            into = [a * z for a, z in zip(self.into_cell, gates[:-1], strict=True)]
            return np.sum(into, axis=0), gates[-1]
        mixed, output = self._mixed(weights)
        return mixed @ block, output @ block

    def rmatmat(self, block: Array) -> Array:
        """Return Jᵀ [Y_h; Y_c]."""
        if self._by_gate(block):
            return self.pull(block).state
        into, direct = self._traced(block)
        return self._before(into, self._gathered(self.weight_hh, into, direct))

    def pull(self, block: Array) -> Pull:
        """Return the δ of every gate that has weights, [a⊙y_c; q⊙y_h], and of a projection Y_h itself.

        y_c is all that is asked of c', y_h what is asked of o⊙tanh c'.
        """
        into, direct = self._traced(block)
        signal = np.concatenate([*(a * into for a in self.into_cell), direct], axis=-2)
        state = self._before(into, carried(signal, self.weight_hh))
        shown = [] if self.weight_hr is None else [self._split(block)[0]]
        return Pull((np.concatenate([signal, *shown], axis=-2) if shown else signal,), state)

    def _before(self, into: Array, hidden: Array) -> Array:
        """Return [Y_h; k⊙Y_c] of the step before, laid out as ``into`` is."""
        return np.concatenate([hidden, self.kept * into], axis=-2)

    def _gathered(self, weights: Array, into: Array, direct: Array) -> Array:
        """Return Mᵀ ``into`` + U_oᵀ ``direct`` for recurrent or input weights."""
        if self._by_gate(into):
            parts = [a * into for a in self.into_cell]
            return np.asarray(transposed(weights) @ np.concatenate([*parts, direct], axis=-2))
        mixed, output = self._mixed(weights)
        return np.asarray(transposed(mixed) @ into + transposed(output) @ direct)

    def input_matmat(self, block: Array) -> Array:
        """Return ∂[h'; c']/∂x X."""
        return self._shown(*self._spread(self.weight_ih, block))

    def input_graded(self, block: Array) -> Array:
        """Return [q⊙W_o X; M X] of the input weights."""
        if self.weight_hr is not None:
            return self.input_matmat(block)
        into, direct = self._spread(self.weight_ih, block)
        return np.concatenate([self.through_output * direct, into], axis=-2)

    def input_rmatmat(self, block: Array) -> Array:
        """Return (∂[h'; c']/∂x)ᵀ Y."""
        return self._gathered(self.weight_ih, *self._traced(block))

    def solve(self, block: Array) -> Array:
        """Return J⁻¹ Y by elimination: Y_h − s⊙Y_c = q⊙U_o X_h, Y_c = M X_h + k⊙X_c.

        Formed densely, a q far under s would be rounded away with all of U_o.
        """
        if self.weight_hr is not None:
            return super().solve(block)
        self._check_invertible()
        mixed, output = self._mixed(self.weight_hh)
        shown, into = self._split(block)
        rest = (shown - self.through_cell * into) / self.through_output
        hidden = solved(output, rest)
        return np.concatenate([hidden, (into - mixed @ hidden) / self.kept], axis=-2)

    def rsolve(self, block: Array) -> Array:
        """Return J⁻ᵀ Y by the same elimination."""
        if self.weight_hr is not None:
            return super().rsolve(block)
        self._check_invertible()
        mixed, output = self._mixed(self.weight_hh)
        hidden, cell = self._split(block)
        into = cell / self.kept
        rest = solved(transposed(output), hidden - transposed(mixed) @ into)
        shown = rest / self.through_output
        return np.concatenate([shown, into - self.through_cell * shown], axis=-2)

    def inverse_error(self) -> float:
        """Return that of U_o, the one matrix that is inverted, or of J where there is a projection."""
        if self.weight_hr is not None:
            return super().inverse_error()
        return inverse_error(self._mixed(self.weight_hh)[1])

    @property
    def staged(self) -> bool:  # type: ignore[override]
        """Whether J = L Z D is known: a projection mixes the rows of h' beyond repair."""
        return self.weight_hr is None

    def scaled(self, block: Array) -> Array:
        """Return [X_h; k⊙X_c]."""
        if self.weight_hr is not None:
            return block
        hidden, cell = self._split(block)
        return np.concatenate([hidden, self.kept * cell], axis=-2)

    def graded(self, block: Array) -> Array:
        """Return [q⊙U_o X_h; M X_h + X_c]: J X adds s times the second to the first, where q may be lost."""
        if self.weight_hr is not None:
            return self.matmat(block)
        hidden, cell = self._split(block)
        into, direct = self._spread(self.weight_hh, hidden)
        return np.concatenate([self.through_output * direct, into + cell], axis=-2)

    def mixed(self, block: Array) -> Array:
        """Return [Y_h + s⊙Y_c; Y_c]."""
        if self.weight_hr is not None:
            return block
        hidden, cell = self._split(block)
        return np.concatenate([hidden + self.through_cell * cell, cell], axis=-2)

    def log_abs_dets(self) -> Array:
        """Return ln |det Z D|: Σ ln |q| + Σ ln |k| + ln |det U_o|."""
        if self.weight_hr is not None:
            return super().log_abs_dets()
        output = Dense(self.weight_hh[..., -self._count() :, :]).log_abs_det()
        return log_abs_product(self.through_output) + log_abs_product(self.kept) + output[..., None]

    def _check_invertible(self) -> None:
        if not (np.all(self.kept) and np.all(self.through_output)):
            raise np.linalg.LinAlgError("Singular matrix")
