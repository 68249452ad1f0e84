"""Containers that gradflow recognizes but does not read, each with advice on what to do instead."""

from gradflow.readers import CHECKPOINT_SUFFIXES
from gradflow.readers.decoding import decode_beginning, describe_non_text
from gradflow.readers.messages import quote
from gradflow.readers.source import Source

_MATLAB_ADVICE = "MATLAB v7.3 (HDF5) is not read; save from MATLAB with -v7, or export the arrays as .npy"

# First bytes → message.
_UNSUPPORTED_SIGNATURES = {
    b"MATLAB 7.3 MAT-file": _MATLAB_ADVICE,
    b"\x1f\x8b": "gzip files are not read; unpack it first: `gzip -dc FILE | gradflow ... -`",
}
_LFS_POINTER_START = b"version https://git-lfs.github.com/"
_MAX_SHOWN_TEXT = 30


def explain_refusal(source: Source) -> str:
    r"""Return why no reader accepts ``source``, and what to do.

    Examples
    --------
    >>> from gradflow.readers.source import wrap_bytes
    >>> explain_refusal(wrap_bytes("model.pt.gz", b"\x1f\x8b\x08"))[:22]
    'gzip files are not rea'
    """
    for magic, message in _UNSUPPORTED_SIGNATURES.items():
        if source.head.startswith(magic):
            return message
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
