"""Markdown tables stay tables and HTML text stays text, whatever the names are."""

import re
from html.parser import HTMLParser

import pytest

from gradflow.render.style import Style

BAR = re.compile(r"(?<!\\)(?:\\\\)*\|")


def grids(text):
    """Return the tables of a Markdown text, each a list of lines."""
    found, lines = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            lines.append(line)
        elif lines:
            found.append(lines)
            lines = []
    return found


def shown(text):
    """Return Markdown without its backslashes, as a reader sees it."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)


def escape_unprintable(text):
    """Return a text with its control characters escaped."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


class Reader(HTMLParser):
    """A parser that keeps all tags, the open tags, and the text of each cell and paragraph."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.texts = [], [], []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.append(tag)
        if tag in ("td", "th", "p"):
            self.texts.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th", "p"} & set(self.open):
            self.texts[-1] += data


def read(text):
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def test_markdown_tables_are_rectangular(record, draw):
    found = grids(draw(record, "md"))
    assert found or record.command == "derive"  # its tables are chapters
    for lines in found:
        columns = {len(BAR.findall(line)) - 1 for line in lines}
        assert len(columns) == 1
        assert re.fullmatch(r"\|( :?-+:? \|)+", lines[1])
        assert len(lines) > 2


def test_hostile_name_keeps_the_markdown_table_and_is_shown(made_up, draw, hostile):
    text = draw(made_up(hostile), "md")
    plain = [(len(lines), len(BAR.findall(lines[0]))) for lines in grids(draw(made_up(), "md"))]
    assert [(len(lines), len(BAR.findall(lines[0]))) for lines in grids(text)] == plain
    for lines in grids(text):
        assert len({len(BAR.findall(line)) for line in lines}) == 1
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    for word in "".join(letter if letter.isprintable() else " " for letter in hostile).split():
        assert shown(text).count(word) >= 5


def test_markdown_has_no_html_tag(made_up, draw):
    text = draw(made_up("<b>bold</b>"), "md")
    assert not re.search(r"(?<!\\)<", text)


def test_html_is_closed_and_rectangular(record, draw):
    text = draw(record, "html")
    reader = read(text)
    assert "table" in reader.tags or record.command == "derive"  # its tables are chapters
    for body in re.findall(r"<table>(.*?)</table>", text, re.DOTALL):
        rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
        assert rows
        assert len({row.count("</td>") + row.count("</th>") for row in rows}) == 1


def test_html_escapes_hostile_text(made_up, draw, hostile):
    reader, plain = read(draw(made_up(hostile), "html")), read(draw(made_up(), "html"))
    assert reader.tags == plain.tags
    for text in (hostile, f"note {hostile}", f"sentence {hostile}"):
        assert escape_unprintable(text) in map(escape_unprintable, reader.texts)


@pytest.mark.parametrize("name", ["md", "html"])
def test_markup_ignores_the_screen(record, draw, name):
    assert draw(record, name, Style(width=30, color=True)) == draw(record, name)


@pytest.mark.parametrize("name", ["md", "html", "table"])
def test_omitted_rows_are_counted(records, draw, name):
    record = records["large"]
    count = len(record.norms.step)
    assert re.search(rf"\b\d+ of {count} rows", draw(record, name))
    assert f"of {count} rows" not in draw(record, name, Style(rows=None))
    assert "all-rows" not in draw(record, name, Style(rows=None))
