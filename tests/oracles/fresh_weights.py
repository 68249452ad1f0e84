"""Weights of ``gradflow.init`` as torch and Keras take them, and what they compute with them.

Run ``python tests/oracles/fresh_weights.py``; it writes nothing that stays, and fails where a framework does
not take the arrays as they are, or computes other states or another ratio of norms from them.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

import gradflow

HIDDEN, FEATURES, HORIZON = 6, 3, 40
FIRST, STATES = 8, 1e-5  # steps after which float32 is still that near; next to chaos it does not stay so
RATIO = 1e-10  # decades

TORCH = {
    "rnn": torch.nn.RNN(FEATURES, HIDDEN),
    "rnn:activation=relu,init=orthogonal": torch.nn.RNN(FEATURES, HIDDEN, nonlinearity="relu"),
    "rnn:layers=2,init=orthogonal": torch.nn.RNN(FEATURES, HIDDEN, num_layers=2),
    "lstm": torch.nn.LSTM(FEATURES, HIDDEN),
    "lstm:init=chrono": torch.nn.LSTM(FEATURES, HIDDEN),
    "lstm:projection=4": torch.nn.LSTM(FEATURES, HIDDEN, proj_size=4),
    "lstm:layers=2,init=keras": torch.nn.LSTM(FEATURES, HIDDEN, num_layers=2),
    "gru": torch.nn.GRU(FEATURES, HIDDEN),
    "gru:layers=3": torch.nn.GRU(FEATURES, HIDDEN, num_layers=3),
}
KERAS = {
    "rnn": keras.layers.SimpleRNN(HIDDEN, return_sequences=True),
    "rnn:activation=sigmoid": keras.layers.SimpleRNN(HIDDEN, activation="sigmoid", return_sequences=True),
    "lstm": keras.layers.LSTM(HIDDEN, return_sequences=True),
    "lstm:init=keras": keras.layers.LSTM(HIDDEN, return_sequences=True),
    "gru": keras.layers.GRU(HIDDEN, return_sequences=True),
    "gru:reset=before": keras.layers.GRU(HIDDEN, reset_after=False, return_sequences=True),
}


def inputs() -> NDArray[np.float64]:
    """Return the inputs that the first draw was tuned on."""
    return np.random.default_rng([0, 0, 0]).standard_normal((HORIZON, FEATURES))


def initialized(cell: str, file: Path, layout: str) -> gradflow.Tuned:
    """Write tuned weights."""
    return gradflow.init(
        cell, hidden=HIDDEN, features=FEATURES, horizon=HORIZON, seeds=1, output=file, layout=layout
    )


def ratio(module: torch.nn.RNNBase) -> float:
    """Return log10 of the norm of ds_N/ds_0 over that of ds_N/ds_{N-1}, by autograd through the module."""
    module = module.double()
    fed, layers = torch.from_numpy(inputs()), module.num_layers
    shown = module.proj_size or module.hidden_size
    sizes = [shown, module.hidden_size] if module.mode == "LSTM" else [module.hidden_size]

    def moved(state: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        parts = [part.reshape(layers, -1) for part in state.split([layers * size for size in sizes])]
        _, end = module(steps, tuple(parts) if len(parts) > 1 else parts[0])
        return torch.cat([one.reshape(-1) for one in (end if isinstance(end, tuple) else (end,))])

    def norm(state: torch.Tensor, steps: torch.Tensor) -> float:
        jacobian = torch.autograd.functional.jacobian(lambda start: moved(start, steps), state)
        return float(torch.linalg.matrix_norm(jacobian, 2))

    start = torch.zeros(layers * sum(sizes), dtype=torch.float64)
    with torch.no_grad():
        before = moved(start, fed[:-1])
    return float(np.log10(norm(start, fed) / norm(before, fed[-1:])))


def check_torch(cell: str, module: torch.nn.RNNBase, folder: Path) -> None:
    """Load the file as it is, and compare the ratio that was published with autograd's."""
    file = folder / "weights.safetensors"
    found = initialized(cell, file, "torch")
    module.load_state_dict(load_file(file))
    fresh = eval(found.constructor, {"torch": torch})  # the record says how the module is made
    fresh.load_state_dict(load_file(file))
    gap = abs(ratio(module) - found.log10_norm_ratio)
    assert gap < RATIO, f"torch {cell}: ratios are {gap:.2e} decades apart"
    print(
        f"torch {cell}: {found.constructor}, {found.log10_norm_ratio:+.4f} decades, {gap:.0e} from autograd"
    )


def check_keras(cell: str, layer: keras.Layer, folder: Path) -> None:
    """Hand the arrays to set_weights in their order, and compare the outputs with gradflow's states."""
    file = folder / "weights.npz"
    found = initialized(cell, file, "keras")
    fed = inputs()[None].astype(np.float32)
    layer(fed)  # builds it
    layer.set_weights(list(np.load(file).values()))
    outputs = np.asarray(layer(fed))[0, :FIRST]
    (network,) = gradflow.load(file, assume=_assumed(cell)).networks
    states = network.make_cell().run(inputs())[1 : FIRST + 1, :HIDDEN]
    gap = float(np.abs(outputs - states).max())
    assert gap < STATES, f"keras {cell}: outputs are {gap:.2e} apart"
    print(f"keras {cell}: {found.constructor}, outputs {gap:.0e} apart")


def _assumed(cell: str) -> dict[str, str]:
    given = (item.split("=") for item in cell.partition(":")[2].split(",") if item)
    return {option: value for option, value in given if option == "activation"}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        for cell, module in TORCH.items():
            check_torch(cell, module, Path(name))
        for cell, layer in KERAS.items():
            check_keras(cell, layer, Path(name))


if __name__ == "__main__":
    main()
