"""One token → one number, exactly as written up to float64's rounding, or refused with the reason."""

import math
import re

from gradflow.errors import DataError
from gradflow.readers.messages import shown

_PART = r"(?:(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|nan|inf(?:inity)?)"
# a real; a real and an imaginary part; or an imaginary part alone
_NUMBER = re.compile(rf"([+-]?{_PART})(?:([+-]{_PART})[ij])?|([+-]?{_PART})[ij]", re.ASCII | re.IGNORECASE)


def is_number(token: str) -> bool:
    """Return whether ``token`` is written as a number is, be it one that float64 can hold or not.

    Examples
    --------
    >>> [is_number(token) for token in ("0.5", "1-2i", "1e400", "i", "W_hh", "1_000")]
    [True, True, True, False, False, False]
    """
    return _NUMBER.fullmatch(_bare(token)) is not None


def number(token: str) -> float | complex:
    """Return the number that ``token`` writes; complex only where it has an imaginary part.

    Raises
    ------
    DataError
        If it is no number, not finite, or float64 would make infinity or zero of it.

    Examples
    --------
    >>> number("0.58"), number("1-2i"), number("(3e2j)")
    (0.58, (1-2j), 300j)
    """
    match = _NUMBER.fullmatch(_bare(token))
    if match is None:
        raise DataError(f"{shown(token)} is not a number; expected one such as 0.5, 1e-3 or 1+2j")
    real_part, imaginary_part, imaginary_alone = match.groups()
    if imaginary_alone:
        return complex(0.0, real(imaginary_alone))
    if imaginary_part:
        return complex(real(real_part), real(imaginary_part))
    return real(real_part)


def real(token: str) -> float:
    """Return the real number that ``token`` writes.

    Raises
    ------
    DataError
        As for `number`. Python and `numpy.loadtxt` read ``1e400`` as infinity without a word.

    Examples
    --------
    >>> real("1e400")
    Traceback (most recent call last):
    gradflow.errors.DataError: '1e400' is beyond float64's range, which ends at 1.8e308; rescale the data
    """
    try:
        value = float(token)
    except ValueError:
        value = None
    # Python reads 1_000 and the digits of other scripts too
    if value is None or "_" in token or not token.isascii():
        raise DataError(f"{shown(token)} is not a number; expected one such as 0.5 or 1e-3")
    if not math.isfinite(value):
        if "n" in token.lower():
            raise DataError(f"{shown(token)} is not finite; expected a finite number")
        raise DataError(f"{shown(token)} is beyond float64's range, which ends at 1.8e308; rescale the data")
    if value == 0 and re.search("[1-9]", token.lower().partition("e")[0]):
        raise DataError(f"{shown(token)} is not zero, but float64 has none so small; rescale the data")
    return value


def _bare(token: str) -> str:
    return token[1:-1] if token[:1] == "(" and token[-1:] == ")" else token
