"""The Jacobian of an LSTM step, given by vectors and weights."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradflow.cells.factor import MIN_DENSE_COLUMNS, Array, LayerFactor, Pull, carry_back, log_abs_product
from gradflow.linalg.products import Dense, inverse_error, solve_matrix, transpose_matrices


@dataclass(frozen=True, eq=False)
class LSTMFactor(LayerFactor):
    """∂[h'; c']/∂[h; c], of shape (R + H, R + H).

    With M = Σ diag(a)U over the gates that feed the cell (a = ∂c'/∂z: i′g, f′c, i g′ for i, f, g),
    s = o⊙sech²c' and q = o′⊙tanh c', and k = f plus the terms of the peepholes:

        ∂c'/∂c = diag(k)        ∂c'/∂h = M
        ∂h'/∂c = diag(s k)      ∂h'/∂h = diag(s) M + diag(q) U_o

    If there is a projection P, it multiplies the rows of h' from the left.
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
        return int(self.weight_hh.shape[-1]) + self._count_units()

    def _count_units(self) -> int:
        """Return H, from the number of rows of the gates."""
        return int(self.weight_hh.shape[-2]) // (len(self.into_cell) + 1)

    def _mix_gates(self, weights: Array) -> tuple[Array, Array]:
        """Return M and U_o, both (..., H, columns), for recurrent or input weights."""
        count, rows = self._count_units(), weights.shape[-2]
        gates = weights.reshape(*weights.shape[:-2], rows // count, count, weights.shape[-1])
        # g gate, i row, j column
        return np.einsum("g...i,...gij->...ij", self.into_cell[..., 0], gates[..., :-1, :, :]), gates[
            ..., -1, :, :
        ]

    def _acts_by_gate(self, block: Array) -> bool:
        """Return whether M is not formed: it costs more than a few columns, and differs between points."""
        return bool(block.shape[-1] < MIN_DENSE_COLUMNS or self.kept.shape[-1] > 1)

    def _split(self, block: Array) -> tuple[Array, Array]:
        outputs = self.weight_hh.shape[-1]
        return block[..., :outputs, :], block[..., outputs:, :]

    def _show_change(self, into: Array, direct: Array) -> Array:
        """Return [h'; c'] for a change ``into`` of c' and a change ``direct`` of the output gate's z."""
        out = self.through_cell * into + self.through_output * direct
        return np.concatenate([out if self.weight_hr is None else self.weight_hr @ out, into], axis=-2)

    def _trace_back(self, block: Array) -> tuple[Array, Array]:
        """Return the adjoint of `_show_change`: the signals of c' and of the output gate's z.

        ``block`` is the signal [Y_h; Y_c] of the new state.
        """
        hidden, cell = self._split(block)
        if self.weight_hr is not None:
            hidden = transpose_matrices(self.weight_hr) @ hidden
        return self.through_cell * hidden + cell, self.through_output * hidden

    def matmat(self, block: Array) -> Array:
        """Return J [X_h; X_c]."""
        hidden, cell = self._split(block)
        into, direct = self._spread_block(self.weight_hh, hidden)
        return self._show_change(into + self.kept * cell, direct)

    def _spread_block(self, weights: Array, block: Array) -> tuple[Array, Array]:
        """Return M X and U_o X for recurrent or input weights."""
        if self._acts_by_gate(block):
            # g gate, i unit, m column
            gates = np.split(weights @ block, len(self.into_cell) + 1, axis=-2)
            into = [a * z for a, z in zip(self.into_cell, gates[:-1], strict=True)]
            return np.sum(into, axis=0), gates[-1]
        mixed, output = self._mix_gates(weights)
        return mixed @ block, output @ block

    def rmatmat(self, block: Array) -> Array:
        """Return Jᵀ [Y_h; Y_c]."""
        if self._acts_by_gate(block):
            return self.pull(block).state
        into, direct = self._trace_back(block)
        return self._join_before(into, self._gather_adjoints(self.weight_hh, into, direct))

    def pull(self, block: Array) -> Pull:
        """Return the δ of every gate that has weights, [a⊙y_c; q⊙y_h], and Y_h itself for a projection.

        y_c is the whole signal of c', and y_h that of o⊙tanh c'.
        """
        into, direct = self._trace_back(block)
        signal = np.concatenate([*(a * into for a in self.into_cell), direct], axis=-2)
        state = self._join_before(into, carry_back(signal, self.weight_hh))
        shown = [] if self.weight_hr is None else [self._split(block)[0]]
        return Pull((np.concatenate([signal, *shown], axis=-2) if shown else signal,), state)

    def _join_before(self, into: Array, hidden: Array) -> Array:
        """Return [Y_h; k⊙Y_c] of the step before, in the layout of ``into``."""
        return np.concatenate([hidden, self.kept * into], axis=-2)

    def _gather_adjoints(self, weights: Array, into: Array, direct: Array) -> Array:
        """Return Mᵀ ``into`` + U_oᵀ ``direct`` for recurrent or input weights."""
        if self._acts_by_gate(into):
            parts = [a * into for a in self.into_cell]
            return np.asarray(transpose_matrices(weights) @ np.concatenate([*parts, direct], axis=-2))
        mixed, output = self._mix_gates(weights)
        return np.asarray(transpose_matrices(mixed) @ into + transpose_matrices(output) @ direct)

    def input_matmat(self, block: Array) -> Array:
        """Return ∂[h'; c']/∂x X."""
        return self._show_change(*self._spread_block(self.weight_ih, block))

    def apply_input_graded(self, block: Array) -> Array:
        """Return [q⊙W_o X; M X] of the input weights."""
        if self.weight_hr is not None:
            return self.input_matmat(block)
        into, direct = self._spread_block(self.weight_ih, block)
        return np.concatenate([self.through_output * direct, into], axis=-2)

    def input_rmatmat(self, block: Array) -> Array:
        """Return (∂[h'; c']/∂x)ᵀ Y."""
        return self._gather_adjoints(self.weight_ih, *self._trace_back(block))

    def solve(self, block: Array) -> Array:
        """Return J⁻¹ Y by elimination: Y_h − s⊙Y_c = q⊙U_o X_h, Y_c = M X_h + k⊙X_c.

        In a dense J, a q far below s would be rounded away, and U_o with it.
        """
        if self.weight_hr is not None:
            return super().solve(block)
        self._check_invertible()
        mixed, output = self._mix_gates(self.weight_hh)
        shown, into = self._split(block)
        rest = (shown - self.through_cell * into) / self.through_output
        hidden = solve_matrix(output, rest)
        return np.concatenate([hidden, (into - mixed @ hidden) / self.kept], axis=-2)

    def rsolve(self, block: Array) -> Array:
        """Return J⁻ᵀ Y by the same elimination."""
        if self.weight_hr is not None:
            return super().rsolve(block)
        self._check_invertible()
        mixed, output = self._mix_gates(self.weight_hh)
        hidden, cell = self._split(block)
        into = cell / self.kept
        rest = solve_matrix(transpose_matrices(output), hidden - transpose_matrices(mixed) @ into)
        shown = rest / self.through_output
        return np.concatenate([shown, into - self.through_cell * shown], axis=-2)

    def inverse_error(self) -> float:
        """Return the error for U_o, the one matrix that is inverted, or for J if there is a projection."""
        if self.weight_hr is not None:
            return super().inverse_error()
        return inverse_error(self._mix_gates(self.weight_hh)[1])

    @property
    def has_stages(self) -> bool:  # type: ignore[override]
        """Whether J = L Z D is known. It is not with a projection, which mixes the rows of h'."""
        return self.weight_hr is None

    def apply_scale(self, block: Array) -> Array:
        """Return [X_h; k⊙X_c]."""
        if self.weight_hr is not None:
            return block
        hidden, cell = self._split(block)
        return np.concatenate([hidden, self.kept * cell], axis=-2)

    def apply_graded(self, block: Array) -> Array:
        """Return [q⊙U_o X_h; M X_h + X_c]. J X adds s times the second to the first, which may lose q."""
        if self.weight_hr is not None:
            return self.matmat(block)
        hidden, cell = self._split(block)
        into, direct = self._spread_block(self.weight_hh, hidden)
        return np.concatenate([self.through_output * direct, into + cell], axis=-2)

    def apply_mixing(self, block: Array) -> Array:
        """Return [Y_h + s⊙Y_c; Y_c]."""
        if self.weight_hr is not None:
            return block
        hidden, cell = self._split(block)
        return np.concatenate([hidden + self.through_cell * cell, cell], axis=-2)

    def log_abs_dets(self) -> Array:
        """Return ln |det Z D|: Σ ln |q| + Σ ln |k| + ln |det U_o|."""
        if self.weight_hr is not None:
            return super().log_abs_dets()
        output = Dense(self.weight_hh[..., -self._count_units() :, :]).log_abs_det()
        return log_abs_product(self.through_output) + log_abs_product(self.kept) + output[..., None]

    def _check_invertible(self) -> None:
        if not (np.all(self.kept) and np.all(self.through_output)):
            raise np.linalg.LinAlgError("Singular matrix")
