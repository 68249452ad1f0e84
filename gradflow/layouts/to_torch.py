"""Networks under torch's names, as ``load_state_dict`` of torch.nn.RNN, LSTM and GRU takes them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradflow.cells.base import Array
from gradflow.cells.base import Layer as LayerCell
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.errors import DataError
from gradflow.layouts.network import Layer, Network
from gradflow.layouts.written import Written


class Module(NamedTuple):
    """A module of torch: where it stands, how it is made, and its arrays by their names inside it."""

    path: str
    constructor: str
    arrays: dict[str, Array]
    parameters: int
    backward: bool  # torch has no module that runs so alone: it is given its inputs in reverse


def modules(network: Network) -> list[Module]:
    """Return a network as one module of torch, or, where its layers are of several kinds, as several.

    Raises
    ------
    DataError
        For a cell that torch has not.
    """
    for layer in network.layers:
        check_torch(layer)
    forms = {_form(layer) for layer in network.layers}
    widths = {len(level) for level in network.levels}
    if len(forms) == 1 and len(widths) == 1:
        return [_module(network.name, network)]
    return [_module(layer.name, Network(layer.name, ((layer,),))) for layer in network.layers]


def written(layers: Sequence[LayerCell]) -> Written:
    """Return cells, each fed by the one before, as one module of torch.

    Raises
    ------
    DataError
        For a cell that torch has not.
    """
    kind = type(layers[0]).__name__.lower()
    network = Network(kind, tuple((Layer(layer, "torch", (), name=kind),) for layer in layers))
    (module,) = modules(network)
    return Written((module.constructor,), module.arrays)


def check_torch(layer: Layer) -> None:
    """Refuse a cell that torch cannot compute.

    Raises
    ------
    DataError
        With what torch lacks.
    """
    cell, lacking = layer.cell, ""
    if isinstance(cell, RNN) and cell.activation not in ("tanh", "relu"):
        lacking = f"activation {cell.activation}"
    elif isinstance(cell, LSTM):
        if cell.peephole is not None:
            lacking = "peepholes"
        elif cell.weight_hr is not None and cell.output_size >= cell.hidden_size:
            lacking = "a projection that is no smaller than its hidden size"
        elif cell.coupled or not cell.forget_gate:
            lacking = "coupled gates"
        elif (cell.gate_activation, cell.activation, cell.output_activation) != ("sigmoid", "tanh", "tanh"):
            lacking = f"activations {cell.gate_activation}, {cell.activation}, {cell.output_activation}"
    elif isinstance(cell, GRU):
        if cell.reset != "after":
            lacking = "a reset gate before the recurrent weights"
        elif (cell.gate_activation, cell.activation) != ("sigmoid", "tanh"):
            lacking = f"activations {cell.gate_activation}, {cell.activation}"
    if lacking:
        raise DataError(f"{layer.name}: torch has no {layer.kind} with {lacking}")


def _form(layer: Layer) -> tuple[object, ...]:
    cell = layer.cell
    activation = cell.activation if isinstance(cell, RNN) else ""
    return layer.kind, activation, cell.output_size, cell.state_size


def _module(path: str, network: Network) -> Module:
    arrays: dict[str, Array] = {}
    for k, level in enumerate(network.levels):
        for place, layer in enumerate(level):
            suffix = f"_l{k}{'_reverse' if place else ''}"
            arrays |= {f"{name}{suffix}": array for name, array in _arrays(layer.cell).items()}
    parameters = sum(array.size for array in arrays.values())
    backward = network.levels[0][0].direction == "backward"
    return Module(path, _constructor(network), arrays, parameters, backward)


def _arrays(cell: object) -> dict[str, Array]:
    """Return the weights of one layer; torch keeps two biases where one would do, and the second is 0."""
    assert isinstance(cell, LayerCell)
    second = np.zeros_like(cell.bias)
    if isinstance(cell, GRU) and cell.bias_hn is not None:
        second[cell.blocks["n"]] = cell.bias_hn
    found = {
        "weight_ih": cell.weight_ih,
        "weight_hh": cell.weight_hh,
        "bias_ih": cell.bias,
        "bias_hh": second,
    }
    if isinstance(cell, LSTM) and cell.weight_hr is not None:
        found["weight_hr"] = cell.weight_hr
    return found


def _constructor(network: Network) -> str:
    lowest = network.levels[0][0]
    cell = lowest.cell
    options = [f"{cell.input_size}", f"{cell.state_size}"]
    if isinstance(cell, LSTM):
        options = [f"{cell.input_size}", f"{cell.hidden_size}"]
        if cell.weight_hr is not None:
            options.append(f"proj_size={cell.output_size}")
    if len(network.levels) > 1:
        options.append(f"num_layers={len(network.levels)}")
    if len(network.levels[0]) > 1:
        options.append("bidirectional=True")
    if isinstance(cell, RNN) and cell.activation != "tanh":
        options.append(f"nonlinearity={cell.activation!r}")
    return f"torch.nn.{lowest.kind.upper()}({', '.join(options)})"
