"""The roofline: the dense GEMMs of the chain alone, nothing formed, no norm taken.

``full``: P @ J, square. ``structured``: an lstm's ∂h'/∂c and ∂c'/∂c are diagonal, so that only the columns
of ∂/∂h need a GEMM, half of ``full``; for the others the same as ``full``.
"""

import numpy as np
from common import Array, Problem, Run, main


def prepare(problem: Problem) -> Run:
    columns = problem.weights.weight_hh.shape[1]
    rows = 2 * columns if problem.cell == "lstm" else columns
    if problem.variant == "full":
        columns = rows
    # One orthogonal J, in cache all along: the hardest roofline, and no numbers under 1e-308 to slow it.
    orthogonal = np.linalg.qr(np.random.default_rng(3).standard_normal((rows, rows)))[0]
    J = np.ascontiguousarray(orthogonal[:, :columns])
    P, product = orthogonal.copy(), orthogonal.copy()
    steps = len(problem.inputs)

    def run() -> Array:
        old, new = P, product
        for _ in range(steps):
            np.matmul(old, J, out=new[:, :columns])
            old, new = new, old
        return np.empty(0)

    return run


if __name__ == "__main__":
    main(prepare, ("full", "structured"))
