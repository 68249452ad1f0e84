"""A real writer for every format, a check of refusals, and a bound on memory."""

import io
import json
import pickle
import tracemalloc
import zipfile
from contextlib import contextmanager
from fractions import Fraction

import h5py
import numpy as np
import onnx
import pytest
import safetensors.numpy
import scipy.io
import scipy.sparse

from gradflow.errors import DataError
from tests.readers import checkpoints, msgpack


def written(save, *arguments, **named):
    stream = io.BytesIO()
    save(stream, *arguments, **named)
    return stream.getvalue()


def mat(variables, **options):
    """Return a .mat without the time stamp in its header, so that the bytes are always the same."""
    return b"MATLAB 5.0 MAT-file".ljust(116) + written(scipy.io.savemat, variables, **options)[116:]


def complex_pairs(values):
    if np.isrealobj(values):
        return values.tolist()
    return [[{"re": entry.real, "im": entry.imag} for entry in row] for row in values]


def hdf5(datasets, config=None, **options):
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for path, values in datasets.items():
            file.create_dataset(path, data=values, **options)
        if config is not None:
            file.attrs["model_config"] = config
    return stream.getvalue()


def onnx_model(nodes, constants):
    tensors = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = onnx.helper.make_graph(nodes, "graph", [], [], tensors)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]).SerializeToString()


# One writer for every entry of READERS: matrix → bytes.
WRITERS = {
    "equinox": lambda matrix: b'{"size": 5}\n' + written(np.save, matrix),
    "npy": lambda matrix: written(np.save, matrix),
    "safetensors": lambda matrix: safetensors.numpy.save({"weight": np.ascontiguousarray(matrix)}),
    "torch": lambda matrix: checkpoints.saved({"weight": matrix}),
    "pickle": lambda matrix: pickle.dumps({"weight": matrix}, 4),
    "hdf5": lambda matrix: hdf5({"weight": matrix}),
    "npz": lambda matrix: written(np.savez_compressed, weight=matrix),
    "matlab": lambda matrix: mat({"weight": matrix}, do_compression=True),
    "matrix_market": lambda matrix: written(scipy.io.mmwrite, matrix, precision=17),
    "onnx": lambda matrix: onnx_model([], {"weight": matrix}),
    "flax": lambda matrix: msgpack.packed({"params": {"weight": np.ascontiguousarray(matrix)}, "step": 3}),
    "json": lambda matrix: json.dumps(complex_pairs(matrix)).encode(),
    "text": lambda matrix: written(np.savetxt, matrix),
}

# Reader → the suffix of its files, if their content has no signature.
SUFFIXES = {"onnx": ".onnx"}

TORCH_VALUE = {
    "a": checkpoints.tensor(strides=(1, 2)),
    "b": [{"c": checkpoints.tensor((2,), (1,), 2)}, 1.5, None, checkpoints.Call("m", "C", 1)],
    "m": checkpoints.module("torch.nn.modules.rnn.RNN", {"w": checkpoints.tensor()}, mode="RNN_TANH"),
}
TORCH_FILE = checkpoints.checkpoint(TORCH_VALUE, compression=zipfile.ZIP_DEFLATED)

# Small files that use more features of a format than one matrix does.
FEATURES = {
    "equinox": b"".join(
        written(np.save, array) for array in (np.eye(2), np.asfortranarray(np.ones((2, 3))), np.ones(()))
    ),
    "flax": msgpack.packed(
        {
            "a": {"b": [np.ones((2, 3), np.float16), None, 1.5], "names": ["x", True]},
            "c": {
                "__msgpack_chunked_array__": True,
                "shape": {"0": 2, "1": 2},
                "chunks": {"0": np.ones(3), "1": np.ones(1)},
            },
        }
    ),
    "safetensors": safetensors.numpy.save({"a": np.eye(2, dtype=np.float16), "b": np.arange(3)}),
    "hdf5": hdf5(
        {"layers/lstm/cell/vars/0": np.eye(4), "b": np.ones((2, 3)) * 1j, "i": np.arange(9)},
        config='{"layers": []}',
        chunks=True,
        compression="gzip",
        shuffle=True,
        fletcher32=True,
    ),
    "matlab": mat(
        {"c": np.eye(2) * 1j, "s": scipy.sparse.csc_array(np.eye(3)), "t": "text", "b": np.eye(2) > 0}
    ),
    "matrix_market": b"%%MatrixMarket matrix coordinate complex hermitian\n% c\n2 2 2\n1 1 3 0\n2 1 1 -1\n",
    "onnx": onnx_model(
        [
            onnx.helper.make_node("Concat", ["half", "half"], ["W"], axis=1),
            onnx.helper.make_node("GRU", ["x", "W", "R"], ["y"], name="rnn", hidden_size=1),
        ],
        {"half": np.eye(3)[np.newaxis], "R": np.ones((1, 3, 1), np.float16)},
    ),
    "json": b'{"a": [1, 2], "m": {"p": {"entries": [[{"re": 1, "im": 2}]], "exponent2": 3}}}',
    "text": b"a;b\n1;2\n3+1j;4 # c\n",
}

# The other forms in which torch writes files.
MORE_FORMS = {
    "torch": [
        TORCH_FILE,
        checkpoints.legacy(TORCH_VALUE),
        checkpoints.old({"a": np.eye(2), "b": np.ones(4)}, {"c": checkpoints.Call("m", "C")}),
        checkpoints.checkpoint({"q": checkpoints.quantized(), "s": checkpoints.sparse()}),
        checkpoints.program({"w": checkpoints.tensor()}),
        checkpoints.zipped([("policy.pth", TORCH_FILE), ("data", b"{}")]),
    ],
    "pickle": [
        pickle.dumps({"a": np.eye(2), "b": [np.ones(3, np.float32), Fraction(1, 2)]}, protocol)
        for protocol in (2, 5)
    ],
}


@pytest.fixture
def writers():
    return WRITERS


@pytest.fixture
def examples():
    """Return small files of a format."""

    def examples(kind):
        plain = WRITERS[kind](np.array([[0.5, -2.0], [1e-9, 4.0]]))
        features = [FEATURES[kind]] if kind in FEATURES else []
        return [plain, *features, *MORE_FORMS.get(kind, [])]

    return examples


@pytest.fixture
def place_as(place):
    """Write a file with the suffix of its kind and return its path."""
    return lambda kind, content: place(content, f"input{SUFFIXES.get(kind, '')}")


@pytest.fixture
def memory_below():
    """Check that the code inside never holds more than ``bound`` bytes of Python's and numpy's memory."""

    @contextmanager
    def memory_below(bound):
        tracemalloc.start()
        try:
            yield
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < bound

    return memory_below


@pytest.fixture
def place(tmp_path):
    """Write bytes to a new file and return its path."""

    def place(content, name="input"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return place


@pytest.fixture
def check_refused():
    """Check that the call raises the right error, and that its one printable line has every word."""

    def check_refused(call, *words, error=DataError):
        with pytest.raises(error) as caught:
            call()
        message = str(caught.value)
        assert message.isprintable()
        assert len(message) < 1000
        for word in words:
            assert word in message
        return message

    return check_refused
