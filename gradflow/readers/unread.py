"""Containers that gradflow knows by sight and does not read, each with what to do instead."""

from gradflow.readers.decoding import not_text
from gradflow.readers.source import Source

_PICKLE = "pickles are never unpickled, for that runs their code; save the arrays as .npy or .safetensors"
_HDF5 = (
    "HDF5 files (.h5, .keras, MATLAB v7.3) are not read; save from MATLAB with -v7, "
    "or export the arrays as .npy or .safetensors"
)

# first bytes → message; a pickle opens with its protocol, 2 to 5
_UNREAD = {
    b"\x89HDF": _HDF5,
    b"MATLAB 7.3 MAT-file": _HDF5,
    b"\x80\x02": _PICKLE,
    b"\x80\x03": _PICKLE,
    b"\x80\x04": _PICKLE,
    b"\x80\x05": _PICKLE,
    b"\x1f\x8b": "gzip files are not read; unpack it first, as in `gzip -dc FILE | gradflow ... -`",
}


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
    return not_text("its first bytes are no characters")
