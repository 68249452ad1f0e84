"""Bytes → named arrays: one file per container, in the order in which they are tried.

A reader is a module with ``recognizes(source)``, which looks at the content and never at the suffix, and
``read(source)``, which returns the named arrays; where the format allows, no more is read yet than shapes.
"""

from gradflow.registry import Registry

READERS: Registry = {
    "npy": "gradflow.readers.npy",
    "safetensors": "gradflow.readers.safetensors",
    # zip archives too, told apart by their members
    "torch": "gradflow.readers.torch.torch",
    "hdf5": "gradflow.readers.hdf5.hdf5",
    "npz": "gradflow.readers.npz",
    "matlab": "gradflow.readers.matlab",
    "matrix_market": "gradflow.readers.matrix_market",
    # known by its suffix alone, so it stands behind whatever content gives away
    "onnx": "gradflow.readers.onnx.onnx",
    "json": "gradflow.readers.json_text",
    "text": "gradflow.readers.text",
}

# Formats that no content gives away, so that a person has to name them: sequences (batch, steps, features).
INPUT_FORMATS: Registry = {
    "cifar10-rows": "gradflow.readers.cifar10:read_rows",
    "cifar10-pixels": "gradflow.readers.cifar10:read_pixels",
}
