"""Containers that gradflow recognizes but does not read, each with advice on what to do instead."""

from gradflow.readers import CHECKPOINT_SUFFIXES
from gradflow.readers.decoding import decode_beginning, describe_non_text
from gradflow.readers.messages import quote
from gradflow.readers.source import Source

_PICKLE_ADVICE = (
    "pickles are not read, because unpickling runs their code; save the arrays as .npy or .safetensors"
)
_OLD_TORCH_ADVICE = (
    "files of torch before 1.6 are pickles and are not read; save it again: "
    "torch.save(torch.load(OLD, weights_only=True), NEW)"
)
_MATLAB_ADVICE = "MATLAB v7.3 (HDF5) is not read; save from MATLAB with -v7, or export the arrays as .npy"

# First bytes → message; longer signatures come first. A pickle starts with its protocol, 2 to 5.
_UNSUPPORTED_SIGNATURES = {
    b"MATLAB 7.3 MAT-file": _MATLAB_ADVICE,
    # the magic number at the start of an old torch file
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.": _OLD_TORCH_ADVICE,
    b"\x80\x02": _PICKLE_ADVICE,
    b"\x80\x03": _PICKLE_ADVICE,
    b"\x80\x04": _PICKLE_ADVICE,
    b"\x80\x05": _PICKLE_ADVICE,
    b"\x1f\x8b": "gzip files are not read; unpack it first: `gzip -dc FILE | gradflow ... -`",
}
_TAR_SIGNATURE_OFFSET = 257
_LFS_POINTER_START = b"version https://git-lfs.github.com/"
_MAX_SHOWN_TEXT = 30


def explain_refusal(source: Source) -> str:
    r"""Return why no reader accepts ``source``, and what to do.

    Examples
    --------
    >>> from gradflow.readers.source import wrap_bytes
    >>> explain_refusal(wrap_bytes("model.pkl", b"\x80\x04\x95"))[:20]
    'pickles are not read'
    """
    for magic, message in _UNSUPPORTED_SIGNATURES.items():
        if source.head.startswith(magic):
            return message
    if source.head[_TAR_SIGNATURE_OFFSET:].startswith(b"ustar"):
        return f"tar archives are not read; unpack it. If torch wrote it: {_OLD_TORCH_ADVICE}"
    return describe_non_text("its first bytes are not characters")


def explain_text(source: Source) -> str:
    """Return why a text file is no checkpoint, and what to do.

    Examples
    --------
    >>> from gradflow.readers.source import wrap_bytes
    >>> explain_text(wrap_bytes("model.pt", b"hello"))[:56]
    "is text that starts with 'hello', not a checkpoint; expe"
    """
    if source.head.startswith(_LFS_POINTER_START):
        return "is a pointer of Git LFS, not the checkpoint itself; fetch it with git lfs pull"
    beginning = (decode_beginning(source.head) or "").strip().partition("\n")[0].strip()
    return (
        f"is text that starts with {quote(beginning, _MAX_SHOWN_TEXT)}, not a checkpoint; expected a file "
        f"with named arrays ({', '.join(CHECKPOINT_SUFFIXES)})"
    )
