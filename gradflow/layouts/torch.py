"""PyTorch: ``weight_ih_l{k}``, ``weight_hh_l{k}``, ``bias_ih_l{k}``, ``bias_hh_l{k}``, ``_reverse``.

The rows of an LSTM are stacked in the order i, f, g, o, those of a GRU r, z, n. A projection is
``weight_hr_l{k}``. The cells of torch.nn (RNNCell, LSTMCell, GRUCell) omit ``_l{k}``. Modules that people
write sometimes have a single ``bias_l{k}``. Equinox uses some of these names, but has a single ``bias``.
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
from gradflow.layouts.equinox import is_equinox_cell
from gradflow.layouts.names import NONLINEARITY_KEY, NamedArrays, group_by_path
from gradflow.layouts.network import Levels, MisfitError, NetworkClaim, NetworkLayer, describe_shapes
from gradflow.layouts.weights import get_matrix_shape, identify_cell, read_bias, read_weights
from gradflow.readers.messages import quote

REVERSE_SUFFIX = "_reverse"
_TORCH_LEAF_PATTERN = r"(?:weight_(?:ih|hh|hr)|bias_(?:ih|hh)|bias)(?:_l\d+)?(?:_reverse)?|bias_n"
_KIND_PATTERN = re.compile(r"weight_(?:ih|hh|hr)|bias_(?:ih|hh)|bias")
_TORCH_KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def find_networks(arrays: NamedArrays, assumptions: Assumptions) -> Iterator[NetworkClaim]:
    """Yield a network for every module with torch's names; one without recurrent weights is then refused."""
    for path, members in group_by_path(arrays, _TORCH_LEAF_PATTERN).items():
        own = _choose_own(members)
        if own and not is_equinox_cell(members):
            names = frozenset(array.name for array in own.values())
            remarks = tuple(
                f"{quote(array.name)} is read as the only bias of its layer"
                for key, array in own.items()
                if _split_kind(key)[0] == "bias"
            )
            yield NetworkClaim(path, names, partial(_build_levels, own, assumptions), remarks)


def _choose_own(members: NamedArrays) -> NamedArrays:
    """Return the arrays with torch's names, and a ``bias`` only where it is the only one of its layer."""
    kinds = {key: _split_kind(key) for key in members if key != "bias_n"}
    present = set(kinds.values())
    if not any(kind in _TORCH_KINDS for kind, _ in present):
        return {}
    return {
        key: members[key]
        for key, (kind, suffix) in kinds.items()
        if kind != "bias"
        or (("weight_hh", suffix) in present and not {("bias_ih", suffix), ("bias_hh", suffix)} & present)
    }


def _split_kind(key: str) -> tuple[str, str]:
    """Return the name of an array without its layer and direction, and these: ``("bias_ih", "_l0")``."""
    kind = _KIND_PATTERN.match(key)
    assert kind is not None
    return kind[0], key[kind.end() :]


def _build_levels(members: NamedArrays, assumptions: Assumptions) -> Levels:
    suffixes = [key.removeprefix("weight_hh") for key in members if key.startswith("weight_hh")]
    lost = {_split_kind(key)[1] for key in members} - set(suffixes)
    if lost:
        wanted = ", ".join(f"weight_hh{suffix}" for suffix in sorted(lost))
        raise MisfitError(
            f"{describe_shapes(list(members.values()))}: expected {wanted} too; if the module computes it "
            "from other arrays, save what it computes"
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
        for name in (*_TORCH_KINDS, "bias", "weight_hr")
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
    bias_ih = read_bias(own.get("bias_ih", own.get("bias")), (rows,))
    bias_hh = read_bias(own.get("bias_hh"), (rows,))
    if kind == "gru" and "bias" in own:
        raise MisfitError(
            f"{describe_shapes(list(own.values()))}: expected bias_ih and bias_hh, because one bias of a gru "
            "does not say whether it stands behind the reset gate"
        )
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
