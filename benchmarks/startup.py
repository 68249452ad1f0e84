"""Wall time of whole commands against ``python -c "import numpy"``: ``python benchmarks/startup.py``."""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from timing import medians, process, report

import gradflow
from gradflow.cells.lstm import LSTM

ROUNDS = 41
GOALS = {
    "--version": 0.8,
    "completion": 0.8,
    "--help": 1.6,
    "power, 10×10 table": 2.6,
    "theory, 7 values": 4.0,
    "theory lstm": 4.0,
    "init, 8 units": 4.0,
    "inspect, chrono": 3.0,
    "inspect, forget bias 5": 3.0,
}
SMALL_INIT = ("--hidden", "8", "--features", "4", "--horizon", "20", "--seeds", "2")
UNITS, STEPS = 128, 500  # of the LSTMs that are inspected


def write_checkpoint(folder: str, name: str, cell: LSTM) -> str:
    """Write an LSTM to a file, and return its name."""
    names = {"weight_ih_l0": cell.weight_ih, "weight_hh_l0": cell.weight_hh, "bias_ih_l0": cell.bias}
    weights = {name: array.astype(np.float32) for name, array in names.items()}
    model = gradflow.from_state_dict({**weights, "bias_hh_l0": np.zeros(4 * UNITS, np.float32)})
    gradflow.convert(model, f"{folder}/{name}.safetensors")
    return f"{folder}/{name}.safetensors"


def main() -> None:
    generator = np.random.default_rng(0)
    # Gradients of both are stable, as those of a trained one. With equal biases, products lose their rank.
    chrono = LSTM.random(UNITS, UNITS, generator, init="chrono", horizon=float(STEPS))
    equal = LSTM.random(UNITS, UNITS, generator, forget_bias=5.0)
    with tempfile.TemporaryDirectory() as folder:
        inputs = f"{folder}/inputs.npy"
        np.save(inputs, generator.standard_normal((STEPS, UNITS)).astype(np.float32))
        models = {"chrono": chrono, "forget bias 5": equal}
        measure({name: write_checkpoint(folder, name, cell) for name, cell in models.items()}, inputs)


def measure(models: Mapping[str, str], inputs: str) -> None:
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
            "theory, 7 values": process([program, "theory", "lstm:forget_bias=0:3:0.5", "--no-measure"]),
            "theory lstm": process([program, "theory", "lstm"]),
            "init, 8 units": process([program, "init", "lstm", *SMALL_INIT]),
            **{
                f"inspect, {name}": process([program, "inspect", model, "--input", inputs])
                for name, model in models.items()
            },
        },
        ROUNDS,
    )
    report(measured, "import numpy", GOALS)


if __name__ == "__main__":
    main()
