"""Time and memory to read two recurrent layers of a file of 1 GB: ``python benchmarks/large_file.py``.

The file holds an embedding of 1 GB and two LSTM layers of 512 units. Each reading is a process of its own.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.torch  # type: ignore[import-not-found, unused-ignore]
import torch  # type: ignore[import-not-found, unused-ignore]
from timing import PINNED

ROUNDS = 5
ROWS, WIDTH, UNITS = 950_000, 256, 512
GOAL_SECONDS, GOAL_MEGABYTES = 2.0, 300
LOAD = "import gradflow; assert [one.kind for one in gradflow.load({path!r}).layers] == ['lstm', 'lstm']"
CONVERT = (
    "from gradflow.cli.main import run; assert run(['convert', {path!r}, {target!r}, '-q', '--brief']) == 0"
)
# The peak of this process alone: that of resource.getrusage includes the process that started it.
PRINT_PEAK = "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"


def build_model() -> torch.nn.ModuleDict:
    return torch.nn.ModuleDict(
        {"embed": torch.nn.Embedding(ROWS, WIDTH), "rnn": torch.nn.LSTM(WIDTH, UNITS, 2)}
    )


def write_legacy(model: torch.nn.Module, path: str) -> None:
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False)


# Name of the form → how it is written.
FORMS: dict[str, tuple[str, Callable[[torch.nn.Module, str], None]]] = {
    "safetensors": ("model.safetensors", lambda m, path: safetensors.torch.save_file(m.state_dict(), path)),
    "torch, state dict": ("model.pt", lambda m, path: torch.save(m.state_dict(), path)),
    "torch, whole module": ("module.pt", torch.save),
    "torch, before 1.6": ("legacy.pt", write_legacy),
    "npz": ("model.npz", lambda m, path: np.savez(path, **{k: v.numpy() for k, v in m.state_dict().items()})),
}


def measure(code: str) -> tuple[float, float]:
    """Return the wall time in seconds and the peak memory in megabytes of a process that runs ``code``."""
    start = time.perf_counter()
    command = [sys.executable, "-c", f"{code}; {PRINT_PEAK}"]
    done = subprocess.run(command, env=os.environ | PINNED, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, int(done.stdout.split()[-1]) / 1024


def report(form: str, what: str, code: str) -> None:
    seconds, megabytes = (
        statistics.median(values) for values in zip(*(measure(code) for _ in range(ROUNDS)), strict=True)
    )
    met = "met" if seconds < GOAL_SECONDS and megabytes < GOAL_MEGABYTES else "MISSED"
    print(f"{form:20} {what:28} {seconds:6.2f} s {megabytes:6.0f} MB  goal 2 s, 300 MB: {met}")


def main() -> None:
    model = build_model()
    for form, (name, write) in FORMS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / name)
            write(model, path)
            report(form, "gradflow.load", LOAD.format(path=path))
            target = str(Path(folder) / "new.npz")
            report(form, "gradflow convert", CONVERT.format(path=path, target=target))


if __name__ == "__main__":
    main()
