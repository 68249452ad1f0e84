"""Reference gradients of losses along a run, by torch autograd in float64.

Run ``python tests/oracles/torch_gradients.py`` after ``torch_cells.py``; it writes
``torch_gradients.npz`` beside itself. The stored file was made with torch 2.13.0 on the CPU. Reading it
needs numpy only.

The cases, their weights, inputs and initial states are those of ``torch_cells.npz``, which is checked;
they are not stored again. With h_t the output of the highest layer after step t = 1 ... T, of R numbers, and
the initial state a constant, the losses are

- ``final``: 1/2 |h_T - y_T|^2;
- ``mean``: (1/T) sum_t 1/2 |h_t - y_t|^2;
- ``random``: (1/T) sum_t r . h_t.

The network is stepped input by input, all layers at each, with torch's own modules wherever torch has
the cell. Every step may have weights of its own: those of step k are then reached by k's use alone, so
that reverse-mode differentiation gives the parts of backpropagation through time, of

    dL/dtheta = sum_t sum_{k<=t} dL_t/ds_t . ds_t/ds_k . d+s_k/dtheta,

where L = sum_t L_t, s is the state of all layers together, and d+ holds s_{k-1} fixed.

Keys are ``<case>|<what>``, the case being the specification of the cell, with

- ``targets`` (T, R): y; ``readout`` (R,): r;
- ``loss.<loss>`` (): its value;
- ``<loss>.layer<l>.<parameter>``: its gradient, shaped like ``layer<l>.<parameter>`` in
  ``torch_cells.npz``. Where that ``bias`` is the sum of torch's two, it is also the gradient of either;
- ``parts.layer<l>.weight_hh`` (T, T, rows, columns), for the lowest and the highest layer: entry
  [t-1, k-1] is what the use at step k contributes to the gradient of L_t, a term of ``mean``. It is zero
  for k > t.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch_cells
from torch import Tensor
from torch.func import functional_call
from torch_cells import HIDDEN, STEPS, Arrays, Network, TorchNetwork, Weights, draw, specifications, uniform

Layers = list[Weights]  # in the stored layout, the lowest first
Tensors = dict[str, Tensor]
Errors = list[tuple[str, str, float]]  # the check, what it looked at, by how much that differs

# What a check may differ by, relatively.
LIMITS = {"parts": 1e-13, "whole run": 1e-12, "finite difference": 1e-6}

DIFFERENCE = 1e-5


# ---------------------------------------------------------------------------------------------------
# A run, as a function of the weights of each step


class Run(NamedTuple):
    """What the losses are taken of."""

    network: Network
    inputs: Tensor
    initial: Tensor
    y: Tensor
    r: Tensor


def call(network: TorchNetwork, own: Tensors, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Return the outputs (T, R) of the highest layer and the last state (n,), `own` for the parameters."""
    layers = state.reshape(network.module.num_layers, -1)
    h, *c = (part.contiguous() for part in layers.split(network.parts, dim=1))
    shown, final = functional_call(network.module, own, (inputs, (h, *c) if c else h))
    return shown, (torch.cat(final, dim=1) if c else final).reshape(-1)


def torch_parameters(layers: Layers) -> Tensors:
    """Return the weights as torch's modules name them; the second bias holds b_hn, if any, and zeros."""
    parameters = {}
    for layer, w in enumerate(layers):
        inner = torch.zeros_like(w["bias"])
        if "bias_hn" in w:
            inner = torch.cat([inner[:-HIDDEN], w["bias_hn"]])
        own = {name: value for name, value in w.items() if name.startswith("weight")}
        own |= {"bias_ih": w["bias"], "bias_hh": inner}
        parameters |= {f"{name}_l{layer}": value for name, value in own.items()}
    return parameters


