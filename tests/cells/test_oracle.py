"""Every cell, option and number of layers against torch's autograd, in float64 (see tests/oracles)."""

import numpy as np
import pytest

from gradflow.cells import CELLS
from gradflow.cells.spec import list_cell_options, parse_cell
from tests.cells.torch_cases import CASES, ORACLE, relative_difference, restored

# options that change the formulas; the others only say which weights are drawn
FORMULAS = {"a", "activation", "peephole", "coupled", "forget_gate", "projection", "reset", "layers"}


@pytest.mark.parametrize("case", CASES)
def test_states_jacobians_and_product_are_those_of_torch(case):
    cell, inputs = restored(case), ORACLE[f"{case}|inputs"]
    states = cell.run(inputs, ORACLE[f"{case}|initial"])
    np.testing.assert_allclose(states[1:], ORACLE[f"{case}|states"], rtol=0, atol=1e-14)
    factor, product = cell.linearize(states, inputs), np.eye(cell.state_size)
    for t, expected in enumerate(ORACLE[f"{case}|jacobians"]):
        assert relative_difference(factor.at(t).todense(), expected) < 1e-12
        product = factor.at(t).matmat(product)
    assert relative_difference(product, ORACLE[f"{case}|product"]) < 1e-12


def test_every_cell_and_every_option_that_changes_a_formula_is_among_the_cases():
    seen = {
        (name, option)
        for name in CELLS
        for case in CASES
        if case.split(":")[0] == name
        for option in options(case)
    }
    wanted = {(name, option) for name in CELLS for option in cell_options_of(name) if option in FORMULAS}
    assert seen >= wanted
    assert {case.split(":")[0] for case in CASES} == set(CELLS)


def options(case):
    return [item.split("=")[0] for item in case.partition(":")[2].split(",") if item]


def cell_options_of(name):
    return list_cell_options(parse_cell(name).kind)
