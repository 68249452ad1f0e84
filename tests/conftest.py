"""One BLAS thread a worker, said before numpy is loaded: two that spin for one core take a hundredfold."""

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

# Scripts that make reference values with frameworks that the tests do without.
collect_ignore = [
    f"oracles/{_script}.py"
    for _script in (
        "shelf",
        "torch_cells",
        "torch_gradients",
        "torch_files",
        "jax_files",
        "keras_files",
        "onnx_files",
        "fresh_weights",
        "converted_files",
    )
]
