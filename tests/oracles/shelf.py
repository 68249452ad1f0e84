"""Where the scripts that write checkpoints with real frameworks put them, and what lies beside each.

A case is one network. It has a file for every format it was saved in, ``files/<case>.<extension>``,
and ``files/<case>.expected.npz`` with what the framework itself computes from these weights:

- ``framework``: torch, flax, equinox, haiku, keras, onnx or tensorflow1;
- ``assume``: what a reader must be told since the file does not hold it, such as activation=relu;
- ``inputs`` (T, I): what the network is fed;
- for each recurrent layer, in its own order of time (a backward one begins with the last input):
  ``fed/NAME`` (T, m): what this layer is fed,
  ``states/NAME`` (T+1, n): its state before and after every step, from zeros; h, then c if there is one,
  ``jacobians/NAME`` (T, n, n): d s_{t+1} / d s_t with ``fed`` held fixed, differentiated by the framework.

NAME is the path of the layer in the file without the elements that wrap all of them, or the kind of
the layer (rnn, lstm, gru) if it is the root.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

FILES = Path(__file__).with_name("files")
STEPS = 6

# Every clone of the repository carries these files.
LARGEST = 20_000

Writer = Callable[[Path], object]


@dataclass(frozen=True)
class Layer:
    """What one recurrent layer does, in its own order of time."""

    fed: NDArray[np.floating]
    states: NDArray[np.floating]
    jacobians: NDArray[np.floating]

    @property
    def outputs(self) -> NDArray[np.floating]:
        """Return the state after each step."""
        return self.states[1:]


def seed(case: str) -> int:
    """Return a seed that hangs on the name alone, so that adding a case leaves the others as they are."""
    return zlib.crc32(case.encode())


def walk(
    step: Callable[[NDArray, NDArray], ArrayLike],
    jacobian: Callable[[NDArray, NDArray], ArrayLike],
    fed: ArrayLike,
    size: int,
) -> Layer:
    """Take a layer of `size` numbers from zeros through `fed`.

    Both functions are called with an input and a state, as arrays of numpy without a batch axis.
    `step` returns the new state and `jacobian` its derivative by the old one.
    """
    fed = np.asarray(fed)
    states, jacobians = [np.zeros(size, fed.dtype)], []
    for x in fed:
        jacobians.append(np.asarray(jacobian(x, states[-1])))
        states.append(np.asarray(step(x, states[-1])))
    return Layer(fed, np.stack(states), np.stack(jacobians))


def agree(ours: ArrayLike, theirs: ArrayLike, what: str, tolerance: float = 1e-6) -> None:
    """Raise unless single steps give what the whole module gives."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    # Broadcasting would hide a missing axis.
    if ours.shape != theirs.shape:
        raise ArithmeticError(f"{what}: shapes {ours.shape} and {theirs.shape}")
    error = np.abs(ours - theirs).max()
    # Written so that nan is refused too.
    if not error <= tolerance:
        raise ArithmeticError(f"{what}: single steps and the whole module differ by {error:.1e}")


def is_generic_for_relu(layer: Layer) -> bool:
    """Tell whether each step has units on both sides of the kink.

    With all units off the Jacobian is zero and tests nothing; with all units on the layer is linear.
    """
    active = (layer.outputs > 0).sum(axis=1)
    return bool(active.min() > 0 and active.max() < layer.outputs.shape[1])


def keep(
    case: str,
    framework: str,
    *,
    inputs: ArrayLike,
    layers: Mapping[str, Layer],
    write: Mapping[str, Writer],
    assume: Sequence[str] = (),
) -> None:
    """Write the files of one case: `write` has for each extension (without dot) what writes that path."""
    FILES.mkdir(exist_ok=True)
    expected = {"framework": np.array(framework), "inputs": np.asarray(inputs)}
    if assume:
        expected["assume"] = np.array(list(assume))
    for name, layer in layers.items():
        steps, size = len(layer.fed), layer.states.shape[1]
        if layer.states.shape != (steps + 1, size) or layer.jacobians.shape != (steps, size, size):
            raise ValueError(f"{case}: {name} has states {layer.states.shape} for {steps} inputs")
        if layer.states[0].any():
            raise ValueError(f"{case}: {name} does not start from zeros")
        for what in ("fed", "states", "jacobians"):
            expected[f"{what}/{name}"] = array = getattr(layer, what)
            if not np.isfinite(array).all():
                raise ArithmeticError(f"{case}: {what} of {name} are not finite")
    np.savez_compressed(FILES / f"{case}.expected.npz", **expected)
    for extension, writer in write.items():
        writer(FILES / f"{case}.{extension}")
    for path in FILES.glob(f"{case}.*"):
        if path.stat().st_size > LARGEST:
            raise ValueError(f"{path.name} has {path.stat().st_size} bytes")


def refuse(name: str, write: Writer) -> None:
    """Write a file that no reader of weights should open; `name` has its extension."""
    path = FILES / "refused" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path)
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{name} has {path.stat().st_size} bytes")
