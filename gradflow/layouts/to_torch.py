"""Networks under torch's names, as ``load_state_dict`` of torch.nn.RNN, LSTM and GRU reads them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradflow.cells import name_cell
from gradflow.cells.base import Array
from gradflow.cells.base import Layer as LayerCell
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.errors import DataError
from gradflow.layouts.network import Network, NetworkLayer
from gradflow.layouts.weights import ExportedLayers


class TorchModule(NamedTuple):
    """A torch module: its path, the expression that constructs it, and its arrays by their names inside it.

    ``backward`` says that the layer reads its inputs in reverse. No torch module does so alone, so the user
    reverses the inputs.
    """

    path: str
    constructor: str
    arrays: dict[str, Array]
    parameters: int
    backward: bool


def build_modules(network: Network) -> list[TorchModule]:
    """Return a network as one torch module, or as several if its layers are of different kinds.

    Raises
    ------
    DataError
        If torch has no such cell.
    """
    for layer in network.layers:
        check_torch(layer)
    forms = {_describe_form(layer) for layer in network.layers}
    widths = {len(level) for level in network.levels}
    if len(forms) == 1 and len(widths) == 1:
        return [_build_module(network.name, network)]
    return [_build_module(layer.name, Network(layer.name, ((layer,),))) for layer in network.layers]


def export_layers(layers: Sequence[LayerCell]) -> ExportedLayers:
    """Return a stack of cells, from the lowest to the highest, as one torch module.

    Raises
    ------
    DataError
        If torch has no such cell.
    """
    kind = name_cell(layers[0])
    network = Network(kind, tuple((NetworkLayer(layer, "torch", (), name=kind),) for layer in layers))
    (module,) = build_modules(network)
    return ExportedLayers((module.constructor,), module.arrays)


def check_torch(layer: NetworkLayer) -> None:
    """Refuse a cell that torch cannot compute.

    Raises
    ------
    DataError
        The message says what torch lacks.
    """
    cell, lacking = layer.cell, ""
    if not isinstance(cell, RNN | LSTM | GRU):
        raise DataError(f"torch has no {layer.kind} cell; expected rnn, lstm or gru")
    if isinstance(cell, RNN) and cell.activation not in ("tanh", "relu"):
        lacking = f"activation {cell.activation}"
    elif isinstance(cell, LSTM):
        if cell.peephole is not None:
            lacking = "peepholes"
        elif cell.weight_hr is not None and cell.output_size >= cell.hidden_size:
            lacking = "a projection that is not smaller than the hidden size"
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


def _describe_form(layer: NetworkLayer) -> tuple[object, ...]:
    cell = layer.cell
    activation = cell.activation if isinstance(cell, RNN) else ""
    return layer.kind, activation, cell.output_size, cell.state_size


def _build_module(path: str, network: Network) -> TorchModule:
    arrays: dict[str, Array] = {}
    for k, level in enumerate(network.levels):
        for place, layer in enumerate(level):
            suffix = f"_l{k}{'_reverse' if place else ''}"
            arrays |= {f"{name}{suffix}": array for name, array in _name_weights(layer.cell).items()}
    parameters = sum(array.size for array in arrays.values())
    backward = network.levels[0][0].direction == "backward"
    return TorchModule(path, _write_constructor(network), arrays, parameters, backward)


def _name_weights(cell: object) -> dict[str, Array]:
    """Return the weights of one layer. torch has two biases; the second is 0 unless the cell needs it."""
    assert isinstance(cell, LayerCell)
    second = np.zeros_like(cell.bias)
    if isinstance(cell, GRU) and cell.bias_hn is not None:
        second[cell.blocks["n"]] = cell.bias_hn
    weights = {
        "weight_ih": cell.weight_ih,
        "weight_hh": cell.weight_hh,
        "bias_ih": cell.bias,
        "bias_hh": second,
    }
    if isinstance(cell, LSTM) and cell.weight_hr is not None:
        weights["weight_hr"] = cell.weight_hr
    return weights


def _write_constructor(network: Network) -> str:
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
