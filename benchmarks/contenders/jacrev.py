"""torch.func.jacrev step by step, the product backward from T, a matrix norm per lag."""

import math
from collections.abc import Callable

import numpy as np
import torch  # type: ignore[import-not-found, unused-ignore]
from common import Array, Problem, Run, main

Step = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (state, drive) -> next state


def make_step(problem: Problem) -> Step:
    W, bias_hn = map(torch.from_numpy, (problem.weights.weight_hh, problem.weights.bias_hn))

    def rnn(h: torch.Tensor, drive: torch.Tensor) -> torch.Tensor:
        return torch.tanh(W @ h + drive)

    def lstm(state: torch.Tensor, drive: torch.Tensor) -> torch.Tensor:
        h, c = state.chunk(2)
        z_i, z_f, z_g, z_o = (W @ h + drive).chunk(4)
        new_c = torch.sigmoid(z_f) * c + torch.sigmoid(z_i) * torch.tanh(z_g)
        return torch.cat([torch.sigmoid(z_o) * torch.tanh(new_c), new_c])

    def gru(h: torch.Tensor, drive: torch.Tensor) -> torch.Tensor:
        (U_r, U_z, U_n), (d_r, d_z, d_n) = (W @ h).chunk(3), drive.chunk(3)
        r, z = torch.sigmoid(U_r + d_r), torch.sigmoid(U_z + d_z)
        return (1 - z) * torch.tanh(d_n + r * (U_n + bias_hn)) + z * h

    return {"lstm": lstm, "gru": gru}.get(problem.cell, rnn)


def log10_norms(jacobians: list[torch.Tensor]) -> Array:
    """Return log10 of the norm of the product of the last k Jacobians, by k."""
    norms, log10_scale = [], 0.0
    P = torch.eye(len(jacobians[0]), dtype=torch.float64)
    for J in reversed(jacobians):
        P = P @ J
        norm = torch.linalg.matrix_norm(P, 2).item()
        log10_scale += math.log10(norm)
        P /= norm
        norms.append(log10_scale)
    return np.array(norms)


def prepare(problem: Problem) -> Run:
    step = make_step(problem)
    size = problem.weights.weight_hh.shape[1] * (2 if problem.cell == "lstm" else 1)
    drives = torch.from_numpy(problem.drive())

    def kept(state: torch.Tensor, drive: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        new = step(state, drive)
        return new, new  # what jacrev differentiates, and what it hands back beside the Jacobian

    jacobian = torch.func.jacrev(kept, has_aux=True)

    def run() -> Array:
        with torch.no_grad():
            state, jacobians = torch.zeros(size, dtype=torch.float64), []
            for drive in drives:
                J, state = jacobian(state, drive)
                jacobians.append(J)
            return log10_norms(jacobians)

    return run


if __name__ == "__main__":
    main(prepare)
