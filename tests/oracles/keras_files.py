"""Checkpoints that Keras writes, and what Keras computes from them, by JAX autodiff through its cells.

Run ``python tests/oracles/keras_files.py``; see ``shelf.py`` for what is written. The stored files were
made with Keras 3.15.1 on JAX 0.10.2.

A layer goes by its own name. With several cells it has ``NAME.l0`` and ``NAME.l1`` (a stack) or
``NAME.l0`` and ``NAME.l0_reverse`` (both directions).

Keras 2 with TensorFlow cannot be run beside these. Its names and its CuDNN layout are written by hand, from
a layer of Keras 3 that computes the same.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from zipfile import ZipFile, ZipInfo

os.environ["KERAS_BACKEND"] = "jax"

import h5py
import jax
import jax.numpy as jnp
import keras
import numpy as np
from keras import layers as kl
from numpy.typing import NDArray
from shelf import STEPS, Layer, agree, keep, seed, walk

INPUT, HIDDEN, UPPER, BETWEEN = 3, 4, 5, 2

# The defaults would leave the biases zero.
WEIGHT_RANGE = 0.8

Array = NDArray[np.float32]


# ---------------------------------------------------------------------------------------------------
# What Keras computes


def travel(cell: keras.Layer, fed: Array) -> Layer:
    """Take one cell step by step through what it is fed."""
    sizes = list(np.atleast_1d(cell.state_size))

    def step(x: jax.Array, state: jax.Array) -> jax.Array:
        parts = jnp.split(state, list(accumulate(sizes))[:-1])
        _, new = cell(x[None], [part[None] for part in parts])
        return jnp.concatenate([part[0] for part in new])

    return walk(jax.jit(step), jax.jit(jax.jacrev(step, argnums=1)), fed, int(sum(sizes)))


def unfold(layer: keras.Layer, fed: Array) -> dict[str, Layer]:
    """Return all that a recurrent layer does, checked against the output of the whole layer."""
    if isinstance(layer, kl.Bidirectional):
        ahead, back = layer.forward_layer.cell, layer.backward_layer.cell
        found = {f"{layer.name}.l0": travel(ahead, fed), f"{layer.name}.l0_reverse": travel(back, fed[::-1])}
        h, h_back = (one.outputs[:, :HIDDEN] for one in found.values())
        h = np.concatenate([h, h_back[::-1]], axis=1)
    elif isinstance(layer.cell, kl.StackedRNNCells):
        found, h = {}, fed
        for number, cell in enumerate(layer.cell.cells):
            found[f"{layer.name}.l{number}"] = one = travel(cell, h)
            h = one.outputs[:, : cell.units]
    else:
        found = {layer.name: travel(layer.cell, fed[::-1] if layer.go_backwards else fed)}
        h = found[layer.name].outputs[:, : layer.cell.units]
    agree(h, layer(fed[None])[0], layer.name)
    return found


def compute(model: keras.Model, inputs: Array) -> dict[str, Layer]:
    """Return all that the recurrent layers of a chain of layers do."""
    found: dict[str, Layer] = {}
    x = inputs
    for layer in model.layers:
        if isinstance(layer, kl.InputLayer):
            continue
        if isinstance(layer, kl.RNN | kl.Bidirectional):
            found |= unfold(layer, x)
        x = np.asarray(layer(x[None])[0])
    agree(x, model(inputs[None])[0], model.name)
    return found


# ---------------------------------------------------------------------------------------------------
# What is written


def compact(content: bytes) -> bytes:
    """Return an HDF5 file anew in the format of HDF5 1.8, which halves a small one."""

    def copy(old: h5py.Group, new: h5py.Group) -> None:
        for name, value in old.attrs.items():
            new.attrs[name] = value
        for name, member in old.items():
            if isinstance(member, h5py.Group):
                copy(member, new.create_group(name))
            else:
                new[name] = member[()]

    made = BytesIO()
    with h5py.File(BytesIO(content)) as old, h5py.File(made, "w", libver=("v108", "v110")) as new:
        copy(old, new)
    return made.getvalue()


def save_legacy(model: keras.Model, path: Path) -> None:
    """Write the .h5 file of a whole model."""
    model.save(path)
    path.write_bytes(compact(path.read_bytes()))


def save_weights(model: keras.Model, path: Path) -> None:
    """Write a .weights.h5 file."""
    model.save_weights(path)
    path.write_bytes(compact(path.read_bytes()))


def save_archive(model: keras.Model, path: Path) -> None:
    """Write a .keras file without what differs from run to run: identities of objects and times."""
    model.save(path)
    with ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    numbers: dict[bytes, int] = {}
    members["config.json"] = re.sub(
        rb'(?<="shared_object_id": )\d+',
        lambda found: b"%d" % numbers.setdefault(found[0], len(numbers) + 1),
        members["config.json"],
    )
    metadata = json.loads(members["metadata.json"]) | {"date_saved": "2025-01-01@00:00:00"}
    members["metadata.json"] = json.dumps(metadata).encode()
    members["model.weights.h5"] = compact(members["model.weights.h5"])
    with ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(ZipInfo(name), content)


SAVE = {"keras": save_archive, "h5": save_legacy, "weights.h5": save_weights}


def save_names(model: keras.Model, path: Path) -> None:
    """Write the weights of an LSTM under the names that they have in an HDF5 file of Keras 2."""
    weights = zip(("kernel", "recurrent_kernel", "bias"), model.get_weights(), strict=True)
    np.savez(path, **{f"model_weights/lstm/lstm/lstm_cell/{name}:0": weight for name, weight in weights})


def save_cudnn(model: keras.Model, path: Path) -> None:
    """Write an LSTM or GRU as Keras 2.2 wrote CuDNNLSTM and CuDNNGRU.

    Its reader turns each gate's block of the kernel by ``k.T.reshape(k.shape, order="F")`` and of the
    recurrent kernel by ``k.T``. It sums the two halves of the LSTM's bias, and folds the GRU's to two rows.
    """
    (layer,) = model.layers
    kind = type(layer).__name__
    kernel, recurrent, bias = model.get_weights()
    gates = recurrent.shape[1] // HIDDEN
    if kind == "LSTM":
        half = np.random.default_rng(0).uniform(-WEIGHT_RANGE, WEIGHT_RANGE, bias.shape).astype(np.float32)
        bias = np.stack([half, bias - half])
    weights = {
        "kernel:0": np.hstack([k.T.reshape(k.shape) for k in np.hsplit(kernel, gates)]),
        "recurrent_kernel:0": np.hstack([k.T for k in np.hsplit(recurrent, gates)]),
        "bias:0": bias.ravel(),
    }
    config = {
        "name": layer.name,
        "trainable": True,
        "batch_input_shape": [None, STEPS, INPUT],
        "dtype": "float32",
        "return_sequences": True,
        "return_state": False,
        "go_backwards": False,
        "stateful": False,
        "units": HIDDEN,
    }
    layers = [{"class_name": f"CuDNN{kind}", "config": config}]
    with h5py.File(path, "w", libver=("v108", "v110")) as file:
        top = file.create_group("model_weights")
        group = top.create_group(layer.name)
        # Made implicitly, the inner group would bear the time.
        inner = group.create_group(layer.name)
        for holder in (file, top):
            holder.attrs["keras_version"] = b"2.2.4"
            holder.attrs["backend"] = b"tensorflow"
        file.attrs["model_config"] = json.dumps(
            {"class_name": "Sequential", "config": {"name": "sequential_1", "layers": layers}}
        ).encode()
        top.attrs["layer_names"] = [layer.name.encode()]
        group.attrs["weight_names"] = [f"{layer.name}/{name}".encode() for name in weights]
        for name, weight in weights.items():
            inner[name] = weight


# ---------------------------------------------------------------------------------------------------
# The cases


def chain(*layers: Callable[[], keras.Layer]) -> keras.Model:
    """Return a sequential model of layers that are made now."""
    return keras.Sequential([keras.Input((STEPS, INPUT)), *(make() for make in layers)], name="model")


def graph(*layers: Callable[[], keras.Layer]) -> keras.Model:
    """Return the same as a functional model."""
    x = first = keras.Input((STEPS, INPUT))
    for make in layers:
        x = make()(x)
    return keras.Model(first, x, name="model")


def recurrent(kind: type[keras.Layer], *arguments: object, **options: object) -> Callable[[], keras.Layer]:
    """Return what makes a layer that gives out all steps."""
    options = {"name": "enc", "return_sequences": True} | options
    return partial(kind, *(arguments or (HIDDEN,)), **options)


def bidirectional() -> keras.Layer:
    """Return a GRU in both directions."""
    return kl.Bidirectional(kl.GRU(HIDDEN, return_sequences=True), name="bi")


def wrapped() -> keras.Layer:
    """Return an RNN around the cell of an LSTM."""
    return kl.RNN(kl.LSTMCell(HIDDEN), return_sequences=True, name="wrapped")


def stacked() -> keras.Layer:
    """Return an RNN around two cells."""
    return kl.RNN([kl.GRUCell(HIDDEN), kl.LSTMCell(UPPER)], return_sequences=True, name="stacked")


@dataclass(frozen=True)
class Case:
    """A network, the formats that it is saved in, and what these do not hold."""

    build: Callable[[], keras.Model]
    write: dict[str, Callable[[keras.Model, Path], None]]
    assume: Sequence[str] = ()


def saved(*extensions: str) -> dict[str, Callable[[keras.Model, Path], None]]:
    """Return the framework's own writers of these formats."""
    return {extension: SAVE[extension] for extension in extensions}


