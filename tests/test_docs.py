"""Every command line and example of README and docs runs, and prints what is shown; links lead somewhere.

A document is run from top to bottom in a folder of its own, in which the checkout's ``tests`` stand.
README's commands are processes. In other documents a gradflow that a shell would only split into words runs
in this process, which saves its start.
```console has commands after a $ and what each prints; ```sh has commands whose output is not shown;
```python is run in one namespace, and prints the ```text that follows. <!-- file: NAME --> before a block
has it written to that file; where a document writes into ``gradflow/``, it gets a copy of the package.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import draw
import numpy as np
import pytest
from markdown_it import MarkdownIt

import gradflow
from gradflow.cli.main import run

HOME = Path(__file__).parents[1]
PAGES = sorted(path for path in (HOME / "docs").rglob("*.md") if ".pytest_cache" not in path.parts)
DOCUMENTS = [HOME / "README.md", *PAGES]
NAMES = [str(path.relative_to(HOME)) for path in DOCUMENTS]
LINKING = [
    *DOCUMENTS,
    HOME / "CONTRIBUTING.md",
    *(HOME / name / "README.md" for name in ("benchmarks", "examples")),
]
SHOWN = {"text", "math"}  # what stands in a block of such a language is no code
PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
BARE = {"PATH": PATH, "COLUMNS": "100", "PYTHONUTF8": "1", "OPENBLAS_NUM_THREADS": "1"}
PROGRAMS = ("jq", "mlr", "awk")  # those beside gradflow that a machine may lack
LINKS = ("link_open", "image")
WORDS = re.compile(
    r"""gradflow(?: (?:[\w.,:/=+@%-]|"[^"$`\\]*"|'[^']*')+)+"""
)  # nothing for a shell but to split
INSTALLS = re.compile(r"(?:\.venv/bin/|python3? -m )?(make|pip install)\b(.*)")
IDENTITY = re.compile(r"\b[mp][0-9a-f]{10}\b")  # names in a picture that are made of its numbers
# where things stand in a picture, and the colours of an image
GEOMETRY = re.compile(r'\b(?:d|x|y|width|height|transform|points)="[^"]*"|base64,[\w+/=\s]*')
NUMBER = re.compile(r"([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)")


class Block(NamedTuple):
    """A fenced block, its line in the document, and the file that it is to be written to, if any."""

    language: str
    text: str
    line: int
    file: str
    printed: str | None  # the ```text right behind it


def parsed(path):
    return MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))


def blocks_of(path):
    return blocks_among(parsed(path))


def blocks_among(tokens):
    return [
        Block(token.info.strip(), token.content, token.map[0] + 1, file_named(before), printed_by(after))
        for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False)
        if token.type in ("fence", "code_block")
    ]


def file_named(token):
    found = re.fullmatch(r"<!-- file: (\S+) -->", token.content.strip()) if token else None
    return found[1] if found else ""


def printed_by(token):
    return token.content if token and token.type == "fence" and token.info.strip() == "text" else None


def commands_of(block):
    """The commands of a console block, each with what it prints."""
    for chunk in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, shown = re.fullmatch(r"((?:[^\n]*\\\n)*[^\n]*\n)(.*)", chunk, re.DOTALL).groups()
        yield command, shown


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_a_document_does_what_it_shows(path, tmp_path, monkeypatch):
    (tmp_path / "tests").symlink_to(HOME / "tests")
    monkeypatch.chdir(tmp_path)
    blocks = blocks_of(path)
    if any(block.file.startswith("gradflow/") for block in blocks):
        shutil.copytree(Path(gradflow.__file__).parent, tmp_path / "gradflow")
    namespace = {"__name__": "__main__"}
    for block in blocks:
        place = f"{path.relative_to(HOME)}:{block.line}"
        if block.file:
            write(tmp_path / block.file, block.text, tmp_path)
        elif block.language == "console":
            for command, shown in commands_of(block):
                check_command(command, shown, tmp_path, place, here=path.name != "README.md")
        elif block.language == "sh":
            commands = [line for line in block.text.splitlines() if not INSTALLS.match(line)]
            check_command("\n".join(["set -e", *commands]), None, tmp_path, place)
        elif block.language == "python":
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(block.text, place, "exec"), namespace)
            if block.printed is not None:
                check_same(printed.getvalue(), block.printed, place)
    for name in draw.drawing_commands(path.read_text(encoding="utf-8")):
        check_same_picture((tmp_path / name).read_text(), (draw.PICTURES / name).read_text(), name)


