"""Bytes → named arrays: one file or package per container.

A reader is a module with two functions. ``recognizes(source)`` looks at the content of a file and not at its
suffix. ``read(source)`` returns a `FileContents`: the named arrays, and remarks on what was not read. Where
the format allows, it reads only the shapes of arrays. `gradflow.readers.file_sets` says what a reader of
several files is.
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
    finder : str
        The function that says by the content of a file in a directory whether it is a checkpoint, as
        ``"module:function"``. Empty if only its suffix can say it.
    written_by : str
        The calls that write checkpoints of this form, for the documentation. Empty if it holds none.
    extra : str
        The extra of gradflow that installs what reading needs. Empty if numpy is enough.
    several_files : bool
        Whether a checkpoint is several files.
    """

    reader: str
    checkpoint_suffixes: tuple[str, ...] = ()
    finder: str = ""
    written_by: str = ""
    extra: str = ""
    several_files: bool = False


# One line per container, in the order in which the readers are tried.
CONTAINERS = {
    # Equinox writes one .npy after another, so it comes before .npy.
    "equinox": Container(
        "gradflow.readers.equinox",
        (".eqx",),
        finder="gradflow.readers.equinox:recognizes",
        written_by="Equinox, `eqx.tree_serialise_leaves`",
    ),
    "npy": Container("gradflow.readers.npy"),
    "safetensors": Container(
        "gradflow.readers.safetensors",
        (".safetensors",),
        finder="gradflow.readers.safetensors:recognizes",
        written_by="safetensors, `save_file`",
    ),
    # torch and Keras write zip archives too. Their members distinguish them from .npz.
    "torch": Container(
        "gradflow.readers.torch.torch",
        (".pt", ".pth", ".ckpt", ".bin"),
        finder="gradflow.readers.torch.torch:recognizes",
        written_by="torch, `torch.save`",
    ),
    # Files of torch before 1.6 start like a pickle too, and come before it.
    "pickle": Container(
        "gradflow.readers.torch.plain",
        finder="gradflow.readers.torch.plain:recognizes",
        written_by="Python, `pickle.dump`",
    ),
    "hdf5": Container(
        "gradflow.readers.hdf5.hdf5",
        (".h5", ".hdf5", ".keras"),
        finder="gradflow.readers.hdf5.hdf5:recognizes",
        written_by="Keras, `model.save`, `save_weights`",
        extra="hdf5",
    ),
    "npz": Container(
        "gradflow.readers.npz",
        (".npz",),
        finder="gradflow.readers.npz:has_array_members",
        written_by="numpy, `np.savez`",
    ),
    "matlab": Container("gradflow.readers.matlab"),
    "matrix_market": Container("gradflow.readers.matrix_market"),
    # ONNX has no signature and is recognized by its suffix, so it comes after all formats that have one.
    "onnx": Container(
        "gradflow.readers.onnx.onnx", (".onnx",), written_by="ONNX, `torch.onnx.export`", extra="onnx"
    ),
    "flax": Container(
        "gradflow.readers.flax",
        (".msgpack",),
        finder="gradflow.readers.flax:recognizes",
        written_by="Flax, `flax.serialization.to_bytes`",
    ),
    "json": Container(
        "gradflow.readers.json_text",
        finder="gradflow.readers.json_text:has_weights",
        written_by="a state dict as nested lists; RTNeural, `save_model`",
    ),
    "text": Container("gradflow.readers.text"),
    # Checkpoints in several files are looked for before all others.
    "shards": Container(
        "gradflow.readers.shards",
        written_by="`.index.json` and shards: Hugging Face, `save_pretrained` with a large model",
        several_files=True,
    ),
    "tensorflow": Container(
        "gradflow.readers.tensorflow.checkpoint",
        written_by="`.index` and `.data-…`: TensorFlow, `tf.train.Checkpoint`, `tf.compat.v1.train.Saver`, "
        "`tf.saved_model.save`; Keras 2, `save_weights`",
        several_files=True,
    ),
    # Recognized only to say what it is.
    "unsupported_folders": Container("gradflow.readers.unsupported_folders", several_files=True),
}

READERS: Registry = {
    name: container.reader for name, container in CONTAINERS.items() if not container.several_files
}
FILE_SET_READERS: Registry = {
    name: container.reader for name, container in CONTAINERS.items() if container.several_files
}
CHECKPOINT_SUFFIXES = tuple(
    suffix for container in CONTAINERS.values() for suffix in container.checkpoint_suffixes
)

# Formats of input sequences (batch, steps, features) without a signature: the user has to name them.
INPUT_FORMATS: Registry = {
    "cifar10-rows": "gradflow.readers.cifar10:read_rows",
    "cifar10-pixels": "gradflow.readers.cifar10:read_pixels",
}
