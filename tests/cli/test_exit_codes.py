"""Exit codes: 0 done, 1 data or numbers, 2 usage, 3 --fail-on, 70 a bug, 130 interrupted."""

import pytest

import gradflow
from gradflow.errors import DataError, NumericalError, UsageError

W = "0.58 0.24; 0.24 0.72"
POWER = ("power", "-m", W)
COMPARE = ("compare", "rnn", "--hidden", 2, "--steps", 3, "--seeds", 1)
COMMANDS = {"power": POWER, "compare": COMPARE}

# a command line, and words that its line on stderr must contain
USAGE = {
    "not-square": (("power", "-m", "1 2 3; 4 5 6"), ["2×3", "square"]),
    "no-matrix": (("power",), ["exactly one of a matrix and a random ensemble"]),
    "two-matrices": ((*POWER, "--random", "ginibre"), ["exactly one of a matrix and a random ensemble"]),
    "size-of-a-matrix": ((*POWER, "--size", 3), ["size", "3"]),
    "steps-no-number": ((*POWER, "-n", "many"), ["--steps", "'many'"]),
    "steps-no-integer": ((*POWER, "-n", 1.5), ["--steps", "'1.5'"]),
    "steps-negative": ((*POWER, "-n", -1), ["steps", "-1"]),
    "steps-too-many": ((*POWER, "-n", 10**18 + 1), ["steps", str(10**18 + 1), "10^18"]),
    "size-0": (("power", "--random", "ginibre", "--size", 0), ["size", "0"]),
    "gain-nan": (("power", "--random", "ginibre", "--gain", "nan"), ["gain", "nan"]),
    "seed-negative": (("power", "--random", "ginibre", "--seed", -1), ["--seed", "-1"]),
    "half-a-claim": ((*POWER, "--claim-vectors", "1 0; 0 1"), ["vectors", "values"]),
    "claim-of-another-size": ((*POWER, "--claim-vectors", "1", "--claim-values", "1"), ["1×1", "2"]),
    "claim-without-diagonal": (
        (*POWER, "--claim-vectors", "1 0; 0 1", "--claim-values", "1 2; 3 4"), ["2×2", "diagonal"],
    ),
    "rows-0": ((*POWER, "--rows", 0), ["--rows", "0"]),
    "option-without-value": ((*POWER, "--key"), ["--key"]),
    "extra-argument": ((*POWER, "here"), ["here"]),
    "no-cell": (("compare",), ["CELL"]),
    "cell-twice": (("compare", "rnn", "rnn"), ["'rnn'", "twice"]),
    "cell-option-without-value": (("compare", "rnn:gain"), ["rnn:gain", "option=value"]),
    "cell-option-without-options": (("compare", "rnn:"), ["rnn:", "option=value"]),
    "cell-option-twice": (("compare", "rnn:gain=1,gain=2"), ["gain", "twice"]),
    "cell-option-no-number": (("compare", "rnn:gain=much"), ["gain", "'much'"]),
    "cell-option-infinite": (("compare", "rnn:gain=inf"), ["gain", "'inf'"]),
    "hidden-0": (("compare", "rnn", "--hidden", 0), ["hidden", "0"]),
    "seeds-0": (("compare", "rnn", "--seeds", 0), ["seeds", "0"]),
    "lags-0": (("compare", "rnn", "--steps", 0), ["steps", "0"]),
    "features-0": (("compare", "rnn", "--features", 0), ["features", "0"]),
    "scale-nan": (("compare", "rnn", "--input-scale", "nan"), ["scale", "nan"]),
    "key-without-input": (("compare", "rnn", "--key", "x"), ["'x'", "input"]),
}  # fmt: skip
DATA = {
    "no-file": (("power", "-m", "nowhere.npy"), b"", ["nowhere.npy"]),
    "empty-literal": (("power", "-m", ""), b"", ["literal"]),
    "ragged": (("power", "-m", "1 2; 3"), b"", ["row 2", "1", "2"]),
    "infinite": (("power", "-m", "1 2; 3 inf"), b"", ["inf", "finite"]),
    "too-large-for-a-double": (("power", "-m", "1e400"), b"", ["1e400"]),
    "word": (("power", "-m", "1 two; 3 4"), b"", ["two"]),
    "directory": (("power", "-m", "/"), b"", ["directory"]),
    "empty-stdin": (("power", "-m", "-"), b"", ["standard input", "empty"]),
    "nan-on-stdin": (("power", "-m", "-"), b"1 2\n3 nan\n", ["standard input", "nan"]),
    "no-text-on-stdin": (("power", "-m", "-"), b"\x00\xff\xfe\x01" * 9, ["standard input"]),
    "several-arrays": (("power", "-m", "-"), b'{"a": [[1]], "b": [[2, 3]]}', ["a", "b", "--key", "(1, 2)"]),
    "complex-input": (("compare", "rnn", "--input", "-"), b"1 2j\n3 4\n", ["complex"]),
    "no-input-file": (("compare", "rnn", "--input", "nowhere.npy"), b"", ["nowhere.npy"]),
}  # fmt: skip
# more than any machine's memory
LARGE = {
    "matrix": ("power", "--random", "ginibre", "--size", 10**7),
    "impossible-matrix": ("power", "--random", "ginibre", "--size", 10**12),
    "jordan": ("power", "--random", "jordan", "--size", 10**7),
    "hidden": ("compare", "rnn", "--hidden", 10**7, "--features", 1),
    "steps": ("compare", "rnn", "--steps", 10**14),
    "features": ("compare", "rnn", "--features", 10**14),
}
HOSTILE = [
    "a\nb",
    "\x1b[2Jpower",
    "a\rb",
    "a\tb",
    "\udcff",
    "\u202erewop",
    "[red]x[/red]",
    "%s",
    "{}",
    "",
    " ",
]


