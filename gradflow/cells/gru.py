"""The gated recurrent unit (Cho et al. 2014), with the reset gate before or after the recurrent weights.

r = σ(W_r x + U_r h + b_r)    z = σ(W_z x + U_z h + b_z)
after:  n = tanh(W_n x + b_n + r⊙(U_n h + b_hn))    as in torch, Keras and cuDNN
before: n = tanh(W_n x + b_n + U_n(r⊙h))            Cho et al. 2014, eq. 8
h' = (1 − z)⊙n + z⊙h
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import numpy as np

from gradflow.cells.activations import parse_activation
from gradflow.cells.base import Gate, GateValues, Layer, Use, affine
from gradflow.cells.factor import MIN_DENSE_COLUMNS, Array, LayerFactor, Pull, carry_back
from gradflow.cells.initialization import (
    ChronoHorizon,
    InitializationName,
    draw_fresh_weights,
    spread_chrono_biases,
)
from gradflow.errors import UsageError
from gradflow.linalg.products import transpose_matrices
from gradflow.registry import describe_unknown

GRU_GATES = {
    "r": Gate("lets the candidate see h", 0.0, 1.0),
    "z": Gate("keeps the state h", 0.0, 1.0, retains=True, bias_option="update_bias"),
    "n": Gate("is the candidate", -1.0, 1.0),
}
RESET_PLACES = ("after", "before")
ResetPlace = Annotated[str, "|".join(RESET_PLACES)]  # the note is what the help of a command shows
MAX_CANCELLED_SHARE = 2.0**-26  # of the terms: half of the digits of a smaller difference are rounding
GAP_ROUNDING = 2.0**-49  # of the terms of a difference: a few roundings of doubles


@dataclass(frozen=True, eq=False)
class GRUFactor(LayerFactor):
    """The factor ∂h'/∂h = diag(z) + diag((h − n)z′) U_z + diag((1 − z)n′) P.

    P is ∂(pre-activation of n)/∂h:

    after:  diag(r) U_n + diag(v r′) U_r, v = U_n h + b_hn
    before: U_n (diag(r) + diag(h r′) U_r)
    """

    kept: Array  # (..., H, 1) z
    update: Array  # (..., H, 1) (h − n)z′
    candidate: Array  # (..., H, 1) (1 − z)n′
    reset: Array  # (..., H, 1) r
    reset_slope: Array  # (..., H, 1) v r′, or h r′
    weight_hh: Array  # (..., 3H, H)
    weight_ih: Array  # (..., 3H, I)
    before: bool

    per_point: ClassVar[tuple[str, ...]] = ("kept", "update", "candidate", "reset", "reset_slope")

    def todense(self) -> Array:
        """Return J."""
        through_reset, through_update, through_candidate = np.split(self.weight_hh, 3, axis=-2)
        places = np.arange(self.size)
        if self.before:
            inner = self.reset_slope * through_reset
            inner[..., places, places] += self.reset[..., 0]
            dense = self.candidate * (through_candidate @ inner)
            dense += self.update * through_update
        else:
            scales = self.candidate * self.reset_slope, self.update, self.candidate * self.reset
            gates = self.weight_hh.reshape(*self.weight_hh.shape[:-2], 3, self.size, self.size)
            # g gate, i row, j column
            dense = np.einsum("g...i,...gij->...ij", np.stack(scales)[..., 0], gates)
        dense[..., places, places] += self.kept[..., 0]
        return np.asarray(dense)

    def matmat(self, block: Array) -> Array:
        """Return J X, gate by gate if there are few columns or each has its own point."""
        if not self._acts_by_gate(block):
            return super().matmat(block)
        if self.before:
            reset, update = np.split(self.weight_hh[..., : -self.size, :] @ block, 2, axis=-2)
            inner = self.reset * block + self.reset_slope * reset
            candidate = self.weight_hh[..., -self.size :, :] @ inner
        else:
            reset, update, candidate = np.split(self.weight_hh @ block, 3, axis=-2)
            candidate = self.reset * candidate + self.reset_slope * reset
        moved = self.update * update + self.candidate * candidate
        return np.asarray(self.kept * block + moved)

    def rmatmat(self, block: Array) -> Array:
        """Return Jᵀ Y, computed like `matmat`."""
        return self.pull(block).state if self._acts_by_gate(block) else super().rmatmat(block)

    def pull(self, block: Array) -> Pull:
        """Return δ of r, z and n, and Jᵀ Y."""
        candidate, update = self.candidate * block, self.update * block
        if self.before:
            inner = carry_back(candidate, self.weight_hh[..., -self.size :, :])
            gates = np.concatenate([self.reset_slope * inner, update], axis=-2)
            through = carry_back(gates, self.weight_hh[..., : -self.size, :]) + self.reset * inner
        else:
            gates = np.concatenate([self.reset_slope * candidate, update], axis=-2)
            seen = np.concatenate([gates, self.reset * candidate], axis=-2)
            through = carry_back(seen, self.weight_hh)
        return Pull((np.concatenate([gates, candidate], axis=-2),), self.kept * block + through)

    def _acts_by_gate(self, block: Array) -> bool:
        return bool(block.shape[-1] < MIN_DENSE_COLUMNS or self.kept.shape[-1] > 1)

    def input_matmat(self, block: Array) -> Array:
        """Return ∂h'/∂x X."""
        reset, update, candidate = np.split(self.weight_ih @ block, 3, axis=-2)
        slope = self.reset_slope * reset
        if self.before:
            slope = self.weight_hh[..., -self.size :, :] @ slope
        return np.asarray(self.update * update + self.candidate * (candidate + slope))

    def input_rmatmat(self, block: Array) -> Array:
        """Return (∂h'/∂x)ᵀ Y."""
        candidate = self.candidate * block
        slope = (
            transpose_matrices(self.weight_hh[..., -self.size :, :]) @ candidate if self.before else candidate
        )
        stacked = [self.reset_slope * slope, self.update * block, candidate]
        result: Array = transpose_matrices(self.weight_ih) @ np.concatenate(stacked, axis=-2)
        return result


