"""A grid of letters to draw on: in braille dots, eight per letter, or with one mark per letter."""

import math
from typing import NamedTuple

Paint = str | None  # a color or a style, as rich writes it

BRAILLE_BASE = 0x2800
# The bit of each dot, by row and column within the letter.
BRAILLE_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


class CanvasCell(NamedTuple):
    """One letter and its color."""

    letter: str = " "
    paint: Paint = None


class Canvas:
    """A grid of ``width`` by ``height`` letters; the first row is the top one.

    A place is a share of the width from the left and a share of the height from the bottom, each from 0 to 1.
    With ``braille`` curves are drawn as dots, without it as letters that the caller chooses.
    """

    def __init__(self, width: int, height: int, *, braille: bool) -> None:
        self.width, self.height = width, height
        self.across, self.down = (2, 4) if braille else (1, 1)
        self.bits: dict[tuple[int, int], int] = {}
        self.cells: dict[tuple[int, int], CanvasCell] = {}

    def point(self, place: tuple[float, float], mark: str, paint: Paint = None) -> None:
        """Draw one dot or one mark."""
        self._dot(*self._at(place), mark, paint)

    def line(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        mark: str,
        paint: Paint = None,
        every: int = 1,
    ) -> None:
        """Draw a line, or with ``every`` only every second, third, … dot of it."""
        (x, y), (to_x, to_y) = self._at(start), self._at(end)
        count = max(abs(to_x - x), abs(to_y - y))
        for k in range(0, count + 1, every):
            share = k / count if count else 0.0
            self._dot(round(x + share * (to_x - x)), round(y + share * (to_y - y)), mark, paint)

    def put(self, column: int, row: int, letter: str, paint: Paint = None) -> None:
        """Write one letter over what is there."""
        if 0 <= column < self.width and 0 <= row < self.height:
            self.cells[column, row] = CanvasCell(letter, paint)

    def at(self, place: tuple[float, float]) -> tuple[int, int]:
        """Return the column and the row of a place."""
        x, y = self._at(place)
        return x // self.across, y // self.down

    def rows(self) -> list[list[CanvasCell]]:
        """Return the rows from the top down."""
        empty = CanvasCell()
        return [
            [self.cells.get((column, row), empty) for column in range(self.width)]
            for row in range(self.height)
        ]

    def _at(self, place: tuple[float, float]) -> tuple[int, int]:
        """Return a place in dots from the top left, moved to the edge if it lies outside."""
        columns, rows = self.width * self.across, self.height * self.down
        x, y = (min(max(share, 0.0), 1.0) for share in place)
        return min(math.floor(x * columns), columns - 1), min(math.floor((1.0 - y) * rows), rows - 1)

    def _dot(self, x: int, y: int, mark: str, paint: Paint) -> None:
        column, row = x // self.across, y // self.down
        letter = mark
        if self.across > 1:
            self.bits[column, row] = (
                self.bits.get((column, row), 0) | BRAILLE_DOTS[y % self.down][x % self.across]
            )
            letter = chr(BRAILLE_BASE + self.bits[column, row])
        self.cells[column, row] = CanvasCell(letter, paint)
