"""Keras 3's .weights.h5: ``layers/{class}/cell/vars/{0, 1, 2}``, with the names of layers in attributes.

``Model.load_weights`` finds a layer by its class and its place among the layers of that class, and an array
by its number (keras/src/saving/saving_lib.py).
"""

import io
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.extras import import_extra

# Loaded with this module: a missing package is an error before the weights are computed.
_h5py = import_extra("h5py", "writing .weights.h5 files", "hdf5")

_VARIABLE_NUMBERS = {"kernel": "0", "recurrent_kernel": "1", "bias": "2"}
MAX_LAYER_NAME_BYTES = 1000


def encode(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    r"""Return the bytes of a .weights.h5 file that holds the variables of recurrent Keras layers.

    Parameters
    ----------
    arrays : mapping of str to array
        By the paths that Keras gives to variables: ``{layer}/lstm_cell/kernel``, or
        ``{layer}/forward_lstm/lstm_cell/kernel`` and ``{layer}/backward_lstm/…`` in a Bidirectional. The
        layers are in the order in which the model has them.

    Raises
    ------
    DataError
        If the name of a layer cannot be an attribute of the file, or if h5py is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> encode({"lstm/lstm_cell/kernel": np.ones((1, 4))})[:4]
    b'\x89HDF'
    """
    groups: dict[str, str] = {}  # the group of each layer by the name of the layer
    counts: dict[str, int] = {}
    stream = io.BytesIO()
    with _h5py.File(stream, "w") as file:
        file.create_group("vars")
        for name, array in arrays.items():
            layer, *direction, cell, variable = name.split("/")
            if layer not in groups:
                kind = "bidirectional" if direction else cell.removesuffix("_cell")
                number = counts.get(kind, 0)
                counts[kind] = number + 1
                groups[layer] = f"layers/{kind}_{number}" if number else f"layers/{kind}"
                _label(file, groups[layer], layer)
            group = groups[layer]
            for wrapped in direction:  # forward_lstm is in forward_layer
                group = f"{group}/{wrapped.partition('_')[0]}_layer"
                _label(file, group, wrapped)
            _label(file, f"{group}/cell", cell)
            file[f"{group}/cell/vars/{_VARIABLE_NUMBERS[variable]}"] = array
    return stream.getvalue()


def _label(file: Any, group: str, name: str) -> None:
    """Make the group of a layer's own variables, with the name of the layer as an attribute."""
    if not name.isprintable() or len(name.encode("utf-8", "replace")) > MAX_LAYER_NAME_BYTES:
        raise DataError(
            f"{name[:60]!r} cannot name a layer in a .weights.h5; expected at most {MAX_LAYER_NAME_BYTES} "
            "printable characters, or write .safetensors"
        )
    file.require_group(f"{group}/vars").attrs["name"] = name
