"""A derivation in every format: formulas are whole at any width and unchanged for a reader of Markdown."""

import re
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

import gradflow
from gradflow.notation.formulas import split_spans, strip_marks
from gradflow.notation.tex import display, tex
from gradflow.record import ChapterLayout, ChapterView, Record, column, scalar, table
from gradflow.render.style import Style
from gradflow.render.text.chapters import make_chapters
from gradflow.table import Table


@pytest.fixture(scope="module")
def derivation():
    return gradflow.derive("all", checks=True)


def squeezed(text):
    """Return a text without blanks and line ends."""
    return re.sub(r"\s+", "", text)


def count_ticks(record):
    """Return how many lines show a tick when values are shown: a tick beside ≠ could be read as =."""
    return sum(relation != "≠" for relation in record.lines.relation)


def marked(record):
    """Return every text of a derivation, with the $ signs of its formulas."""
    topics = record.topics
    columns = (topics.title, topics.statement, topics.answer, topics.slip, record.lines.reason)
    return [text for column in columns for text in column if text]


@pytest.mark.parametrize("width", [40, 80, 100, None])
def test_formulas_and_texts_are_whole_at_any_width(derivation, draw, width):
    text = squeezed(draw(derivation, "table", Style(width=width)))
    for formula in derivation.lines.formula:
        assert squeezed(formula) in text
    for one in marked(derivation):
        assert squeezed(strip_marks(one)) in text


@pytest.mark.parametrize("width", [40, 80, 100])
@pytest.mark.parametrize("unicode", [True, False])
def test_lines_fit_the_screen_or_are_one_word(derivation, draw, width, unicode):
    for line in draw(derivation, "table", Style(width=width, unicode=unicode)).splitlines():
        shown = [letter for letter in line if letter != "\N{COMBINING TILDE}"]
        assert len(shown) <= width or len(line.split()) == 1 or " " not in line[6:].strip()


def test_continued_lines_are_indented(derivation, draw):
    lines = draw(derivation, "table", Style(width=80)).splitlines()
    starts = [k for k, line in enumerate(lines) if re.match(r" \(\d+\) ", line)]
    assert len(starts) == len(derivation.lines.line)
    for start in starts:
        below = lines[start + 1 : lines.index("", start)]
        assert len(below) >= 2
        assert all(line.startswith("      ") for line in below)


def test_ascii_screen_shows_latex(derivation, draw):
    text = draw(derivation, "table", Style(unicode=False))
    assert text.isascii()
    for formula in derivation.lines.formula:
        assert tex(formula) in text
    assert text.count(" ok\n") == count_ticks(derivation)


@pytest.mark.parametrize("name", ["table", "md", "html", "latex"])
def test_values_and_ticks_are_shown_only_with_the_checks(derivation, draw, name):
    text = draw(replace(derivation, chapter_view=ChapterView()), name)
    with_values = draw(derivation, name)
    assert "difference <" not in text.replace("$<$", "<").replace("&lt;", "<").replace("\\<", "<")
    assert not any(mark in text for mark in ("✓", r"\checkmark"))
    assert text.splitlines()[0] == with_values.splitlines()[0]
    shown = [line.removesuffix("\\\\") for line in with_values.splitlines() if line.strip()]
    kept = [line for line in text.splitlines() if line.strip()]
    assert kept == [line for line in shown if line in set(kept)]


@pytest.mark.parametrize("name", ["table", "md", "html", "latex"])
def test_answer_alone_is_the_answer_of_a_topic_and_nothing_else(draw, name):
    found = gradflow.derive("carousel", answer=True)
    text = draw(found, name)
    whole = draw(gradflow.derive("carousel"), name)
    answer = text.removeprefix("<div>\n<p>").removesuffix("</p>\n</div>\n").strip()
    assert answer in whole
    assert "\n" not in answer
    if name == "table":
        assert answer == strip_marks(found.topics.answer[0])


