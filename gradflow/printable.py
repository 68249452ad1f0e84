"""Text and numbers that are safe and readable on a screen."""

import math
from collections.abc import Iterable
from numbers import Integral, Number

MAX_DESCRIBED_LENGTH = 200  # letters of a value in a message
MAX_WRITTEN_BITS = 10_000  # of an integer in a message


def escape_unprintable(text: str) -> str:
    r"""Return ``text`` with every unprintable character escaped, so that it is one harmless line.

    Examples
    --------
    >>> print(escape_unprintable("a\x1b[2Jb\n"))
    a\x1b[2Jb\n
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def join_lines(sentences: Iterable[str]) -> str:
    r"""Return sentences as one text, each on a line of its own, with unprintable characters escaped.

    Examples
    --------
    >>> join_lines(["rnn: vanishing.", "a\nb: stable."])
    'rnn: vanishing.\na\\nb: stable.'
    """
    return "\n".join(map(escape_unprintable, sentences))


def format_count(count: int, one: str, several: str) -> str:
    """Return a number with the words that go with it.

    Examples
    --------
    >>> format_count(1, "exponent is", "exponents are"), format_count(2, "exponent is", "exponents are")
    ('1 exponent is', '2 exponents are')
    """
    return f"{count} {one if count == 1 else several}"


def format_steps(count: float | Integral) -> str:
    """Return a number of steps with the word: an integer in full, any other number in three digits.

    Examples
    --------
    >>> format_steps(1), format_steps(1000), format_steps(1000.0), format_steps(0.98765)
    ('1 step', '1000 steps', '1000 steps', '0.988 steps')
    """
    digits = f"{int(count)}" if isinstance(count, Integral) else f"{float(f'{count:.3g}'):.6g}"
    return f"{digits} {'step' if digits == '1' else 'steps'}"


def format_pace(steps: float) -> str:
    """Return how often something happens, given the number of steps that it takes.

    Examples
    --------
    >>> format_pace(1.0), format_pace(12.34)
    ('every step', 'every 12.3 steps')
    """
    words = format_steps(steps)
    return "every step" if words == "1 step" else f"every {words}"


def describe_value(value: object) -> str:
    """Return a value as a message names it, on one short line: text in quotes, arrays and objects in words.

    Examples
    --------
    >>> describe_value("5"), describe_value(5), describe_value(["torch", None])
    ("'5'", '5', "['torch', None]")
    >>> import numpy as np
    >>> describe_value(np.eye(3)), describe_value(np.float64(0.5)), describe_value({})
    ('an array of shape (3, 3)', '0.5', 'an object of type dict')
    """
    # Python itself writes out no integer of much more than that
    if isinstance(value, int) and value.bit_length() > MAX_WRITTEN_BITS:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, Number):
        text = str(value)  # the repr of numpy's numbers is np.int64(3)
    elif isinstance(value, str):
        text = repr(str(value))
    elif value is None or isinstance(value, bytes):
        text = repr(value)
    elif isinstance(value, list) and all(one is None or isinstance(one, str | Number) for one in value):
        text = f"[{', '.join(map(describe_value, value))}]"
    elif isinstance(value, type):
        text = f"the class {value.__name__}"
    elif isinstance(shape := getattr(value, "shape", None), tuple):
        text = f"an array of shape {tuple(shape)}"
    else:
        text = f"an object of type {type(value).__name__}"
    return text if len(text) <= MAX_DESCRIBED_LENGTH else f"{text[: MAX_DESCRIBED_LENGTH - 1]}…"


def describe_argument(name: str, value: object) -> str:
    """Return the start of a message about the value of an argument.

    Examples
    --------
    >>> describe_argument("hidden", "5"), describe_argument("hidden", {})
    ("hidden '5'", 'hidden, an object of type dict')
    """
    described = describe_value(value)
    return f"{name}, {described}" if described.startswith(("an ", "the ")) else f"{name} {described}"


def format_log10(log10: float, digits: int = 6) -> str:
    """Return 10**log10 in at most ``digits`` digits, also where a float64 cannot hold it.

    Numbers far from 1 have four digits at most, because their logarithm leaves no more.

    Examples
    --------
    >>> format_log10(-1233.01886), format_log10(0.0), format_log10(-math.inf)
    ('9.575e-1234', '1', '0')
    >>> format_log10(-1233.01886, 2), format_log10(-1.5, 4), format_log10(math.log10(0.0996), 2)
    ('9.6e-1234', '0.03162', '0.1')
    """
    if not math.isfinite(log10):
        return "0" if log10 < 0 else "inf"
    if -4 <= log10 < 6:
        return f"{10.0**log10:.{digits}g}"
    if abs(log10) >= 1e12:  # log10 itself has no digits left for the mantissa
        return f"10^{log10:.6g}"
    exponent = math.floor(log10)
    places = min(digits, 4) - 1
    mantissa = f"{10 ** (log10 - exponent):.{places}f}"
    if mantissa.startswith("10"):
        mantissa, exponent = f"{1:.{places}f}", exponent + 1
    return f"{mantissa}e{exponent:+03d}"


def format_with_error(value: float, error: float) -> str:
    """Return an estimate and its standard error with two digits, the estimate to the same place.

    Examples
    --------
    >>> format_with_error(0.0322849, 0.00650406), format_with_error(12345.6, 234.5)
    ('0.0323 ± 0.0065', '12350 ± 230')
    """
    if not (math.isfinite(error) and error > 0):
        return f"{value:.6g}"
    rounded = float(f"{error:.1e}")
    places = 1 - math.floor(math.log10(rounded))
    if places > 0:
        return f"{value:.{places}f} ± {rounded:.{places}f}"
    return f"{round(value, places):.0f} ± {rounded:.0f}"


def round_up(error: float) -> float:
    """Return an error rounded up to one significant digit; 0, inf and nan as they are.

    Examples
    --------
    >>> round_up(2.46e-15), round_up(0.5), round_up(0.0)
    (3e-15, 0.5, 0.0)
    """
    if error == 0.0 or not math.isfinite(error):
        return error
    digit, exponent = f"{error:.0e}".split("e")
    nearest = float(f"{digit}e{exponent}")
    return nearest if nearest >= error else float(f"{int(digit) + 1}e{exponent}")
