"""gradflow: the gradient of the mean loss by lag, and what every window loses."""

from functools import partial

import numpy as np
from common import Array, Problem, Run, main, targets
from engine_norms import network

from gradflow.analysis.bptt.gradient_parts import take_apart
from gradflow.analysis.bptt.losses import MEAN_LOSS, Objective
from gradflow.analysis.shared.trajectory import follow
from gradflow.cells.base import Cell


def log10_norms(cell: Cell, inputs: Array, wanted: Array) -> Array:
    """Return log10 of the norm of every lag's part of ∂L/∂W_hh, as `gradflow.bptt` has them."""
    trajectory = follow(cell, inputs[None])
    apart = take_apart(Objective(trajectory, MEAN_LOSS, wanted[None]), "weight_hh")
    return np.array([lag.norm.log10() for lag in apart.lags])


def prepare(problem: Problem) -> Run:
    cell = network(problem.cell, problem.weights)
    return partial(log10_norms, cell, problem.inputs, targets(len(problem.inputs), cell.output_size))


if __name__ == "__main__":
    main(prepare)