def test_answers_of_several_topics_have_headings(draw):
    text = draw(gradflow.derive("5-1", answer=True), "table")
    assert [line.partition(":")[0] for line in text.split("\n") if line] == [
        "5-1a  jacobian", "Answer", "5-1b  bptt", "Answer",
    ]  # fmt: skip


def test_rounding_is_shown_as_its_bound(derivation, draw):
    shown = [step.values[-1] for chapter in make_chapters(derivation, Style()) for step in chapter.steps]
    lines = derivation.lines
    assert len(shown) == len(lines.line)
    for value, sign, difference, bound in zip(
        shown, lines.relation, lines.difference, lines.tolerance, strict=True
    ):
        if sign == "=":
            assert value == f"difference < {bound:.6g}"
        elif sign == "≠":
            assert difference > bound
            assert float(value.removeprefix("difference ")) == pytest.approx(difference, rel=1e-5)


@pytest.mark.parametrize("name", ["table", "md", "html", "latex"])
def test_other_rounding_gives_the_same_text(derivation, draw, name):
    other = [
        difference / 3 if sign == "=" else difference
        for sign, difference in zip(derivation.lines.relation, derivation.lines.difference, strict=True)
    ]
    moved = replace(derivation, lines=replace(derivation.lines, difference=other))
    assert draw(moved, name) == draw(derivation, name)


@pytest.mark.parametrize("name", ["table", "md", "html", "latex"])
def test_chapters_are_in_order_and_can_be_shown_alone(derivation, draw, name):
    text, alone = draw(derivation, name), draw(derivation, name, table="lines")
    places = [text.index(f"{topic}: ") for topic in derivation.topics.topic]
    assert places == sorted(places)
    assert alone.removeprefix("<div>").removesuffix("</div>\n") in text
    assert derivation.conclusion[:20] not in alone


def tokens(text):
    """Yield the tokens that a Markdown reader with formulas between dollar signs makes of a text."""
    reader = MarkdownIt("commonmark").use(dollarmath_plugin, allow_labels=False)
    for token in reader.parse(text):
        yield token
        yield from token.children or ()


def test_markdown_reader_finds_displayed_formulas_unchanged(derivation, draw):
    text = draw(derivation, "md")
    found = [token.content.strip() for token in tokens(text) if token.type == "math_block"]
    expected = [
        rf"{display(formula)} \tag{{{number}}}"
        for formula, number in zip(derivation.lines.formula, derivation.lines.line, strict=True)
    ]
    assert found == expected


def test_markdown_reader_finds_texts_unchanged(derivation, draw):
    read = list(tokens(draw(derivation, "md")))
    found = [token.content for token in read if token.type == "math_inline"]
    expected = [tex(piece) for one in marked(derivation) for piece, formula in split_spans(one) if formula]
    assert sorted(found) == sorted(expected)
    words = "".join(token.content for token in read if token.type == "text")
    for one in marked(derivation):
        for piece, formula in split_spans(one):
            assert formula or piece.strip() in words


def test_markdown_formulas_have_their_own_lines(derivation, draw):
    lines = draw(derivation, "md").splitlines()
    marks = [k for k, line in enumerate(lines) if "$$" in line]
    assert len(marks) == 2 * len(derivation.lines.line)
    for start, end in zip(marks[::2], marks[1::2], strict=True):
        assert lines[start] == lines[end] == "$$"
        assert lines[start - 1] == lines[end + 1] == ""
        assert end == start + 2


def test_html_has_formulas_in_unicode(derivation, draw):
    text = draw(derivation, "html")
    for number, formula in zip(derivation.lines.line, derivation.lines.formula, strict=True):
        assert f"({number}) {formula}".replace("<", "&lt;") in text
    assert text.count("✓") == count_ticks(derivation)


def test_color_marks_what_holds_and_changes_no_letter(derivation, draw):
    colored = draw(derivation, "table", Style(color=True))
    assert colored.count("\x1b[32m✓\x1b[0m") == count_ticks(derivation)
    assert re.sub(r"\x1b\[\d+m", "", colored) == draw(derivation, "table")


