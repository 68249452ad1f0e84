"""Reference trajectories and Jacobians of recurrent cells, by torch autograd in float64.

Run ``python tests/oracles/torch_cells.py``; it writes ``torch_cells.npz`` beside itself. The stored
file was made with torch 2.13.0 on the CPU. Reading it needs numpy only.

The Jacobians come from reverse-mode differentiation of the whole step, never from a formula for the
derivative, so they are independent of any closed form they are compared with. Cells which torch has
are torch's own modules (``torch.nn.RNN``, ``LSTM``, ``GRU``); the others are written below from the
equations of the papers:

- S. Hochreiter, J. Schmidhuber, Long short-term memory, 1997 (no forget gate);
- F. Gers, J. Schmidhuber, Recurrent nets that time and count, 2000, and A. Graves, Generating
  sequences with recurrent neural networks, 2013, eq. 7-11 (peepholes);
- H. Jaeger et al., Optimization and applications of echo state networks with leaky-integrator neurons,
  2007, eq. 3 (leaky);
- K. Cho et al., Learning phrase representations using RNN encoder-decoder, 2014 (reset before).

Keys are ``<case>|<what>``, the case being the specification of the cell, with

- ``layer<l>.<parameter>``: the weights. Rows are stacked gate by gate: i, f, g, o (lstm, without the
  gates the variant lacks) or r, z, n (gru). ``weight_ih`` and ``weight_hh`` act on the input and on h,
  ``bias`` is the sum of torch's two biases. ``bias_hn`` (gru, reset after) is the one bias that cannot
  be merged, since the reset gate multiplies it; there the n rows of ``bias`` hold b_in alone.
  ``peephole`` has one row for each of i, f, o which exists, ``weight_hr`` is the projection of h;
- ``inputs`` (T, I), ``initial`` (n,), ``states`` (T, n): the state after each step;
- ``jacobians`` (T, n, n): d s_t / d s_{t-1};
- ``product`` (n, n): d s_T / d s_0, differentiated through the unrolled run in one go.

The state is laid out layer after layer, in each layer h (rnn, leaky, gru) or h then c (lstm). The input of a
layer above the first is the new h of the layer below, at the same step.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.functional import jacobian

HIDDEN, INPUT, STEPS, PROJECTION = 4, 3, 5, 3

# Torch's default is +-1/sqrt(H) = +-0.5; wider weights drive the gates away from their linear range.
WEIGHT_RANGE = 0.8

# The derivative of relu jumps at 0, so that there rounding alone could decide the reference.
KINK_MARGIN = 1e-3

Weights = dict[str, Tensor]
Parts = tuple[Tensor, ...]
Arrays = dict[str, NDArray[np.float64]]


# ---------------------------------------------------------------------------------------------------
# The cells torch does not have. Each takes the weights of its layer, the input and the parts of the
# state, and returns the new parts, h first. The variants share no code beyond the affine map: this is
# repetitive, but every function can be held against its paper without following branches.


def affine(w: Weights, x: Tensor, h: Tensor) -> Parts:
    """Return W x + U h + b, split into one pre-activation per gate."""
    return (w["weight_ih"] @ x + w["weight_hh"] @ h + w["bias"]).split(HIDDEN)


def rnn_sigmoid(w: Weights, x: Tensor, h: Tensor) -> Parts:
    """Elman network with logistic units."""
    (a,) = affine(w, x, h)
    return (torch.sigmoid(a),)


def rnn_identity(w: Weights, x: Tensor, h: Tensor) -> Parts:
    """Linear network, whose Jacobian is the recurrent matrix everywhere."""
    (a,) = affine(w, x, h)
    return (a,)


def leaky(w: Weights, x: Tensor, h: Tensor, *, a: float, phi: Callable[[Tensor], Tensor]) -> Parts:
    """Jaeger et al. 2007, eq. 3: a unit replaces the share a of its state."""
    (z,) = affine(w, x, h)
    return ((1 - a) * h + a * phi(z),)


def lstm_peephole(w: Weights, x: Tensor, h: Tensor, c: Tensor) -> Parts:
    """Gers and Schmidhuber 2000; Graves 2013, eq. 7-11. The output gate sees the new cell."""
    a_i, a_f, a_g, a_o = affine(w, x, h)
    p_i, p_f, p_o = w["peephole"]
    i = torch.sigmoid(a_i + p_i * c)
    f = torch.sigmoid(a_f + p_f * c)
    c = f * c + i * torch.tanh(a_g)
    o = torch.sigmoid(a_o + p_o * c)
    return o * torch.tanh(c), c


def lstm_coupled(w: Weights, x: Tensor, h: Tensor, c: Tensor) -> Parts:
    """Input gate tied to the forget gate, i = 1 - f."""
    a_f, a_g, a_o = affine(w, x, h)
    f = torch.sigmoid(a_f)
    c = f * c + (1 - f) * torch.tanh(a_g)
    o = torch.sigmoid(a_o)
    return o * torch.tanh(c), c


def lstm_without_forget(w: Weights, x: Tensor, h: Tensor, c: Tensor) -> Parts:
    """Hochreiter and Schmidhuber 1997: the cell only accumulates, f = 1."""
    a_i, a_g, a_o = affine(w, x, h)
    i = torch.sigmoid(a_i)
    c = c + i * torch.tanh(a_g)
    o = torch.sigmoid(a_o)
    return o * torch.tanh(c), c


def lstm_peephole_coupled(w: Weights, x: Tensor, h: Tensor, c: Tensor) -> Parts:
    """Peepholes with i = 1 - f, so that the input gate sees the old cell through p_f."""
    a_f, a_g, a_o = affine(w, x, h)
    p_f, p_o = w["peephole"]
    f = torch.sigmoid(a_f + p_f * c)
    c = f * c + (1 - f) * torch.tanh(a_g)
    o = torch.sigmoid(a_o + p_o * c)
    return o * torch.tanh(c), c


def lstm_peephole_without_forget(w: Weights, x: Tensor, h: Tensor, c: Tensor) -> Parts:
    """Peepholes with f = 1."""
    a_i, a_g, a_o = affine(w, x, h)
    p_i, p_o = w["peephole"]
    i = torch.sigmoid(a_i + p_i * c)
    c = c + i * torch.tanh(a_g)
    o = torch.sigmoid(a_o + p_o * c)
    return o * torch.tanh(c), c


def lstm_peephole_projection(w: Weights, x: Tensor, h: Tensor, c: Tensor) -> Parts:
    """Peepholes with a projected output; they look at the cell, which keeps its H numbers."""
    a_i, a_f, a_g, a_o = affine(w, x, h)
    p_i, p_f, p_o = w["peephole"]
    i = torch.sigmoid(a_i + p_i * c)
    f = torch.sigmoid(a_f + p_f * c)
    c = f * c + i * torch.tanh(a_g)
    o = torch.sigmoid(a_o + p_o * c)
    return w["weight_hr"] @ (o * torch.tanh(c)), c


def lstm_coupled_projection(w: Weights, x: Tensor, h: Tensor, c: Tensor) -> Parts:
    """Tied gates, i = 1 - f, with a projected output."""
    a_f, a_g, a_o = affine(w, x, h)
    f = torch.sigmoid(a_f)
    c = f * c + (1 - f) * torch.tanh(a_g)
    o = torch.sigmoid(a_o)
    return w["weight_hr"] @ (o * torch.tanh(c)), c


def gru_reset_before(w: Weights, x: Tensor, h: Tensor) -> Parts:
    """Cho et al. 2014: the reset gate acts on h before the recurrent matrix does."""
    w_r, w_z, w_n = w["weight_ih"].split(HIDDEN)
    u_r, u_z, u_n = w["weight_hh"].split(HIDDEN)
    b_r, b_z, b_n = w["bias"].split(HIDDEN)
    r = torch.sigmoid(w_r @ x + u_r @ h + b_r)
    z = torch.sigmoid(w_z @ x + u_z @ h + b_z)
    n = torch.tanh(w_n @ x + u_n @ (r * h) + b_n)
    return ((1 - z) * n + z * h,)


@dataclass(frozen=True)
class PaperCell:
    """A step written out above, with what is needed to draw weights for it."""

    step: Callable[..., Parts]
    gates: int
    parts: tuple[int, ...] = (HIDDEN,)
    peepholes: int = 0

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of every parameter of a layer with that many inputs."""
        rows, outputs = self.gates * HIDDEN, self.parts[0]
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, inputs),
            "weight_hh": (rows, outputs),
            "bias": (rows,),
        }
        if self.peepholes:
            shapes["peephole"] = (self.peepholes, HIDDEN)
        if outputs != HIDDEN:
            shapes["weight_hr"] = (outputs, HIDDEN)
        return shapes


