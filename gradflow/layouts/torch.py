"""PyTorch: ``weight_ih_l{k}``, ``weight_hh_l{k}``, ``bias_ih_l{k}``, ``bias_hh_l{k}``, ``_reverse``.

The rows of an LSTM are stacked in the order i, f, g, o, those of a GRU r, z, n. A projection is
``weight_hr_l{k}``. The cells of torch.nn (RNNCell, LSTMCell, GRUCell) omit ``_l{k}``. Equinox uses some of
these names, but has a single ``bias``.
"""

import re
from collections.abc import Iterator
from functools import partial

import numpy as np

from gradflow.cells.base import Cell
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.layouts.assumptions import Assumptions, LayerAssumptions
from gradflow.layouts.names import NONLINEARITY_KEY, NamedArrays, group_by_path
from gradflow.layouts.network import Levels, MisfitError, NetworkClaim, NetworkLayer, describe_shapes
from gradflow.layouts.weights import get_matrix_shape, identify_cell, read_bias, read_weights
from gradflow.readers.messages import quote

REVERSE_SUFFIX = "_reverse"
_EQUINOX_NAMES = {"weight_hh", "bias"}
_TORCH_LEAF_PATTERN = r"weight_(?:ih|hh|hr)(?:_l\d+)?(?:_reverse)?|bias_(?:ih|hh)(?:_l\d+)?(?:_reverse)?|bias"
_TORCH_LEAF_PATTERN += r"|(?:layer_?norm|ln)\w*[./](?:weight|bias)"


def find_networks(arrays: NamedArrays, assumptions: Assumptions) -> Iterator[NetworkClaim]:
    """Yield a network for every module with recurrent weights."""
    for path, members in group_by_path(arrays, _TORCH_LEAF_PATTERN).items():
        recurrent = any(key.startswith("weight_hh") for key in members)
        if not recurrent or set(members) >= _EQUINOX_NAMES:
            continue
        members.pop("bias", None)
        names = frozenset(array.name for array in members.values())
        normalized = [key for key in members if "." in key]
        if normalized:
            yield NetworkClaim(path, names, partial(_refuse_normalized, members, normalized[0]))
        else:
            yield NetworkClaim(path, names, partial(_build_levels, members, assumptions))


def _refuse_normalized(members: NamedArrays, normalized: str) -> Levels:
    raise MisfitError(
        f"{describe_shapes(list(members.values()))}: expected a plain cell, but {normalized} "
        "normalizes this one"
    )


def _build_levels(members: NamedArrays, assumptions: Assumptions) -> Levels:
    suffixes = [key.removeprefix("weight_hh") for key in members if key.startswith("weight_hh")]
    lost = {re.sub("^[a-z]+_[a-z]+", "", key) for key in members} - set(suffixes)
    if lost:  # Weight norm or a mask computes this matrix from others.
        raise MisfitError(
            f"{describe_shapes(list(members.values()))}: expected a weight_hh for {', '.join(sorted(lost))} "
            "too; remove parametrizations before saving (torch.nn.utils.parametrize.remove_parametrizations)"
        )
    counted = sorted({int(number) for suffix in suffixes for number in re.findall(r"\d+", suffix)})
    bases = [f"_l{k}" for k in counted] or [""]
    expected = {base + end for base in bases for end in ("", REVERSE_SUFFIX)}
    if counted != list(range(len(counted))) or not set(bases) <= set(suffixes) <= expected:
        raise MisfitError(
            f"{describe_shapes(list(members.values()))}: expected layers _l0, _l1, … without a gap"
        )
    levels: list[tuple[NetworkLayer, ...]] = []
    for base in bases:
        ends = [end for end in ("", REVERSE_SUFFIX) if base + end in suffixes]
        below = sum(layer.cell.output_size for layer in levels[-1]) if levels else None
        levels.append(tuple(_build_layer(members, base + end, below, assumptions) for end in ends))
    return tuple(levels)


def _build_layer(
    members: NamedArrays, suffix: str, below: int | None, assumptions: Assumptions
) -> NetworkLayer:
    own = {
        name: members[name + suffix]
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        if name + suffix in members
    }
    if "weight_ih" not in own:
        raise MisfitError(f"{quote(own['weight_hh'].name)} has no weight_ih{suffix} beside it; expected both")
    options = assumptions.start_layer()
    cell = _build_cell(own, below, options)
    direction = "backward" if suffix.endswith(REVERSE_SUFFIX) else "forward"
    return NetworkLayer(cell, "torch", tuple(own.values()), direction, tuple(options.assumed))


def _build_cell(own: NamedArrays, below: int | None, options: LayerAssumptions) -> Cell:
    rows, outputs = get_matrix_shape(own["weight_hh"])
    projection = own.get("weight_hr")
    hidden = get_matrix_shape(projection)[1] if projection else outputs
    kind = identify_cell(rows, hidden, list(own.values()))
    features = get_matrix_shape(own["weight_ih"])[1] if below is None else below
    weight_ih = read_weights(own["weight_ih"], (rows, features))
    weight_hh = read_weights(own["weight_hh"], (rows, outputs))
    bias_ih, bias_hh = (read_bias(own.get(name), (rows,)) for name in ("bias_ih", "bias_hh"))
    if projection and kind != "lstm":
        raise MisfitError(f"{describe_shapes(list(own.values()))}: expected a projection in an lstm alone")
    if kind == "rnn":
        stated = own["weight_hh"].metadata.get(NONLINEARITY_KEY)
        activation = options.choose("activation", "tanh") if stated is None else stated
        return RNN(weight_ih, weight_hh, bias_ih + bias_hh, activation)
    if kind == "lstm":
        weight_hr = read_weights(projection, (outputs, hidden)) if projection else None
        return LSTM(weight_ih, weight_hh, bias_ih + bias_hh, weight_hr=weight_hr)
    inside = np.array(bias_hh[2 * hidden :])
    bias_hh[2 * hidden :] = 0.0
    return GRU(weight_ih, weight_hh, bias_ih + bias_hh, inside)
