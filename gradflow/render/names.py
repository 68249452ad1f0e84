"""Names that are too long for a line: broken after their marks, not in the middle of a word."""

import re
from textwrap import wrap

# where a name may be broken, and what that makes of it
_MARKS = r"([_/,]|::|(?<!\d)\.|\.(?!\d))"  # the point of a number is none
_MARK = re.compile(rf"{_MARKS}(?=\S)")
_ROOM = "\v"  # a blank that no name holds, for a name is printable


def unbroken(name: str) -> list[str]:
    """Return the pieces that a name must not be broken within.

    Examples
    --------
    >>> unbroken("model.pt::encoder.lstm"), unbroken("log10_norm low")
    (['model.', 'pt::', 'encoder.', 'lstm'], ['log10_', 'norm', 'low'])
    """
    return _MARK.sub(rf"\1{_ROOM}", name).split()


def broken(name: str, width: int) -> list[str]:
    """Return the lines of a name, each as long as ``width`` lets it be.

    Examples
    --------
    >>> broken("model.pt::encoder.lstm f", 13), broken("rnn:activation=relu,gain=0.3", 20)
    (['model.pt::', 'encoder.lstm', 'f'], ['rnn:activation=relu,', 'gain=0.3'])
    """
    lines = wrap(_MARK.sub(rf"\1{_ROOM}", name), width, replace_whitespace=False)
    return [line.replace(_ROOM, "") for line in lines] or [""]
