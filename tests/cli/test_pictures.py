"""--plot writes a picture beside the result, and --chart draws one in its place."""

import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.cells import cell_len

from gradflow.cli import COMMANDS
from gradflow.render import PICTURES

MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF-"}
POWER = ("power", "-m", "0.9 1; 0 0.8", "-n", 12)
COMPARE = ("compare", "rnn", "lstm", "--hidden", 3, "--steps", 12, "--seeds", 2)
NAMES = ("$x_1$", "<script>", "a&b", "-->", "漢字", ":smile:", "n" * 200)
RC = """font.family: serif
font.size: 30
text.usetex: True
axes.facecolor: red
savefig.bbox: tight
savefig.dpi: 33
svg.fonttype: none
pdf.fonttype: 3
backend: TkAgg
image.cmap: jet
no.such.key: 3
"""
DRAW = """
import sys
from gradflow.cli.main import run
kinds, arguments = sys.argv[1].split(","), sys.argv[2:]
sys.exit(max(run([*arguments, "--plot", f"picture.{kind}"]) for kind in kinds))
"""
ESCAPE = "\x1b["


@pytest.fixture
def checkpoint(tmp_path):
    """Write a checkpoint of one layer for each hostile name."""
    weights = {}
    for name in NAMES:
        weights |= {f"{name}.weight_ih_l0": np.ones((1, 1)), f"{name}.weight_hh_l0": np.full((1, 1), 0.5)}
    path = tmp_path / "model.npz"
    np.savez(path, **weights)
    return path


@pytest.fixture
def plot(tmp_path):
    return tmp_path / "picture.svg"


def test_commands_have_plot_and_chart(cli):
    for command in set(COMMANDS) - {"derive", "run"}:  # whose results are no picture
        text = cli(command, "-h").out
        assert "--plot FILE" in text, command
        assert "--chart" in text, command


@pytest.mark.parametrize("kind", [*PICTURES, "PNG"])
def test_plot_leaves_the_result_unchanged(cli, tmp_path, kind):
    path = tmp_path / f"picture.{kind}"
    outcome = cli(*POWER, "-f", "json", "--plot", path)
    assert (outcome.code, outcome.err) == (0, "")
    assert path.read_bytes().startswith(MAGIC[kind.lower()])
    assert outcome.raw == cli(*POWER, "-f", "json").raw
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_plot_and_output_write_two_files(cli, tmp_path, plot):
    outcome = cli(*POWER, "-o", tmp_path / "out.csv", "--plot", plot)
    assert (outcome.code, outcome.raw, outcome.err) == (0, b"", "")
    assert (tmp_path / "out.csv").read_text().startswith("step,")
    assert plot.read_bytes().startswith(MAGIC["svg"])


def test_hostile_names_are_text(cli, checkpoint, plot):
    line = ("inspect", checkpoint, "--assume", "activation=tanh", "--length", 11, "-q")
    outcome = cli(*line, "--plot", plot, "--table", "layers", "--chart")
    assert (outcome.code, outcome.err) == (0, "")
    root = ElementTree.fromstring(plot.read_bytes())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not [one for one in root.iter() if "script" in str(one.tag)]
    for name in NAMES[:-1]:
        assert sum(name in row for row in outcome.out.splitlines()) == 1


def test_picture_has_the_same_bytes_under_any_settings(tmp_path, environment):
    (tmp_path / "matplotlibrc").write_text(RC)
    told = {"MATPLOTLIBRC": str(tmp_path), "PYTHONHASHSEED": "2", "HOME": "/dev/null", "TZ": "Asia/Tokyo"}
    found = []
    for name, env in (("one", {"PYTHONHASHSEED": "1"}), ("other", told)):
        folder = tmp_path / name
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", DRAW, ",".join(PICTURES), *map(str, COMPARE), "-q"],
            cwd=folder, env=environment(**env), capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr.decode()) == (0, "")
        found.append({kind: (folder / f"picture.{kind}").read_bytes() for kind in PICTURES})
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["picture", "picture.jpg", "picture.csv", "-", "svg", ".svg"])
def test_other_suffix_exits_2_and_names_the_valid_ones(check_refused, name):
    check_refused(2, *POWER, "--plot", name, says=["--plot", repr(name), ".png, .svg, .pdf"])


@pytest.mark.parametrize("place", ["absent/picture.svg", "folder.svg", "/proc/picture.svg"])
def test_unwritable_place_exits_1(check_refused, tmp_path, place):
    (tmp_path / "folder.svg").mkdir()
    check_refused(1, *POWER, "--plot", tmp_path / place, says=["cannot write", place])
    assert [one.name for one in tmp_path.iterdir()] == ["folder.svg"]


def test_missing_matplotlib_exits_1_before_any_work(check_refused, monkeypatch, plot):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    check_refused(
        1, "power", "-m", "no/such/file", "--plot", plot, says=["gradflow-rnn[plot]", "needs matplotlib"]
    )
    assert not plot.exists()


