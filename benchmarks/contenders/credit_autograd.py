"""torch autograd: the recurrent weights of every step a leaf of their own, one backward pass for each L_t.

A pass gives the parts (t, k) of all k at once; summed by t − k they are the gradient by lag.
"""

import numpy as np
import torch  # type: ignore[import-not-found, unused-ignore]
from common import Array, Problem, Run, main, targets

STEPS = {"rnn": "rnn_tanh_cell", "lstm": "lstm_cell", "gru": "gru_cell"}


def prepare(problem: Problem) -> Run:
    weights, steps = problem.weights, len(problem.inputs)
    size = weights.weight_hh.shape[1]
    weight_ih, weight_hh, bias = map(torch.from_numpy, (weights.weight_ih, weights.weight_hh, weights.bias))
    bias_hh = torch.zeros_like(bias)
    bias_hh[-size:] += torch.from_numpy(weights.bias_hn)
    inputs, wanted = torch.from_numpy(problem.inputs), torch.from_numpy(targets(steps, size))
    step = getattr(torch, STEPS[problem.cell])

    def run() -> Array:
        leaves = [weight_hh.clone().requires_grad_() for _ in range(steps)]
        h = c = torch.zeros(1, size, dtype=torch.float64)
        losses = []
        for x, y, leaf in zip(inputs[:, None], wanted, leaves, strict=True):
            if problem.cell == "lstm":
                h, c = step(x, (h, c), weight_ih, leaf, bias, bias_hh)
            else:
                h = step(x, h, weight_ih, leaf, bias, bias_hh)
            losses.append(0.5 * ((h - y) ** 2).sum() / steps)
        parts = torch.zeros(steps, *weight_hh.shape, dtype=torch.float64)
        for t, loss in enumerate(losses):
            found = torch.autograd.grad(loss, leaves[: t + 1], retain_graph=True)
            for k, part in enumerate(found):
                parts[t - k] += part
        with np.errstate(divide="ignore"):
            return np.asarray(np.log10(torch.linalg.vector_norm(parts, dim=(1, 2)).numpy()))

    return run


if __name__ == "__main__":
    main(prepare)
