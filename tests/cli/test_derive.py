"""``gradflow derive``: its topics on every stream and in every format, its options, and what it refuses."""

import json

import pytest
import typer

import gradflow
from gradflow.cli.main import app
from gradflow.derivations.derive import get_topic_options
from gradflow.derivations.topics import ALL_TOPICS, DERIVATIONS
from gradflow.render import FORMATS

CASES = {
    **{name: ("derive", name) for name in DERIVATIONS},
    "all": ("derive", ALL_TOPICS),
    "cell": ("derive", "expand", "--steps", 2, "--cell", "gru:reset=before"),
    "matrix": ("derive", "regimes", "-m", "0.9 1; 0 0.9", "--steps", 5),
    "drawn": ("derive", "bptt", "--hidden", 2, "--steps", 3, "--seed", 7),
}
TABLES = {
    "lines": [
        "topic", "line", "formula", "latex", "reason", "relation", "entry", "left", "right", "difference",
        "tolerance", "holds",
    ],
    "topics": ["topic", "exercise", "title", "options", "statement", "answer", "slip"],
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_json_exits_0_with_lines_and_topics_and_the_params_as_flags_give_the_same_again(cli, case):
    outcome = cli(*CASES[case], "-f", "json")
    assert (outcome.code, outcome.err) == (0, "")
    result = outcome.object
    assert result["schema"] == "gradflow.derive/1"
    assert {name: list(rows[0]) for name, rows in result["tables"].items()} == TABLES
    assert result["summary"]["verified"] == len(result["tables"]["lines"])
    assert all(row["holds"] is True for row in result["tables"]["lines"])
    assert [row["topic"] for row in result["tables"]["topics"]] == (
        list(DERIVATIONS) if case == "all" else [CASES[case][1]]
    )
    params = result["params"]
    again = ["derive", params.pop("topic")]
    assert (params.pop("list"), params.pop("checks"), params.pop("answer")) == (False, False, False)
    for name, value in params.items():
        if value is not None:
            again += [f"--{name}", str(value)]
    repeated = cli(*again, "-f", "json")
    assert repeated.code == 0
    assert repeated.object["tables"] == result["tables"]


def test_same_seed_exits_0_with_the_same_bytes_and_another_with_others(cli):
    first, again = (cli(*CASES["drawn"], "-f", "json") for _ in range(2))
    assert first.code == again.code == 0
    assert first.raw == again.raw
    other = cli(*CASES["drawn"], "--seed", 8, "-f", "json")
    assert other.code == 0
    assert other.raw != first.raw


def test_csv_exits_0_with_a_row_for_every_line(cli):
    header, *rows = cli("derive", "jacobian", "-f", "csv").rows()
    assert header == TABLES["lines"]
    found = gradflow.derive("jacobian").lines
    assert [row[2] for row in rows] == found.formula
    assert [float(row[7]) for row in rows] == found.left


def test_list_exits_0_with_every_topic_and_its_options_in_every_format(cli, remembered):
    for name in FORMATS:
        outcome = cli("derive", "--list", "-f", name)
        assert (outcome.code, outcome.err) == (0, ""), name
        for topic in DERIVATIONS:
            assert topic in outcome.out, name
            assert all(option in outcome.out for option in get_topic_options(topic)), name


def test_list_exits_0_as_json_without_lines(cli):
    result = cli("derive", "--list", "-f", "json").object
    assert list(result["tables"]) == ["topics"]
    assert [row["topic"] for row in result["tables"]["topics"]] == list(DERIVATIONS)
    assert list(result["tables"]["topics"][0]) == TABLES["topics"][:4]


def test_screen_exits_0_with_statement_lines_answer_and_slip_in_order(cli):
    outcome = cli("derive", "carousel")
    assert (outcome.code, outcome.err) == (0, "")
    marks = ["5-3c  carousel: ", "Statement: ", "\nAnswer: ", "\nSlip: ", "\n (1)  Cₜ = Cₖ\n", "\n (9)  "]
    marks.append("\n9 lines of carousel verified with seed 0, largest difference ")
    places = [outcome.out.index(mark) for mark in marks]
    assert places == sorted(places)
    assert "✓" not in outcome.out


def test_checks_exit_0_with_the_numbers_of_every_line_and_no_tick_beside_unequal_sides(cli):
    outcome = cli("derive", "carousel", "--checks")
    relations = gradflow.derive("carousel").lines.relation
    assert outcome.code == 0
    of_equations = relations.count("=") + relations.count("≠")
    assert outcome.out.count("difference ") == of_equations + 1  # the last line has the largest
    assert outcome.out.count("✓\n") == len(relations) - relations.count("≠") < len(relations)


def test_checks_of_an_inequality_exit_0_with_both_sides_and_no_difference(cli):
    outcome = cli("derive", "regimes", "--checks")
    assert outcome.code == 0
    assert "left 1  right 1.68054  ✓\n" in outcome.out


def test_answer_exits_0_as_one_line_and_leaves_json_unchanged(cli):
    outcome = cli("derive", "carousel", "--answer")
    assert (outcome.code, outcome.err) == (0, "")
    answer = gradflow.derive("carousel").topics.answer[0].replace("$", "")
    assert outcome.out == f"{answer}\n"
    tables = [cli("derive", "carousel", *more, "-f", "json").object["tables"] for more in ((), ("--answer",))]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("number", ["5-2c", "5.2c", "5.2 (c)", "5-2 c", "Exercise 5.2(c)", " 5-2C "])
def test_number_of_the_sheet_exits_0_as_its_topic(cli, number):
    outcome = cli("derive", number, "-f", "json")
    assert outcome.code == 0
    assert outcome.raw == cli("derive", "regimes", "-f", "json").raw


def test_every_number_of_the_list_is_one_of_its_topic(cli):
    found = gradflow.derive().topics
    for topic, exercise in zip(found.topic, found.exercise, strict=True):
        number = exercise.partition(",")[0]
        assert topic in gradflow.derive(number).topics.topic
    assert gradflow.derive("5-3b").topics.topic == ["gates"]
    assert gradflow.derive("5-2").topics.topic == ["expand", "power", "regimes"]


def test_no_topic_exits_0_as_the_list_with_one_line_for_each_topic(cli, monkeypatch):
    assert cli("derive").raw == cli("derive", "--list").raw
    monkeypatch.setenv("COLUMNS", "80")
    lines = cli("derive").out.splitlines()
    for topic, title in zip(DERIVATIONS, gradflow.derive().topics.title, strict=True):
        (line,) = [line for line in lines if line.split()[:1] == [topic]]
        assert title in line


@pytest.mark.parametrize("option", ["--chart", "--plot"])
def test_pictures_are_no_option(check_refused, option):
    check_refused(2, "derive", "power", option, says=["No such option", option])


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_terminal_exits_0_with_lines_that_fit(terminal, plain, columns):
    outcome = terminal("derive", "cell-gradient", columns=columns)
    assert outcome.code == 0
    for line in plain(outcome.out).splitlines():
        assert len(line.replace("\N{COMBINING TILDE}", "")) <= columns


def test_terminal_of_few_letters_exits_0_with_latex_and_ok(cli):
    outcome = cli("derive", "jacobian", "--checks", encoding="ascii")
    assert outcome.code == 0
    text = outcome.raw.decode("ascii")
    assert r"\frac{\partial y}{\partial x} = \operatorname{diag}(\sigma'(Wx)) W" in text
    assert text.count(" ok\n") == gradflow.derive("jacobian").verified
    assert "?" not in text


@pytest.mark.parametrize(
    ("suffix", "topic"),
    [("tex", ALL_TOPICS), ("latex", "regimes"), ("md", "regimes"), ("html", "regimes")],
)
def test_answers_exit_0_as_a_file_in_the_format_of_its_suffix(cli, remembered, tmp_path, suffix, topic):
    path = tmp_path / f"answers.{suffix}"
    outcome = cli("derive", topic, "-o", path)
    assert (outcome.code, outcome.raw, outcome.err) == (0, b"", "")
    name = "latex" if suffix == "tex" else suffix
    assert path.read_bytes() == cli("derive", topic, "-f", name).raw
    assert name != "latex" or path.read_text().isascii()


def test_matrix_from_stdin_exits_0_as_the_same_one_as_a_literal(cli):
    told = cli(*CASES["matrix"], "-f", "csv")
    piped = cli("derive", "regimes", "-m", "-", "--steps", 5, "-f", "csv", stdin=b"0.9 1\n0 0.9\n")
    assert (piped.code, piped.raw) == (0, told.raw)


def test_matrix_of_a_file_with_several_exits_0_with_its_key(cli, tmp_path):
    path = tmp_path / "weights.json"
    path.write_text(json.dumps({"a": [[0.5]], "b": [[2.0]]}))
    outcome = cli("derive", "regimes", "-m", path, "--key", "b", "--steps", 3, "-f", "json")
    assert outcome.code == 0
    assert "W³ = [8]" in [row["formula"] for row in outcome.object["tables"]["lines"]]


def test_help_exits_0_with_every_topic(cli):
    text = " ".join(cli("derive", "-h").out.split())
    assert f"{', '.join(DERIVATIONS)} or {ALL_TOPICS}; or a number of the sheet" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--seed", 3), ["seed needs a topic", "jacobian"]),
        (("5-9",), ["'5-9'", "5-3a, b; 5-3c"]),
        (("jacobin",), ["'jacobin'", "did you mean 'jacobian'"]),
        (("jacobian", "--steps", 3), ["jacobian takes no steps", "bptt, expand, power, regimes"]),
        (("jacobian", "--hidden", 0), ["hidden 0", "from 1 to 16"]),
        (("expand", "--steps", 9), ["expand: steps 9", "from 1 to 8"]),
        (("expand", "--cell", "lstmm"), ["'lstmm'", "did you mean 'lstm'"]),
        (("power", "-m", "1 1; 0 1"), ["not diagonalizable", "regimes takes any"]),
        (("regimes", "-m", "1 2 3"), ["1×3", "square"]),
        (("regimes", "--key", "W"), ["key 'W'", "matrix"]),
        (("jacobian", "--list"), ["list shows every topic"]),
        (("jacobian", "--table", "lins"), ["'lins'", "lines"]),
        (("jacobian", "--fail-on", "wrong"), ["'wrong'"]),
    ],
)
def test_bad_usage_exits_2_with_what_was_given_and_what_was_expected(check_refused, arguments, says):
    check_refused(2, "derive", *arguments, says=says)


def test_lines_of_a_list_exit_2_and_say_to_name_a_topic(check_refused):
    check_refused(2, "derive", "--list", "--table", "lines", says=["lines", "name a topic"])


def test_line_that_does_not_hold_exits_1_with_topic_line_sides_and_difference(check_refused, monkeypatch):
    import gradflow.derivations.topics.carousel as carousel

    wrong = carousel.TEXT.replace("\n\nAnswer", "\n1 = 2\n    a slip\n\nAnswer")
    monkeypatch.setattr(carousel, "TEXT", wrong)
    says = ["carousel, line 10: 1 = 2 does not hold", "left 1", "right 2", "differ by 0.5", "at most 1e-10"]
    check_refused(1, "derive", "carousel", says=says)


def test_powers_past_a_double_exit_1_with_what_to_do(check_refused):
    check_refused(
        1, "derive", "regimes", "-m", "0.1", "--steps", 900, says=["leaves the range of a double", "steps"]
    )


def test_every_option_of_a_topic_is_one_of_the_command():
    command = typer.main.get_command(app).commands["derive"]
    options = {parameter.name for parameter in command.params}
    assert {option for name in DERIVATIONS for option in get_topic_options(name)} <= options
