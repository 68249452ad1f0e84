"""Tables for people: aligned text, in color on a screen that has it.

They do not use rich, because loading it takes 40 ms, as long as the rest of a short command.
"""

from collections.abc import Sequence

from gradflow.record import Record
from gradflow.render.renderer import text_renderer
from gradflow.render.style import Style
from gradflow.render.text.chapter_lines import format_chapter, measure_width, paint_text, wrap_text
from gradflow.render.text.chapters import make_chapters
from gradflow.render.text.grids import TextGrid, get_sentences, make_grids
from gradflow.render.wrapping import split_name, wrap_name

COLUMN_GAPS = (2, 1)  # blanks between columns; the narrow gap is for tables that are too wide with the other
MIN_TEXT_WIDTH = 16  # of a column of wrapped text
MAX_NAME_PIECE = 11  # letters of a name that a narrow column makes room for
BOLD_CODE, DIM_CODE = "1", "2"
RED_CODE, GREEN_CODE, YELLOW_CODE = "31", "32", "33"
WORD_COLORS = {
    "vanishing": YELLOW_CODE,
    "nilpotent": YELLOW_CODE,
    "exploding": RED_CODE,
    "polynomial": RED_CODE,
    "stable": GREEN_CODE,
    "preserving": GREEN_CODE,
}


@text_renderer(carries_notes=False)
def render_table(record: Record, style: Style) -> str:
    """Return the record at the width of the screen, or at its natural width without a screen."""
    lines: list[str] = []
    for grid in make_grids(record, style):
        lines += [paint_text(line, BOLD_CODE, style) for line in wrap_text(grid.title, style.width)]
        lines += _format_grid(grid, style)
        remark = wrap_text("  " + grid.remark, style.width) if grid.remark else []
        lines += [*(paint_text(line, DIM_CODE, style) for line in remark), ""]
    for chapter in make_chapters(record, style):
        lines += [*format_chapter(chapter, style), ""]
    for sentence in get_sentences(record) if style.table is None else ():
        lines += wrap_text(sentence, style.width)
    return "\n".join(lines).rstrip("\n") + "\n"


def _format_grid(grid: TextGrid, style: Style) -> list[str]:
    """Return the lines of a grid: whole, or with wrapped text, or in parts; numbers are never cut."""
    columns = list(range(len(grid.header)))
    widths = [max(measure_width(row[k]) for row in [grid.header, *grid.rows]) for k in columns]
    screen = style.width or _measure_total(widths, COLUMN_GAPS[0])
    for gap in COLUMN_GAPS:
        if _measure_total(widths, gap) <= screen:
            return _format_lines(grid, columns, widths, gap, style)
    texts = sorted(grid.text_columns - {0})
    if texts:
        room = widths[texts[-1]] - _measure_total(widths, gap) + screen
        if room >= MIN_TEXT_WIDTH:
            widths[texts[-1]] = room
            return _format_lines(grid, columns, widths, gap, style)
    if not any(grid.header):
        if texts:  # leave the descriptions to a wider screen
            return _format_lines(
                grid, columns[:-1], _narrow_columns(grid, widths[:-1], gap, screen), gap, style
            )
        name = grid.title.partition(":")[0].split()[0]
        return [f"  too wide: see --table {name} -f csv"]
    widths = _narrow_columns(grid, widths, gap, screen)
    # How many leading columns name a row.
    names = next((k for k in columns if k not in grid.text_columns), 1) or 1
    if _measure_total(widths[:names], gap) > screen // 2:
        names = 1
    parts = [
        _format_lines(grid, part, widths, gap, style) for part in _split_columns(widths, gap, screen, names)
    ]
    return [line for part in parts for line in (*part, "")][:-1]


def _narrow_columns(grid: TextGrid, widths: Sequence[int], gap: int, screen: int) -> list[int]:
    """Return the least widths for the entries of a grid: names are wrapped, numbers are not."""
    numbers = [max((_measure_needed(row[k]) for row in grid.rows), default=1) for k in range(1, len(widths))]
    longest = [max(map(measure_width, split_name(name))) for name in grid.header[1:] if name]
    numbers = [
        max(width, min(piece, MAX_NAME_PIECE), 4)
        for width, piece in zip(numbers, longest or [0] * len(numbers), strict=True)
    ]
    left = screen - 1 - gap - max(numbers, default=0)
    return [min(widths[0], max(left, MIN_TEXT_WIDTH // 2)), *numbers]


def _measure_needed(entry: str) -> int:
    """Return the least width of an entry: text can be wrapped, a number or a curve can not."""
    if " " in entry and any(map(str.isalpha, entry)):
        return max(map(measure_width, entry.split()))
    return measure_width(entry)


def _split_columns(widths: Sequence[int], gap: int, limit: int, names: int) -> list[list[int]]:
    """Return groups of columns that fit into ``limit``; each starts with the columns that name a row."""
    parts = [[*range(names)]]
    for k in range(names, len(widths)):
        if len(parts[-1]) > names and _measure_total([widths[j] for j in (*parts[-1], k)], gap) > limit:
            parts.append([*range(names)])
        parts[-1].append(k)
    return parts


def _format_lines(
    grid: TextGrid, columns: Sequence[int], widths: Sequence[int], gap: int, style: Style
) -> list[str]:
    """Return the header, the rows and the rules between them."""
    rule = " " + ("─" if style.unicode else "-") * (_measure_total([widths[k] for k in columns], gap) - 1)
    lines = []
    if any(grid.header):
        header = _format_row(grid, grid.header, columns, widths, gap, style)
        lines += [*(paint_text(line, BOLD_CODE, style) for line in header), rule]
    for place, row in enumerate(grid.rows):
        if place in grid.rules:
            lines.append(rule)
        lines += _format_row(grid, row, columns, widths, gap, style)
    return lines


def _format_row(
    grid: TextGrid, row: Sequence[str], columns: Sequence[int], widths: Sequence[int], gap: int, style: Style
) -> list[str]:
    """Return one row; it takes several lines if a text is wrapped."""
    entries = [wrap_text(row[k], widths[k]) for k in columns]
    if row is grid.header:
        entries = [
            wrap_name(row[k], widths[k]) if measure_width(row[k]) > widths[k] else [row[k]] for k in columns
        ]
    lines = []
    for level in range(max(map(len, entries))):
        parts = [entry[level] if level < len(entry) else "" for entry in entries]
        aligned = (
            _align(part, widths[k], k in grid.text_columns, style)
            for part, k in zip(parts, columns, strict=True)
        )
        lines.append(" " + (" " * gap).join(aligned).rstrip())
    return lines


def _align(entry: str, width: int, left: bool, style: Style) -> str:
    space = " " * (width - measure_width(entry))
    painted = paint_text(entry, WORD_COLORS[entry], style) if entry in WORD_COLORS else entry
    return painted + space if left else space + painted


def _measure_total(widths: Sequence[int], gap: int) -> int:
    return 1 + sum(widths) + gap * (len(widths) - 1)
