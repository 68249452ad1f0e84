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
import safetensors.torch
import torch  # type: ignore[import-not-found, unused-ignore]
from timing import PINNED

ROUNDS = 5
ROWS, WIDTH, UNITS = 950_000, 256, 512
GOAL_SECONDS, GOAL_MEGABYTES = 2.0, 300
READ = "import gradflow; assert [one.kind for one in gradflow.load({!r}).layers] == ['lstm', 'lstm']"


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


def measure(command: list[str]) -> tuple[float, float]:
    """Return the wall time in seconds and the peak memory in megabytes of a process."""
    start = time.perf_counter()
    child = subprocess.Popen(command, env=os.environ | PINNED, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{command} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def report(form: str, what: str, command: list[str]) -> None:
    seconds, megabytes = (
        statistics.median(values) for values in zip(*(measure(command) for _ in range(ROUNDS)), strict=True)
    )
    met = "met" if seconds < GOAL_SECONDS and megabytes < GOAL_MEGABYTES else "MISSED"
    print(f"{form:20} {what:28} {seconds:6.2f} s {megabytes:6.0f} MB  goal 2 s, 300 MB: {met}")


def main() -> None:
    model = build_model()
    for form, (name, write) in FORMS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / name)
            write(model, path)
            report(form, "gradflow.load", [sys.executable, "-c", READ.format(path)])
            program = str(Path(sys.executable).with_name("gradflow"))
            target = str(Path(folder) / "new.npz")
            report(form, "gradflow convert", [program, "convert", path, target])


if __name__ == "__main__":
    main()
