"""The subject of a theory: a cell or ensemble with options, of which one may be a range."""

from decimal import Decimal
from typing import NamedTuple

from gradflow.cells import CELLS
from gradflow.cells.spec import CellSpec, parse_cell, parse_finite_number
from gradflow.errors import UsageError
from gradflow.registry import describe_unknown

MAX_RANGE_VALUES = 1000  # values of a range, at most
MAX_RANGE_END = 1e100
INPUT_SCALE = "input_scale"


class Variant(NamedTuple):
    """One cell, ``spec`` (None: a product of matrices), its options and the scale of its inputs."""

    text: str
    spec: CellSpec | None
    options: dict[str, float | int | bool | str]
    input_scale: float


class Asked(NamedTuple):
    """The subject's name, its options as text, and the swept option with its values, if any."""

    name: str
    items: tuple[tuple[str, str], ...]
    parameter: str | None
    values: tuple[float, ...]

    def at(self, value: float | None = None) -> Variant:
        """Return the subject whose swept parameter is ``value``."""
        swept = "" if value is None else f"{int(value)}" if value.is_integer() else f"{value!r}"
        items = {name: swept if name == self.parameter else text for name, text in self.items}
        scale = float(items.pop(INPUT_SCALE))
        text = ":".join(filter(None, [self.name, ",".join(f"{name}={text}" for name, text in items.items())]))
        if self.name not in CELLS:  # a product of random matrices
            wrong = [name for name in items if name != "gain"]
            if wrong:
                raise UsageError(f"{text!r}: {describe_unknown('option', wrong[0], ['gain'])}")
            gain = number("gain", items.get("gain", "1"))
            return Variant(text, None, {"gain": gain}, scale)
        spec = parse_cell(text)
        for name, option in spec.options.items():
            if isinstance(option, float):
                number(name, f"{option!r}")
        return Variant(text, spec, dict(spec.options), scale)


def parse_asked(text: str, gain: float | str | None, input_scale: float | str | None) -> Asked:
    """Read ``NAME[:option=value,...]``, of which one value may be a range ``START:STOP:STEP``.

    Raises
    ------
    UsageError
        If an option is invalid or given twice, or if two options have ranges.

    Examples
    --------
    >>> parse_asked("rnn:init=ginibre", "0.5:2:0.5", 1.0).values
    (0.5, 1.0, 1.5, 2.0)
    """
    name, _, rest = text.partition(":")
    items = [item.partition("=") for item in rest.split(",") if item]
    found = [(option.strip().replace("-", "_"), value.strip()) for option, _, value in items]
    if INPUT_SCALE in dict(found):
        raise UsageError(
            f"{text!r}: {INPUT_SCALE} is not an option of a cell; give it separately, as the input scale"
        )
    found += [] if gain is None else [("gain", str(gain).strip())]
    twice = [option for option, _ in found if [one for one, _ in found].count(option) > 1]
    if twice:
        raise UsageError(f"{text!r}: {twice[0]} is given twice")
    scale = "1" if input_scale is None else str(input_scale).strip()
    if ":" not in scale:
        number(INPUT_SCALE, scale)
    found.append((INPUT_SCALE, scale))
    ranges = [(option, value) for option, value in found if ":" in value]
    if len(ranges) > 1:
        raise UsageError(
            f"{ranges[1][0]}={ranges[1][1]}: {ranges[0][0]} has a range already; expected only one range"
        )
    option, value = ranges[0] if ranges else (None, "")
    return Asked(name, tuple(found), option, values_of(option, value) if option else ())


def values_of(option: str, text: str) -> tuple[float, ...]:
    """Return the values of a range START:STOP:STEP, with STOP if the steps reach it.

    Raises
    ------
    UsageError
        If the text is not such a range.

    Examples
    --------
    >>> values_of("gain", "0.7:1:0.1")
    (0.7, 0.8, 0.9, 1.0)
    """
    parts = text.split(":")
    if len(parts) != 3:
        raise UsageError(f"{option}={text}: expected a number, or a range START:STOP:STEP, as in 0.5:2:0.1")
    for part in parts:
        number(option, part)
    # in decimal, as typed: no double equals 0.1
    start, stop, step = (Decimal(part.strip()) for part in parts)
    if step <= 0 or stop < start:
        raise UsageError(f"{option}={text}: expected a STOP of at least START, and a STEP above 0")
    count = int((stop - start) / step) + 1
    if count > MAX_RANGE_VALUES:
        told = f"{count}" if count < 10**9 else "too many"
        raise UsageError(f"{option}={text}: {told} values; expected at most {MAX_RANGE_VALUES}")
    return tuple(float(start + k * step) for k in range(count))


def number(option: str, text: str) -> float:
    """Return a finite number.

    Raises
    ------
    UsageError
        If the text is not a finite number, or is too large.
    """
    value = parse_finite_number(text)
    if value is None:
        raise UsageError(f"{option}={text}: expected a finite number, or a range START:STOP:STEP")
    if abs(value) > MAX_RANGE_END:
        raise UsageError(f"{option}={text}: expected an absolute value of at most {MAX_RANGE_END:g}")
    return value
