"""Text from outside on its way to a screen."""


def printable(text: str) -> str:
    r"""Return ``text`` with whatever is no visible letter escaped, so that it stays one harmless line.

    Examples
    --------
    >>> print(printable("a\x1b[2Jb\n"))
    a\x1b[2Jb\n
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
