"""Long texts and names on several lines; a name is broken after punctuation, and no word in its middle."""

import re
from textwrap import wrap

# A name may be broken after one of these marks; a decimal point is not one of them.
_NAME_MARK = re.compile(r"([_/,=]|::?(?!:)|(?<!\d)\.|\.(?!\d))(?=\S)")
_BREAK = "\v"  # white space that no printable name contains


def split_name(name: str) -> list[str]:
    """Return the pieces of a name that must stay whole.

    Examples
    --------
    >>> split_name("model.pt::encoder.lstm"), split_name("log10_norm low")
    (['model.', 'pt::', 'encoder.', 'lstm'], ['log10_', 'norm', 'low'])
    """
    return _NAME_MARK.sub(rf"\1{_BREAK}", name).split()


def wrap_name(name: str, width: int) -> list[str]:
    """Return a name as lines of at most ``width`` letters, each as long as possible.

    Examples
    --------
    >>> wrap_name("model.pt::encoder.lstm f", 13), wrap_name("rnn:activation=relu,gain=0.3", 20)
    (['model.pt::', 'encoder.lstm', 'f'], ['rnn:activation=relu,', 'gain=0.3'])
    """
    lines = [""]
    for word in name.split():
        gap = " "
        for piece in split_name(word):
            filled = f"{lines[-1]}{gap}{piece}" if lines[-1] else piece
            # a piece that no line can hold is cut
            lines[-1:] = [filled] if len(filled) <= width else [lines[-1], *wrap(piece, width)]
            gap = ""
    return [line for line in lines if line] or [""]


def wrap_text(text: str, width: int | None) -> list[str]:
    """Return a text as lines of at most ``width`` letters, broken at blanks; a longer word has its own line.

    Examples
    --------
    >>> wrap_text("the rate of growth", 9), wrap_text("the rate", None)
    (['the rate', 'of growth'], ['the rate'])
    """
    if width is None or len(text) <= width:
        return [text]
    return wrap(text, width, break_long_words=False, break_on_hyphens=False)
