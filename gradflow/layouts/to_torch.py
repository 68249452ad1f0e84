"""Networks under torch's names, as ``load_state_dict`` of torch.nn.RNN, LSTM and GRU reads them."""

import numpy as np

from gradflow.cells.base import Array
from gradflow.cells.base import Layer as LayerCell
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.errors import DataError
from gradflow.layouts.exports import ExportedModule, WeightExporter, write_call
from gradflow.layouts.network import Network, NetworkLayer


def build_modules(network: Network) -> list[ExportedModule]:
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


def check_torch(layer: NetworkLayer) -> None:
    """Refuse a cell that torch cannot compute.

    Raises
    ------
    DataError
        The message says what torch lacks.
    """
    cell, lacking = layer.cell, ""
    if not isinstance(cell, RNN | LSTM | GRU):
        raise DataError(f"{layer.name}: torch has no {layer.kind} cell; expected rnn, lstm or gru")
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


def _build_module(path: str, network: Network) -> ExportedModule:
    arrays: dict[str, Array] = {}
    for k, level in enumerate(network.levels):
        for place, layer in enumerate(level):
            suffix = f"_l{k}{'_reverse' if place else ''}"
            arrays |= {f"{name}{suffix}": array for name, array in _name_weights(layer.cell).items()}
    remarks = []
    if network.levels[0][0].direction == "backward":
        remarks.append(f"{path}: runs backward; give the torch module its inputs in reverse order.")
    return ExportedModule(
        path.replace("/", "."),
        _write_constructor(network),
        arrays,
        tuple(network.layers),
        tuple(remarks),
        separator=".",
        drops_path=True,
    )


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
    size, options = cell.state_size, dict[str, object]()
    if isinstance(cell, LSTM):
        size = cell.hidden_size
        if cell.weight_hr is not None:
            options["proj_size"] = cell.output_size
    if len(network.levels) > 1:
        options["num_layers"] = len(network.levels)
    if len(network.levels[0]) > 1:
        options["bidirectional"] = True
    if isinstance(cell, RNN) and cell.activation != "tanh":
        options["nonlinearity"] = cell.activation
    return write_call(f"torch.nn.{lowest.kind.upper()}", cell.input_size, size, **options)


EXPORTER = WeightExporter("torch", ("module", "modules"), build_modules)
