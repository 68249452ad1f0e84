"""Files in formats that are not read: the refusal names the format and says what helps."""

import bz2
import gzip
import lzma
import pickle

import pytest

from gradflow import load
from gradflow.readers.unsupported import UNSUPPORTED_FORMATS

# name, content, words
REFUSED = [
    ("m.tflite", b"\x1c\0\0\0TFL3\0\0", "TensorFlow Lite"),
    ("m.gguf", b"GGUF\x03\0\0\0", "GGUF"),
    ("m.caffemodel", b"\x0a\x04net\0", "Caffe"),
    ("m.dnn", b"B\0C\0N\0", "CNTK"),
    ("m.params", b"\x12\x01\0\0\0\0\0\0\0", "MXNet"),
    ("m.mlmodel", b"\x08\x01\x12\0\xff", "Core ML"),
    ("m.engine", b"ftrt\0\0", "TensorRT"),
    ("m.jld2", b"HDF5-based Julia Data Format, version 0.1.1", "NPZ.jl"),
    ("m.bson", b"\x20\0\0\0\x03\xff", "Julia"),
    ("m.rds", gzip.compress(b"RDX3"), "file of R"),
    ("m.joblib", pickle.dumps({"w": 1}, 4), "joblib"),
    ("m.parquet", b"PAR1\x15\0", "Parquet"),
    ("m.pkl", pickle.dumps({"w": 1}, 4), "pickle"),
    ("m.gz", gzip.compress(b"x"), "gzip -dc"),
    ("m.bz2", bz2.compress(b"x"), "bzip2 -dc"),
    ("m.xz", lzma.compress(b"x"), "xz -dc"),
    ("m.zst", b"\x28\xb5\x2f\xfd\0", "zstd -dc"),
    ("m.7z", b"7z\xbc\xaf\x27\x1c\0", "7z archives"),
    ("m.rar", b"Rar!\x1a\x07\0", "rar archives"),
    ("m.png", b"\x89PNG\r\n\x1a\n", "picture"),
    ("m.jpg", b"\xff\xd8\xff\xe0", "picture"),
    ("m.pdf", b"%PDF-1.7\n", "PDF"),
    ("m.pt", b"<!DOCTYPE html>\n<html><body>404</body></html>", "web page"),
    ("m.bin", b"\n  <html lang=en>", "web page"),
    ("m.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    ("model.json", b'{"format": "layers-model", "weightsManifest": [{"paths": ["a.bin"]}]}', "TensorFlow.js"),
    (
        "arch.json",
        b'{"class_name": "Sequential", "config": {"layers": [{"batch_shape": [1, 3]}]}, "module": "keras"}',
        "architecture of a Keras model",
    ),
    ("graph.pb", b"\x0a\x0fplaceholder", "graph of TensorFlow"),
]


@pytest.mark.parametrize(("name", "content", "words"), REFUSED, ids=[name for name, _, _ in REFUSED])
def test_format_is_named_with_advice(name, content, words, place, check_refused):
    message = check_refused(lambda: load(place(content, name)), words)
    assert ";" in message or "not a checkpoint" in message


def test_every_message_says_what_to_do():
    assert all("; " in known.message or ", " in known.message for known in UNSUPPORTED_FORMATS)
    assert all(known.suffixes or known.signature for known in UNSUPPORTED_FORMATS)
