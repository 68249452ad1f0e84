"""torch.nn's cells unrolled: every component of s_T differentiated by all s_{T−k}, batched; a norm per lag.

Nothing is rescaled on the way, as autograd has no place for it: products below 1e-308 come out as 0.
"""

import numpy as np
import torch  # type: ignore[import-not-found, unused-ignore]
from common import Array, Problem, Run, Weights, main

KINDS = {
    "rnn": torch.nn.RNNCell,
    "lstm": torch.nn.LSTMCell,
    "gru": torch.nn.GRUCell,
}


def make_cell(kind: str, weights: Weights) -> torch.nn.Module:
    """Return torch's own cell with the given weights, which are not differentiated by."""
    size = weights.weight_hh.shape[1]
    cell = KINDS[kind](weights.weight_ih.shape[1], size, dtype=torch.float64).requires_grad_(False)
    cell.weight_ih.copy_(torch.from_numpy(weights.weight_ih))
    cell.weight_hh.copy_(torch.from_numpy(weights.weight_hh))
    cell.bias_ih.copy_(torch.from_numpy(weights.bias))
    cell.bias_hh.zero_()[-size:] += torch.from_numpy(weights.bias_hn)
    return cell


def prepare(problem: Problem) -> Run:
    cell = make_cell(problem.cell, problem.weights)
    is_lstm = problem.cell == "lstm"
    size = problem.weights.weight_hh.shape[1] * (2 if is_lstm else 1)
    inputs = torch.from_numpy(problem.inputs)

    def run() -> Array:
        state = torch.zeros(1, size, dtype=torch.float64, requires_grad=True)
        states = [state]
        for x in inputs[:, None]:
            # h and c pass through one tensor, or the gradient by c would hold that through h as well
            state = torch.cat(cell(x, state.chunk(2, dim=1)), dim=1) if is_lstm else cell(x, state)
            states.append(state)
        rows = torch.eye(size, dtype=torch.float64)[:, None]
        products = torch.autograd.grad(states[-1], states[:-1], rows, is_grads_batched=True)
        norms = [torch.linalg.matrix_norm(P[:, 0], 2).item() for P in reversed(products)]
        with np.errstate(divide="ignore"):
            return np.log10(norms)

    return run


if __name__ == "__main__":
    main(prepare)
