r"""LaTeX: a fragment in pure ASCII, to be \input where amsmath and amssymb are loaded."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from gradflow.notation import BARS, PRIME, SUBSCRIPTS, SUPERSCRIPTS, SYMBOLS
from gradflow.notation.formulas import spans
from gradflow.notation.tex import display, tex
from gradflow.printable import escape_unprintable
from gradflow.record import Record
from gradflow.render.chapters import Chapter, Step, chapters
from gradflow.render.page import Block, blocks, prose
from gradflow.render.style import Style

CARRIES_NOTES = True

LONG = 40  # letters of an entry from which on its column is a paragraph
PARAGRAPHS = 0.5  # of the line's width, which all such columns share
SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": "$<$", ">": "$>$", "|": "$|$",
    "`": r"\textasciigrave{}", '"': "''", "–": "--", "—": "---", "’": "'", "…": r"\dots{}",
    "*": "{*}", "[": "{[}", "]": "{]}",  # which would mean something after the end of a row
}  # fmt: skip
MATHEMATICAL = {
    **SYMBOLS, **dict.fromkeys(BARS, r"\Vert"), PRIME: "'", "⟨": r"\langle", "⟩": r"\rangle", "√": r"\surd",
    "½": r"\frac{1}{2}", "✓": r"\checkmark",
}  # fmt: skip
ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": r"\`", "\N{COMBINING ACUTE ACCENT}": r"\'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": r"\^", "\N{COMBINING TILDE}": r"\~",
    "\N{COMBINING DIAERESIS}": r"\"", "\N{COMBINING DOT ABOVE}": r"\.", "\N{COMBINING CARON}": r"\v",
    "\N{COMBINING RING ABOVE}": r"\r", "\N{COMBINING CEDILLA}": r"\c",
}  # fmt: skip
# one script after the other, which belong into one pair of braces
_SCRIPTS = re.compile(r"\$([_^])\{[^{}$]*\}\$(?:\$\1\{[^{}$]*\}\$)+")
_INSIDE = re.compile(r"\{([^{}$]*)\}")
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]\d+)?")


def render(record: Record, style: Style) -> str:
    """Return the tables people are shown, then derivations, the sentences and the notes."""
    style = style._replace(unicode=False)
    parts = [_block(block) for block in blocks(record, style)]
    if style.table is None and parts:
        parts[0] = parts[0].replace(r"\subsection*", r"\section*", 1)
    parts += [_chapter(chapter) for chapter in chapters(record, style)]
    if style.table is None:
        parts += [escaped(sentence) for sentence in prose(record)]
        parts += [rf"\emph{{{escaped(escape_unprintable(note))}}}" for note in record.notes]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    r"""Return a text as LaTeX sets it, letter by letter; what its fonts lack is named by its number.

    Examples
    --------
    >>> print(escaped("50 % of x_1: λ ≤ 1, --all, log₁₀, Życzkowski, 漢"))
    50 \% of x\_1: $\lambda$ $\leq$ 1, -{}-all, log$_{10}$, \.{Z}yczkowski, {[}U+6F22{]}
    """
    # two dashes would be set as a longer one
    apart = "".join(
        _letter(letter) + "{}" * (letter == following == "-") for letter, following in pairwise(f"{text} ")
    )
    return _SCRIPTS.sub(lambda run: f"${run[1]}{{{''.join(_INSIDE.findall(run[0]))}}}$", apart)


def _letter(letter: str) -> str:
    if letter in SPECIAL or letter.isascii():
        return SPECIAL.get(letter, letter)
    if letter in SUPERSCRIPTS:
        return f"$^{{{SUPERSCRIPTS[letter]}}}$"
    if letter in SUBSCRIPTS:
        return f"$_{{{SUBSCRIPTS[letter]}}}$"
    if letter in MATHEMATICAL:
        return f"${MATHEMATICAL[letter]}$"
    base, *marks = list(unicodedata.normalize("NFD", letter))
    if base.isascii() and all(mark in ACCENTS for mark in marks):
        for mark in marks:
            base = f"{ACCENTS[mark]}{{{base}}}"
        return base
    return f"{{[}}U+{ord(letter):04X}{{]}}"


def _entry(text: str) -> str:
    """Return a text word by word, a number as a formula, for its sign is no dash."""
    return " ".join(
        f"${tex(word.replace('-', '−', 1) if word.startswith('-') else word)}$"
        if _NUMBER.fullmatch(word)
        else escaped(word)
        for word in text.split(" ")
    )


def _block(block: Block) -> str:
    """Return a grid under its title."""
    lines = [_row(block.header), r"\hline"] if any(block.header) else []
    for place, row in enumerate(block.rows):
        lines += [r"\hline"] * (place in block.rules) + [_row(row)]
    rows = "\n".join(lines)
    remark = f"\n\n{escaped(block.remark)}" if block.remark else ""
    return (
        f"\\subsection*{{{escaped(block.title)}}}\n\n\\noindent\n"
        f"\\begin{{tabular}}{{{_columns(block)}}}\n{rows}\n\\end{{tabular}}{remark}"
    )


def _columns(block: Block) -> str:
    """Return how each column is set: numbers to the right, texts to the left, long ones in several lines."""
    longest = [max(map(len, column)) for column in zip(block.header, *block.rows, strict=True)]
    kinds = ["l" if k in block.words else "r" for k in range(len(longest))]
    wide = [k for k, letters in enumerate(longest) if kinds[k] == "l" and letters > LONG]
    for k in wide:
        kinds[k] = rf"p{{{PARAGRAPHS / len(wide):.2f}\linewidth}}"
    return "".join(kinds)


def _row(entries: Sequence[str]) -> str:
    return " & ".join(map(_entry, entries)) + r" \\"


def _chapter(chapter: Chapter) -> str:
    """Return a chapter, its formulas displayed and numbered."""
    before, after = (
        [rf"\noindent\textbf{{{name}:}} {_marked(text)}" for name, text in texts]
        for texts in (chapter.before, chapter.after)
    )
    steps = [_step(step) for step in chapter.steps]
    return "\n\n".join([rf"\subsection*{{{_marked(chapter.heading)}}}", *before, *steps, *after])


def _step(step: Step) -> str:
    mark = r"\checkmark" if step.holds else r"\times"
    return (
        f"\\begin{{equation*}}\n{display(step.formula)} \\tag{{{step.number}}}\n\\end{{equation*}}\n"
        f"{_marked(step.text)}\\\\\n{{\\small {', '.join(map(_entry, step.values))} ${mark}$}}"
    )


def _marked(text: str) -> str:
    """Return a text with its formulas between $ signs in LaTeX."""
    return "".join(f"${tex(piece)}$" if formula else escaped(piece) for piece, formula in spans(text))