def step(network: Network, layers: Layers, x: Tensor, state: Tensor) -> Tensor:
    """Return the state (n,) after one input."""
    if isinstance(network, TorchNetwork):
        return call(network, torch_parameters(layers), x[None], state)[1]
    moved = []
    for w, own in zip(layers, state.reshape(len(layers), -1), strict=True):
        parts = network.cell.step(w, x, *own.split(network.cell.parts))
        moved.extend(parts)
        x = parts[0]
    return torch.cat(moved)


def part_sizes(network: Network) -> tuple[int, ...]:
    """Return how many numbers each part of a layer's state has, h first."""
    return network.parts if isinstance(network, TorchNetwork) else network.cell.parts


def outputs(run: Run, weights: Sequence[Layers]) -> Tensor:
    """Return h_1 ... h_T of the highest layer, (T, R), step k being made with weights[k - 1]."""
    sizes, state, shown = part_sizes(run.network), run.initial, []
    for layers, x in zip(weights, run.inputs, strict=True):
        state = step(run.network, layers, x, state)
        shown.append(state[-sum(sizes) :][: sizes[0]])
    return torch.stack(shown)


# ---------------------------------------------------------------------------------------------------
# Losses and their derivatives


def terms(h: Tensor, y: Tensor) -> Tensor:
    """Return L_1 ... L_T, whose sum is the loss ``mean``."""
    return ((h - y) ** 2).sum(dim=1) / (2 * len(h))


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "final": lambda h, y, r: ((h[-1] - y[-1]) ** 2).sum() / 2,
    "mean": lambda h, y, r: terms(h, y).sum(),
    "random": lambda h, y, r: (h @ r).mean(),
}


def losses(run: Run, h: Tensor) -> Tensors:
    """Return the value of every loss."""
    return {name: loss(h, run.y, run.r) for name, loss in LOSSES.items()}


def leaves(network: Network) -> Layers:
    """Return a copy of the weights, by which can be differentiated."""
    return [{name: w.clone().requires_grad_() for name, w in layer.items()} for layer in network.weights()]


def by_name(layers: Layers) -> Tensors:
    """Return the weights of all layers by ``layer<l>.<parameter>``."""
    return {f"layer{k}.{name}": w for k, layer in enumerate(layers) for name, w in layer.items()}


def gradients(values: Tensors, weights: Tensors) -> Tensors:
    """Return d value / d weight by ``<value>.<weight>``."""
    found = {}
    for name, value in values.items():
        slopes = torch.autograd.grad(value, list(weights.values()), retain_graph=True)
        found |= {f"{name}.{weight}": slope for weight, slope in zip(weights, slopes, strict=True)}
    return found


def parts(run: Run, layer: int) -> Tensor:
    """Return what the use of a layer's weight_hh at step k adds to the gradient of L_t, (T, T, ...)."""
    each = [leaves(run.network) for _ in run.inputs]
    copies = [layers[layer]["weight_hh"] for layers in each]
    found = torch.zeros(len(each), len(each), *copies[0].shape, dtype=torch.float64)
    for t, loss in enumerate(terms(outputs(run, each), run.y)):
        found[t, : t + 1] = torch.stack(torch.autograd.grad(loss, copies[: t + 1], retain_graph=True))
    return found


def reference(run: Run) -> Tensors:
    """Return everything stored for one case."""
    layers = leaves(run.network)
    values = losses(run, outputs(run, [layers] * STEPS))
    results = {"targets": run.y, "readout": run.r}
    results |= {f"loss.{name}": value.detach() for name, value in values.items()}
    results |= gradients(values, by_name(layers))
    return results | {f"parts.layer{k}.weight_hh": parts(run, k) for k in sorted({0, len(layers) - 1})}


# ---------------------------------------------------------------------------------------------------
# Checks


