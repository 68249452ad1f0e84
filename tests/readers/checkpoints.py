"""torch checkpoints of every form written by hand, opcode by opcode, for tests that run without torch."""

import io
import struct
import tarfile
import warnings
import zipfile
from dataclasses import dataclass

import numpy as np

STORAGES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "complex128": "ComplexDoubleStorage",
    "complex64": "ComplexFloatStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


@dataclass
class Name:
    """A global: module and name."""

    module: str
    name: str


class Call:
    """A call of a global."""

    def __init__(self, module, name, *arguments):
        self.called = Name(module, name)
        self.arguments = arguments


class Saved:
    """An object of a class, with the state that pickle gives it."""

    def __init__(self, module, name, state):
        self.saved = Name(module, name)
        self.state = state


class Persistent(tuple):
    """The parts of a persistent id."""


def opcodes(value):
    """Return the opcodes that push ``value``; bytes are opcodes already."""
    match value:
        case bytes():
            return value
        case None | bool():
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        case int():
            return b"\x8a\x08" + struct.pack("<q", value)
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case dict():
            return b"}(" + b"".join(opcodes(part) for item in value.items() for part in item) + b"u"
        case list():
            return b"](" + b"".join(map(opcodes, value)) + b"e"
        case Persistent():
            return opcodes(tuple(value)) + b"Q"
        case tuple():
            return b"(" + b"".join(map(opcodes, value)) + b"t"
        case Name():
            return f"c{value.module}\n{value.name}\n".encode()
        case Saved():
            return opcodes(value.saved) + b")\x81" + opcodes(value.state) + b"b"
        case Call():
            return opcodes(value.called) + opcodes(value.arguments) + b"R"
    raise TypeError(value)


def pickled(value):
    return b"\x80\x02" + opcodes(value) + b"."


def storage(kind="FloatStorage", key="0", count=4):
    return Persistent(("storage", Name("torch", kind), key, "cpu", count))


def tensor(shape=(2, 2), strides=(2, 1), offset=0, stored=None, metadata=()):
    """Return a view as ``torch.save`` writes it; ``metadata`` says how it is conjugated."""
    hooks = Call("collections", "OrderedDict")
    arguments = (stored or storage(), offset, tuple(shape), tuple(strides), False, hooks, *metadata)
    return Call("torch._utils", "_rebuild_tensor_v2", *arguments)


def quantized(*scheme, key="0", strides=(2, 1)):
    """Return a quantized tensor of shape (2, 2), as ``_rebuild_qtensor`` makes it."""
    scheme = scheme or (Name("torch", "per_tensor_affine"), 0.5, 1)
    stored = storage("QInt8Storage", key, 16)
    return Call("torch._utils", "_rebuild_qtensor", stored, 0, (2, 2), strides, scheme, False, None)


def sparse(layout="coo", *parts, key="0"):
    """Return a sparse tensor; by default with one entry at (1, 0)."""
    if not parts:
        places = Persistent(("storage", Name("torch", "IntStorage"), key, "cpu", 4))
        parts = (tensor((2, 1), (1, 1), 1, places), tensor((1,), (1,), 2, storage(key=key)), (2, 2))
    named = Call("torch.serialization", "_get_layout", f"torch.sparse_{layout}")
    return Call("torch._utils", "_rebuild_sparse_tensor", named, tuple(parts))


def program(state, code="", storages=None):
    """Return a TorchScript program of one layer with the attributes ``state``."""
    storages = {"0": np.arange(4, dtype="<f4").tobytes()} if storages is None else storages
    layer = Saved("__torch__.torch.nn.modules.rnn.___torch_mangle_3", "RNN", state)
    members = {
        "data.pkl": pickled(Saved("__torch__", "Tagger", {"training": False, "rnn": layer})),
        "code/__torch__/torch/nn/modules/rnn/___torch_mangle_3.py": code.encode(),
        "constants.pkl": pickled(()),
        **{f"data/{key}": content for key, content in storages.items()},
    }
    return zipped([(f"archive/{name}", content) for name, content in members.items()])


def zipped(members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns about two members of one name
        with zipfile.ZipFile(stream, "w") as archive:
            for name, content in members:
                # A ZipInfo has no time stamp, so every worker writes the same bytes.
                archive.writestr(zipfile.ZipInfo(name), content, compression)
    return stream.getvalue()


def checkpoint(value, storages=None, compression=zipfile.ZIP_STORED, byteorder=b"little", root="archive"):
    """Return a checkpoint of ``value``, or of a whole pickle as bytes; ``storages`` maps keys to bytes."""
    storages = {"0": np.arange(4, dtype="<f4").tobytes()} if storages is None else storages
    members = [("data.pkl", value if isinstance(value, bytes) else pickled(value))]
    members += [("byteorder", byteorder)] if byteorder else []
    members += [(f"data/{key}", content) for key, content in storages.items()]
    return zipped([(f"{root}/{name}", content) for name, content in members], compression)


def saved(arrays):
    """Return a checkpoint of a dict of matrices, each with a storage of its own."""
    values, storages = {}, {}
    for key, (name, array) in enumerate(arrays.items()):
        array = np.ascontiguousarray(array)
        stored = storage(STORAGES[array.dtype.name], str(key), array.size)
        strides = [stride // array.itemsize for stride in array.strides]
        values[name] = tensor(array.shape, strides, 0, stored)
        storages[str(key)] = array.tobytes()
    return checkpoint(values, storages)


def module(class_name, parameters=None, modules=None, buffers=None, **attributes):
    """Return a module of torch.nn that is saved whole."""
    state = {
        "training": False,
        "_parameters": parameters or {},
        "_buffers": buffers or {},
        "_modules": modules or {},
        **attributes,
    }
    package, _, name = class_name.rpartition(".")
    return Saved(package, name, state)


def legacy(value, storages=None):
    """Return a checkpoint in the form before torch 1.6; ``storages`` maps keys to (entries, bytes)."""
    storages = {"0": (4, np.arange(4, dtype="<f4").tobytes())} if storages is None else storages
    magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
    pickles = [pickled(1001), pickled({"little_endian": True}), pickled(value), pickled(list(storages))]
    stored = [struct.pack("<q", count) + content for count, content in storages.values()]
    return b"".join([magic, *pickles, *stored])


def tarred(members):
    """Return a tar archive."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def old(arrays, extra=None, parts=(), root_of=None):
    """Return a checkpoint of float32 arrays in the form before torch 0.1.11.

    ``parts`` are (key, root, offset, size) of parts of storages; ``root_of`` maps names to their keys.
    """
    count = len(arrays)
    storages, tensors, values = pickled(count), pickled(count), {}
    for key, (name, array) in enumerate(arrays.items()):
        storages += pickled((1000 + key, "cpu", Name("torch", "FloatStorage")))
        storages += struct.pack("<q", array.size) + array.astype("<f4").tobytes()
        strides = [stride // array.itemsize for stride in array.strides]
        root = (root_of or {}).get(name, 1000 + key)
        tensors += pickled((2000 + key, root, Name("torch", "FloatTensor")))
        shape = array.shape if root == 1000 + key else (2,)
        strides = strides if root == 1000 + key else (1,)
        tensors += struct.pack(f"<i4x{2 * len(shape)}qq", len(shape), *shape, *strides, 0)
        values[name] = opcodes(2000 + key) + b"Q"
    storages += pickled(list(parts))
    saved = pickled({**values, **(extra or {})})
    return tarred({"sys_info": pickled({}), "pickle": saved, "tensors": tensors, "storages": storages})
