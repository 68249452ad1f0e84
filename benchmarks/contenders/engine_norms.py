"""The engine under `gradflow.compare`: the norms alone, without gates, single steps, bounds and tables."""

from functools import partial

import numpy as np
from common import Array, Problem, Run, Weights, main

from gradflow.analysis.shared.product_norms import MAX_BATCHED_STATE, View, product_log10_norms
from gradflow.analysis.shared.trajectory import follow
from gradflow.cells.base import Cell
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN


def network(cell: str, weights: Weights) -> Cell:
    """Return the cell of these weights."""
    if cell == "gru":
        return GRU(weights.weight_ih, weights.weight_hh, weights.bias, weights.bias_hn)
    kind = LSTM if cell == "lstm" else RNN
    return kind(weights.weight_ih, weights.weight_hh, weights.bias)


def log10_norms(cell: Cell, inputs: Array) -> Array:
    """Return log10 of the norm of ∂s_T/∂s_{T−k} for k = 1…T, as `gradflow.compare` measures one draw."""
    view = View("backward", ("state",), ("2",), tuple(range(1, len(inputs) + 1)), exact=False)
    if cell.state_size <= MAX_BATCHED_STATE:
        cell, inputs = cell.with_weights(np.stack), inputs[None]
    norms = product_log10_norms(follow(cell, inputs), view, "state")["2"].log10
    return np.asarray(np.ravel(norms))


def prepare(problem: Problem) -> Run:
    return partial(log10_norms, network(problem.cell, problem.weights), problem.inputs)


if __name__ == "__main__":
    main(prepare)