class GRUPoint(NamedTuple):
    """All values of one evaluation of the formulas; arrays (..., points, H)."""

    z: dict[str, Array]  # pre-activations
    gates: dict[str, Array]  # r, z, n
    seen: Array  # the factor of the reset gate: U_n h + b_hn, or h


@dataclass(frozen=True, eq=False)
class GRU(Layer):
    """A gated recurrent unit; its state is h, shape (H,).

    Attributes
    ----------
    weight_ih : array (..., 3H, I)
        Rows stacked r, z, n.
    weight_hh : array (..., 3H, H)
    bias : array (..., 3H)
        For r and z the sum of torch's two biases; for n the bias outside the reset gate.
    bias_hn : array (..., H), optional
        The bias inside the reset gate, which exists only if ``reset`` is after.
    reset : str
        after or before.
    gate_activation, activation : str
        The activation of r and z, and that of the candidate n.

    Examples
    --------
    If all weights are 0, half of the state is kept:

    >>> cell, nothing = GRU(np.zeros((3, 1)), np.zeros((3, 1)), np.zeros(3)), np.zeros((1, 1))
    >>> cell.linearize(cell.run(nothing), nothing).at(0).todense()
    array([[0.5]])
    """

    gate_kinds: ClassVar[Mapping[str, Gate]] = GRU_GATES

    weight_ih: Array
    weight_hh: Array
    bias: Array
    bias_hn: Array | None = None
    reset: str = "after"
    gate_activation: str = "sigmoid"
    activation: str = "tanh"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reset not in RESET_PLACES:
            raise UsageError(describe_unknown("reset", self.reset, RESET_PLACES))

    @property
    def gate_names(self) -> list[str]:
        """r, z, n."""
        return list(GRU_GATES)

    def _evaluate(self, state: Array, drive: Array) -> GRUPoint:
        size, gate = self.state_size, parse_activation(self.gate_activation).value
        if self.reset == "before":
            z_r, z_z = np.split(
                affine(self.weight_hh[..., : 2 * size, :], state) + drive[..., : 2 * size], 2, axis=-1
            )
            r, seen = gate(z_r), state
            inner = affine(self.weight_hh[..., 2 * size :, :], r * state)
        else:
            recurrent = affine(self.weight_hh, state)
            z_r, z_z = np.split(recurrent[..., : 2 * size] + drive[..., : 2 * size], 2, axis=-1)
            r, seen = gate(z_r), recurrent[..., 2 * size :]
            if self.bias_hn is not None:
                seen = seen + self.bias_hn[..., None, :]
            inner = r * seen
        z_n = drive[..., 2 * size :] + inner
        gates = {"r": r, "z": gate(z_z), "n": parse_activation(self.activation).value(z_n)}
        return GRUPoint({"r": z_r, "z": z_z, "n": z_n}, gates, seen)

    def step(self, state: Array, drive: Array) -> Array:
        """Return (1 − z)⊙n + z⊙h."""
        pre_activations, gates, _ = self._evaluate(state, drive)
        n, z = gates["n"], gates["z"]
        result: Array = n + z * (state - n)
        cancelled = np.abs(result) < MAX_CANCELLED_SHARE * np.abs(n)
        if cancelled.any():  # z is near 1 and h is small beside n: 1 − z keeps its digits
            let_in = parse_activation(self.gate_activation).rest(pre_activations["z"]) * n
            result = np.where(cancelled, let_in + z * state, result)
        return result

    def linearize(self, states: Array, inputs: Array) -> GRUFactor:
        """Return ∂h'/∂h at every step."""
        state = states[..., :-1, :]
        z, gates, seen = self._evaluate(state, self.drive(inputs))
        gate, candidate = parse_activation(self.gate_activation), parse_activation(self.activation)
        return GRUFactor(
            kept=gates["z"],
            update=_compute_gaps(state, gates) * gate.slope(z["z"]),
            # 1 − z keeps its digits if z is near 1
            candidate=gate.rest(z["z"]) * candidate.slope(z["n"]),
            reset=gates["r"],
            reset_slope=seen * gate.slope(z["r"]),
            weight_hh=self.weight_hh,
            weight_ih=self.weight_ih,
            before=self.reset == "before",
        )

    def gates(self, states: Array, inputs: Array) -> list[GateValues]:
        """Return r, z, n at every step."""
        gates = self._evaluate(states[..., :-1, :], self.drive(inputs)).gates
        return [GateValues(1, name, self._gate(name), values) for name, values in gates.items()]

    def uses(self, states: Array, inputs: Array) -> list[dict[str, list[Use]]]:
        """Return the uses of z = W x + U h + b; for n the recurrent term is r⊙(U h + b_hn), or U (r⊙h)."""
        size, before = self.state_size, states[..., :-1, :]
        r, z = self._evaluate(before, self.drive(inputs)).gates["r"], slice(0, 2 * size)
        n, rows, names = slice(2 * size, 3 * size), slice(0, 3 * size), tuple(GRU_GATES)
        uses = {"weight_ih": [Use(names, rows, inputs)], "bias": [Use(names, rows, None, unitwise=True)]}
        if self.reset == "before":
            uses["weight_hh"] = [Use(names[:2], z, before), Use(names[2:], n, r * before)]
        else:
            open_ = np.ones((*r.shape[:-1], 2 * size), r.dtype)
            uses["weight_hh"] = [Use(names, rows, before, np.concatenate([open_, r], axis=-1))]
        if self.bias_hn is not None:
            uses["bias_hn"] = [Use(names[2:], n, None, r, unitwise=True)]
        return [uses]

    def _gate(self, name: str) -> Gate:
        ends = parse_activation(self.activation if name == "n" else self.gate_activation)
        return GRU_GATES[name]._replace(low=ends.low, high=ends.high)

    @classmethod
    def random(
        cls,
        hidden_size: int,
        input_size: int,
        generator: np.random.Generator,
        *,
        reset: ResetPlace = "after",
        update_bias: float | None = None,
        init: InitializationName = "torch",
        gain: float = 1.0,
        horizon: ChronoHorizon = None,
    ) -> "GRU":
        """Return a cell with fresh weights; ``update_bias`` replaces the bias of the update gate.

        A high update bias keeps the old state, as a high forget bias does in an LSTM.
        """
        weights = draw_fresh_weights(
            init, 3, (hidden_size, hidden_size, input_size), gain, generator, horizon
        )
        inside = weights.bias_hh[2 * hidden_size :].copy()
        bias = weights.bias_ih + weights.bias_hh
        bias[2 * hidden_size :] -= inside
        if init == "chrono":
            if update_bias is not None:
                raise UsageError("init=chrono sets the update bias itself: leave update_bias out")
            by_gate = dict(zip(GRU_GATES, bias.reshape(len(GRU_GATES), hidden_size), strict=True))
            spread_chrono_biases(by_gate, GRU_GATES, horizon, generator)
        elif update_bias is not None:
            bias[hidden_size : 2 * hidden_size] = update_bias
        after = reset == "after"
        return cls(weights.weight_ih, weights.weight_hh, bias, inside if after else None, reset)


def _compute_gaps(state: Array, gates: dict[str, Array]) -> Array:
    """Return h − n at every step, (..., points, H), with correct digits even if h and n agree to rounding.

    If they agree, h − n is z⊙(h − n) of the step before plus the change of n. This is used only if it equals
    h − n up to rounding, because the states need not be those of a trajectory.
    """
    n, z = gates["n"], gates["z"]
    gaps = state - n
    sizes = np.abs(state) + np.abs(n)
    cancelled = np.abs(gaps) < MAX_CANCELLED_SHARE * sizes
    cancelled[..., 0, :] = False
    for t in np.nonzero(cancelled.any(axis=(*range(cancelled.ndim - 2), -1)))[0]:
        carried_on = z[..., t - 1, :] * gaps[..., t - 1, :] + (n[..., t - 1, :] - n[..., t, :])
        same = np.abs(carried_on - gaps[..., t, :]) <= GAP_ROUNDING * sizes[..., t, :]
        gaps[..., t, :] = np.where(cancelled[..., t, :] & same, carried_on, gaps[..., t, :])
    return gaps
