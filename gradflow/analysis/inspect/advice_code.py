"""The lines of a framework that make a change to a layer before it is trained."""

from typing import NamedTuple

from gradflow.analysis.inspect.findings import Finding
from gradflow.analysis.inspect.remedies import RemedyTrial

TORCH_COUNTERPARTS = {"f": "i"}  # gates that chrono initialization biases the other way
KERAS_GATES = {"lstm": "ifgo", "gru": "zrn"}  # Keras' order, in the letters of torch


class _TorchNames(NamedTuple):
    """How a program reaches the parameters of the layer."""

    weight: str
    recurrent_bias: str
    other_bias: str | None


def write_torch_code(trial: RemedyTrial, finding: Finding) -> str:
    """Return statements of torch that make a change; with the names in the file if it is torch's."""
    weight, bias, other = _find_torch_names(finding)
    size, value = finding.hidden_size, trial.value
    match trial.change:
        case "gain":
            return f"{weight}.data *= {value:g}"
        case "orthogonal":
            return f"for w in {weight}.data.split({size}): torch.nn.init.orthogonal_(w)"
        case "chrono":
            gate = _find_retaining_gate(finding)
            lines = [f"b = torch.empty({size}).uniform_(1, {value - 1:g}).log()"]
            lines += _set_torch_bias(finding, bias, other, gate, "b")
            if gate in TORCH_COUNTERPARTS:
                lines += _set_torch_bias(finding, bias, other, TORCH_COUNTERPARTS[gate], "-b")
            return "; ".join(lines)
        case _:
            return "; ".join(
                _set_torch_bias(finding, bias, other, _find_retaining_gate(finding), f"{value:g}")
            )


def write_keras_code(trial: RemedyTrial, finding: Finding) -> str:
    """Return statements that make a change to a Keras layer named ``layer``."""
    size, value = finding.hidden_size, trial.value
    kernels = "weights = layer.get_weights()"
    ending = "layer.set_weights(weights)"
    match trial.change:
        case "gain":
            lines = [f"weights[1] *= {value:g}"]
        case "orthogonal":
            gates = len(finding.blocks) or 1
            lines = [
                "weights[1] = np.hstack([np.linalg.qr(np.random.standard_normal("
                f"({size}, {size})))[0] for _ in range({gates})])"
            ]
        case "chrono":
            gate = _find_retaining_gate(finding)
            lines = [f"b = np.log(np.random.uniform(1, {value - 1:g}, {size}))"]
            lines += [_set_keras_bias(finding, gate, "b")]
            if gate in TORCH_COUNTERPARTS:
                lines += [_set_keras_bias(finding, TORCH_COUNTERPARTS[gate], "-b")]
        case _:
            lines = [_set_keras_bias(finding, _find_retaining_gate(finding), f"{value:g}")]
    return "; ".join([kernels, *lines, ending])


def _find_torch_names(finding: Finding) -> _TorchNames:
    names = {
        part: f'model.get_parameter("{name}")'
        for part in ("weight_hh", "bias_hh", "bias_ih")
        for name in finding.array_names
        if part in name.rpartition(".")[2]
    }
    if finding.framework != "torch" or "weight_hh" not in names:
        names = {part: f"layer.{part}_l0" for part in ("weight_hh", "bias_hh", "bias_ih")}
    bias = names.get("bias_hh", names.get("bias_ih", "bias"))
    return _TorchNames(names["weight_hh"], bias, names.get("bias_ih") if "bias_hh" in names else None)


def _set_torch_bias(finding: Finding, bias: str, other: str | None, gate: str, value: str) -> list[str]:
    """Return statements that set the sum of torch's two biases of a gate."""
    rows = finding.blocks[gate]
    place = f"[{rows.start}:{rows.stop}]"
    return [f"{bias}.data{place} = {value}", *([f"{other}.data{place} = 0"] if other else [])]


def _set_keras_bias(finding: Finding, gate: str, value: str) -> str:
    first = KERAS_GATES[finding.cell].index(gate) * finding.hidden_size
    place = f"{first}:{first + finding.hidden_size}"
    # a gru that resets after the product has two rows of biases, which are added
    return f"np.atleast_2d(weights[2])[0, {place}] = {value}"


def _find_retaining_gate(finding: Finding) -> str:
    """Return the gate whose bias is changed: the one with a time constant."""
    return next(row.gate for row in finding.gates if row.time_constants is not None)
