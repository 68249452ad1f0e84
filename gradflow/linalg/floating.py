"""Floating-point formats: the limits of a double, and of the formats that networks are trained in."""

import math
import sys

DOUBLE_EPS = sys.float_info.epsilon  # 2⁻⁵², the spacing of doubles just above 1
SMALLEST_NORMAL_DOUBLE = sys.float_info.min  # 2⁻¹⁰²²: smaller doubles have fewer digits

# name → (smallest normal number, largest number)
TRAINING_FORMATS = {
    "float32": (2.0**-126, (2 - 2.0**-23) * 2.0**127),
    "float16": (2.0**-14, (2 - 2.0**-10) * 2.0**15),
    "bfloat16": (2.0**-126, (2 - 2.0**-7) * 2.0**127),
}

# log₁₀ of norms that a plot marks, with their names: the norm 1, and the ends of the formats' normal numbers.
NAMED_LOG10_NORMS = {0.0: "norm 1"} | {
    math.log10(
        end
    ): f"{', '.join(name for name in TRAINING_FORMATS if TRAINING_FORMATS[name][place] == end)}: {which}"
    for place, which in enumerate(("smallest", "largest"))
    for end in sorted({ends[place] for ends in TRAINING_FORMATS.values()})
}


def is_outside(log10_norm: float, ends: tuple[float, float]) -> bool:
    """Return whether a norm is below a format's smallest normal number or above its largest number.

    Examples
    --------
    >>> is_outside(-38.0, TRAINING_FORMATS["float32"]), is_outside(4.9, TRAINING_FORMATS["float16"])
    (True, True)
    """
    smallest, largest = (math.log10(end) for end in ends)
    return log10_norm < smallest or log10_norm > largest
