"""Wall time of inspecting large fresh LSTMs, on all cores: ``python benchmarks/inspect_large.py``."""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from timing import process

import gradflow

# units of each of two layers, flags, and the seconds that are the goal on two cores
CASES = ((512, ("--length", "20"), None), (1024, (), 15.0))


def write_checkpoint(name: str, units: int) -> None:
    """Write two layers of an LSTM with torch's own distribution of weights."""
    generator, width = np.random.default_rng(1), 1.0 / np.sqrt(units)
    matrices, biases = dict.fromkeys(("weight_ih", "weight_hh"), (4 * units, units)), ("bias_ih", "bias_hh")
    shapes: dict[str, tuple[int, ...]] = {**matrices, **dict.fromkeys(biases, (4 * units,))}
    weights = {
        f"{key}_l{layer}": generator.uniform(-width, width, shape).astype(np.float32)
        for layer in range(2)
        for key, shape in shapes.items()
    }
    gradflow.convert(gradflow.from_state_dict(weights), name)


def main() -> None:
    program = str(Path(sys.executable).with_name("gradflow"))
    for units, flags, goal in CASES:
        with tempfile.TemporaryDirectory() as folder:
            model = f"{folder}/model.safetensors"
            write_checkpoint(model, units)
            start = time.perf_counter()
            process([program, "inspect", model, *flags])()
            seconds = time.perf_counter() - start
        judged = "" if goal is None else f"  goal {goal:.0f} s  {'met' if seconds <= goal else 'MISSED'}"
        print(f"lstm {units} × 2 {' '.join(flags):<12} {seconds:7.1f} s{judged}")


if __name__ == "__main__":
    main()