TWO = (
    recurrent(kl.LSTM, name="first"),
    partial(kl.Dense, BETWEEN, name="between"),
    recurrent(kl.LSTM, UPPER, name="second"),
)
LSTM = partial(chain, recurrent(kl.LSTM))
RELU = partial(chain, recurrent(kl.SimpleRNN, activation="relu"))
BEFORE = {"reset_after": False}

# What stands between recurrent layers.
CHAIN = (
    recurrent(kl.GRU, name="first", go_backwards=True),
    kl.BatchNormalization,
    lambda: kl.TimeDistributed(kl.Dense(BETWEEN, activation="gelu")),
    recurrent(kl.SimpleRNN, name="last"),
)
ACTIVE = ("gelu", "silu", "mish")


def active(name: str) -> Callable[[], keras.Layer]:
    """Return what makes a layer with an activation of that name."""
    return recurrent(kl.SimpleRNN, BETWEEN, activation=name, name=name)


CASES = {
    "keras_lstm": Case(LSTM, saved("keras", "h5", "weights.h5")),
    "keras_gru": Case(partial(chain, recurrent(kl.GRU)), saved("keras")),
    "keras_gru_before": Case(partial(chain, recurrent(kl.GRU, **BEFORE)), saved("h5", "weights.h5")),
    # Only the shape of the bias would tell a reader of weights.
    "keras_gru_no_bias": Case(
        partial(chain, recurrent(kl.GRU, use_bias=False, **BEFORE)), saved("weights.h5"), ["reset=before"]
    ),
    "keras_simple": Case(partial(chain, recurrent(kl.SimpleRNN)), saved("keras")),
    "keras_simple_relu": Case(RELU, saved("h5")),
    "keras_simple_relu_unsaid": Case(RELU, saved("weights.h5"), ["activation=relu"]),
    "keras_bidirectional": Case(partial(chain, bidirectional), saved("keras", "h5", "weights.h5")),
    "keras_wrapped": Case(partial(chain, wrapped), saved("keras", "h5")),
    "keras_stacked": Case(partial(chain, stacked), saved("keras", "h5", "weights.h5")),
    "keras_go_backwards": Case(partial(chain, recurrent(kl.LSTM, go_backwards=True)), saved("keras")),
    "keras_hard_sigmoid": Case(
        partial(chain, recurrent(kl.LSTM, recurrent_activation="hard_sigmoid")), saved("keras")
    ),
    "keras_relu_lstm": Case(partial(chain, recurrent(kl.LSTM, activation="relu")), saved("keras")),
    "keras_two": Case(partial(graph, *TWO), saved("keras", "weights.h5")),
    "keras_chain": Case(partial(chain, *CHAIN), saved("keras")),
    "keras_activations": Case(partial(chain, *map(active, ACTIVE)), saved("keras")),
    "keras_names": Case(partial(chain, recurrent(kl.LSTM, name="lstm")), {"npz": save_names}),
    "keras_cudnn_lstm": Case(partial(chain, recurrent(kl.LSTM, name="lstm")), {"h5": save_cudnn}),
    "keras_cudnn_gru": Case(partial(chain, recurrent(kl.GRU, name="gru")), {"h5": save_cudnn}),
}


