"""The frame around a drawing made of letters: axes, round numbers along them, words."""

from typing import NamedTuple

from gradflow.render.canvas import Canvas, Cell, Paint
from gradflow.render.ticks import labels, ticks

Row = list[Cell]
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
        if high > low:
            return cls(low, high)
        around = abs(low) / 10 or 0.5
        return cls(low - around, low + around)

    def share(self, value: float) -> float:
        """Return how far along the axis a value lies, from 0 to 1."""
        return (value - self.low) / (self.high - self.low)


def written(words: str, paint: Paint = None) -> Row:
    """Return words as a row of letters."""
    return [Cell(letter, paint) for letter in words]


def framed(
    canvas: Canvas, x: Range, y: Range, screen: Screen, *, whole: tuple[bool, bool] = (False, False)
) -> list[Row]:
    """Return the drawing with its axes and the numbers along them; ``whole`` says where they are integers."""
    upright = ticks(y.low, y.high, max(canvas.height // BETWEEN_Y, 2), whole=whole[1])
    names = {
        canvas.at((0.0, y.share(value)))[1]: name
        for value, name in zip(upright, labels(upright), strict=True)
    }
    room = max(map(len, names.values()), default=0)
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
    for place, name in places.items():
        start = min(max(place + room + 2 - len(name) // 2, 0), len(below) - len(name))
        below[start : start + len(name)] = name
    corner = " " * (room + 1) + screen.letter("└", "+")
    return [written(corner + "".join(line)), written("".join(below).rstrip())]