@pytest.mark.parametrize("case", USAGE)
def test_wrong_call_exits_2_and_names_the_value(check_refused, case):
    arguments, says = USAGE[case]
    check_refused(2, *arguments, says=says)


def test_file_that_is_not_square_exits_2_with_its_shape(check_refused, tmp_path):
    (tmp_path / "w.txt").write_text("1 2 3\n4 5 6\n")
    check_refused(2, "power", "-m", tmp_path / "w.txt", says=["2×3", "a key"])


@pytest.mark.parametrize("case", DATA)
def test_unusable_data_exit_1_and_name_the_value(check_refused, case):
    arguments, stdin, says = DATA[case]
    check_refused(1, *arguments, stdin=stdin, says=says)


@pytest.mark.parametrize("case", LARGE)
def test_out_of_memory_exits_1_or_2(cli, case):
    outcome = cli(*LARGE[case])
    assert outcome.code in (1, 2), outcome.err
    assert outcome.raw == b""
    assert outcome.err.count("\n") == 1
    assert "bug" not in outcome.err


@pytest.mark.parametrize(
    ("codes", "arguments"),
    [
        ((2,), ["{}"]),
        ((1, 2), ["power", "{}"]),
        ((2,), ["power", "--{}"]),
        ((1, 2), ["power", "-m", "{}"]),
        ((2,), ["power", "-m", "1", "-n", "{}"]),
        ((2,), ["power", "-m", "1", "-f", "x{}"]),
        ((1, 2), ["power", "-m", "1", "-o", "x.{}?"]),
        ((2,), ["power", "-m", "1", "--table", "{}"]),
        ((2,), ["power", "-m", "1", "--fail-on", "{}"]),
        ((2,), ["power", "--random", "{}"]),
        ((1, 2), ["power", "-m", '{{"w": [[1]]}}', "--key", "{}"]),
        ((2,), ["compare", "{}"]),
        ((2,), ["compare", "rnn:{}=1"]),
        ((2,), ["compare", "rnn:gain=x{}"]),
        ((1,), ["compare", "rnn", "--input", "x{}"]),
    ],
)
def test_hostile_text_exits_1_or_2_with_one_printable_line(cli, codes, arguments):
    for text in HOSTILE:
        told = [argument.replace("{}", text).replace("{{", "{").replace("}}", "}") for argument in arguments]
        outcome = cli(*told)
        assert outcome.code in codes, outcome.err
        assert outcome.raw == b"", told
        assert outcome.err.removesuffix("\n").isprintable(), outcome.err
        assert "Traceback" not in outcome.err


