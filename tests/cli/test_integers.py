"""Options that are integers take them as people write them, and say what they expect otherwise."""

import pytest


@pytest.mark.parametrize(
    "text", ["1000", "1e3", "1E3", "+1e3", "1.0e3", "10^3", "10**3", "1_000", "10000e-1", " 1000 "]
)
def test_every_spelling_of_a_thousand_is_the_same_power(cli, text):
    outcome = cli("power", "0.5", "-n", text, "--table", "summary", "-f", "jsonl")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.raw == cli("power", "0.5", "-n", 1000, "--table", "summary", "-f", "jsonl").raw


@pytest.mark.parametrize(
    "text", ["1.5e0", "1e-3", "many", "nan", "inf", "1e", "", "1__0", "1 000", "1e999", "9" * 50]
)
def test_other_numbers_are_refused_with_what_was_expected(check_refused, text):
    check_refused(
        2,
        "power",
        "0.5",
        "-n",
        text,
        says=["'-n' / '--steps'", "expected an integer such as 100, 1e6 or 10^6"],
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("compare", "rnn", "--seed", -1), ["'--seed'", "-1", "at least 0"]),
        (("power", "0.5", "--rows", 0), ["'--rows'", "0", "at least 1"]),
        (("power", "0.5", "-n", "1e19"), ["steps 10000000000000000000", "10^18"]),
    ],
)
def test_integers_out_of_range_are_refused_with_the_range(check_refused, arguments, says):
    check_refused(2, *arguments, says=says)
