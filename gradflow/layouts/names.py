"""The names of arrays: paths whose elements are separated by ``.``, ``/`` or Python's brackets."""

import re
from collections.abc import Mapping

from gradflow.errors import DataError
from gradflow.readers.messages import quote
from gradflow.readers.stored_array import NONLINEARITY_KEY as NONLINEARITY_KEY
from gradflow.readers.stored_array import StoredArray

NamedArrays = Mapping[str, StoredArray]

# Elements that wrap the whole model in a checkpoint and say nothing about it.
MODEL_WRAPPERS = ("state_dict", "model_state_dict", "model", "params", "weights", "module", "_orig_mod")

# Elements under which training keeps other arrays than weights.
_TRAINING_STATE = {
    *("optimizer", "optimizer_weights", "optimizer_state_dict", "optimizer_states", "opt_state"),
    "OPTIMIZER_SLOT",
    *("exp_avg", "exp_avg_sq", "grad", "grads"),
    # TensorFlow 1 appends these to the name of the weight.
    *(
        "Adam",
        "Adam_1",
        "AdamW",
        "AdamW_1",
        "RMSProp",
        "RMSProp_1",
        "RMSProp_2",
        "Momentum",
        "Adagrad",
        "AdagradDA",
    ),
    *(
        "Adadelta",
        "Adadelta_1",
        "Ftrl",
        "Ftrl_1",
        "GradientDescent",
        "LazyAdam",
        "Nadam",
        "Adamax",
        "AMSGrad",
    ),
}

_BRACKET_PATTERN = re.compile(r"""\[['"]?|['"]?\]""")
_TAIL_PATTERN = re.compile(
    r"(:0|\.value)$"
)  # The number of an output in TensorFlow, and a variable of Flax nnx.


def group_by_path(arrays: NamedArrays, leaf: str) -> dict[str, dict[str, StoredArray]]:
    """Return the arrays whose names end with ``leaf``, grouped by the path before it.

    Parameters
    ----------
    arrays : mapping
        The arrays by name.
    leaf : str
        A regular expression for the end of a name. It matches a separator by ``[./]``.

    Returns
    -------
    dict
        For each path a dict of its arrays by their leaf, in which the separators are dots.

    Raises
    ------
    DataError
        If two arrays have the same path and leaf.

    Examples
    --------
    >>> import numpy as np
    >>> from gradflow.readers.in_memory import wrap_array
    >>> w = wrap_array(np.eye(2), "encoder/cell/hi/kernel")
    >>> {path: list(group) for path, group in group_by_path({w.name: w}, r"h[ifgo][./]kernel").items()}
    {'encoder/cell': ['hi.kernel']}
    """
    pattern = re.compile(rf"(?:(?P<path>.+?)[./])?(?P<leaf>{leaf})", re.DOTALL)
    groups: dict[str, dict[str, StoredArray]] = {}
    for name, array in arrays.items():
        match = pattern.fullmatch(normalize_name(name))
        if match:
            path, key = match["path"] or "", match["leaf"].replace("/", ".")
            group = groups.setdefault(path, {})
            if key in group:
                raise DataError(
                    f"{quote(group[key].name)} and {quote(name)} name the same array; expected each name once"
                )
            group[key] = array
    return groups


def normalize_name(name: str) -> str:
    """Return a name with dots for brackets, and without the prefixes and suffixes that frameworks add.

    Examples
    --------
    >>> normalize_name("['params']['cell']['hi']['kernel']"), normalize_name("/lstm/kernel:0")
    ('params.cell.hi.kernel', 'lstm/kernel')
    """
    if "[" in name:
        name = re.sub(r"\.{2,}", ".", _BRACKET_PATTERN.sub(".", name))
    return _TAIL_PATTERN.sub("", name.strip("./"))


def is_training_state(name: str) -> bool:
    """Return whether the name is that of an optimizer's array or of a gradient, and not of a weight.

    Examples
    --------
    >>> is_training_state("opt_state/0/mu/cell/hi/kernel"), is_training_state("params/cell/hi/kernel")
    (True, False)
    >>> is_training_state("rnn/gru_cell/gates/kernel/Adam_1")
    True
    """
    return not _TRAINING_STATE.isdisjoint(split_path(normalize_name(name)))


def split_path(path: str) -> list[str]:
    """Return the elements of a path."""
    return re.split(r"[./]", path) if path else []


def strip_wrappers(paths: list[str]) -> list[str]:
    """Return the paths without the wrappers that all of them share.

    Examples
    --------
    >>> strip_wrappers(["state_dict.module.encoder.lstm", "state_dict.module.decoder"])
    ['encoder.lstm', 'decoder']
    """
    while paths:
        first = {split_path(path)[0] if path else "" for path in paths}
        if len(first) > 1 or not first <= set(MODEL_WRAPPERS):
            break
        paths = [path[len(next(iter(first))) + 1 :] for path in paths]
    return paths
