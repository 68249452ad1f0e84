"""Names that are too long for a line: broken after their marks, not in the middle of a word."""

import re
from textwrap import wrap

# where a name may be broken, and what that makes of it
_MARKS = r"([_/,]|::|(?<!\d)\.|\.(?!\d))"  # the point of a number is none
_MARK, _MARK_AND_ROOM = re.compile(rf"{_MARKS}(?=\S)"), re.compile(rf"{_MARKS} ")


def unbroken(name: str) -> list[str]:
    """Return the pieces that a name must not be broken within.

    Examples
    --------
    >>> unbroken("model.pt::encoder.lstm"), unbroken("log10_norm low")
    (['model.', 'pt::', 'encoder.', 'lstm'], ['log10_', 'norm', 'low'])
    """
    return _MARK.sub(r"\1 ", name).split()


def broken(name: str, width: int) -> list[str]:
    """Return the lines of a name, each as long as ``width`` lets it be.

    Examples
    --------
    >>> broken("model.pt::encoder.lstm f", 13), broken("rnn:activation=relu,gain=0.3", 20)
    (['model.pt::', 'encoder.lstm', 'f'], ['rnn:activation=relu,', 'gain=0.3'])
    """
    return [_MARK_AND_ROOM.sub(r"\1", line) for line in wrap(_MARK.sub(r"\1 ", name), width)] or [""]