@pytest.mark.parametrize("code", [1, 2])
def test_debug_prints_the_traceback(cli, monkeypatch, code):
    command = ("power", "-m", "1 2 3") if code == 2 else ("power", "-m", "1 2; 3")
    without = cli(*command)
    monkeypatch.setenv("GRADFLOW_DEBUG", "1")
    outcome = cli(*command)
    assert (outcome.code, outcome.raw) == (code, b"")
    assert outcome.err.startswith("Traceback (most recent call last)")
    assert outcome.err.endswith(without.err)


@pytest.mark.parametrize(
    ("error", "code"), [(UsageError("so"), 2), (DataError("so"), 1), (NumericalError("so"), 1)]
)
@pytest.mark.parametrize("command", COMMANDS)
def test_each_error_exits_with_its_code(check_refused, monkeypatch, command, error, code):
    def failing(*arguments, **options):
        raise error

    monkeypatch.setattr(gradflow, command, failing)
    assert check_refused(code, *COMMANDS[command]) == "gradflow: so"


@pytest.mark.parametrize(
    "error", [RuntimeError("of a test"), ValueError(), KeyError("k"), ZeroDivisionError("a\nb")]
)
@pytest.mark.parametrize("command", COMMANDS)
def test_bug_exits_70_and_says_where_to_report_it(check_refused, monkeypatch, command, error):
    def failing(*arguments, **options):
        raise error

    monkeypatch.setattr(gradflow, command, failing)
    says = [type(error).__name__, "bug", "report", gradflow.__version__, "GRADFLOW_DEBUG=1"]
    check_refused(70, *COMMANDS[command], says=says)


def test_bug_under_debug_exits_70_with_the_traceback(cli, monkeypatch):
    monkeypatch.setattr(gradflow, "power", lambda *arguments, **options: 1 / 0)
    monkeypatch.setenv("GRADFLOW_DEBUG", "1")
    outcome = cli(*POWER)
    assert (outcome.code, outcome.raw) == (70, b"")
    assert "Traceback (most recent call last)" in outcome.err
    assert "ZeroDivisionError" in outcome.err
    assert "bug" in outcome.err.splitlines()[-1]


@pytest.mark.parametrize("command", COMMANDS)
def test_interrupt_exits_130_without_traceback(cli, monkeypatch, command):
    def pressed(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(gradflow, command, pressed)
    outcome = cli(*COMMANDS[command])
    assert (outcome.code, outcome.raw) == (130, b"")
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("matrix", "verdict"),
    [
        (W, "vanishing"),
        ("2", "exploding"),
        ("0 -1; 1 0", "preserving"),
        ("1 1; 0 1", "polynomial"),
        ("0 1; 0 0", "nilpotent"),
    ],
)
def test_verdict_of_fail_on_exits_3_after_the_result(cli, matrix, verdict):
    without = cli("power", "-m", matrix, "-f", "json")
    outcome = cli("power", "-m", matrix, "-f", "json", "--fail-on", verdict)
    assert outcome.code == 3
    assert outcome.raw == without.raw
    assert outcome.object["summary"]["regime"] == verdict
    assert verdict in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("verdict", gradflow.Powers.verdicts)
def test_other_verdicts_exit_0(cli, verdict):
    outcome = cli(*POWER, "--fail-on", verdict)
    assert outcome.code == (3 if verdict == "vanishing" else 0)
    assert bool(outcome.err) == (verdict == "vanishing")


def test_one_of_several_verdicts_exits_3(cli):
    assert cli(*POWER, "--fail-on", "exploding", "--fail-on", "vanishing").code == 3
    assert cli(*POWER, "--fail-on", "exploding", "--fail-on", "preserving").code == 0


def test_verdict_of_any_cell_exits_3(cli):
    options = ("--hidden", 3, "--steps", 5, "--seeds", 1)
    dead, level = "rnn:gain=0", "rnn:init=orthogonal,activation=identity"
    assert cli("compare", level, *options, "--fail-on", "vanishing").code == 0
    assert cli("compare", level, *options, "--fail-on", "stable").code == 3
    assert cli("compare", level, dead, *options, "--fail-on", "vanishing").code == 3


def test_failure_exits_1_and_not_3(check_refused):
    check_refused(1, "power", "-m", "nowhere.npy", "--fail-on", "vanishing")


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version_is_on_stdout(cli, process, flag):
    for outcome in (cli(flag), process(flag)):
        assert (outcome.code, outcome.out, outcome.err) == (0, f"gradflow {gradflow.__version__}\n", "")