LSTM, PROJECTED = (HIDDEN, HIDDEN), (PROJECTION, HIDDEN)

PAPER_CELLS = {
    "rnn:activation=sigmoid": PaperCell(rnn_sigmoid, 1),
    "rnn:activation=identity": PaperCell(rnn_identity, 1),
    "leaky": PaperCell(partial(leaky, a=0.1, phi=torch.tanh), 1),
    "leaky:a=0.7": PaperCell(partial(leaky, a=0.7, phi=torch.tanh), 1),
    "leaky:activation=sigmoid": PaperCell(partial(leaky, a=0.1, phi=torch.sigmoid), 1),
    "lstm:peephole=on": PaperCell(lstm_peephole, 4, LSTM, 3),
    "lstm:coupled=on": PaperCell(lstm_coupled, 3, LSTM),
    "lstm:forget_gate=off": PaperCell(lstm_without_forget, 3, LSTM),
    "lstm:peephole=on,coupled=on": PaperCell(lstm_peephole_coupled, 3, LSTM, 2),
    "lstm:peephole=on,forget_gate=off": PaperCell(lstm_peephole_without_forget, 3, LSTM, 2),
    f"lstm:peephole=on,projection={PROJECTION}": PaperCell(lstm_peephole_projection, 4, PROJECTED, 3),
    f"lstm:coupled=on,projection={PROJECTION}": PaperCell(lstm_coupled_projection, 3, PROJECTED),
    "gru:reset=before": PaperCell(gru_reset_before, 3),
}

