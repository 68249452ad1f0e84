"""gradflow as a user calls it: `gradflow.compare` of a trained network along given inputs."""

import numpy as np
from common import Array, Problem, Run, main

import gradflow


def prepare(problem: Problem) -> Run:
    weights, size = problem.weights, problem.weights.weight_hh.shape[1]
    bias_hh = np.zeros_like(weights.bias)
    if problem.cell == "gru":
        bias_hh[2 * size :] = weights.bias_hn
    arrays = {
        "weight_ih_l0": weights.weight_ih,
        "weight_hh_l0": weights.weight_hh,
        "bias_ih_l0": weights.bias,
        "bias_hh_l0": bias_hh,
    }
    network = gradflow.from_state_dict(arrays)

    def run() -> Array:
        return np.asarray(gradflow.compare(network, input=problem.inputs, seeds=1).flow.log10_norm)

    return run


if __name__ == "__main__":
    main(prepare)
