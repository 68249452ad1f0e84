"""Grids as tables of rich: which columns fit a screen, how wide each is, and where their names are broken."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.box import Box
from rich.cells import cell_len
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from gradflow.render.style import Style
from gradflow.render.text.grids import TextGrid
from gradflow.render.text.verdict_styles import VERDICT_STYLES
from gradflow.render.wrapping import split_name, wrap_name, wrap_text

COLUMN_GAP = 2
# Rules below the header and between groups of rows, and no other line.
RULES = Box("    \n    \n ── \n    \n ── \n    \n    \n    \n")
ASCII_RULES = Box("    \n    \n -- \n    \n -- \n    \n    \n    \n", ascii=True)


class FittedColumns(NamedTuple):
    """The places of the columns that fit a screen, and their widths."""

    places: list[int]
    widths: list[int]


def fit_columns(grid: TextGrid, screen: int | None) -> FittedColumns:
    """Return the columns that fit a screen: from the left, each that has room for its longest word.

    Text is wrapped into the room that is left, that of the first columns least. Names in the first column are
    wrapped if they are longer than half the screen, or if all columns fit then; where columns are left out,
    if they are longer than a third.

    Examples
    --------
    >>> grid = TextGrid("t", "t", ["layer", "standard_error", "x"], [["rnn", "0.125", "1"]])
    >>> fit_columns(grid, None), fit_columns(grid, 18).widths, fit_columns(grid, 12).places
    (FittedColumns(places=[0, 1, 2], widths=[5, 14, 1]), [5, 10], [0, 2])
    """
    columns = [[row[place] for row in [grid.header, *grid.rows]] for place in range(len(grid.header))]
    natural = [max(map(cell_len, entries)) for entries in columns]
    if screen is None or _measure_total(natural) <= screen:
        return FittedColumns([*range(len(columns))], natural)
    least = [max(_measure_longest_piece(entry) for entry in entries) for entries in columns]
    trials = [
        _choose_columns([min(natural[0], max(least[0], limit), screen - 1), *least[1:]], screen)
        for limit in (screen // 3, screen // 2, 0)
    ]
    whole = [trial for trial in trials[1:] if len(trial.places) == len(columns)]
    places, widths = whole[0] if whole else trials[0]
    spare = screen - _measure_total(widths)
    for k, place in enumerate(places):
        more = min(spare, natural[place] - widths[k])
        widths[k] += more
        spare -= more
    return FittedColumns(places, widths)


def _choose_columns(least: Sequence[int], screen: int) -> FittedColumns:
    """Return the columns that fit a screen side by side, with their least widths; always the first."""
    fitted = FittedColumns([0], [least[0]])
    for place, width in enumerate(least[1:], 1):
        if _measure_total([*fitted.widths, width]) <= screen:
            fitted.places.append(place)
            fitted.widths.append(width)
    return fitted


def make_rich_table(grid: TextGrid, fitted: FittedColumns, style: Style) -> Table:
    """Return a grid as a table of rich, with the columns that fit."""
    table = Table(
        box=RULES if style.unicode else ASCII_RULES,
        show_edge=False,
        show_header=any(grid.header),
        header_style="bold",
        padding=(0, 0, 0, 1),
    )
    for place, width in zip(*fitted, strict=True):
        header = Text("\n".join(_wrap_entry(grid.header[place], width)))
        side: JustifyMethod = "left" if place in grid.text_columns else "right"
        table.add_column(header, justify=side, width=width, overflow="fold")
    for number, row in enumerate(grid.rows, 1):
        cells = [_make_cell(row[place], width) for place, width in zip(*fitted, strict=True)]
        table.add_row(*cells, end_section=number in grid.rules)
    return table


def describe_unfit(grid: TextGrid, places: Sequence[int]) -> str:
    """Return a remark on the columns that do not fit the screen, or nothing."""
    unfit = [name for place, name in enumerate(grid.header) if place not in places]
    if not unfit:
        return ""
    if not any(unfit):
        names = f"{len(places)} of {len(grid.header)} columns"
        return f"{names} fit this screen; --table {grid.name} -f csv has all"
    return f"too wide for this screen: {', '.join(unfit)}; --table {grid.name} -f csv has them"


def _make_cell(entry: str, width: int) -> Text:
    return Text("\n".join(_wrap_entry(entry, width)), style=VERDICT_STYLES.get(entry, ""))


def _wrap_entry(entry: str, width: int) -> list[str]:
    """Return the lines of an entry, broken at blanks, and within a word only if it is too long by itself."""
    lines = []
    for line in wrap_text(entry, width):
        lines += [line] if cell_len(line) <= width else wrap_name(line, width)
    return lines


def _measure_longest_piece(entry: str) -> int:
    return max(map(cell_len, split_name(entry)), default=0)


def _measure_total(widths: Sequence[int]) -> int:
    return 1 + sum(widths) + COLUMN_GAP * (len(widths) - 1)
