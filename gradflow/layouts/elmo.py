"""ELMo: LSTMs with a projection under the names of AllenNLP, and of the weight files of bilm-tf.

AllenNLP:  ``input_linearity.weight`` (4C, I), ``state_linearity.weight`` (4C, P) and ``.bias``,
           ``state_projection.weight`` (P, C); gates i, f, g, o
bilm-tf:   ``LSTMCell/W_0`` (I + P, 4C), ``B``, ``W_P_0`` (C, P); gates i, g, f, o; adds 1 to f at run time

C is the number of units, P the size of the projected state. AllenNLP's AugmentedLstm has the same names
without a projection. With highway connections, its default, it has 6 and 5 blocks of rows, and is refused.
ELMo clips the cell state and the projected state at a number that is not stored (Peters et al. 2018;
allennlp/modules/lstm_cell_with_projection.py, elmo_lstm.py).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial

import numpy as np

from gradflow.cells.base import Array, Cell
from gradflow.cells.lstm import LSTM
from gradflow.errors import UsageError
from gradflow.layouts.assumptions import Assumptions, LayerAssumptions
from gradflow.layouts.feeds import Feed, UnknownFeed
from gradflow.layouts.names import NamedArrays, group_by_path, split_path
from gradflow.layouts.network import Levels, MisfitError, NetworkClaim, NetworkLayer, describe_shapes
from gradflow.layouts.weights import get_matrix_shape, read_bias, read_weights, reorder_gates

BILM_FORGET_BIAS = 1.0
UNCLIPPED = "none"
_ALLENNLP_LEAF_PATTERN = r"(?:input_linearity|state_linearity|state_projection)[./](?:weight|bias)"
_BILM_LEAF_PATTERN = r"LSTMCell[./](?:W_0|B|W_P_0)"
# A layer in the names of AllenNLP and of bilm-tf. Layers without a direction in their names alternate.
_ALLENNLP_LAYER_PATTERN = re.compile(r"(forward_|backward_|)layer_(\d+)")
_BILM_LAYER_PATTERN = re.compile(r"Cell(\d+)")
_BILM_BACKWARD = "RNN_1"


def find_networks(arrays: NamedArrays, assumptions: Assumptions) -> Iterator[NetworkClaim]:
    """Yield a network for every layer in one direction."""
    forms = ((_ALLENNLP_LEAF_PATTERN, "input_linearity.weight"), (_BILM_LEAF_PATTERN, "LSTMCell.W_0"))
    for pattern, needed in forms:
        for path, members in group_by_path(arrays, pattern).items():
            if needed in members and len(members) > 1:
                names = frozenset(array.name for array in members.values())
                yield NetworkClaim(path, names, partial(_build_levels, path, members, assumptions))


def states_feeds(arrays: NamedArrays) -> bool:  # noqa: ARG001 - the names alone say it
    """Return whether the names say what feeds what."""
    return True


def find_feeds(arrays: NamedArrays, paths: Iterable[str]) -> dict[str, Feed | UnknownFeed]:
    """Return what feeds the upper layers: the sum of the outputs of all layers below.

    ELMo adds the input of every layer but the lowest to its output. What stands between other LSTMs with
    these names is not in the file.
    """
    found: dict[str, Feed | UnknownFeed] = {}
    known = set(paths)
    for path in known:
        number, lower = _find_lower(path)
        if number == 0:
            continue
        missing = [one for one in lower if one not in known]
        projected = any(name.startswith((f"{path}.state_projection", f"{path}/LSTMCell")) for name in arrays)
        if not projected:
            found[path] = UnknownFeed("the file does not say how AllenNLP joins the layers below it")
        elif missing:
            found[path] = UnknownFeed(f"its source {missing[0]} is not read")
        else:
            found[path] = Feed(lower, add_outputs)
    return found


def add_outputs(outputs: Mapping[str, Array]) -> Array:
    """Return the sum of the outputs of the layers below."""
    return np.asarray(np.sum([*outputs.values()], axis=0))


def _find_lower(path: str) -> tuple[int, tuple[str, ...]]:
    """Return the number of a layer, and the paths of the layers below it in the same direction."""
    elements = split_path(path)
    last = elements[-1] if elements else ""
    match = _ALLENNLP_LAYER_PATTERN.fullmatch(last) or _BILM_LAYER_PATTERN.fullmatch(last)
    if match is None:
        return 0, ()
    number = match[match.lastindex or 0]
    start = path[: len(path) - len(number)]
    return int(number), tuple(f"{start}{k}" for k in range(int(number)))


def _is_backward(path: str) -> bool:
    elements = split_path(path)
    match = _ALLENNLP_LAYER_PATTERN.fullmatch(elements[-1]) if elements else None
    if match is None:
        return _BILM_BACKWARD in elements
    return match[1] == "backward_" or (not match[1] and int(match[2]) % 2 == 1)


def _build_levels(path: str, members: NamedArrays, assumptions: Assumptions) -> Levels:
    options = assumptions.start_layer()
    build = _build_bilm if "LSTMCell.W_0" in members else _build_allennlp
    cell = build(members, options)
    clip = options.choose("clip", UNCLIPPED)
    if clip != UNCLIPPED:
        raise UsageError(
            f"clip={clip}: a clipped state is not supported; expected clip={UNCLIPPED}, which is right for "
            "states that do not reach the clip"
        )
    direction = "backward" if _is_backward(path) else "forward"
    layer = NetworkLayer(cell, "elmo", tuple(members.values()), direction, tuple(options.assumed))
    return ((layer,),)


def _build_allennlp(members: NamedArrays, options: LayerAssumptions) -> Cell:  # noqa: ARG001 - as the other form
    if "state_linearity.weight" not in members:
        raise MisfitError(f"{describe_shapes(list(members.values()))}: expected state_linearity.weight too")
    rows, outputs = get_matrix_shape(members["state_linearity.weight"])
    inputs, features = get_matrix_shape(members["input_linearity.weight"])
    projection = members.get("state_projection.weight")
    units = get_matrix_shape(projection)[1] if projection else outputs
    if (inputs, rows) == (6 * units, 5 * units):
        raise MisfitError(
            f"{describe_shapes(list(members.values()))}: expected an LSTM without highway connections, whose "
            "4 gates have 4 blocks of rows in both matrices"
        )
    if rows != 4 * units:
        raise MisfitError(f"{describe_shapes(list(members.values()))}: expected 4 gates of {units} units")
    biases = [read_bias(members.get(f"{source}_linearity.bias"), (rows,)) for source in ("input", "state")]
    return LSTM(
        read_weights(members["input_linearity.weight"], (rows, features)),
        read_weights(members["state_linearity.weight"], (rows, outputs)),
        biases[0] + biases[1],
        weight_hr=read_weights(projection, (outputs, units)) if projection else None,
    )


def _build_bilm(members: NamedArrays, options: LayerAssumptions) -> Cell:
    own = {key.partition(".")[2]: array for key, array in members.items()}
    rows, columns = get_matrix_shape(own["W_0"])
    units = columns // 4
    projection = own.get("W_P_0")
    outputs = get_matrix_shape(projection)[1] if projection else units
    if 4 * units != columns or not 0 < outputs < rows:
        raise MisfitError(
            f"{describe_shapes(list(members.values()))}: expected rows for inputs and state, and 4 gates"
        )
    weights = reorder_gates(read_weights(own["W_0"], (rows, columns)).T, "igfo", "ifgo")
    bias = reorder_gates(read_bias(own.get("B"), (columns,)), "igfo", "ifgo")
    bias[units : 2 * units] += options.choose_number("forget_bias", BILM_FORGET_BIAS)
    return LSTM(
        weights[:, : rows - outputs],
        weights[:, rows - outputs :],
        bias,
        weight_hr=read_weights(projection, (units, outputs)).T if projection else None,
    )
