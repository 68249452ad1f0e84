"""Converted layers, run by Keras and onnxruntime: both compute the states of the cells that were written.

Run ``PYTHONPATH=. python tests/oracles/converted_files.py``. Nothing is written: the script raises an error
where a framework cannot load a file, or computes something else. Keras runs in float64, but its SimpleRNN and
its GRU with reset_after=False multiply in float32. onnxruntime has these nodes in float32 alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

import gradflow
from gradflow.errors import DataError
from gradflow.layouts.checkpoint import Checkpoint
from gradflow.layouts.network import Network, NetworkLayer
from tests.layouts.exported import FEATURES, LACKING, NETWORKS, checkpoint

STEPS = 9
FLOAT32, FLOAT64 = 2e-6, 1e-12

Array = NDArray[np.float64]


def compute_outputs(network: Network, inputs: Array) -> Array:
    """Return the outputs of a network, step by step in the order of time."""
    for level in network.levels:
        inputs = np.concatenate([run_layer(layer, inputs) for layer in level], axis=-1)
    return inputs


def run_layer(layer: NetworkLayer, inputs: Array) -> Array:
    """Return the outputs of one direction in the order of time."""
    way = slice(None, None, -1 if layer.direction == "backward" else 1)
    return np.asarray(layer.cell.run(inputs[way])[1:, layer.cell.output][way])


def run_keras(model: Checkpoint, folder: Path, inputs: Array) -> tuple[Array, float]:
    """Return the outputs of a Keras model that loaded the weights, and how far off they may be."""
    told = gradflow.convert(model, folder / "new.weights.h5").modules.constructor
    made = keras.Sequential([keras.Input((None, FEATURES)), *(eval(text) for text in told)])
    made.load_weights(folder / "new.weights.h5")
    outputs = keras.ops.convert_to_numpy(made(inputs[None]))[0]
    if "go_backwards" in told[-1] and "Bidirectional" not in told[-1]:
        outputs = outputs[::-1]
    rounded = any("SimpleRNN" in text or "reset_after" in text for text in told)
    return outputs, FLOAT32 if rounded else FLOAT64


def run_onnx(model: Checkpoint, folder: Path, inputs: Array) -> tuple[Array, float]:
    """Return the outputs of an ONNX graph of the nodes, and how far off they may be."""
    told = gradflow.convert(model, folder / "new.npz", to="onnx").modules
    by_name = {name: eval(text) for name, text in zip(told.module, told.constructor, strict=True)}
    arrays = {name: array.astype(np.float32) for name, array in np.load(folder / "new.npz").items()}
    (network,), nodes, fed = model.networks, [], "X"
    shapes = {}
    for number in range(len(network.levels)):
        base = network.name if len(network.levels) == 1 else f"{network.name}.l{number}"
        merged = []
        for name in (base, f"{base}_reverse"):
            if name in by_name:
                node = by_name[name]
                node.input[0], node.output[0] = fed, f"{name}/Y"
                directions, _, size = arrays[f"{name}/R"].shape
                shapes[f"{name}/shape"] = np.array([0, 0, directions * size])
                turn = helper.make_node("Transpose", [f"{name}/Y"], [f"{name}/turned"], perm=[0, 2, 1, 3])
                join = helper.make_node("Reshape", [f"{name}/turned", f"{name}/shape"], [f"{name}/out"])
                nodes += [node, turn, join]
                merged.append(f"{name}/out")
        nodes.append(helper.make_node("Concat", merged, [f"{base}/merged"], axis=2))
        fed = f"{base}/merged"
    start = helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, [None, 1, FEATURES])
    end = helper.make_tensor_value_info(fed, onnx.TensorProto.FLOAT, [None, 1, None])
    constants = [numpy_helper.from_array(array, name) for name, array in (arrays | shapes).items()]
    graph = helper.make_graph(nodes, "converted", [start], [end], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    session = onnxruntime.InferenceSession(made.SerializeToString())
    return session.run(None, {"X": inputs[:, None].astype(np.float32)})[0][:, 0], FLOAT32


def main() -> None:
    """Compare all networks."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    inputs = np.random.default_rng(0).standard_normal((STEPS, FEATURES))
    compared = 0
    for name in NETWORKS:
        model = checkpoint(name)
        wanted = compute_outputs(model.networks[0], inputs)
        for to, run in (("keras", run_keras), ("onnx", run_onnx)):
            with TemporaryDirectory() as folder:
                try:
                    outputs, tolerance = run(model, Path(folder), inputs)
                except DataError:
                    assert name in LACKING[to], (to, name)
                    continue
            np.testing.assert_allclose(outputs, wanted, rtol=0, atol=tolerance, err_msg=f"{to}: {name}")
            compared += 1
    print(f"{compared} converted networks compute the same in Keras and onnxruntime.")


if __name__ == "__main__":
    main()
