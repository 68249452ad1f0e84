"""The sources of a checkpoint: tensors of any library, nested mappings, files of any container."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from gradflow import from_state_dict, load
from gradflow.errors import DataError
from tests.readers import checkpoints

LSTM = {
    name: np.random.default_rng(rows).uniform(-0.8, 0.8, (16, rows)).astype(np.float32)
    for name, rows in (("a.weight_ih", 3), ("a.weight_hh", 4))
}


class Exporting:
    """A tensor that only supports DLPack."""

    def __init__(self, array):
        self.array = array

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)


class Typed(Exporting):
    @property
    def dtype(self):
        return f"torch.{self.array.dtype}"


class Parameter(Typed):
    """A parameter of torch, which cannot be exported during training."""

    def __dlpack__(self, **options):
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")

    def detach(self):
        return Typed(self.array)


class Brain(Typed):
    """A bfloat16 tensor, which numpy cannot import."""

    dtype = "torch.bfloat16"

    def __dlpack__(self, **options):
        raise BufferError("unsupported scalar type BFloat16")


class TorchBrain(Brain):
    def float(self):
        return Typed(self.array)


class JaxBrain(Brain):
    dtype = "bfloat16"

    def astype(self, dtype):
        assert dtype == "float32"
        return Typed(self.array)


class Elsewhere(Typed):
    """A tensor on a graphics card."""

    def __dlpack_device__(self):
        return (2, 0)

    def __dlpack__(self, **options):
        raise BufferError("Can't export from device cuda:0")


@pytest.mark.parametrize("tensor", [np.asarray, Exporting, Typed, Parameter, TorchBrain, JaxBrain])
def test_tensors_of_any_library_are_accepted(tensor):
    (layer,) = from_state_dict({name: tensor(array) for name, array in LSTM.items()}).layers
    np.testing.assert_array_equal(layer.cell.weight_ih, LSTM["a.weight_ih"])
    np.testing.assert_array_equal(layer.cell.weight_hh, LSTM["a.weight_hh"])


def test_tensor_on_another_device_is_refused():
    arrays = LSTM | {"a.weight_hh": Elsewhere(LSTM["a.weight_hh"])}
    with pytest.raises(DataError, match=r"'a.weight_hh' cannot be converted to numpy .*; move it to the CPU"):
        from_state_dict(arrays)


def test_mappings_nest_and_other_values_are_ignored():
    inside = {name.removeprefix("a."): array for name, array in LSTM.items()}
    nested = {"epoch": 3, "best": None, "optimizer": {"lr": 1e-3, "betas": [0.9, 0.999]}}
    nested["model"] = {"encoder": {"rnn": inside}, "note": "none", "head.weight": np.eye(2)}
    checkpoint = from_state_dict(nested)
    assert [layer.name for layer in checkpoint.layers] == ["encoder.rnn"]
    assert [one.name for one in checkpoint.layers[0].stored] == [
        "model.encoder.rnn.weight_ih", "model.encoder.rnn.weight_hh",
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"two arrays are named 'a.b'"):
        from_state_dict({"a.b": np.eye(2), "a": {"b": np.eye(2)}})


def npz(arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


WRITERS = {"safetensors": safetensors.numpy.save, "pt": checkpoints.saved, "npz": npz}


@pytest.mark.parametrize("container", WRITERS)
def test_every_container_gives_the_same_layer(container, tmp_path):
    path = tmp_path / "checkpoint"
    path.write_bytes(WRITERS[container](LSTM))
    (layer,) = load(path).layers
    assert layer.name == "a"
    np.testing.assert_array_equal(layer.cell.weight_ih, LSTM["a.weight_ih"])
    np.testing.assert_array_equal(layer.cell.weight_hh, LSTM["a.weight_hh"])


FRAMEWORKS = {"torch", "jax", "keras", "tensorflow", "flax", "h5py", "onnx", "safetensors", "ml_dtypes"}
# Records every import that is attempted, whether or not the package is installed.
WATCHED = """
import json, sys
class Watch:
    asked = set()
    def find_spec(self, name, path=None, target=None):
        self.asked.add(name.partition(".")[0])
sys.meta_path.insert(0, Watch())
import gradflow
print(json.dumps([[layer.name for layer in gradflow.load(sys.argv[1]).layers], sorted(Watch.asked)]))
"""


@pytest.mark.parametrize("container", WRITERS)
def test_no_framework_is_imported(container, tmp_path):
    path = tmp_path / f"model.{container}"
    path.write_bytes(WRITERS[container](LSTM))
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, path], capture_output=True, text=True, timeout=60, check=True
    )
    layers, asked = json.loads(done.stdout)
    assert layers == ["a"]
    assert "gradflow" in asked
    assert not FRAMEWORKS & set(asked)


def test_a_name_may_hold_any_character():
    found = from_state_dict({name.replace("a.", "a\nb\x1b."): array for name, array in LSTM.items()})
    assert [layer.name for layer in found.layers] == ["a\nb\x1b"]
