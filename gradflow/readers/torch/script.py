"""The text of a TorchScript program: it says what the plain recurrent layers in it compute. It is not run."""

import re
from collections.abc import Callable

SCRIPT_PREFIX = "__torch__."
_CELL_PATTERN = re.compile(r"__torch__\.torch\.nn\.modules\.rnn\.(?:___torch_mangle_\d+\.)?(RNN|RNNCell)")
_ACTIVATION_PATTERN = re.compile(r"(?:\brnn_|\btorch\.)(relu|tanh)(?:_cell)?_?\(")


class ScriptCode:
    """The activations of the plain recurrent layers in a program.

    Parameters
    ----------
    read_module : callable
        Returns the text of a module of the program, such as ``"__torch__/torch/nn/modules/rnn.py"``, or None.
    """

    def __init__(self, read_module: Callable[[str], str | None]) -> None:
        self._read_module = read_module
        self._activations: dict[str, str | None] = {}

    def find_activation(self, class_name: str) -> str | None:
        """Return the activation that a class computes, or None if it is no plain layer or has several."""
        match = _CELL_PATTERN.fullmatch(class_name)
        if match is None:
            return None
        if class_name not in self._activations:
            module = class_name.rpartition(".")[0].replace(".", "/")
            text = self._read_module(f"{module}.py") or ""
            begin = re.search(rf"^class {match[1]}\(", text, re.MULTILINE)
            own = re.split(r"^class ", text[begin.end() :], flags=re.MULTILINE)[0] if begin else ""
            found = set(_ACTIVATION_PATTERN.findall(own))
            self._activations[class_name] = found.pop() if len(found) == 1 else None
        return self._activations[class_name]
