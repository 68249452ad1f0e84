r"""LaTeX: a fragment in ASCII for a document that \inputs it and loads amsmath and amssymb."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from gradflow.notation import BARS, LATEX_SYMBOLS, PRIME_SIGN, SUBSCRIPTS, SUPERSCRIPTS
from gradflow.notation.formulas import split_spans
from gradflow.notation.tex import display, tex
from gradflow.printable import escape_unprintable
from gradflow.record import Record
from gradflow.render.renderer import text_renderer
from gradflow.render.style import Style
from gradflow.render.text.chapters import Chapter, ChapterStep, make_chapters
from gradflow.render.text.grids import TextGrid, get_sentences, make_grids

LONG_TEXT = 40  # a column with a longer entry is set as a paragraph
PARAGRAPH_WIDTH = 0.5  # of the line, shared by all such columns
LATEX_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": "$<$", ">": "$>$", "|": "$|$",
    "`": r"\textasciigrave{}", '"': "''", "–": "--", "—": "---", "’": "'", "…": r"\dots{}",
    "*": "{*}", "[": "{[}", "]": "{]}",  # they have a meaning after the end of a row
}  # fmt: skip
MATH_LETTERS = {
    **LATEX_SYMBOLS, **dict.fromkeys(BARS, r"\Vert"), PRIME_SIGN: "'", "⟨": r"\langle", "⟩": r"\rangle",
    "√": r"\surd", "½": r"\frac{1}{2}", "✓": r"\checkmark",
}  # fmt: skip
TEXT_ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": r"\`", "\N{COMBINING ACUTE ACCENT}": r"\'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": r"\^", "\N{COMBINING TILDE}": r"\~",
    "\N{COMBINING DIAERESIS}": r"\"", "\N{COMBINING DOT ABOVE}": r"\.", "\N{COMBINING CARON}": r"\v",
    "\N{COMBINING RING ABOVE}": r"\r", "\N{COMBINING CEDILLA}": r"\c",
}  # fmt: skip
# subscripts or superscripts in a row, which belong in one pair of braces
_SCRIPT_RUN = re.compile(r"\$([_^])\{[^{}$]*\}\$(?:\$\1\{[^{}$]*\}\$)+")
_SCRIPT_CONTENT = re.compile(r"\{([^{}$]*)\}")
_TABLE_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]\d+)?")


@text_renderer(carries_notes=True)
def render_latex(record: Record, style: Style) -> str:
    """Return the tables for people, then derivations, the sentences and the notes."""
    style = style._replace(unicode=False)
    parts = [_format_grid(grid) for grid in make_grids(record, style)]
    chapters = make_chapters(record, style)
    if style.table is None and parts:
        parts[0] = parts[0].replace(r"\subsection*", r"\section*", 1)
    elif style.table is None and chapters[0].heading:
        parts = [rf"\section*{{gradflow {record.command}}}"]
    parts += [_format_chapter(chapter) for chapter in chapters]
    if style.table is None:
        parts += [escape_latex(sentence) for sentence in get_sentences(record)]
        parts += [rf"\emph{{{escape_latex(escape_unprintable(note))}}}" for note in record.notes]
    return "\n\n".join(parts) + "\n"


def escape_latex(text: str) -> str:
    r"""Return LaTeX that shows a text letter by letter; a letter that its fonts lack is named by its number.

    Examples
    --------
    >>> print(escape_latex("50 % of x_1: λ ≤ 1, --all, log₁₀, Życzkowski, 漢"))
    50 \% of x\_1: $\lambda$ $\leq$ 1, -{}-all, log$_{10}$, \.{Z}yczkowski, {[}U+6F22{]}
    """
    # LaTeX sets two hyphens in a row as a dash, so keep them apart.
    apart = "".join(
        _escape_letter(letter) + "{}" * (letter == following == "-")
        for letter, following in pairwise(f"{text} ")
    )
    return _SCRIPT_RUN.sub(lambda run: f"${run[1]}{{{''.join(_SCRIPT_CONTENT.findall(run[0]))}}}$", apart)


def _escape_letter(letter: str) -> str:
    if letter in LATEX_ESCAPES or letter.isascii():
        return LATEX_ESCAPES.get(letter, letter)
    if letter in SUPERSCRIPTS:
        return f"$^{{{SUPERSCRIPTS[letter]}}}$"
    if letter in SUBSCRIPTS:
        return f"$_{{{SUBSCRIPTS[letter]}}}$"
    if letter in MATH_LETTERS:
        return f"${MATH_LETTERS[letter]}$"
    base, *marks = list(unicodedata.normalize("NFD", letter))
    if base.isascii() and all(mark in TEXT_ACCENTS for mark in marks):
        for mark in marks:
            base = f"{TEXT_ACCENTS[mark]}{{{base}}}"
        return base
    return f"{{[}}U+{ord(letter):04X}{{]}}"


def _format_entry(text: str) -> str:
    """Return a text word by word; a number is a formula, so that its sign is a minus and not a hyphen."""
    return " ".join(
        f"${tex(word.replace('-', '−', 1) if word.startswith('-') else word)}$"
        if _TABLE_NUMBER.fullmatch(word)
        else escape_latex(word)
        for word in text.split(" ")
    )


def _format_grid(grid: TextGrid) -> str:
    """Return a grid below its title."""
    lines = [_format_row(grid.header), r"\hline"] if any(grid.header) else []
    for place, row in enumerate(grid.rows):
        lines += [r"\hline"] * (place in grid.rules) + [_format_row(row)]
    rows = "\n".join(lines)
    remark = f"\n\n{escape_latex(grid.remark)}" if grid.remark else ""
    return (
        f"\\subsection*{{{escape_latex(grid.title)}}}\n\n\\noindent\n"
        f"\\begin{{tabular}}{{{_format_columns(grid)}}}\n{rows}\n\\end{{tabular}}{remark}"
    )


def _format_columns(grid: TextGrid) -> str:
    """Return the kind of each column: numbers to the right, text to the left, long text as paragraphs."""
    longest = [max(map(len, column)) for column in zip(grid.header, *grid.rows, strict=True)]
    kinds = ["l" if k in grid.text_columns else "r" for k in range(len(longest))]
    wide = [k for k, letters in enumerate(longest) if kinds[k] == "l" and letters > LONG_TEXT]
    for k in wide:
        kinds[k] = rf"p{{{PARAGRAPH_WIDTH / len(wide):.2f}\linewidth}}"
    return "".join(kinds)


def _format_row(entries: Sequence[str]) -> str:
    return " & ".join(map(_format_entry, entries)) + r" \\"


def _format_chapter(chapter: Chapter) -> str:
    """Return a chapter with its formulas displayed and numbered."""
    heading = [rf"\subsection*{{{_format_text(chapter.heading)}}}"] if chapter.heading else []
    before = [
        (rf"\noindent\textbf{{{name}:}} " if name else "") + _format_text(text)
        for name, text in chapter.before
    ]
    return "\n\n".join([*heading, *before, *(_format_step(step) for step in chapter.steps)])


def _format_step(step: ChapterStep) -> str:
    mark = {True: r"$\checkmark$", False: r"$\times$", None: ""}[step.mark]
    values = f"{', '.join(map(_format_entry, step.values))} {mark}".strip()
    return (
        f"\\begin{{equation*}}\n{display(step.formula)} \\tag{{{step.number}}}\n\\end{{equation*}}\n"
        f"{_format_text(step.text)}" + (f"\\\\\n{{\\small {values}}}" if values else "")
    )


def _format_text(text: str) -> str:
    """Return a text with the formulas between its $ signs as LaTeX."""
    return "".join(
        f"${tex(piece)}$" if formula else escape_latex(piece) for piece, formula in split_spans(text)
    )
