"""The floating-point formats that networks are trained in, and where each ends."""

import math

# name → (smallest normal number, largest number)
FORMATS = {
    "float32": (2.0**-126, (2 - 2.0**-23) * 2.0**127),
    "float16": (2.0**-14, (2 - 2.0**-10) * 2.0**15),
    "bfloat16": (2.0**-126, (2 - 2.0**-7) * 2.0**127),
}

# Logarithms of a norm that a reader must not miss, each with its name: 1 itself, and the ends of the formats'
# normal numbers.
LEVELS = {0.0: "norm 1"} | {
    math.log10(end): f"{', '.join(name for name in FORMATS if FORMATS[name][place] == end)}: {which}"
    for place, which in enumerate(("smallest", "largest"))
    for end in sorted({ends[place] for ends in FORMATS.values()})
}


def outside(log10_norm: float, ends: tuple[float, float]) -> bool:
    """Return whether a norm is under a format's smallest normal number or over its largest.

    Examples
    --------
    >>> outside(-38.0, FORMATS["float32"]), outside(4.9, FORMATS["float16"])
    (True, True)
    """
    smallest, largest = (math.log10(end) for end in ends)
    return log10_norm < smallest or log10_norm > largest