TORCH_CELLS: dict[str, Callable[..., nn.RNNBase]] = {
    "rnn": partial(nn.RNN, INPUT, HIDDEN),
    "rnn:activation=relu": partial(nn.RNN, INPUT, HIDDEN, nonlinearity="relu"),
    "lstm": partial(nn.LSTM, INPUT, HIDDEN),
    f"lstm:projection={PROJECTION}": partial(nn.LSTM, INPUT, HIDDEN, proj_size=PROJECTION),
    "gru": partial(nn.GRU, INPUT, HIDDEN),
}


# ---------------------------------------------------------------------------------------------------
# Networks: a stack of cells as one map of (inputs, state) to the state after the last input.


def uniform(shape: tuple[int, ...] | torch.Size, generator: torch.Generator) -> Tensor:
    """Draw from the uniform distribution on +-WEIGHT_RANGE."""
    unit = torch.rand(shape, generator=generator, dtype=torch.float64)
    return WEIGHT_RANGE * (2 * unit - 1)


class Network(Protocol):
    """What the reference is computed from."""

    size: int

    def run(self, inputs: Tensor, state: Tensor) -> Tensor:
        """Return the state after all of `inputs`, starting at `state`."""
        ...

    def weights(self) -> list[Weights]:
        """Return the parameters of each layer in the stored layout."""
        ...


class PaperNetwork:
    """Stack of a cell written out above."""

    def __init__(self, cell: PaperCell, layers: int, generator: torch.Generator) -> None:
        self.cell = cell
        self.size = layers * sum(cell.parts)
        self.layers: list[Weights] = []
        for layer in range(layers):
            shapes = cell.shapes(cell.parts[0] if layer else INPUT)
            self.layers.append({name: uniform(shape, generator) for name, shape in shapes.items()})

    def run(self, inputs: Tensor, state: Tensor) -> Tensor:
        """Return the state after all of `inputs`, starting at `state`.

        Each layer consumes the whole sequence before the next one starts. Stepping the stack input
        by input visits layers and times in the other order, so comparing the two is a real test.
        """
        final = []
        for w, own in zip(self.layers, state.reshape(len(self.layers), -1), strict=True):
            parts = own.split(self.cell.parts)
            outputs = []
            for x in inputs:
                parts = self.cell.step(w, x, *parts)
                outputs.append(parts[0])
            inputs = torch.stack(outputs)
            final.extend(parts)
        return torch.cat(final)

    def weights(self) -> list[Weights]:
        """Return the parameters of each layer in the stored layout."""
        return self.layers


