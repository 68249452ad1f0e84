"""The frame around a drawing made of letters: axes, round numbers along them, words."""

from textwrap import wrap
from typing import NamedTuple

from rich.cells import cell_len, chop_cells

from gradflow.render.canvas import Canvas, Cell, Paint
from gradflow.render.ticks import labels, ticks

Row = list[Cell]
LEAST = 1e-300  # between the ends of an axis
BETWEEN_X, BETWEEN_Y = 14, 4  # columns and rows between two numbers, at least


class Screen(NamedTuple):
    """What can be drawn with: columns, colours, and letters beyond ASCII."""

    width: int
    color: bool
    unicode: bool

    def letter(self, letter: str, plain: str) -> str:
        """Return a letter, or what stands for it in ASCII."""
        return letter if self.unicode else plain


class Range(NamedTuple):
    """The ends of an axis, apart from each other."""

    low: float
    high: float

    @classmethod
    def of(cls, low: float, high: float) -> "Range":
        """Return the range; about a single value a little on both sides."""
        if high - low > LEAST:
            return cls(low, high)
        around = abs(low) / 10 if abs(low) > 100 * LEAST else 0.5
        return cls(low - around, low + around)

    def share(self, value: float) -> float:
        """Return how far along the axis a value lies, from 0 to 1."""
        return (value - self.low) / (self.high - self.low)


def written(words: str, paint: Paint = None) -> Row:
    """Return words as a row of letters."""
    return [Cell(letter, paint) for letter in words]


def wrapped(words: str, columns: int) -> list[str]:
    """Return words in lines of at most so many columns, of which some letters take two.

    Examples
    --------
    >>> wrapped("two words", 5), wrapped("漢字漢字", 5)
    (['two', 'words'], ['漢字', '漢字'])
    """
    return [piece for line in wrap(words, columns) for piece in chop_cells(line, columns)]


def beside(words: str, columns: int) -> str:
    """Return words moved to the right end of so many columns."""
    return " " * (columns - cell_len(words)) + words


def entry(mark: Row, words: str, columns: int, paint: Paint = None) -> list[Row]:
    """Return an entry of a legend in at most so many columns: a mark, and what it means beside it."""
    lines = wrapped(words, columns - len(mark) - 1)
    heads = [mark, *[written(" " * len(mark))] * len(lines)]
    return [[*head, *written(f" {line}", paint)] for head, line in zip(heads, lines, strict=False)]


def numbered(ends: Range, height: int, *, whole: bool = False) -> list[tuple[float, str]]:
    """Return the round numbers beside a drawing so many rows high, and how they are written."""
    values = ticks(ends.low, ends.high, max(height // BETWEEN_Y, 2), whole=whole)
    return list(zip(values, labels(values), strict=True))


def margin(ends: Range, height: int, *, whole: bool = False) -> int:
    """Return the columns that the numbers beside a drawing take, and the axis."""
    return max((len(name) for _, name in numbered(ends, height, whole=whole)), default=0) + 2


def framed(
    canvas: Canvas, x: Range, y: Range, screen: Screen, *, whole: tuple[bool, bool] = (False, False)
) -> list[Row]:
    """Return the drawing with its axes and the numbers along them; ``whole`` says where they are integers."""
    upright = numbered(y, canvas.height, whole=whole[1])
    names = {canvas.at((0.0, y.share(value)))[1]: name for value, name in upright}
    room = margin(y, canvas.height, whole=whole[1]) - 2
    side, tick = screen.letter("│", "|"), screen.letter("┤", "+")
    rows = [
        [*written(names.get(place, "").rjust(room) + " " + (tick if place in names else side)), *row]
        for place, row in enumerate(canvas.rows())
    ]
    return [*rows, *floor(canvas, x, room, screen, whole=whole[0])]


def floor(canvas: Canvas, x: Range, room: int, screen: Screen, *, whole: bool = False) -> list[Row]:
    """Return the axis under a drawing that starts after ``room`` columns and a margin, and its numbers."""
    flat = ticks(x.low, x.high, max(canvas.width // BETWEEN_X, 2), whole=whole)
    places = {
        canvas.at((x.share(value), 0.0))[0]: name for value, name in zip(flat, labels(flat), strict=True)
    }
    line = [screen.letter("┬", "+") if k in places else screen.letter("─", "-") for k in range(canvas.width)]
    below = [" "] * (canvas.width + room + 2)
    free = 0
    for place, name in sorted(places.items()):
        start = min(max(place + room + 2 - len(name) // 2, 0), len(below) - len(name))
        if start >= free:  # else it would stand in the number before
            below[start : start + len(name)] = name
            free = start + len(name) + 1
    corner = " " * (room + 1) + screen.letter("└", "+")
    return [written(corner + "".join(line)), written("".join(below).rstrip())]
