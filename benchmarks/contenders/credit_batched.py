"""torch autograd as an expert has it: offsets of pre-activations as leaves, one pass batched over all L_t.

The offset's derivative is the error signal, so that a part of the gradient is an outer product of it and of
what the weights see. All signals (t, k) are held at once.
"""

import numpy as np
import torch  # type: ignore[import-not-found, unused-ignore]
from common import Array, Problem, Run, main, targets


def prepare(problem: Problem) -> Run:
    weights, steps = problem.weights, len(problem.inputs)
    size = weights.weight_hh.shape[1]
    weight_hh, drive = torch.from_numpy(weights.weight_hh.T), torch.from_numpy(problem.drive())
    bias_hh = torch.zeros(len(weights.bias), dtype=torch.float64)
    bias_hh[-size:] += torch.from_numpy(weights.bias_hn)
    wanted = torch.from_numpy(targets(steps, size))

    def step(
        z: torch.Tensor, given: torch.Tensor, h: torch.Tensor, c: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Return h and c of what the weights add, ``z``, and what the inputs do."""
        if problem.cell == "lstm":
            i, f, g, o = (z + given).chunk(4)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            return torch.sigmoid(o) * torch.tanh(c), c
        if problem.cell == "rnn":
            return torch.tanh(z + given), c
        r, update = torch.sigmoid((z + given)[: 2 * size]).chunk(2)
        n = torch.tanh(given[2 * size :] + r * z[2 * size :])
        return (1 - update) * n + update * h, c

    def run() -> Array:
        leaves = [torch.zeros(len(bias_hh), dtype=torch.float64, requires_grad=True) for _ in range(steps)]
        h = c = torch.zeros(size, dtype=torch.float64)
        seen, losses = [], []
        for given, leaf, y in zip(drive, leaves, wanted, strict=True):
            seen.append(h.detach())
            h, c = step(h @ weight_hh + bias_hh + leaf, given, h, c)
            losses.append(0.5 * ((h - y) ** 2).sum() / steps)
        every = torch.eye(steps, dtype=torch.float64)
        found = torch.autograd.grad(torch.stack(losses), leaves, every, is_grads_batched=True)
        signals, states = torch.stack(found, 1), torch.stack(seen)  # (t, k, rows), (k, size)
        parts = [signals.diagonal(-lag) @ states[: steps - lag] for lag in range(steps)]
        with np.errstate(divide="ignore"):
            return np.log10([torch.linalg.vector_norm(part).item() for part in parts])

    return run


if __name__ == "__main__":
    main(prepare)