class TorchNetwork:
    """One of torch's own modules, called as it is."""

    def __init__(self, module: nn.RNNBase, generator: torch.Generator) -> None:
        self.module = module.double().requires_grad_(False)
        for parameter in self.module.parameters():
            parameter.copy_(uniform(parameter.shape, generator))
        outputs = module.proj_size or module.hidden_size
        self.parts = (outputs, module.hidden_size) if module.mode == "LSTM" else (outputs,)
        self.size = module.num_layers * sum(self.parts)

    def run(self, inputs: Tensor, state: Tensor) -> Tensor:
        """Return the state after all of `inputs`, starting at `state`."""
        layers = state.reshape(self.module.num_layers, -1)
        h, *c = (part.contiguous() for part in layers.split(self.parts, dim=1))
        _, final = self.module(inputs, (h, *c) if c else h)
        return (torch.cat(final, dim=1) if c else final).reshape(-1)

    def weights(self) -> list[Weights]:
        """Return the parameters of each layer in the stored layout."""
        return [self._layer(layer) for layer in range(self.module.num_layers)]

    def _layer(self, layer: int) -> Weights:
        own = {name: getattr(self.module, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh")}
        b_i, b_h = (getattr(self.module, f"bias_{side}h_l{layer}") for side in "ih")
        own["bias"] = b_i + b_h
        if self.module.mode == "GRU":
            # n = tanh(W x + b_in + r * (U h + b_hn)): only r and z see the sum of their biases.
            own["bias"][-HIDDEN:] = b_i[-HIDDEN:]
            own["bias_hn"] = b_h[-HIDDEN:]
        if self.module.proj_size:
            own["weight_hr"] = getattr(self.module, f"weight_hr_l{layer}")
        return own


# ---------------------------------------------------------------------------------------------------
# References


def reference(network: Network, generator: torch.Generator) -> Arrays:
    """Return everything stored for one case."""
    inputs = torch.randn(STEPS, INPUT, generator=generator, dtype=torch.float64)
    initial = uniform((network.size,), generator)
    states, jacobians = [initial], []
    for x in inputs.split(1):
        jacobians.append(jacobian(partial(network.run, x), states[-1]))
        states.append(network.run(x, states[-1]))
    results = {
        "inputs": inputs,
        "initial": initial,
        "states": torch.stack(states[1:]),
        "jacobians": torch.stack(jacobians),
        "product": jacobian(partial(network.run, inputs), initial),
    }
    for layer, weights in enumerate(network.weights()):
        results |= {f"layer{layer}.{name}": weight for name, weight in weights.items()}
    return {what: tensor.detach().numpy() for what, tensor in results.items()}


def is_generic_for_relu(case: Arrays) -> bool:
    """Tell whether no unit is near the kink, and each layer has units on both sides of it each step.

    A layer with all units off has a zero Jacobian, and so has the product then: it would test nothing.
    With all units on, the layer is linear.
    """
    x = case["inputs"]
    trajectory = np.vstack([case["initial"], case["states"]]).reshape(STEPS + 1, -1, HIDDEN)
    for layer in range(trajectory.shape[1]):
        weight_ih, weight_hh, bias = (case[f"layer{layer}.{w}"] for w in ("weight_ih", "weight_hh", "bias"))
        h = trajectory[:, layer]
        a = x @ weight_ih.T + h[:-1] @ weight_hh.T + bias
        active = (a > 0).sum(axis=1)
        if np.abs(a).min() < KINK_MARGIN or active.min() == 0 or active.max() == HIDDEN:
            return False
        x = h[1:]
    return True


def check(name: str, network: Network, case: Arrays) -> None:
    """Raise if stepping and unrolling disagree, in the states or in the derivative."""
    inputs, initial = (torch.from_numpy(case[what]) for what in ("inputs", "initial"))
    # Torch returns all layers at the last step only, hence a run for each prefix of the inputs.
    unrolled = np.stack([network.run(inputs[: t + 1], initial).numpy() for t in range(STEPS)])
    if (error := np.abs(unrolled - case["states"]).max()) > 1e-13:
        raise ArithmeticError(f"{name}: states of single steps and of the whole run differ by {error:.1e}")
    chained = reduce(lambda product, step: step @ product, case["jacobians"])
    error = np.linalg.norm(chained - case["product"]) / np.linalg.norm(case["product"])
    # Written so that a vanishing product, for which the error is nan, is refused too.
    if not error <= 1e-12:
        raise ArithmeticError(f"{name}: the chain rule is violated by {error:.1e}, relatively")


def specifications() -> Iterator[tuple[str, Callable[[torch.Generator], Network]]]:
    """Yield the name of every case and a function that draws a network for it."""

    def name(spec: str, layers: int) -> str:
        return spec if layers == 1 else f"{spec}{',' if ':' in spec else ':'}layers={layers}"

    for spec, module in TORCH_CELLS.items():
        for layers in (1, 2, 3):
            yield name(spec, layers), partial(TorchNetwork, module(num_layers=layers))
    for spec, cell in PAPER_CELLS.items():
        for layers in (1, 2):
            yield name(spec, layers), partial(PaperNetwork, cell, layers)


def draw(name: str, build: Callable[[torch.Generator], Network]) -> tuple[Network, Arrays]:
    """Return the network and the reference of one case."""
    # The seed hangs on the name alone, so that adding a case leaves the others as they are.
    seed = zlib.crc32(name.encode())
    while True:
        generator = torch.Generator().manual_seed(seed)
        network = build(generator)
        case = reference(network, generator)
        if "relu" not in name or is_generic_for_relu(case):
            return network, case
        seed += 1


def main() -> None:
    """Compute and check all cases, then write them."""
    arrays: Arrays = {}
    for name, build in specifications():
        network, case = draw(name, build)
        check(name, network, case)
        arrays |= {f"{name}|{what}": array for what, array in case.items()}
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **arrays)


if __name__ == "__main__":
    main()
