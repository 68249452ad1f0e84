"""How arrays are called: paths of names with ``.``, ``/`` or Python's brackets between them."""

import re
from collections.abc import Mapping

from gradflow.errors import DataError
from gradflow.readers.messages import shown
from gradflow.readers.stored import StoredArray

# What wraps a whole model in a checkpoint and says nothing about it.
WRAPPERS = ("state_dict", "model_state_dict", "model", "params", "module", "_orig_mod")

# What training keeps beside the weights.
_TRAINING = {
    *("optimizer", "optimizer_weights", "optimizer_state_dict", "optimizer_states", "opt_state"),
    *("exp_avg", "exp_avg_sq", "grad", "grads"),
}

_BRACKETS = re.compile(r"""\[['"]?|['"]?\]""")
_TAIL = re.compile(r"(:0|\.value)$")  # TensorFlow's number of an output, and Flax nnx's variable


def grouped(arrays: Mapping[str, StoredArray], leaf: str) -> dict[str, dict[str, StoredArray]]:
    """Return the arrays whose names end with ``leaf``, by what stands before and by the leaf with dots.

    Parameters
    ----------
    arrays : mapping
    leaf : str
        A regular expression; ``.`` in a path is written ``[./]`` there.

    Examples
    --------
    >>> import numpy as np
    >>> from gradflow.readers.given import stored_array
    >>> w = stored_array(np.eye(2), "encoder/cell/hi/kernel")
    >>> {path: list(found) for path, found in grouped({w.name: w}, r"h[ifgo][./]kernel").items()}
    {'encoder/cell': ['hi.kernel']}
    """
    pattern = re.compile(rf"(?:(?P<path>.+?)[./])?(?P<leaf>{leaf})", re.DOTALL)
    found: dict[str, dict[str, StoredArray]] = {}
    for name, array in arrays.items():
        match = pattern.fullmatch(plain(name))
        if match:
            path, key = match["path"] or "", match["leaf"].replace("/", ".")
            known = found.setdefault(path, {})
            if key in known:
                raise DataError(
                    f"{shown(known[key].name)} and {shown(name)} would be one array; expected each name once"
                )
            known[key] = array
    return found


def plain(name: str) -> str:
    """Return a name without brackets and without what a framework adds at its ends.

    Examples
    --------
    >>> plain("['params']['cell']['hi']['kernel']"), plain("/lstm/kernel:0")
    ('params.cell.hi.kernel', 'lstm/kernel')
    """
    if "[" in name:
        name = re.sub(r"\.{2,}", ".", _BRACKETS.sub(".", name))
    return _TAIL.sub("", name.strip("./"))


def is_training_state(name: str) -> bool:
    """Return whether an array is an optimizer's, or a gradient, under the name of the weight that it is for.

    Examples
    --------
    >>> is_training_state("opt_state/0/mu/cell/hi/kernel"), is_training_state("params/cell/hi/kernel")
    (True, False)
    """
    return not _TRAINING.isdisjoint(parts(plain(name)))


def parts(path: str) -> list[str]:
    """Return the elements of a path."""
    return re.split(r"[./]", path) if path else []


def unwrapped(paths: list[str]) -> list[str]:
    """Return paths without the wrappers that all of them share.

    Examples
    --------
    >>> unwrapped(["state_dict.module.encoder.lstm", "state_dict.module.decoder"])
    ['encoder.lstm', 'decoder']
    """
    while paths:
        first = {parts(path)[0] if path else "" for path in paths}
        if len(first) > 1 or not first <= set(WRAPPERS):
            break
        paths = [path[len(next(iter(first))) + 1 :] for path in paths]
    return paths
