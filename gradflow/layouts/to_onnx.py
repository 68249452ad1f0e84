"""Networks as ONNX nodes: the inputs W, R, B and P of RNN, LSTM and GRU, and the attributes of the node.

A level of a network is a node, with D = 2 directions if the level has two. The axes and the order of gates
are those that `gradflow.layouts.onnx` reads (ONNX operators, opset 22).
"""

import numpy as np

from gradflow.cells.base import Array
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.errors import DataError
from gradflow.layouts.exports import ExportedModule, WeightExporter, split_activation, write_call
from gradflow.layouts.network import Network, NetworkLayer
from gradflow.layouts.onnx import DEFAULT_ACTIVATIONS, ONNX_ACTIVATIONS
from gradflow.layouts.weights import reorder_gates

_NAMES_OF_ACTIVATIONS = {ours: name for name, (ours, _) in ONNX_ACTIVATIONS.items()}
_DIRECTIONS = {"forward": "forward", "backward": "reverse"}
_PEEPHOLE_ORDER = "iof"


def build_modules(network: Network) -> list[ExportedModule]:
    """Return a network as one ONNX node for each level: ``P``, or ``P.l0``, ``P.l1``, ….

    Two directions whose attributes differ become two nodes, whose outputs are to be joined.

    Raises
    ------
    DataError
        If ONNX has no such node.
    """
    modules = []
    for k, level in enumerate(network.levels):
        name = network.name if len(network.levels) == 1 else f"{network.name}.l{k}"
        if len({_describe_form(layer) for layer in level}) == 1:
            modules.append(_build_node(name, level))
        else:
            modules += [
                _build_node(f"{name}{'_reverse' if place else ''}", (layer,))
                for place, layer in enumerate(level)
            ]
    return modules


def _describe_form(layer: NetworkLayer) -> tuple[object, ...]:
    """Return what the two directions of a node have in common."""
    cell = layer.cell
    return layer.kind, cell.state_size, getattr(cell, "reset", ""), getattr(cell, "coupled", False)


def _build_node(name: str, level: tuple[NetworkLayer, ...]) -> ExportedModule:
    for layer in level:
        check_onnx(layer)
    operator, size = level[0].kind.upper(), level[0].cell.output_size
    direction = _DIRECTIONS[level[0].direction] if len(level) == 1 else "bidirectional"
    inputs = [_name_weights(layer.cell) for layer in level]
    if any("P" in arrays for arrays in inputs):  # A direction without peepholes has zeros.
        for arrays in inputs:
            arrays.setdefault("P", np.zeros(3 * size))
    arrays = {key: np.stack([one[key] for one in inputs]) for key in inputs[0]}
    attributes: dict[str, object] = {"hidden_size": size}
    if direction != "forward":
        attributes["direction"] = direction
    functions = [split_activation(one) for layer in level for one in _list_activations(layer.cell)]
    attributes |= _write_activations(operator, functions)
    cell = level[0].cell
    if isinstance(cell, GRU) and cell.reset == "after":
        attributes["linear_before_reset"] = 1
    if isinstance(cell, LSTM) and cell.coupled:
        attributes["input_forget"] = 1
    ends = [f"{name}/{key}" for key in ("W", "R", "B")]
    ends += ["", "", "", f"{name}/P"] if "P" in arrays else []
    remarks = [f"{name}: {remark}" for remark in _describe_rounding(functions)]
    constructor = write_call("onnx.helper.make_node", operator, ["X", *ends], ["Y"], **attributes)
    return ExportedModule(name, constructor, arrays, level, tuple(remarks))


def check_onnx(layer: NetworkLayer) -> None:
    """Refuse a cell that no ONNX node computes.

    Raises
    ------
    DataError
        The message says what ONNX lacks.
    """
    cell, lacking = layer.cell, ""
    if not isinstance(cell, RNN | LSTM | GRU):
        raise DataError(f"{layer.name}: ONNX has no {layer.kind} node; expected rnn, lstm or gru")
    unknown = [one for one in _list_activations(cell) if _name_activation(one) is None]
    if unknown:
        lacking = f"activation {unknown[0]}"
    elif isinstance(cell, LSTM):
        if cell.weight_hr is not None:
            lacking = "a projection"
        elif not cell.forget_gate:
            lacking = "no forget gate"
        elif cell.coupled and cell.gate_activation != "sigmoid":
            # Only for such gates is 1 − i the gate with the negated weights.
            lacking = f"coupled gates of activation {cell.gate_activation}"
    if lacking:
        raise DataError(f"{layer.name}: ONNX has no {layer.kind.upper()} with {lacking}")