def test_chart_needs_no_matplotlib(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert cli(*POWER, "--chart").code == 0


@pytest.mark.parametrize("other", ["picture.svg", "../{}/picture.svg", "link.svg"])
def test_plot_in_place_of_the_result_exits_2(check_refused, tmp_path, plot, other):
    (tmp_path / "link.svg").symlink_to(plot)
    other = tmp_path / other.format(tmp_path.name)
    check_refused(2, *POWER, "-o", plot, "-f", "csv", "--plot", other, says=["give another one"])
    assert not plot.exists()


@pytest.mark.parametrize("name", ["csv", "json", "table"])
def test_chart_with_another_format_exits_2(check_refused, name):
    check_refused(2, *POWER, "--chart", "-f", name, says=["--chart", f"-f {name}"])


def test_chart_option_is_the_format_chart(cli, tmp_path, monkeypatch):
    text = cli(*POWER, "--chart").raw
    assert text == cli(*POWER, "-f", "chart").raw == cli(*POWER, "-f", "chart", "--chart").raw
    assert cli(*POWER, "--chart", "-o", tmp_path / "out.txt").raw == b""
    assert (tmp_path / "out.txt").read_bytes() == text
    monkeypatch.setenv("GRADFLOW_FORMAT", "chart")
    assert cli(*POWER).raw == text


def test_table_without_picture_exits_2_and_leaves_no_file(check_refused, tmp_path, plot):
    line = (*POWER, "-f", "csv", "-o", tmp_path / "out.csv", "--plot", plot, "--table", "power")
    check_refused(2, *line, says=["'power' has no picture", "norms, eigenvalues"])
    assert not list(tmp_path.iterdir())


def test_failure_leaves_the_old_file(cli, plot):
    plot.write_bytes(b"older")
    for more in (("--table", "power"), ("--table", "nonsense"), ("-m", "1 2 3")):
        assert cli(*POWER, *more, "--plot", plot).code in (1, 2)
        assert plot.read_bytes() == b"older"


def test_lost_pipe_exits_141_after_the_picture(bash, plot):
    line = f"gradflow power -m 0.9 -n 20000 -f csv --plot {plot}"
    outcome = bash(f"{line} | head -c 10 >/dev/null; echo ${{PIPESTATUS[0]}}")
    assert (outcome.out, outcome.err) == ("141\n", "")
    assert plot.read_bytes().rstrip().endswith(b"</svg>")


def test_init_writes_weights_and_a_picture(cli, tmp_path, plot):
    weights = tmp_path / "weights.npz"
    outcome = cli("init", "gru", "--hidden", 4, "--horizon", 12, "-o", weights, "--plot", plot)
    assert outcome.code == 0
    assert plot.read_bytes().startswith(MAGIC["svg"])
    assert dict(np.load(weights))


def test_fail_on_exits_3_after_the_picture(cli, plot):
    assert cli(*POWER, "--fail-on", "vanishing", "--plot", plot).code == 3
    assert plot.exists()


def test_chart_fits_the_terminal(cli, remembered, terminal, plain, monkeypatch):
    for columns in (40, 60, 80, 120, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        piped = cli(*COMPARE, "--chart")
        assert max(map(cell_len, piped.out.splitlines())) <= columns
        assert ESCAPE not in piped.out
    shown = terminal(*COMPARE, "--chart", columns=40)
    assert (shown.code, shown.err) == (0, "")
    assert ESCAPE in shown.out
    assert max(map(cell_len, plain(shown.out).splitlines())) <= 40


COLORS = [
    ({}, (), False), ({}, ("stdout",), True), ({"NO_COLOR": "1"}, ("stdout",), False),
    ({"FORCE_COLOR": "1"}, (), True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, (), False),
    ({"TERM": "dumb"}, ("stdout",), False),
]  # fmt: skip


def test_chart_has_color_on_a_terminal_or_if_forced(cli, remembered, monkeypatch):
    for told, stream, colored in COLORS:
        with monkeypatch.context() as patch:
            for name, value in ({"TERM": "xterm-256color"} | told).items():
                patch.setenv(name, value)
            outcome = cli(*COMPARE, "--chart", terminals=stream)
        assert outcome.code == 0
        assert (ESCAPE in outcome.out) == colored, (told, stream)
        assert bool(re.search("[\u2801-\u28ff]", outcome.out)) == colored, (told, stream)


@pytest.mark.parametrize("line", [POWER, COMPARE, (*COMPARE, "--map", "--table", "map")])
def test_chart_is_ascii_in_ascii(cli, line):
    outcome = cli(*line, "--chart", encoding="ascii")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.raw.isascii()
    drawing = outcome.raw.decode().partition("\n\n")[0]
    assert "?" not in drawing
