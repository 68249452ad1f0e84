"""The frame around a drawing made of letters: axes, round numbers along them, and text."""

from textwrap import wrap
from typing import NamedTuple

from rich.cells import cell_len, chop_cells

from gradflow.render.terminal.canvas import Canvas, CanvasCell, Paint
from gradflow.render.terminal.ticks import choose_ticks, label_ticks

CanvasRow = list[CanvasCell]
MIN_AXIS_SPAN = 1e-300
COLUMNS_PER_TICK, ROWS_PER_TICK = 14, 4  # at least, between two numbers


class ChartScreen(NamedTuple):
    """What a terminal can show: how many columns, and whether colors and letters beyond ASCII."""

    width: int
    color: bool
    unicode: bool

    def letter(self, letter: str, plain: str) -> str:
        """Return a letter, or its replacement in ASCII."""
        return letter if self.unicode else plain


class AxisRange(NamedTuple):
    """The ends of an axis, which differ."""

    low: float
    high: float

    @classmethod
    def of(cls, low: float, high: float) -> "AxisRange":
        """Return the range from low to high, or a little around a single value."""
        if high - low > MIN_AXIS_SPAN:
            return cls(low, high)
        around = abs(low) / 10 if abs(low) > 100 * MIN_AXIS_SPAN else 0.5
        return cls(low - around, low + around)

    def share(self, value: float) -> float:
        """Return how far along the axis a value lies, from 0 to 1."""
        return (value - self.low) / (self.high - self.low)


def write_row(words: str, paint: Paint = None) -> CanvasRow:
    """Return text as a row of letters."""
    return [CanvasCell(letter, paint) for letter in words]


def wrap_words(words: str, columns: int) -> list[str]:
    """Return text in lines of at most so many columns; some letters take two.

    Examples
    --------
    >>> wrap_words("two words", 5), wrap_words("漢字漢字", 5)
    (['two', 'words'], ['漢字', '漢字'])
    """
    return [piece for line in wrap(words, columns) for piece in chop_cells(line, columns)]


def align_right(words: str, columns: int) -> str:
    """Return text aligned to the right end of so many columns."""
    return " " * (columns - cell_len(words)) + words


def make_legend_entry(mark: CanvasRow, words: str, columns: int, paint: Paint = None) -> list[CanvasRow]:
    """Return an entry of a legend in at most so many columns: a mark and its meaning."""
    lines = wrap_words(words, columns - len(mark) - 1)
    heads = [mark, *[write_row(" " * len(mark))] * len(lines)]
    return [[*head, *write_row(f" {line}", paint)] for head, line in zip(heads, lines, strict=False)]


def number_axis(ends: AxisRange, height: int, *, whole: bool = False) -> list[tuple[float, str]]:
    """Return round numbers for an axis so many rows high, as values and as text."""
    values = choose_ticks(ends.low, ends.high, max(height // ROWS_PER_TICK, 2), whole=whole)
    return list(zip(values, label_ticks(values), strict=True))


def measure_margin(ends: AxisRange, height: int, *, whole: bool = False) -> int:
    """Return how many columns the numbers of the left axis and the axis itself take."""
    return max((len(name) for _, name in number_axis(ends, height, whole=whole)), default=0) + 2


def draw_frame(
    canvas: Canvas,
    x: AxisRange,
    y: AxisRange,
    screen: ChartScreen,
    *,
    whole: tuple[bool, bool] = (False, False),
) -> list[CanvasRow]:
    """Return a drawing with its axes and numbers along them; ``whole`` asks for integers on x and on y."""
    upright = number_axis(y, canvas.height, whole=whole[1])
    names = {canvas.at((0.0, y.share(value)))[1]: name for value, name in upright}
    room = measure_margin(y, canvas.height, whole=whole[1]) - 2
    side, tick = screen.letter("│", "|"), screen.letter("┤", "+")
    rows = [
        [*write_row(names.get(place, "").rjust(room) + " " + (tick if place in names else side)), *row]
        for place, row in enumerate(canvas.rows())
    ]
    return [*rows, *draw_bottom_axis(canvas, x, room, screen, whole=whole[0])]


def draw_bottom_axis(
    canvas: Canvas, x: AxisRange, room: int, screen: ChartScreen, *, whole: bool = False
) -> list[CanvasRow]:
    """Return the axis below a drawing and its numbers; ``room`` columns on the left are for other text."""
    flat = choose_ticks(x.low, x.high, max(canvas.width // COLUMNS_PER_TICK, 2), whole=whole)
    places = {
        canvas.at((x.share(value), 0.0))[0]: name for value, name in zip(flat, label_ticks(flat), strict=True)
    }
    line = [screen.letter("┬", "+") if k in places else screen.letter("─", "-") for k in range(canvas.width)]
    below = [" "] * (canvas.width + room + 2)
    free = 0
    for place, name in sorted(places.items()):
        start = min(max(place + room + 2 - len(name) // 2, 0), len(below) - len(name))
        if start >= free:  # leave out a number that would overlap the one before
            below[start : start + len(name)] = name
            free = start + len(name) + 1
    corner = " " * (room + 1) + screen.letter("└", "+")
    return [write_row(corner + "".join(line)), write_row("".join(below).rstrip())]
