"""One token of text → one number.

The number is the float64 nearest to what is written. A token that is not a finite number, or that float64
would turn into infinity or zero, is refused with the reason.
"""

import math
import re

from gradflow.errors import DataError
from gradflow.readers.messages import quote

_REAL_PATTERN = r"(?:(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|nan|inf(?:inity)?)"
# A real number, a real and an imaginary part, or an imaginary part alone.
_NUMBER_PATTERN = re.compile(
    rf"([+-]?{_REAL_PATTERN})(?:([+-]{_REAL_PATTERN})[ij])?|([+-]?{_REAL_PATTERN})[ij]",
    re.ASCII | re.IGNORECASE,
)


_FRACTION_PATTERN = re.compile(r"([+-]?\d{1,400})/(\d{1,400})", re.ASCII)


def is_number(token: str, *, fractions: bool = False) -> bool:
    """Return whether ``token`` is written as a number, whether or not float64 can hold it.

    With ``fractions`` a fraction of integers is a number, too.

    Examples
    --------
    >>> [is_number(token) for token in ("0.5", "1-2i", "1e400", "i", "W_hh", "1_000")]
    [True, True, True, False, False, False]
    """
    inner = _strip_parentheses(token)
    is_fraction = fractions and _FRACTION_PATTERN.fullmatch(inner) is not None
    return is_fraction or _NUMBER_PATTERN.fullmatch(inner) is not None


def parse_number(token: str, *, fractions: bool = False) -> float | complex:
    """Return the number that ``token`` writes: complex if it has an imaginary part, else float.

    With ``fractions`` it may be a fraction of integers.

    Raises
    ------
    DataError
        If ``token`` is not a number or not finite, or if float64 would turn it into infinity or zero.

    Examples
    --------
    >>> parse_number("0.58"), parse_number("1-2i"), parse_number("(3e2j)")
    (0.58, (1-2j), 300j)
    >>> parse_number("-1/3", fractions=True)
    -0.3333333333333333
    """
    if fractions and (fraction := _FRACTION_PATTERN.fullmatch(_strip_parentheses(token))):
        return _divide(token, int(fraction[1]), int(fraction[2]))
    match = _NUMBER_PATTERN.fullmatch(_strip_parentheses(token))
    if match is None:
        raise DataError(f"{quote(token)} is not a number; expected one such as 0.5, 1e-3 or 1+2j")
    real_part, imaginary_part, imaginary_alone = match.groups()
    if imaginary_alone:
        return complex(0.0, parse_real(imaginary_alone))
    if imaginary_part:
        return complex(parse_real(real_part), parse_real(imaginary_part))
    return parse_real(real_part)


def parse_real(token: str) -> float:
    """Return the real number that ``token`` writes.

    Raises
    ------
    DataError
        As for `parse_number`. Python and `numpy.loadtxt` silently read ``1e400`` as infinity.

    Examples
    --------
    >>> parse_real("1e400")
    Traceback (most recent call last):
    gradflow.errors.DataError: '1e400' is beyond float64's range, which ends at 1.8e308; rescale the data
    """
    try:
        value = float(token)
    except ValueError:
        value = None
    # Python also accepts 1_000 and the digits of other scripts.
    if value is None or "_" in token or not token.isascii():
        raise DataError(f"{quote(token)} is not a number; expected one such as 0.5 or 1e-3")
    if not math.isfinite(value):
        if "n" in token.lower():
            raise DataError(f"{quote(token)} is not finite; expected a finite number")
        raise DataError(f"{quote(token)} is beyond float64's range, which ends at 1.8e308; rescale the data")
    if value == 0 and re.search("[1-9]", token.lower().partition("e")[0]):
        raise DataError(f"{quote(token)} is not zero, but too small for float64; rescale the data")
    return value


def _divide(token: str, numerator: int, denominator: int) -> float:
    """Return the float64 nearest to a fraction."""
    try:
        value = numerator / denominator
    except ZeroDivisionError:
        raise DataError(f"{quote(token)} divides by 0; expected a fraction such as 1/3") from None
    except OverflowError:
        raise DataError(
            f"{quote(token)} is beyond float64's range, which ends at 1.8e308; rescale the data"
        ) from None
    if value == 0 and numerator:
        raise DataError(f"{quote(token)} is not zero, but too small for float64; rescale the data")
    return value


def _strip_parentheses(token: str) -> str:
    return token[1:-1] if token[:1] == "(" and token[-1:] == ")" else token
