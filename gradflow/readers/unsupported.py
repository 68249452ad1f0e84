"""Formats that gradflow recognizes but does not read, each with advice on what to do instead."""

from collections.abc import Iterable
from typing import NamedTuple

from gradflow.readers import CHECKPOINT_SUFFIXES
from gradflow.readers.decoding import decode_beginning, describe_non_text
from gradflow.readers.messages import quote
from gradflow.readers.source import Source

_MATLAB_ADVICE = "MATLAB v7.3 (HDF5) is not read; save from MATLAB with -v7, or export the arrays as .npy"
_UNPACK_ADVICE = "unpack it and name the checkpoint inside"
_EXPORT_ADVICE = "load the model where it was made, and save its arrays by name as .npz or .safetensors"
_TENSORRT_ADVICE = (
    "is an engine of TensorRT, which is made for one GPU and is not read; name the ONNX file from which it "
    "was built"
)
_PICTURE_ADVICE = "is a picture, not a checkpoint"


class UnsupportedFormat(NamedTuple):
    """A format that is not read.

    Attributes
    ----------
    message : str
        What the file is, and what to do. It follows the name of the file.
    signature : bytes
        What stands at ``offset``. Empty if only the suffix tells the format.
    offset : int
        Where the signature stands.
    suffixes : tuple of str
        The suffixes of the format, if it has no signature.
    """

    message: str
    signature: bytes = b""
    offset: int = 0
    suffixes: tuple[str, ...] = ()


# Suffixes come before the signatures of what such files consist of, longer signatures before shorter ones.
UNSUPPORTED_FORMATS = (
    UnsupportedFormat(
        "is a pickle of joblib, which is not read, because unpickling runs its code; save the arrays as .npz",
        suffixes=(".joblib",),
    ),
    UnsupportedFormat(
        "is a file of R, which is not read; export the arrays from R, for example with RcppCNPy::npySave",
        suffixes=(".rds", ".rdata"),
    ),
    UnsupportedFormat(
        "is a file of Julia, which is not read; save the arrays with NPZ.jl: "
        "npzwrite(FILE, Dict(NAME => ARRAY))",
        suffixes=(".jld2", ".jld", ".bson"),
    ),
    UnsupportedFormat(
        "is a file of Julia (JLD2), which is not read; save the arrays with NPZ.jl: "
        "npzwrite(FILE, Dict(NAME => ARRAY))",
        b"HDF5-based Julia Data Format",
    ),
    UnsupportedFormat(
        "is a TensorFlow Lite model, which is not read; name the model from which it was converted "
        "(SavedModel, .keras or .h5)",
        b"TFL3",
        4,
    ),
    UnsupportedFormat(
        "is a graph of TensorFlow, a program that is not run; name the folder of the SavedModel, or save the "
        "weights: tf.train.Checkpoint(model=model).write(FILE)",
        suffixes=(".pb", ".pbtxt", ".meta"),
    ),
    UnsupportedFormat(
        "is a model of Core ML, which is not read; name the model from which it was converted",
        suffixes=(".mlmodel", ".mlpackage"),
    ),
    UnsupportedFormat(f"is a model of Caffe, which is not read; {_EXPORT_ADVICE}", suffixes=(".caffemodel",)),
    UnsupportedFormat(
        "is a model of CNTK, which is not read; export it: model.save(FILE, format=cntk.ModelFormat.ONNX)",
        suffixes=(".cntk", ".dnn"),
    ),
    UnsupportedFormat(
        "is a list of arrays of MXNet, which is not read; save them: "
        "np.savez(NEW, **{name: array.asnumpy() for name, array in mx.nd.load(OLD).items()})",
        b"\x12\x01\0\0\0\0\0\0",
    ),
    UnsupportedFormat(
        _TENSORRT_ADVICE,
        b"ftrt",
    ),
    UnsupportedFormat(
        _TENSORRT_ADVICE,
        b"ptrt",
    ),
    UnsupportedFormat(f"is a GGUF file, which is not read; {_EXPORT_ADVICE}", b"GGUF"),
    UnsupportedFormat("is a Parquet file, a table and not a checkpoint; save the arrays as .npz", b"PAR1"),
    UnsupportedFormat(_MATLAB_ADVICE, b"MATLAB 7.3 MAT-file"),
    UnsupportedFormat(
        "gzip files are not read; unpack it first: `gzip -dc FILE | gradflow ... -`", b"\x1f\x8b"
    ),
    UnsupportedFormat("bzip2 files are not read; unpack it first: `bzip2 -dc FILE | gradflow ... -`", b"BZh"),
    UnsupportedFormat(
        "xz files are not read; unpack it first: `xz -dc FILE | gradflow ... -`", b"\xfd7zXZ\0"
    ),
    UnsupportedFormat(
        "zstd files are not read; unpack it first: `zstd -dc FILE | gradflow ... -`", b"\x28\xb5\x2f\xfd"
    ),
    UnsupportedFormat(f"7z archives are not read; {_UNPACK_ADVICE}", b"7z\xbc\xaf\x27\x1c"),
    UnsupportedFormat(f"rar archives are not read; {_UNPACK_ADVICE}", b"Rar!\x1a\x07"),
    UnsupportedFormat(f"tar archives are not read, unless torch wrote them; {_UNPACK_ADVICE}", b"ustar", 257),
)
# What may lie beside a checkpoint and is none.
_OTHER_FORMATS = (
    UnsupportedFormat(_PICTURE_ADVICE, b"\x89PNG\r\n"),
    UnsupportedFormat(_PICTURE_ADVICE, b"\xff\xd8\xff"),
    UnsupportedFormat(_PICTURE_ADVICE, b"GIF8"),
    UnsupportedFormat("is a PDF document, not a checkpoint", b"%PDF-"),
)
_LFS_POINTER_START = b"version https://git-lfs.github.com/"
_WEB_PAGE_STARTS = ("<!doctype html", "<html")
_MAX_SHOWN_TEXT = 30


