"""A torch checkpoint written by hand, opcode by opcode, for tests that run without torch."""

import io
import struct
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
