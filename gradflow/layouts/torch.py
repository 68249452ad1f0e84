"""PyTorch: ``weight_ih_l{k}``, ``weight_hh_l{k}``, ``bias_ih_l{k}``, ``bias_hh_l{k}``, ``_reverse``.

The rows of an LSTM are stacked i, f, g, o, those of a GRU r, z, n; a projection is ``weight_hr_l{k}``. The
cells of torch.nn (RNNCell, LSTMCell, GRUCell) leave ``_l{k}`` out. Equinox uses some of these names, but a
single ``bias``.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from gradflow.cells.base import Cell
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.layouts.names import grouped
from gradflow.layouts.network import Choices, Claim, Layer, Levels, MisfitError, Open, shapes
from gradflow.layouts.weights import kind_of, taken, taken_or_zeros, two
from gradflow.readers.messages import shown
from gradflow.readers.stored import StoredArray

Arrays = dict[str, StoredArray]
REVERSE = "_reverse"
_EQUINOX = {"weight_hh", "bias"}
_LEAF = r"weight_(?:ih|hh|hr)(?:_l\d+)?(?:_reverse)?|bias_(?:ih|hh)(?:_l\d+)?(?:_reverse)?|bias"
_LEAF += r"|(?:layer_?norm|ln)\w*[./](?:weight|bias)"


def claims(arrays: Mapping[str, StoredArray], choices: Choices) -> Iterator[Claim]:
    """Yield every module with recurrent weights."""
    for path, members in grouped(arrays, _LEAF).items():
        normalized = [key for key in members if "." in key]
        own = any(key.startswith("weight_hh") for key in members) and not set(members) >= _EQUINOX
        if own:
            members.pop("bias", None)
            if normalized:
                names = frozenset(array.name for array in members.values())
                yield Claim(path, names, partial(_refuse, members, normalized[0]))
                continue
            names = frozenset(array.name for array in members.values())
            yield Claim(path, names, partial(_levels, members, choices))


def _refuse(members: Arrays, normalized: str) -> Levels:
    raise MisfitError(
        f"{shapes(list(members.values()))}: expected a plain cell, and {normalized} normalizes in this one"
    )


def _levels(members: Arrays, choices: Choices) -> Levels:
    suffixes = [key.removeprefix("weight_hh") for key in members if key.startswith("weight_hh")]
    lost = {re.sub("^[a-z]+_[a-z]+", "", key) for key in members} - set(suffixes)
    if lost:  # a matrix that is computed from others, by weight norm or a mask
        raise MisfitError(
            f"{shapes(list(members.values()))}: expected a weight_hh for {', '.join(sorted(lost))} too; take "
            "parametrizations off before saving (torch.nn.utils.parametrize.remove_parametrizations)"
        )
    counted = sorted({int(number) for suffix in suffixes for number in re.findall(r"\d+", suffix)})
    bases = [f"_l{k}" for k in counted] or [""]
    expected = {base + end for base in bases for end in ("", REVERSE)}
    if counted != list(range(len(counted))) or not set(bases) <= set(suffixes) <= expected:
        raise MisfitError(f"{shapes(list(members.values()))}: expected layers _l0, _l1, … without a gap")
    levels: list[tuple[Layer, ...]] = []
    for base in bases:
        ends = [end for end in ("", REVERSE) if base + end in suffixes]
        below = sum(layer.cell.output_size for layer in levels[-1]) if levels else None
        levels.append(tuple(_layer(members, base + end, below, choices) for end in ends))
    return tuple(levels)


def _layer(members: Arrays, suffix: str, below: int | None, choices: Choices) -> Layer:
    own = {
        name: members[name + suffix]
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        if name + suffix in members
    }
    if "weight_ih" not in own:
        raise MisfitError(f"{shown(own['weight_hh'].name)} stands without weight_ih{suffix}; expected both")
    left = choices.open()
    cell = _cell(own, below, left)
    direction = "backward" if suffix.endswith(REVERSE) else "forward"
    return Layer(cell, "torch", tuple(own.values()), direction, tuple(left.assumed))


def _cell(own: Arrays, below: int | None, left: Open) -> Cell:
    rows, outputs = two(own["weight_hh"])
    projection = own.get("weight_hr")
    hidden = two(projection)[1] if projection else outputs
    kind = kind_of(rows, hidden, list(own.values()))
    features = two(own["weight_ih"])[1] if below is None else below
    weight_ih = taken(own["weight_ih"], (rows, features))
    weight_hh = taken(own["weight_hh"], (rows, outputs))
    bias_ih, bias_hh = (taken_or_zeros(own.get(name), (rows,)) for name in ("bias_ih", "bias_hh"))
    if projection and kind != "lstm":
        raise MisfitError(f"{shapes(list(own.values()))}: expected a projection in an lstm alone")
    if kind == "rnn":
        return RNN(weight_ih, weight_hh, bias_ih + bias_hh, left.choose("activation", "tanh"))
    if kind == "lstm":
        weight_hr = taken(projection, (outputs, hidden)) if projection else None
        return LSTM(weight_ih, weight_hh, bias_ih + bias_hh, weight_hr=weight_hr)
    inside = np.array(bias_hh[2 * hidden :])
    bias_hh[2 * hidden :] = 0.0
    return GRU(weight_ih, weight_hh, bias_ih + bias_hh, inside)