def whole_run(run: Run) -> Tensors:
    """Return the gradients by the parameters of torch's module itself, called once over all inputs."""
    module, names = run.network.module, by_name(run.network.weights())
    own = {name: value.clone().requires_grad_() for name, value in module.named_parameters()}
    h, _ = call(run.network, own, run.inputs, run.initial)
    slopes, found = gradients(losses(run, h), own), {}
    for loss, (layer, weight) in product(LOSSES, (name.split(".") for name in names)):
        theirs = {"bias": "bias_ih", "bias_hn": "bias_hh"}.get(weight, weight)
        slope = slopes[f"{loss}.{theirs}_{layer.replace('layer', 'l')}"]
        found[f"{loss}.{layer}.{weight}"] = slope[-HIDDEN:] if weight == "bias_hn" else slope
    return found


def finite_differences(run: Run, along: Layers) -> Tensors:
    """Return the change of every loss along a direction of all weights, by central differences."""

    def moved(size: float) -> Tensors:
        pairs = zip(run.network.weights(), along, strict=True)
        layers = [{name: w + size * d[name] for name, w in layer.items()} for layer, d in pairs]
        return losses(run, outputs(run, [layers] * STEPS))

    ahead, behind = moved(DIFFERENCE), moved(-DIFFERENCE)
    return {loss: (ahead[loss] - behind[loss]) / (2 * DIFFERENCE) for loss in LOSSES}


def errors(run: Run, case: Tensors, along: Layers) -> Errors:
    """Return by how much each check fails, relatively."""
    found = []

    def compare(kind: str, what: str, ours: Tensor, expected: Tensor) -> None:
        found.append((kind, what, float((ours - expected).norm() / expected.norm())))

    for name in (name for name in case if name.startswith("parts.")):
        compare("parts", name, case[name].sum(dim=(0, 1)), case[name.replace("parts", "mean")])
    if isinstance(run.network, TorchNetwork):
        for name, expected in whole_run(run).items():
            compare("whole run", name, case[name], expected)
    for loss, measured in finite_differences(run, along).items():
        slope = torch.stack([(case[f"{loss}.{name}"] * d).sum() for name, d in by_name(along).items()]).sum()
        compare("finite difference", loss, slope, measured)
    return found


def check(name: str, found: Errors) -> None:
    """Raise if an error is above its limit, or is nan because the gradient vanishes."""
    for kind, what, error in found:
        if not error <= LIMITS[kind]:
            raise ArithmeticError(f"{name}: {what} is refused by the check by {kind}, at {error:.1e}")


# ---------------------------------------------------------------------------------------------------
# All cases


def redraw(name: str, build: Callable[[torch.Generator], Network], stored: Arrays) -> tuple[Run, Layers]:
    """Return a case, which must be the stored one, with targets, readout, and a direction of its weights."""
    network, cell = draw(name, build)
    for what in (what for what in cell if what.startswith("layer") or what in ("inputs", "initial")):
        if not np.array_equal(cell[what], stored[f"{name}|{what}"]):
            raise ArithmeticError(f"{name}: {what} is not that of torch_cells.npz; run torch_cells.py first")
    # Not the seed of the case itself, whose first numbers are its weights.
    generator = torch.Generator().manual_seed(zlib.crc32(f"{name}|loss".encode()))
    size, weights = part_sizes(network)[0], network.weights()
    y, r = uniform((STEPS, size), generator), uniform((size,), generator)
    run = Run(network, torch.from_numpy(cell["inputs"]), torch.from_numpy(cell["initial"]), y, r)
    return run, [{key: uniform(w.shape, generator) for key, w in layer.items()} for layer in weights]


def main() -> None:
    """Compute and check all cases, then write them."""
    arrays: Arrays = {}
    stored = np.load(Path(torch_cells.__file__).with_suffix(".npz"))
    for name, build in specifications():
        run, along = redraw(name, build, stored)
        case = reference(run)
        check(name, errors(run, case, along))
        arrays |= {f"{name}|{what}": tensor.numpy() for what, tensor in case.items()}
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **arrays)


if __name__ == "__main__":
    main()
