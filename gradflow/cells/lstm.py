"""Long short-term memory (Hochreiter & Schmidhuber 1997; Gers et al. 2000), with its common variants.

i = σ(W_i x + U_i h + b_i)    f = σ(W_f x + U_f h + b_f)
g = tanh(W_g x + U_g h + b_g) o = σ(W_o x + U_o h + b_o)
c' = f⊙c + i⊙g                h' = o⊙tanh c'

Variants:
- peephole: i and f also see p_i⊙c and p_f⊙c, and o sees p_o⊙c' (Gers & Schmidhuber 2000; Graves 2013,
  eq. 7–11)
- coupled: i = 1 − f, without an input gate of its own (Greff et al. 2017, variant CIFG)
- forget_gate=off: f = 1 (Hochreiter & Schmidhuber 1997)
- projection: h' = P(o⊙tanh c') (Sak et al. 2014)
- other activations than σ for the gates, and tanh for the candidate and c'
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from gradflow.cells.activations import parse_activation
from gradflow.cells.base import Array, CellPaths, Gate, GateValues, Layer, Use, affine
from gradflow.cells.initialization import (
    ChronoHorizon,
    InitializationName,
    draw_fresh_weights,
    spread_chrono_biases,
)
from gradflow.cells.knob import Knob, make_bias_knob, make_gain_knob
from gradflow.cells.lstm_factor import LSTMFactor
from gradflow.errors import UsageError

LSTM_GATES = {
    "i": Gate("lets the candidate in", 0.0, 1.0, counterpart="f"),
    "f": Gate("keeps the cell state", 0.0, 1.0, retains=True, bias_option="forget_bias"),
    "g": Gate("is the candidate", -1.0, 1.0),
    "o": Gate("lets the cell state out", 0.0, 1.0),
}


class LSTMPoint(NamedTuple):
    """All values of one evaluation of the formulas; arrays (..., points, H)."""

    z: Array  # (..., points, G, H): pre-activations of the gates that have weights
    gates: dict[str, Array]  # i, f, g, o
    before: Array  # c
    cell: Array  # c'


@dataclass(frozen=True, eq=False)
class LSTM(Layer):
    """An LSTM cell; its state is [h; c].

    Attributes
    ----------
    weight_ih : array (..., G·H, I)
        Rows stacked i, f, g, o, without a gate that the variant lacks.
    weight_hh : array (..., G·H, R)
        R is H, or the size of the projection.
    bias : array (..., G·H)
    peephole : array (..., P, H), optional
        Rows p_i, p_f, p_o, without a gate that the variant lacks.
    weight_hr : array (..., R, H), optional
        The projection P.
    coupled, forget_gate : bool
        Whether i = 1 − f, and whether there is a forget gate.
    gate_activation, activation, output_activation : str
        The activation of i, f and o, that of the candidate g, and that of c' in the output.

    Examples
    --------
    If all weights are 0, the forget bias alone decides; σ(0) = 1/2:

    >>> cell, nothing = LSTM(np.zeros((4, 1)), np.zeros((4, 1)), np.zeros(4)), np.zeros((1, 1))
    >>> cell.linearize(cell.run(nothing), nothing).at(0).todense()
    array([[0.  , 0.25],
           [0.  , 0.5 ]])
    """

    gate_kinds: ClassVar[Mapping[str, Gate]] = LSTM_GATES

    weight_ih: Array
    weight_hh: Array
    bias: Array
    peephole: Array | None = None
    weight_hr: Array | None = None
    coupled: bool = False
    forget_gate: bool = True
    gate_activation: str = "sigmoid"
    activation: str = "tanh"
    output_activation: str = "tanh"

    @classmethod
    def choose_knob(cls, options: Mapping[str, Any]) -> Knob:
        """Return the forget bias, which starts at 1 in Keras, or the gain if there is no forget gate."""
        if options.get("forget_gate") is False:
            return make_gain_knob(options)
        return make_bias_knob("forget_bias", options, 1.0 if options.get("init") == "keras" else 0.0)

    @property
    def gate_names(self) -> list[str]:
        """The gates that have weights, in the order of the rows."""
        absent = {"i"} if self.coupled else set() if self.forget_gate else {"f"}
        return [name for name in LSTM_GATES if name not in absent]

    def recurrent(self, gate: str) -> Array:
        """Return the weights of a gate for o⊙tanh c of the last step, with the projection between them."""
        own = super().recurrent(gate)
        return own if self.weight_hr is None else own @ self.weight_hr

    @property
    def state_size(self) -> int:
        """H + R."""
        return self.output_size + self.hidden_size

    @property
    def parts(self) -> Mapping[str, slice]:
        """[h; c]."""
        return {"h": slice(0, self.output_size), "c": slice(self.output_size, self.state_size)}

    def _evaluate(self, state: Array, drive: Array) -> LSTMPoint:
        h, before = state[..., : self.output_size], state[..., self.output_size :]
        stacked = affine(self.weight_hh, h) + drive
        # Axes gate, unit: one sigmoid over all gates is quicker than one for each gate.
        z = stacked.reshape(*stacked.shape[:-1], len(self.gate_names), self.hidden_size)
        place = {name: k for k, name in enumerate(self.gate_names)}
        peephole = self.peepholes()
        for name in ("i", "f"):
            if name in peephole:
                z[..., place[name], :] += peephole[name] * before
        gate = parse_activation(self.gate_activation)
        opened = gate.value(z)
        f = opened[..., place["f"], :] if "f" in place else np.ones_like(before)
        i = opened[..., place["i"], :] if "i" in place else gate.rest(z[..., place["f"], :])
        g = parse_activation(self.activation).value(z[..., place["g"], :])
        cell = f * before + i * g
        o = opened[..., place["o"], :]
        if "o" in peephole:
            z[..., place["o"], :] += peephole["o"] * cell
            o = gate.value(z[..., place["o"], :])
        return LSTMPoint(z, {"i": i, "f": f, "g": g, "o": o}, before, cell)

    def peepholes(self) -> dict[str, Array]:
        """Return the peepholes by gate, each (..., 1, H), or {} if there are none."""
        if self.peephole is None:
            return {}
        names = [name for name in self.gate_names if name != "g"]
        return {name: self.peephole[..., k, None, :] for k, name in enumerate(names)}

    def step(self, state: Array, drive: Array) -> Array:
        """Return [h'; c']."""
        _, gates, _, cell = self._evaluate(state, drive)
        shown = gates["o"] * parse_activation(self.output_activation).value(cell)
        output = shown if self.weight_hr is None else affine(self.weight_hr, shown)
        return np.concatenate([output, cell], axis=-1)

    def linearize(self, states: Array, inputs: Array) -> LSTMFactor:
        """Return ∂[h'; c']/∂[h; c] at every step."""
        point = self._evaluate(states[..., :-1, :], self.drive(inputs))
        slope, peephole, o = self._slopes(point), self.peepholes(), point.gates["o"]
        into_cell = self._into_cell(point, slope)
        kept = point.gates["f"] + sum(
            peephole[name] * into_cell[name] for name in into_cell if name in peephole
        )
        output = parse_activation(self.output_activation)
        through_output = slope["o"] * output.value(point.cell)
        return LSTMFactor(
            kept=kept,
            into_cell=np.stack(list(into_cell.values())),
            through_cell=o * output.slope(point.cell) + peephole.get("o", 0.0) * through_output,
            through_output=through_output,
            weight_hh=self.weight_hh,
            weight_ih=self.weight_ih,
            weight_hr=self.weight_hr,
        )

    def _slopes(self, point: LSTMPoint) -> dict[str, Array]:
        """Return the derivative of each gate that has weights."""
        slopes = parse_activation(self.gate_activation).slope(point.z)
        named = {name: slopes[..., k, :] for k, name in enumerate(self.gate_names)}
        candidate = point.z[..., self.gate_names.index("g"), :]
        return named | {"g": parse_activation(self.activation).slope(candidate)}

    @staticmethod
    def _into_cell(point: LSTMPoint, slope: dict[str, Array]) -> dict[str, Array]:
        """Return ∂c'/∂z of each gate with weights that acts on c'."""
        i, _, g, _ = point.gates.values()
        into = {}
        if "i" in slope:
            into["i"] = slope["i"] * g
        if "f" in slope:  # a coupled cell lets in 1 − f
            into["f"] = slope["f"] * (point.before if "i" in slope else point.before - g)
        into["g"] = i * slope["g"]
        return into

    def gates(self, states: Array, inputs: Array) -> list[GateValues]:
        """Return i, f, g, o at every step, also those that are fixed."""
        gates = self._evaluate(states[..., :-1, :], self.drive(inputs)).gates
        return [GateValues(1, name, self._gate(name), values) for name, values in gates.items()]

    def _gate(self, name: str) -> Gate:
        ends = parse_activation(self.activation if name == "g" else self.gate_activation)
        return LSTM_GATES[name]._replace(low=ends.low, high=ends.high)

    def paths(self, states: Array, inputs: Array) -> CellPaths:
        """Return the direct path and those through f, i and g; a fixed gate has no path."""
        point = self._evaluate(states[..., :-1, :], self.drive(inputs))
        _, f, g, o = point.gates.values()
        slope = self._slopes(point)
        into = self._into_cell(point, slope)
        if self.coupled:  # one gate has two roles: it keeps c, and lets g in
            into |= {"f": slope["f"] * point.before, "i": -slope["f"] * g}
        peephole = self.peepholes()
        weight = {name: self.recurrent(name if name in self.blocks else "f") for name in into}
        return CellPaths(
            direct=f[..., 1:, :],
            delta=(o * parse_activation(self.output_activation).slope(point.cell))[..., :-1, :],
            into={name: a[..., 1:, :] for name, a in into.items()},
            weight=weight,
            peephole={
                name: peephole["f" if self.coupled else name][..., 0, :]
                for name in into
                if ("f" if self.coupled else name) in peephole and name != "g"
            },
        )

    def uses(self, states: Array, inputs: Array) -> list[dict[str, list[Use]]]:
        """Return the uses of z = W x + U h + b + p⊙c, and of h' = P m with m = o⊙tanh c'."""
        names, before = tuple(self.gate_names), states[..., :-1, :]
        rows = slice(0, len(names) * self.hidden_size)
        uses = {
            "weight_ih": [Use(names, rows, inputs)],
            "weight_hh": [Use(names, rows, before[..., : self.output_size])],
            "bias": [Use(names, rows, None, unitwise=True)],
        }
        point = self._evaluate(before, self.drive(inputs))
        if self.peephole is not None:
            uses["peephole"] = [
                Use((name,), self.blocks[name], point.cell if name == "o" else point.before, unitwise=True)
                for name in self.peepholes()
            ]
        if self.weight_hr is not None:
            shown = point.gates["o"] * parse_activation(self.output_activation).value(point.cell)
            uses["weight_hr"] = [Use(("h",), slice(rows.stop, rows.stop + self.output_size), shown)]
        return [uses]

    @classmethod
    def random(
        cls,
        hidden_size: int,
        input_size: int,
        generator: np.random.Generator,
        *,
        forget_bias: float | None = None,
        peephole: bool = False,
        coupled: bool = False,
        forget_gate: bool = True,
        projection: int | None = None,
        init: InitializationName = "torch",
        gain: float = 1.0,
        horizon: ChronoHorizon = None,
    ) -> "LSTM":
        """Return a cell with fresh weights; ``forget_bias`` replaces the bias of the forget gate.

        Peepholes are uniform on ±1/√H, and so is a projection, as in torch.
        """
        if coupled and not forget_gate:
            raise UsageError("coupled=on ties the input gate to the forget gate: expected forget_gate=on")
        if projection is not None and projection > hidden_size:
            raise UsageError(f"projection={projection}: expected at most the hidden size, {hidden_size}")
        sizes = (hidden_size, projection or hidden_size, input_size)
        absent = "i" if coupled else "" if forget_gate else "f"
        names = [name for name in LSTM_GATES if name != absent]
        weights = draw_fresh_weights(init, len(names), sizes, gain, generator, horizon)
        bias = weights.bias_ih + weights.bias_hh
        by_gate = dict(zip(names, bias.reshape(len(names), hidden_size), strict=True))
        _set_biases(by_gate, init, forget_bias, horizon, generator)

        def uniform(rows: int, size: int) -> Array:
            return np.asarray(generator.uniform(-1.0, 1.0, (rows, hidden_size)) / np.sqrt(size))

        return cls(
            weights.weight_ih,
            weights.weight_hh,
            bias,
            uniform(len(names) - 1, hidden_size) if peephole else None,
            uniform(projection, hidden_size) if projection else None,
            coupled,
            forget_gate,
        )


def _set_biases(
    by_gate: dict[str, Array],
    init: str,
    forget_bias: float | None,
    horizon: float | None,
    generator: np.random.Generator,
) -> None:
    """Set the biases that the initialization or the user chooses, in place."""
    if "f" not in by_gate and (forget_bias is not None or init == "chrono"):
        wish = "init=chrono" if init == "chrono" else "forget_bias"
        raise UsageError(
            f"{wish} sets the forget gate's bias, and forget_gate=off leaves none; leave one out"
        )
    if init == "chrono":
        if forget_bias is not None:
            raise UsageError("init=chrono sets the forget bias itself: leave forget_bias out")
        spread_chrono_biases(by_gate, LSTM_GATES, horizon, generator)
    elif init == "keras" and "f" in by_gate:  # unit_forget_bias (Jozefowicz et al. 2015)
        by_gate["f"][:] = 1.0
    if forget_bias is not None:
        by_gate["f"][:] = forget_bias
