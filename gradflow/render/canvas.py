"""A grid of letters to draw on: dots of braille, eight to a letter, or one mark a letter."""

import math
from typing import NamedTuple

Paint = str | None  # a colour, for a terminal that has any

BRAILLE = 0x2800
# the bit of each dot, by row and column of the letter
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


class Cell(NamedTuple):
    """One letter and its colour."""

    letter: str = " "
    paint: Paint = None


class Canvas:
    """A grid of ``width`` by ``height`` letters, the first row on top.

    A place is a share of the width from the left and of the height from the bottom, each from 0 to 1.
    ``braille`` says whether dots are drawn; otherwise a curve is made of the mark that it brings.
    """

    def __init__(self, width: int, height: int, *, braille: bool) -> None:
        self.width, self.height = width, height
        self.across, self.down = (2, 4) if braille else (1, 1)
        self.bits: dict[tuple[int, int], int] = {}
        self.cells: dict[tuple[int, int], Cell] = {}

    def point(self, place: tuple[float, float], mark: str, paint: Paint = None) -> None:
        """Draw one dot, or one mark."""
        self._dot(*self._at(place), mark, paint)

    def line(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        mark: str,
        paint: Paint = None,
        every: int = 1,
    ) -> None:
        """Draw a line; of its dots every second, third, … one."""
        (x, y), (to_x, to_y) = self._at(start), self._at(end)
        count = max(abs(to_x - x), abs(to_y - y))
        for k in range(0, count + 1, every):
            share = k / count if count else 0.0
            self._dot(round(x + share * (to_x - x)), round(y + share * (to_y - y)), mark, paint)

    def put(self, column: int, row: int, letter: str, paint: Paint = None) -> None:
        """Write one letter over whatever is there."""
        if 0 <= column < self.width and 0 <= row < self.height:
            self.cells[column, row] = Cell(letter, paint)

    def at(self, place: tuple[float, float]) -> tuple[int, int]:
        """Return the column and the row of a place."""
        x, y = self._at(place)
        return x // self.across, y // self.down

    def rows(self) -> list[list[Cell]]:
        """Return the rows from the top."""
        empty = Cell()
        return [
            [self.cells.get((column, row), empty) for column in range(self.width)]
            for row in range(self.height)
        ]

    def _at(self, place: tuple[float, float]) -> tuple[int, int]:
        """Return a place in dots from the top left, moved to the edge where it lies outside."""
        columns, rows = self.width * self.across, self.height * self.down
        x, y = (min(max(share, 0.0), 1.0) for share in place)
        return min(math.floor(x * columns), columns - 1), min(math.floor((1.0 - y) * rows), rows - 1)

    def _dot(self, x: int, y: int, mark: str, paint: Paint) -> None:
        column, row = x // self.across, y // self.down
        letter = mark
        if self.across > 1:
            self.bits[column, row] = self.bits.get((column, row), 0) | DOTS[y % self.down][x % self.across]
            letter = chr(BRAILLE + self.bits[column, row])
        self.cells[column, row] = Cell(letter, paint)
