"""An unknown name is answered with the nearest valid name and with all valid names."""

import pytest

from gradflow.cells import CELLS
from gradflow.cells.activations import ACTIVATIONS
from gradflow.cells.initialization import INITIALIZATIONS
from gradflow.cli import COMMANDS
from gradflow.linalg import ENSEMBLES
from gradflow.render import FORMATS

POWER = ("power", "-m", "0.5")
COMPARE = ("compare", "rnn", "--hidden", 2, "--steps", 3, "--seeds", 1)
REGIMES = ("vanishing", "exploding", "preserving", "polynomial", "nilpotent")


def slip(name):
    """Return the name with its last letter typed twice."""
    return name + name[-1]


# a command line with a slip, and the right name
SLIPS = {
    **{f"command {name}": ((slip(name),), name) for name in COMMANDS},
    **{f"cell {name}": (("compare", slip(name)), name) for name in CELLS},
    **{f"format {name}": ((*POWER, "-f", slip(name)), name) for name in FORMATS},
    **{f"ensemble {name}": (("power", "--random", slip(name)), name) for name in ENSEMBLES},
    **{f"verdict {name}": ((*POWER, "--fail-on", slip(name)), name) for name in REGIMES},
    **{f"activation {name}": (("compare", f"rnn:activation={slip(name)}"), name) for name in ACTIVATIONS},
    **{f"init {name}": (("compare", f"lstm:init={slip(name)}"), name) for name in INITIALIZATIONS},
    **{
        f"table {name}": ((*POWER, "--table", slip(name)), name)
        for name in ("norms", "eigenvalues", "power", "vectors", "values", "summary")
    },
    **{f"table {name}": ((*COMPARE, "--table", slip(name)), name) for name in ("flow", "cells")},
    **{f"verdict {name}": ((*COMPARE, "--fail-on", slip(name)), name) for name in ("stable", "exploding")},
    "option --steps": (("power", "--stpes", 3), "--steps"),
    "option --matrix": (("power", "--matrx", "1"), "--matrix"),
    "option --all-rows": ((*POWER, "--all-row"), "--all-rows"),
    "option --hidden": (("compare", "rnn", "--hiden", 3), "--hidden"),
    "option --version": (("--vresion",), "--version"),
    "cell option gain": (("compare", "rnn:gian=2"), "gain"),
    "cell option activation": (("compare", "rnn:activaton=relu"), "activation"),
    "cell option forget_bias": (("compare", "lstm:forget-bais=1"), "forget_bias"),
    "capitals of a cell": (("compare", "LSTM"), "lstm"),
    "capitals of a format": ((*POWER, "-f", "JSON"), "json"),
    "capitals of a verdict": ((*POWER, "--fail-on", "Vanishing"), "vanishing"),
    "key": (("power", "-m", '{"weight_hh": [[1]], "weight_ih": [[2]]}', "--key", "weigth_hh"), "weight_hh"),
}
VALID = {
    "cell": (("compare", "xyz"), CELLS),
    "cell option": (("compare", "lstm:xyz=1"), ("forget_bias", "init", "gain")),
    "option of another cell": (("compare", "lstm:activation=relu"), ("forget_bias", "init", "gain")),
    "activation": (("compare", "rnn:activation=xyz"), ACTIVATIONS),
    "init": (("compare", "rnn:init=xyz"), INITIALIZATIONS),
    "format": ((*POWER, "-f", "xyz"), FORMATS),
    "ensemble": (("power", "--random", "xyz"), ENSEMBLES),
    "verdict": ((*POWER, "--fail-on", "xyz"), REGIMES),
    "verdict of a cell": ((*COMPARE, "--fail-on", "nilpotent"), ("vanishing", "stable", "exploding")),
    "table": ((*POWER, "--table", "xyz"), ("norms", "eigenvalues", "power", "vectors", "values", "summary")),
    "table of a cell": ((*COMPARE, "--table", "xyz"), ("flow", "cells", "summary")),
}


@pytest.mark.parametrize("case", SLIPS)
def test_slip_exits_2_and_suggests_the_nearest_name(check_refused, case):
    arguments, name = SLIPS[case]
    line = check_refused(2, *arguments)
    asked = line.replace(", ", " ").partition("Valid:")[0]
    assert name in [word.strip("'?().,;:") for word in asked.split()], line


@pytest.mark.parametrize("case", VALID)
def test_unknown_name_exits_2_and_lists_the_valid_ones(check_refused, case):
    arguments, names = VALID[case]
    check_refused(2, *arguments, says=names)