def name_unsupported(source: Source) -> str:
    """Return what a file in a known format that is not read is, and what to do; else an empty text.

    Examples
    --------
    >>> from gradflow.readers.source import wrap_bytes
    >>> name_unsupported(wrap_bytes("model.gguf", b"GGUF and more"))[:33]
    'is a GGUF file, which is not read'
    """
    return _find_message(source, UNSUPPORTED_FORMATS)


def explain_refusal(source: Source) -> str:
    r"""Return why no reader accepts ``source``, and what to do.

    Examples
    --------
    >>> from gradflow.readers.source import wrap_bytes
    >>> explain_refusal(wrap_bytes("model.pt.gz", b"\x1f\x8b\x08"))[:22]
    'gzip files are not rea'
    """
    return _name_any(source) or describe_non_text("its first bytes are not characters")


def explain_text(source: Source) -> str:
    """Return why a text file is no checkpoint, and what to do.

    Examples
    --------
    >>> from gradflow.readers.source import wrap_bytes
    >>> explain_text(wrap_bytes("model.pt", b"hello"))[:56]
    "is text that starts with 'hello', not a checkpoint; expe"
    """
    beginning = (decode_beginning(source.head) or "").strip().partition("\n")[0].strip()
    return _name_any(source) or (
        f"is text that starts with {quote(beginning, _MAX_SHOWN_TEXT)}, not a checkpoint; expected a file "
        f"with named arrays ({', '.join(CHECKPOINT_SUFFIXES)})"
    )


def _name_any(source: Source) -> str:
    message = name_unsupported(source) or _find_message(source, _OTHER_FORMATS)
    if source.head.startswith(_LFS_POINTER_START):
        return "is a pointer of Git LFS, not the checkpoint itself; fetch it with git lfs pull"
    if (decode_beginning(source.head) or "").lstrip()[:20].lower().startswith(_WEB_PAGE_STARTS):
        return "is a web page, not a checkpoint; it may be a login or an error page, download the file again"
    return message


def _find_message(source: Source, formats: Iterable[UnsupportedFormat]) -> str:
    for known in formats:
        named = source.name.lower().endswith(known.suffixes)
        if named if known.suffixes else source.head[known.offset :].startswith(known.signature):
            return known.message
    return ""
