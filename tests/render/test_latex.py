"""LaTeX is ASCII, balanced and made of known commands for any text, and compiles where LaTeX is installed."""

import inspect
import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradflow
import gradflow.notation
import gradflow.notation.tex
import gradflow.render.text.latex as latex
from gradflow.notation import LATEX_SYMBOLS
from gradflow.render.style import Style
from tests.render.conftest import HOSTILE
from tests.test_notation import check_balanced

PREAMBLE = "\\documentclass{article}\n\\usepackage{amsmath,amssymb}\n\\begin{document}\n%s\n\\end{document}\n"
SOURCES = (gradflow.notation, gradflow.notation.tex, latex)
# every control word in the sources, and those made of a name
KNOWN = set(re.findall(r"\\([a-zA-Z]+)", "".join(map(inspect.getsource, SOURCES)))) | {
    word.strip("\\") for word in [*LATEX_SYMBOLS.values(), *gradflow.notation.LATEX_NAMES.values()]
}


@pytest.fixture(scope="module")
def answers():
    return gradflow.to_text(gradflow.derive("all"), "latex")


def check_fragment(text):
    """Check without LaTeX: ASCII, balanced brackets and environments, known commands, closed formulas."""
    assert text.isascii()
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    check_balanced(text)
    assert set(re.findall(r"\\([a-zA-Z]+)", text)) <= KNOWN
    bare = re.sub(r"\\(?:[a-zA-Z]+|.)", "", text)
    for paragraph in bare.split("\n\n"):
        assert paragraph.count("$") % 2 == 0
    displayed = re.compile(r"(?s)\{equation\*\}.*?\{equation\*\}")
    assert not set("#~%^_") & set("".join(displayed.sub("", bare).split("$")[::2]))


def compiled(text, folder):
    """Compile a fragment in a minimal document; return the finished process, or None without LaTeX."""
    program = shutil.which("pdflatex")
    if program is None:
        return None
    (folder / "fragment.tex").write_text(text, encoding="ascii")
    (folder / "document.tex").write_text(PREAMBLE % "\\input{fragment}", encoding="ascii")
    return subprocess.run(
        [program, "-halt-on-error", "-interaction=nonstopmode", "document.tex"],
        cwd=folder, capture_output=True, text=True, errors="replace", timeout=120, check=False,
    )  # fmt: skip


def check_compiled(text, folder):
    """Check the fragment, and compile it if LaTeX is installed."""
    check_fragment(text)
    done = compiled(text, folder)
    if done is not None:
        assert done.returncode == 0, done.stdout[-2000:]
        assert (folder / "document.pdf").stat().st_size > 1000


def test_derivations_compile(answers, tmp_path):
    check_compiled(answers, tmp_path)
    assert answers.count("\\begin{equation*}") == len(gradflow.derive("all").lines.line)
    assert "\\documentclass" not in answers
    assert answers.startswith("\\section*{gradflow derive}")


@pytest.mark.parametrize(
    ("topic", "options"),
    [
        ("expand", {"steps": 8}),
        ("expand", {"cell": "lstm:peephole=on", "steps": 2}),
        ("regimes", {"matrix": "1+2j 1; 0 0.5j", "steps": 4}),
        ("regimes", {"matrix": "1 1e-9; 0 1"}),
    ],
)
def test_derivations_with_options_compile(topic, options, tmp_path):
    check_compiled(gradflow.to_text(gradflow.derive(topic, **options), "latex"), tmp_path)


def test_record_is_a_fragment(record, draw):
    for style in (Style(), Style(rows=None), Style(rows=3), Style(width=30, color=True)):
        check_fragment(draw(record, "latex", style))


def test_records_compile(records, draw, tmp_path):
    check_compiled("\n".join(draw(record, "latex") for record in records.values()), tmp_path)


def test_hostile_texts_compile(made_up, draw, tmp_path):
    check_compiled("\n".join(draw(made_up(text), "latex") for text in HOSTILE), tmp_path)


def test_hostile_name_keeps_the_columns(made_up, draw, hostile):
    text = draw(made_up(hostile), "latex")
    check_fragment(text)
    for body in re.findall(r"(?s)\\begin\{tabular\}\{(.*?)\}\n(.*?)\\end\{tabular\}", text):
        rows = [row for row in body[1].splitlines() if row != r"\hline"]
        assert rows
        assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1
        assert all(row.endswith(r" \\") for row in rows)


@given(st.text())
def test_escaped_text_is_balanced_ascii(text):
    found = latex.escape_latex(text)
    assert all(letter.isascii() for letter in found)
    check_balanced(found)
    assert re.sub(r"\\.", "", found).count("$") % 2 == 0


# from the LaTeX Companion
LETTERS = {
    "a_b": r"a\_b", "50 %": r"50 \%", "{x}": r"\{x\}", "$5 & #1": r"\$5 \& \#1", "~^": r"\textasciitilde{}"
    r"\textasciicircum{}", "\\": r"\textbackslash{}", "<|>": "$<$$|$$>$", "--all": "-{}-all", "–": "--",
    "λ₁": r"$\lambda$$_{1}$", "é": r"\'{e}", "Ż": r"\.{Z}", "å": r"\r{a}",
    "漢": "{[}U+6F22{]}", "*": "{*}", "‖W‖ ≤ 1": r"$\Vert$W$\Vert$ $\leq$ 1", "x²": "x$^{2}$",
}  # fmt: skip


@pytest.mark.parametrize("text", LETTERS)
def test_special_letter_is_escaped(text):
    assert latex.escape_latex(text) == LETTERS[text]


def test_numbers_have_a_minus_and_a_power_of_ten(made_up, draw):
    text = draw(made_up(values=(-0.5, 1e-30, -2.5e40, 3.0)), "latex")
    for number in ("$-0.5$", "$10^{-30}$", r"$-2.5 \times 10^{40}$", "$3$"):
        assert number in text


def test_notes_and_sentences_are_included(records, draw):
    record = records["nilpotent"]
    text = draw(record, "latex")
    for note in record.notes:
        assert rf"\emph{{{latex.escape_latex(note)}}}" in text
    assert latex.escape_latex(record.conclusion) in text


def test_long_texts_are_paragraphs(records, draw):
    text = draw(records["exercise"], "latex")
    assert re.search(r"\\begin\{tabular\}\{lrp\{0\.50\\linewidth\}\}", text)
    assert r"\begin{tabular}{rrrrrr}" in text
