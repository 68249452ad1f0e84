"""Containers that gradflow knows by sight and does not read, each with what to do instead."""

from gradflow.readers.decoding import not_text
from gradflow.readers.source import Source

_PICKLE = "pickles are never unpickled, for that runs their code; save the arrays as .npy or .safetensors"
_OLD_TORCH = (
    "files of torch before 1.6, which are pickles, are not read; save it anew: "
    "torch.save(torch.load(OLD, weights_only=True), NEW)"
)
_MATLAB = "MATLAB v7.3 (HDF5) is not read; save from MATLAB with -v7, or export the arrays as .npy"

# first bytes → message, the longer first; a pickle opens with its protocol, 2 to 5
_UNREAD = {
    b"MATLAB 7.3 MAT-file": _MATLAB,
    # the number with which torch began
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.": _OLD_TORCH,
    b"\x80\x02": _PICKLE,
    b"\x80\x03": _PICKLE,
    b"\x80\x04": _PICKLE,
    b"\x80\x05": _PICKLE,
    b"\x1f\x8b": "gzip files are not read; unpack it first, as in `gzip -dc FILE | gradflow ... -`",
}
_TAR_MARK_AT = 257


def refusal(source: Source) -> str:
    r"""Return why no reader takes ``source``, and what to do.

    Examples
    --------
    >>> from gradflow.readers.source import from_bytes
    >>> refusal(from_bytes("model.pkl", b"\x80\x04\x95"))[:27]
    'pickles are never unpickled'
    """
    for magic, message in _UNREAD.items():
        if source.head.startswith(magic):
            return message
    if source.head[_TAR_MARK_AT:].startswith(b"ustar"):
        return f"tar archives are not read; unpack it, or if torch wrote it: {_OLD_TORCH}"
    return not_text("its first bytes are no characters")