# An invented derivation: other column names, hostile texts and a line that does not hold.


@dataclass(frozen=True, eq=False, repr=False)
class Steps(Table):
    part: list[str] = column("part")
    place: list[int] = column("place")
    claim: list[str] = column("claim")
    why: list[str] = column("why")
    size: list[float | None] = column("size", bound="limit")
    limit: list[float] = column("limit")
    right: list[bool] = column("right")


@dataclass(frozen=True, eq=False, repr=False)
class Parts(Table):
    part: list[str] = column("part")
    name: list[str] = column("name")
    asked: list[str] = column("asked")
    said: list[str | None] = column("said")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MadeUp(Record):
    command: ClassVar[str] = "made-up"

    count: int = scalar("count")
    steps: Steps = table(
        "steps",
        chapters=ChapterLayout(
            "parts",
            "part",
            ("part", "name"),
            ("asked", "said"),
            "said",
            "place",
            "claim",
            "why",
            ("size",),
            "size",
            "right",
        ),
    )
    parts: Parts = table("parts")
    others: Parts = table("others")
    chapter_view: ChapterView = field(default=ChapterView(values=True))


@pytest.fixture
def anybody():
    def anybody(text="plain"):
        return MadeUp(
            params={},
            count=3,
            steps=Steps(
                ["b", "a", "b"], [1, 1, 2], ["x = y", "‖x‖ < 1", "x ≠ λ"], [text, "$x$", f"{text} $λ$"],
                [1e-17, 0.25, 2.0], [1e-12, 0.0, 1e-12], [True, True, False],
            ),
            parts=Parts(["b", "a"], [text, "A"], [text, "$y$"], [None, text]),
            others=Parts(["c"], ["C"], ["other"], [None]),
        )  # fmt: skip

    return anybody


def test_lines_belong_to_their_chapter(anybody):
    first, second = make_chapters(anybody(), Style())
    assert (first.heading, second.heading) == ("b: plain", "a: A")
    assert [step.number for step in first.steps] == ["1", "2"]
    assert [step.formula for step in second.steps] == ["‖x‖ < 1"]
    assert first.before == [("Asked", "plain")]
    assert second.before == [("Asked", "$y$"), ("Said", "plain")]
    assert [step.values for step in (*first.steps, *second.steps)] == [
        ["size < 1e-12"], ["size 2"], [],
    ]  # fmt: skip


def test_other_tables_are_grids(anybody, draw):
    text = draw(anybody(), "table", Style(details=True))
    assert "others: others" in text
    assert "parts: parts" not in text
    assert "steps: steps" not in text
    assert "parts: parts" in draw(anybody(), "table", table="parts")


@pytest.mark.parametrize(
    ("name", "mark"), [("table", "✗"), ("md", "✗"), ("html", "✗"), ("latex", r"$\times$")]
)
def test_false_line_is_marked(anybody, draw, name, mark):
    assert draw(anybody(), name).count(mark) == 1


def test_false_line_is_red_or_says_fails(anybody, draw):
    assert draw(anybody(), "table", Style(color=True)).count("\x1b[31m✗\x1b[0m") == 1
    assert draw(anybody(), "table", Style(unicode=False)).count(" fails\n") == 1


def test_hostile_text_stays_text(anybody, draw, hostile):
    for name in ("table", "md", "html", "latex"):
        text, plainly = draw(anybody(hostile), name), draw(anybody(), name)
        assert all(letter.isprintable() or letter == "\n" for letter in text)
        assert text.count("\n") == plainly.count("\n")
    kinds = [token.type for token in tokens(draw(anybody(hostile), "md")) if token.type != "text_special"]
    assert {"html_block", "html_inline", "link_open", "em_open", "code_inline"}.isdisjoint(kinds)
    math = [token.content for token in tokens(draw(anybody(hostile), "md")) if token.type == "math_inline"]
    assert math == [r"\lambda", "y", "x"]
