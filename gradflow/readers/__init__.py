"""Bytes → named arrays: one file or package per container.

A reader is a module with two functions. ``recognizes(source)`` looks at the content of a file and not at its
suffix. ``read(source)`` returns a `FileContents`: the named arrays, and remarks on what was not read. Where
the format allows, it reads only the shapes of arrays.
"""

from typing import NamedTuple

from gradflow.registry import Registry


class Container(NamedTuple):
    """A container of arrays.

    Attributes
    ----------
    reader : str
        The module that reads it.
    checkpoint_suffixes : tuple of str
        The suffixes of files in a directory that may be checkpoints. A file that is named itself may have any
        suffix.
    """

    reader: str
    checkpoint_suffixes: tuple[str, ...] = ()


# One line per container, in the order in which the readers are tried.
CONTAINERS = {
    "npy": Container("gradflow.readers.npy"),
    "safetensors": Container("gradflow.readers.safetensors", (".safetensors",)),
    # torch and Keras write zip archives too. Their members distinguish them from .npz.
    "torch": Container("gradflow.readers.torch.torch", (".pt", ".pth", ".ckpt", ".bin")),
    # Files of torch before 1.6 start like a pickle too, and come before it.
    "pickle": Container("gradflow.readers.torch.plain"),
    "hdf5": Container("gradflow.readers.hdf5.hdf5", (".h5", ".hdf5", ".keras")),
    "npz": Container("gradflow.readers.npz", (".npz",)),
    "matlab": Container("gradflow.readers.matlab"),
    "matrix_market": Container("gradflow.readers.matrix_market"),
    # ONNX has no signature and is recognized by its suffix, so it comes after all formats that have one.
    "onnx": Container("gradflow.readers.onnx.onnx", (".onnx",)),
    "json": Container("gradflow.readers.json_text"),
    "text": Container("gradflow.readers.text"),
}

READERS: Registry = {name: container.reader for name, container in CONTAINERS.items()}
CHECKPOINT_SUFFIXES = tuple(
    suffix for container in CONTAINERS.values() for suffix in container.checkpoint_suffixes
)

# Formats of input sequences (batch, steps, features) without a signature: the user has to name them.
INPUT_FORMATS: Registry = {
    "cifar10-rows": "gradflow.readers.cifar10:read_rows",
    "cifar10-pixels": "gradflow.readers.cifar10:read_pixels",
}
