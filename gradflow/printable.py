"""How text and numbers are made fit for a screen."""

import math


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


def decimal(log10: float) -> str:
    """Return 10**log10 in a few digits, whatever its size.

    Examples
    --------
    >>> decimal(-1233.01886), decimal(0.0), decimal(-math.inf)
    ('9.575e-1234', '1', '0')
    """
    if not math.isfinite(log10):
        return "0" if log10 < 0 else "inf"
    if -4 <= log10 < 6:
        return f"{10.0**log10:.6g}"
    if abs(log10) >= 1e12:  # no digit of the mantissa is left
        return f"10^{log10:.6g}"
    exponent = math.floor(log10)
    mantissa = f"{10 ** (log10 - exponent):.3f}"
    return f"1.000e{exponent + 1:+03d}" if mantissa == "10.000" else f"{mantissa}e{exponent:+03d}"
