"""Rate networks of neuroscience, h' = (1 − a) h + a φ(W h + U x + b), whose files state neither a nor φ.

neurogym, torch:  ``input2h.weight`` (H, I), ``h2h.weight`` (H, H), each perhaps with ``bias``
W_in and W_rec:   ``W_in`` (H, I) and ``W_rec`` (H, H), or both transposed, ``b_rec`` (H), perhaps ``alpha``

The user says what the leak a = dt/τ and the activation φ are. PsychRNN has the second names, but another
cell: it applies φ before W, h' = (1 − a) h + a (W φ(h) + U x + b). It is refused by the arrays that only it
has.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from gradflow.cells.base import Array, Cell
from gradflow.cells.leaky import LeakyRNN
from gradflow.layouts.assumptions import Assumptions
from gradflow.layouts.names import NamedArrays, group_by_path
from gradflow.layouts.network import Levels, MisfitError, NetworkClaim, NetworkLayer, describe_shapes
from gradflow.layouts.weights import get_matrix_shape, read_bias, read_weights
from gradflow.readers.stored_array import StoredArray

RATE_EQUATION = "h' = (1 - leak) h + leak activation(W h + U x + b)"
_NEUROGYM_LEAF_PATTERN = r"(?:input2h|h2h)[./](?:weight|bias)"
_RATE_LEAF_PATTERN = (
    "W_in|W_rec|b_rec|alpha|init_state|(?:rec|input|output)_[cC]onnectivity|dale_ratio|Dale_(?:rec|out)"
)
_RATE_NAMES = {"W_in", "W_rec", "b_rec", "alpha"}


def find_networks(arrays: NamedArrays, assumptions: Assumptions) -> Iterator[NetworkClaim]:
    """Yield a network for every module with these names; it is refused unless the user says the rest."""
    for path, members in group_by_path(arrays, _NEUROGYM_LEAF_PATTERN).items():
        if {"input2h.weight", "h2h.weight"} <= set(members):
            yield _claim(path, members, partial(_build_neurogym, members, assumptions))
    for path, members in group_by_path(arrays, _RATE_LEAF_PATTERN).items():
        if {"W_in", "W_rec"} <= set(members):
            yield _claim(path, members, partial(_build_rate, members, assumptions))


def _claim(path: str, members: NamedArrays, build: partial[Levels]) -> NetworkClaim:
    names = frozenset(array.name for array in members.values())
    return NetworkClaim(path, names, build, (f"{path or 'the network'} is read as {RATE_EQUATION}",))


def _build_neurogym(members: NamedArrays, assumptions: Assumptions) -> Levels:
    leak, activation = _choose_options(members, assumptions, None)
    size, _ = get_matrix_shape(members["h2h.weight"])
    features = get_matrix_shape(members["input2h.weight"])[1]
    biases = [read_bias(members.get(f"{source}.bias"), (size,)) for source in ("input2h", "h2h")]
    cell = LeakyRNN(
        read_weights(members["input2h.weight"], (size, features)),
        read_weights(members["h2h.weight"], (size, size)),
        biases[0] + biases[1],
        leak,
        activation,
    )
    return _make_levels(cell, members)


def _build_rate(members: NamedArrays, assumptions: Assumptions) -> Levels:
    if set(members) - _RATE_NAMES:
        raise MisfitError(
            f"{describe_shapes(list(members.values()))}: expected a cell with its activation behind the "
            "recurrent weights; these are the names of PsychRNN, which applies it before them: "
            "h' = (1 - a) h + a (W activation(h) + U x + b)"
        )
    leak, activation = _choose_options(members, assumptions, members.get("alpha"))
    size, _ = get_matrix_shape(members["W_rec"])
    shape = get_matrix_shape(members["W_in"])
    if (shape[0] == size) == (shape[1] == size):
        raise MisfitError(
            f"{describe_shapes(list(members.values()))}: expected a W_in of which one side alone has {size} "
            "entries, which tells rows from columns"
        )
    weight_ih, weight_hh = read_weights(members["W_in"], shape), read_weights(members["W_rec"], (size, size))
    if shape[1] == size:
        weight_ih, weight_hh = weight_ih.T, weight_hh.T
    cell = LeakyRNN(weight_ih, weight_hh, read_bias(members.get("b_rec"), (size,)), leak, activation)
    return _make_levels(cell, members)


def _choose_options(
    members: NamedArrays, assumptions: Assumptions, alpha: StoredArray | None
) -> tuple[Array | float, str]:
    """Return a and φ, of which the user must say what the file does not."""
    wanted = {"activation": "relu"} if alpha is not None else {"leak": "0.2", "activation": "relu"}
    assumptions.left_open.update(wanted)
    missing = [f"{option}={value}" for option, value in wanted.items() if option not in assumptions.given]
    if missing:
        raise MisfitError(
            f"{describe_shapes(list(members.values()))}: expected its {' and '.join(wanted)}, which the file "
            f"does not say; if the cell is {RATE_EQUATION}, say them, as in `assume` {','.join(missing)} "
            "(leak is dt/tau)"
        )
    options = assumptions.start_layer()
    activation = options.choose("activation", "")
    if alpha is None:
        return options.choose_number("leak", 0.0), activation
    shares = read_weights(alpha, alpha.shape)
    return (float(shares) if shares.ndim == 0 else np.squeeze(shares)), activation


def _make_levels(cell: Cell, members: NamedArrays) -> Levels:
    return ((NetworkLayer(cell, "rate", tuple(members.values())),),)