def draw(name: str, case: Case) -> tuple[keras.Model, Array, dict[str, Layer]]:
    """Return the model, its inputs and what it does with them."""
    for number in range(seed(name), seed(name) + 100):
        generator = np.random.default_rng(number)
        # Names that Keras makes up count the layers made before.
        keras.utils.clear_session()
        model = case.build()
        weights = [generator.uniform(-WEIGHT_RANGE, WEIGHT_RANGE, w.shape) for w in model.get_weights()]
        model.set_weights(
            [
                np.abs(values) if weight.name == "moving_variance" else values
                for weight, values in zip(model.weights, weights, strict=True)
            ]
        )
        inputs = generator.standard_normal((STEPS, INPUT)).astype(np.float32)
        layers = compute(model, inputs)
        # With all units of a relu off, a step would test nothing.
        if all(layer.jacobians.any(axis=(1, 2)).all() for layer in layers.values()):
            return model, inputs, layers
    raise ArithmeticError(f"{name}: units are off with every seed")


def main() -> None:
    """Compute, check and write all cases."""
    for name, case in CASES.items():
        model, inputs, layers = draw(name, case)
        write = {extension: partial(writer, model) for extension, writer in case.write.items()}
        keep(name, "keras", inputs=inputs, layers=layers, write=write, assume=case.assume)


if __name__ == "__main__":
    main()
