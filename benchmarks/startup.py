"""Wall time of whole commands against ``python -c "import numpy"``: ``python benchmarks/startup.py``."""

import sys
import tempfile
from pathlib import Path

import numpy as np
from timing import medians, process, report

import gradflow
from gradflow.cells.lstm import LSTM

ROUNDS = 41
GOALS = {"--version": 0.8, "completion": 0.8, "--help": 1.6, "power, 10×10 table": 2.6, "inspect": 3.0}
UNITS, STEPS = 128, 500  # of the LSTM that is inspected


def checkpoint(folder: str) -> tuple[str, str]:
    """Write an LSTM whose gradients are stable, as those of a trained one, and inputs for it."""
    generator = np.random.default_rng(0)
    cell = LSTM.random(UNITS, UNITS, generator, init="chrono", horizon=float(STEPS))
    names = {"weight_ih_l0": cell.weight_ih, "weight_hh_l0": cell.weight_hh, "bias_ih_l0": cell.bias}
    weights = {name: array.astype(np.float32) for name, array in names.items()}
    model = gradflow.from_state_dict({**weights, "bias_hh_l0": np.zeros(4 * UNITS, np.float32)})
    gradflow.convert(model, f"{folder}/model.safetensors")
    np.save(f"{folder}/inputs.npy", generator.standard_normal((STEPS, UNITS)).astype(np.float32))
    return f"{folder}/model.safetensors", f"{folder}/inputs.npy"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        measure(*checkpoint(folder))


def measure(model: str, inputs: str) -> None:
    program = str(Path(sys.executable).with_name("gradflow"))
    matrix = "; ".join(" ".join(map(repr, row)) for row in gradflow.random_matrix("ginibre", 10).tolist())
    completion = {"_GRADFLOW_COMPLETE": "complete_bash", "COMP_WORDS": "gradflow po", "COMP_CWORD": "1"}
    measured = medians(
        {
            "import numpy": process([sys.executable, "-c", "import numpy"]),
            "--version": process([program, "--version"]),
            "completion": process([program], **completion),
            "--help": process([program, "--help"]),
            "power, 10×10 table": process([program, "power", "-m", matrix]),
            "inspect": process([program, "inspect", model, "--input", inputs]),
        },
        ROUNDS,
    )
    report(measured, "import numpy", GOALS)


if __name__ == "__main__":
    main()
