"""The weights of any layer of a Keras file, by the path of the layer in the configuration."""

import re
from collections.abc import Mapping, Sequence

from gradflow.errors import DataError
from gradflow.layouts.keras_places import name_groups
from gradflow.layouts.names import NamedArrays, normalize_name, split_path
from gradflow.readers.stored_array import NumberArray, StoredArray

_VARIABLE_PATTERN = re.compile(r"(.+)/vars/(\d+)")
# The names that Keras 1 gave to weights.
_KERAS_1_ROLES = {
    "W": "kernel", "b": "bias", "running_mean": "moving_mean", "running_std": "moving_variance",
}  # fmt: skip


class LayerWeights:
    """The weights of all layers of a file, found when asked for."""

    def __init__(self, arrays: NamedArrays, names: Mapping[str, str]) -> None:
        self._numbered: dict[str, dict[int, StoredArray]] = {}
        self._named: list[tuple[list[str], StoredArray]] = []
        self._read: dict[str, NumberArray] = {}
        for name, array in arrays.items():
            match = _VARIABLE_PATTERN.fullmatch(name)
            if match:
                path = "/".join(name_groups(split_path(match[1]), names))
                self._numbered.setdefault(path, {})[int(match[2])] = array
            else:
                elements = split_path(normalize_name(name))
                self._named.append((elements[1:] if elements[0] == "model_weights" else elements, array))

    def read(self, path: Sequence[str], roles: Sequence[str], layer: str) -> dict[str, NumberArray]:
        """Return the weights of a layer by their roles.

        Parameters
        ----------
        path : sequence of str
            The names of the models that contain the layer, and its own.
        roles : sequence of str
            The names of the weights, in the order of the layer.
        layer : str
            The layer, for messages.

        Raises
        ------
        DataError
            If the file has other weights of the layer, or numbers that are not finite.
        """
        numbered = self._numbered.get("/".join(path))
        if numbered is not None:
            found = {roles[k]: array for k, array in numbered.items() if k < len(roles)}
            count = len(numbered)
        else:
            found, count = self._find_named(path)
        if set(found) != set(roles) or count != len(roles):
            listed = ", ".join(found) or "none"
            raise DataError(f"the weights of {layer} are {listed}; expected {', '.join(roles)}")
        for array in found.values():
            if array.name not in self._read:
                self._read[array.name] = array.read_numbers()
        return {role: self._read[array.name] for role, array in found.items()}

    def has(self, path: Sequence[str]) -> bool:
        """Return whether the file has weights at the path of a layer."""
        return "/".join(path) in self._numbered or bool(self._find_named(path)[1])

    def _find_named(self, path: Sequence[str]) -> tuple[dict[str, StoredArray], int]:
        """Return the arrays below the groups of a path by their last name, and their number."""
        fitting = [
            (elements[-1].removeprefix(f"{path[-1]}_"), array)
            for elements, array in self._named
            if elements[:1] == list(path[:1]) and _is_subsequence(path[1:], elements[1:-1])
        ]
        return {_KERAS_1_ROLES.get(role, role): array for role, array in fitting}, len(fitting)


def _is_subsequence(part: Sequence[str], whole: Sequence[str]) -> bool:
    rest = iter(whole)
    return all(element in rest for element in part)
