"""The plain way with numpy, and the reference: analytic dense Jacobians, their products, an SVD per lag."""

import math
from collections.abc import Callable

import numpy as np
from common import Array, Problem, Run, Weights, main

SMALL, LARGE = 1e-60, 1e60  # far from 1e±308, so that the entries below the norm keep their digits too

Step = Callable[[Weights, Array, Array], tuple[Array, Array]]  # (weights, state, drive) -> next state, J


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def rnn_step(weights: Weights, h: Array, drive: Array) -> tuple[Array, Array]:
    new = np.tanh(weights.weight_hh @ h + drive)
    return new, (1 - new**2)[:, None] * weights.weight_hh


def lstm_step(weights: Weights, state: Array, drive: Array) -> tuple[Array, Array]:
    h, c = np.split(state, 2)
    z_i, z_f, z_g, z_o = np.split(weights.weight_hh @ h + drive, 4)
    i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
    new_c = f * c + i * g
    t = np.tanh(new_c)
    U_i, U_f, U_g, U_o = np.split(weights.weight_hh, 4)
    cell_by_h = (
        (g * i * (1 - i))[:, None] * U_i + (c * f * (1 - f))[:, None] * U_f + (i * (1 - g**2))[:, None] * U_g
    )
    through = o * (1 - t**2)  # ∂h'/∂c'
    h_by_h = through[:, None] * cell_by_h + (t * o * (1 - o))[:, None] * U_o
    J = np.block([[h_by_h, np.diag(through * f)], [cell_by_h, np.diag(f)]])
    return np.concatenate([o * t, new_c]), J


def gru_step(weights: Weights, h: Array, drive: Array) -> tuple[Array, Array]:
    drive_r, drive_z, drive_n = np.split(drive, 3)
    U_r, U_z, U_n = np.split(weights.weight_hh, 3)
    r, z = sigmoid(U_r @ h + drive_r), sigmoid(U_z @ h + drive_z)
    inner = U_n @ h + weights.bias_hn
    n = np.tanh(drive_n + r * inner)
    slope = (1 - z) * (1 - n**2)  # of h' by n's argument
    J = (
        np.diag(z)
        + ((h - n) * z * (1 - z))[:, None] * U_z
        + (slope * r)[:, None] * U_n
        + (slope * inner * r * (1 - r))[:, None] * U_r
    )
    return (1 - z) * n + z * h, J


STEPS: dict[str, Step] = {"rnn": rnn_step, "lstm": lstm_step, "gru": gru_step}


def log10_norms(problem: Problem) -> Array:
    """Return log10 of the norm of ∂s_T/∂s_{T−k} for k = 1…T."""
    step, weights = STEPS[problem.cell], problem.weights
    state = np.zeros(weights.weight_hh.shape[1] * (2 if problem.cell == "lstm" else 1))
    jacobians = []
    for drive in problem.drive():
        state, J = step(weights, state, drive)
        jacobians.append(J)
    norms = []
    P, exponent = np.eye(len(state)), 0  # the product is P · 2**exponent
    for J in reversed(jacobians):
        P = P @ J
        norm = float(np.linalg.norm(P, 2))
        norms.append(math.log10(norm) + exponent * math.log10(2))
        if not SMALL < norm < LARGE:
            shift = math.frexp(norm)[1]
            P, exponent = np.ldexp(P, -shift), exponent + shift
    return np.array(norms)


def prepare(problem: Problem) -> Run:
    return lambda: log10_norms(problem)


if __name__ == "__main__":
    main(prepare)