def check_same_picture(drawn, kept, name):
    """The same letters, and strokes within a point; of another matplotlib the same sheet and panels."""
    versions = [re.search(r"matplotlib ([\d.]+)", picture)[1] for picture in (drawn, kept)]
    if versions[0] != versions[1]:
        drawn, kept = (" ".join(re.findall(r'viewBox="[^"]*"|id="axes_\d+"', one)) for one in (drawn, kept))
    bare = [GEOMETRY.sub("", IDENTITY.sub("", picture)) for picture in (drawn, kept)]
    assert bare[0] == bare[1], f"{name} has other parts, words or colours: run make docs"
    strokes = [NUMBER.findall(" ".join(GEOMETRY.findall(picture))) for picture in (drawn, kept)]
    found, expected = (np.array(numbers, float) for numbers in strokes)
    assert found.shape == expected.shape, f"{name} has other strokes: run make docs"
    assert found == pytest.approx(expected, abs=1.0), f"{name} shows other numbers: run make docs"


def write(file, text, scratch):
    file.parent.mkdir(parents=True, exist_ok=True)
    assert file.parent.resolve().is_relative_to(scratch.resolve()), f"{file} is none of the document's own"
    file.write_text(text, encoding="utf-8")


def run_here(words, scratch):
    """Run gradflow in this process; return its exit code and what it wrote to stdout and stderr."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(3)]
    with (
        contextlib.chdir(scratch),
        mock.patch.dict(os.environ, {**BARE, "HOME": str(scratch)}, clear=True),
        mock.patch.multiple(sys, stdin=streams[0], stdout=streams[1], stderr=streams[2]),
    ):
        code = run(words)
    for stream in streams[1:]:
        stream.flush()
    return code, *(stream.buffer.getvalue().decode() for stream in streams[1:])


def check_command(command, shown, scratch, place, *, here=False):
    """Run a command; where it names a program that there is not, what pipes into that must end well."""
    first, _, rest = command.rstrip("\n").partition(" | ")
    if here and WORDS.fullmatch(first):
        code, out, err = run_here(shlex.split(first)[1:], scratch)
        assert code == 0, f"{place}: {command}\n{err}"
        if not rest:
            if shown is not None:
                check_same(out, shown, f"{place}: {command}")
            return
        (scratch / "piped").write_text(out, encoding="utf-8")
        command = f"cat piped | {rest}"
    named = [name for name in PROGRAMS if re.search(rf"\b{name}\b", command)]
    missing = [name for name in named if shutil.which(name, path=PATH) is None]
    stands_in = "".join(f"{name}() {{ cat > /dev/null; }}; export -f {name}\n" for name in missing)
    done = subprocess.run(
        ["bash", "-c", f"{stands_in}set -o pipefail\n{command}" if missing else command],
        cwd=scratch,
        env={**BARE, "HOME": str(scratch)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{place}: {command}\n{done.stderr}"
    if shown is not None and not missing:
        check_same(done.stdout, shown, f"{place}: {command}")


def check_same(printed, shown, place):
    """The same words; numbers to the digits shown, save bounds of errors: those a processor may move."""
    assert len(printed.splitlines()) == len(shown.splitlines()), f"{place}\n{printed}"
    has_errors = re.search(r"\berror\b", shown)  # a column of them
    for found_line, expected_line in zip(printed.splitlines(), shown.splitlines(), strict=True):
        message = f"{place}\n{found_line}\nis not\n{expected_line}"
        found, expected = pieces(found_line), pieces(expected_line)
        assert len(found) == len(expected), message
        for k, (one, other) in enumerate(zip(found, expected, strict=True)):
            if k % 2 == 0:
                assert one == other, message
            elif (has_errors or "_error" in expected_line) and 0 <= float(other) < 1e-9:  # rounding
                assert 0 <= float(one) < 1e-9, message
            else:
                assert float(one) == pytest.approx(float(other), rel=2e-5, abs=1e-300), message


def pieces(line):
    """Words, number, words, number, ... words; how many blanks part them is not compared."""
    return [" ".join(piece.split()) for piece in NUMBER.split(line)]


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("rate  -0.25 a step", "rate -0.2501 a step"),
        ("rate 0.25", "rates 0.25"),
        ("0.25", "-0.25"),
        ("lag 3", "lag nan"),
        ("a,b", "a,b,1"),
        ("one\ntwo", "one"),
        ("largest_error 2e-9", "largest_error 3e-16"),
        ("norm 2e-16", "norm 3e-16"),
    ],
)
def test_what_differs_is_seen(printed, shown):
    with pytest.raises(AssertionError):
        check_same(printed, shown, "")


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("rate    -0.2500001 nats.", "rate  -0.25 nats."),
        ("power_error 4e-16", "power_error 3e-16"),
        ('{"rate":-0.771937513757}', '{"rate":-0.771937513761}'),
        ("", ""),
    ],
)
def test_what_a_processor_may_move_is_none(printed, shown):
    check_same(printed, shown, "")


def test_a_command_may_go_on_over_lines():
    block = Block("console", "$ echo a \\\n    b\na b\n$ true\n$ echo c\nc\n", 1, "", None)
    found = list(commands_of(block))
    assert found == [("echo a \\\n    b\n", "a b\n"), ("true\n", ""), ("echo c\n", "c\n")]


def test_a_pipe_into_a_program_that_is_missing_is_run_up_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, path: None)
    check_command("echo 1 > seen | mlr --icsv --ojson cat", "2\n", tmp_path, "")
    assert (tmp_path / "seen").read_text() == "1\n"
    with pytest.raises(AssertionError):
        check_command("false | jq .", "", tmp_path, "")


def test_a_command_that_is_only_words_runs_here_with_the_streams_of_a_process(tmp_path):
    for command in ("gradflow -V", "gradflow power -m '0 1; 0 0' --table power -f csv"):
        assert WORDS.fullmatch(command)
        done = subprocess.run(
            command, shell=True, env=BARE, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert run_here(shlex.split(command)[1:], tmp_path) == (0, done.stdout, done.stderr)
        check_command(f"{command} | cat\n", done.stdout, tmp_path, "", here=True)
    with pytest.raises(AssertionError):
        check_command("gradflow powr | cat", None, tmp_path, "", here=True)
    for command in (
        "gradflow -V > x",
        "gradflow power -m $W",
        "gradflow -V && true",
        "gradflow -V 2>&1",
        "gradflowx",
    ):
        assert not WORDS.fullmatch(command)


def test_a_file_is_not_written_into_the_checkout(tmp_path):
    (tmp_path / "tests").symlink_to(HOME / "tests")
    with pytest.raises(AssertionError):
        write(tmp_path / "tests" / "written.txt", "", tmp_path)


def test_every_block_is_one_that_is_run_written_or_no_code():
    for path, block in ((one, block) for one in DOCUMENTS for block in blocks_of(one)):
        place = f"{path}:{block.line}: {block.language!r}"
        assert block.file or block.language in {"console", "sh", "python", *SHOWN}, place
        assert block.language != "console" or block.text.startswith("$ "), place
        if block.language in SHOWN and not block.file:
            assert not re.search(r"^\s*(\$|gradflow) ", block.text, re.MULTILINE), place


def test_another_picture_and_other_numbers_are_seen():
    kept = (draw.PICTURES / "flow.svg").read_text()
    check_same_picture(kept, kept, "flow.svg")
    spoilt = [
        kept.replace("<use", "<used", 1),
        re.sub(r"L (\d)", r"L 9\1", kept, count=1),
        re.sub(r"<!-- (−?\d+) -->", "<!-- 17 -->", kept, count=1),
        re.sub(r"DejaVuSans-1\d", "DejaVuSans-10", kept),
        kept.replace("#0072b2", "#0073b3"),
        re.sub(r"stroke-width: [\d.]+", "stroke-width: 9", kept),
    ]
    for picture in spoilt:
        assert picture != kept
        with pytest.raises(AssertionError, match="run make docs"):
            check_same_picture(picture, kept, "flow.svg")


def test_every_picture_is_shown_by_a_document_that_draws_it():
    shown = [name for path in DOCUMENTS for name in draw.drawing_commands(path.read_text(encoding="utf-8"))]
    assert sorted(shown) == sorted(path.name for path in draw.PICTURES.iterdir())


def test_a_comment_before_a_block_names_its_file():
    text = "<!-- file: Makefile -->\n\n```make\nall:\n```\n\n```sh\ntrue\n```\n"
    found = blocks_among(MarkdownIt("commonmark").parse(text))
    assert found == [Block("make", "all:\n", 3, "Makefile", None), Block("sh", "true\n", 7, "", None)]


def test_what_python_prints_is_the_text_right_behind_it():
    text = "```python\nprint(1)\n```\n\n```text\n1\n```\n\n```python\n2\n```\n\n## Next\n\n```text\n3\n```\n"
    found = blocks_among(MarkdownIt("commonmark").parse(text))
    assert [block.printed for block in found if block.language == "python"] == ["1\n", None]


def test_what_is_to_be_made_or_installed_is_there():
    """What a shell is told to do to the checkout is not done: its targets and extras are looked up."""
    phony = re.search(r"^\.PHONY: (.*)$", (HOME / "Makefile").read_text(), re.MULTILINE)[1].split()
    extras = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for path in DOCUMENTS:
        for block in blocks_of(path):
            for line in block.text.splitlines() if block.language == "sh" else ():
                found = INSTALLS.match(line)
                if found and found[1] == "make":
                    assert set(found[2].partition("#")[0].split()) <= set(phony), line
        text = path.read_text(encoding="utf-8")
        for named in re.findall(r"(?:gradflow-rnn|pip install '\.)\[([\w,]+)\]", text):
            assert set(named.split(",")) <= set(extras), named


def test_extras_are_named_with_the_name_of_the_distribution():
    project = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
    extras = {name: " ".join(needs) for name, needs in project["optional-dependencies"].items()}
    sources = [*DOCUMENTS, HOME / "pyproject.toml", *(HOME / "gradflow").rglob("*.py")]
    texts = [path.read_text(encoding="utf-8") for path in [*sources, *(HOME / "benchmarks").glob("*.py")]]
    named = {name for text in texts for name, _ in re.findall(r"\b(gradflow(?:-\w+)?)\[([a-z]+[\],])", text)}
    assert named == {project["name"]}
    calls = [
        call for text in texts for call in re.findall(r'import_extra\("(\w+)", "[^"]*", "(\w+)"\)', text)
    ]
    assert len(calls) > 3
    for package, extra in calls:
        assert package == "absent" or package in extras[extra]


def anchors(path):
    """What a heading is called in a link, by the rules of code hosts."""
    tokens, found = parsed(path), []
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            words = "".join(child.content for child in inline.children)
            slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            found.append(slug if slug not in found else f"{slug}-{found.count(slug)}")
    return found


def links(path):
    inlines = [token for token in parsed(path) if token.type == "inline"]
    children = [child for token in inlines for child in token.children]
    hrefs = [child.attrGet("href") or child.attrGet("src") for child in children if child.type in LINKS]
    return [href for href in hrefs if not re.match(r"\w+:", href)]


def test_every_link_leads_somewhere():
    for path, href in ((one, href) for one in LINKING for href in links(one)):
        target, _, anchor = href.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), href
        assert file.is_relative_to(HOME.resolve()), href
        assert not anchor or anchor in anchors(file), href


def test_every_document_is_named_in_an_index():
    indices = HOME / "README.md", HOME / "docs" / "README.md"
    named = {(index.parent / href.partition("#")[0]).resolve() for index in indices for href in links(index)}
    assert [path for path in DOCUMENTS if path not in indices and path.resolve() not in named] == []


def test_every_path_in_the_guide_to_the_code_exists():
    text = (HOME / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`(\.?\w[\w./-]*(?:/|\.py|\.toml|\.md))`", text)
    assert len(paths) > 30
    assert [
        path for path in paths if not any((home / path).exists() for home in (HOME, HOME / "gradflow"))
    ] == []