def _list_activations(cell: object) -> list[str]:
    """Return the activations of a cell in the order of the attribute ``activations``."""
    names = ("gate_activation", "activation", "output_activation")
    return [getattr(cell, name) for name in names if hasattr(cell, name)]


def _name_activation(activation: str) -> tuple[str, tuple[float, ...]] | None:
    """Return ONNX's name and the parameters of an activation, or None if it has none."""
    family, parameters = split_activation(activation)
    if family == "identity":
        family, parameters = "affine", (1.0, 0.0)
    return (_NAMES_OF_ACTIVATIONS[family], parameters) if family in _NAMES_OF_ACTIVATIONS else None


def _write_activations(operator: str, functions: list[tuple[str, tuple[float, ...]]]) -> dict[str, object]:
    """Return the attributes about activations; none for those that ONNX takes by default."""
    named = [_name_activation(_join_activation(*function)) for function in functions]
    written = [one for one in named if one is not None]
    names = [name for name, _ in written]
    default = DEFAULT_ACTIVATIONS[operator]
    if names == list(default) * (len(names) // len(default)):
        return {}
    alphas, betas = ([values[k] for _, values in written if len(values) > k] for k in (0, 1))
    values = {"activation_alpha": alphas, "activation_beta": betas}
    return {"activations": names} | {name: numbers for name, numbers in values.items() if numbers}


def _join_activation(family: str, parameters: tuple[float, ...]) -> str:
    return f"{family}({','.join(map(repr, parameters))})" if parameters else family


def _describe_rounding(functions: list[tuple[str, tuple[float, ...]]]) -> list[str]:
    """Return a sentence about each activation whose parameters an attribute, of float32, does not hold."""
    sentences = []
    for family, parameters in dict.fromkeys(functions):
        rounded = tuple(float(np.float32(value)) for value in parameters)
        if rounded != parameters:
            sentences.append(
                f"an attribute of ONNX is float32, so {_join_activation(family, parameters)} becomes "
                f"{_join_activation(family, rounded)}."
            )
    return sentences


def _name_weights(cell: object) -> dict[str, Array]:
    """Return W, R, B and perhaps P of one direction, without their axis of directions."""
    assert isinstance(cell, RNN | LSTM | GRU)
    order = "".join(cell.gate_names)
    weights, outer = [cell.weight_ih, cell.weight_hh], cell.bias
    inner = np.zeros_like(outer)
    if isinstance(cell, GRU):
        if cell.bias_hn is not None:
            inner[cell.blocks["n"]] = cell.bias_hn
        *weights, outer, inner = (reorder_gates(rows, order, "zrn") for rows in (*weights, outer, inner))
    peephole = None
    if isinstance(cell, LSTM):
        *weights, outer, inner = (_order_lstm_rows(cell, rows) for rows in (*weights, outer, inner))
        peephole = _join_peepholes(cell)
    arrays = dict(zip("WR", weights, strict=True)) | {"B": np.concatenate([outer, inner])}
    return arrays if peephole is None else arrays | {"P": peephole}


def _order_lstm_rows(cell: LSTM, rows: Array) -> Array:
    """Return rows in the order i, o, f, c. In a coupled cell i is 1 − f, and ONNX has no weights of f."""
    if not cell.coupled:
        return reorder_gates(rows, "ifgo", "iofg")
    f, g, o = np.split(rows, 3)
    return np.concatenate([-f, o, np.zeros_like(f), g])


def _join_peepholes(cell: LSTM) -> Array | None:
    if cell.peephole is None:
        return None
    named = {name: peephole[0] for name, peephole in cell.peepholes().items()}
    if cell.coupled:
        named = {"i": -named["f"], "o": named["o"], "f": np.zeros_like(named["f"])}
    return np.concatenate([named[gate] for gate in _PEEPHOLE_ORDER])


EXPORTER = WeightExporter("ONNX", ("node", "nodes"), build_modules)
