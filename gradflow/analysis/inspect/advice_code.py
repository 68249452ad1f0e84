"""The lines of a framework that make a change to a layer before it is trained."""

from collections.abc import Mapping
from typing import NamedTuple

from gradflow.analysis.inspect.findings import Finding
from gradflow.analysis.inspect.remedies import RemedyTrial
from gradflow.layouts.names import strip_wrappers

# The order in which the frameworks stack the gates of a layer, in the letters of torch.
TORCH_GATES = {"rnn": "h", "lstm": "ifgo", "gru": "rzn"}
KERAS_GATES = {"rnn": "h", "lstm": "ifgo", "gru": "zrn"}


class _TorchNames(NamedTuple):
    """How a program reaches the parameters of the layer, and a comment on what it must change first."""

    weight: str
    recurrent_bias: str
    other_bias: str
    condition: str


def write_torch_code(trial: RemedyTrial, finding: Finding) -> str:
    """Return statements of torch that make a change.

    ``model`` is the module whose state dict is in the file, without wrappers such as DataParallel. If the
    file is not torch's, ``layer`` is a torch module of one layer and one direction.
    """
    names = _find_torch_names(finding)
    size, value = finding.hidden_size, trial.value
    match trial.change:
        case "gain":
            return f"{names.weight}.data *= {value:g}"
        case "orthogonal":
            return f"for w in {names.weight}.data.split({size}): torch.nn.init.orthogonal_(w)"
        case "chrono":
            gate = _find_retaining_gate(finding)
            lines = [f"b = torch.empty({size}).uniform_(1, {value - 1:g}).log()"]
            lines += _set_torch_bias(finding, names, gate, "b")
            for other in finding.counterparts:
                lines += _set_torch_bias(finding, names, other, "-b")
        case _:
            lines = _set_torch_bias(finding, names, _find_retaining_gate(finding), f"{value:g}")
    return "; ".join(lines) + names.condition


def write_keras_code(trial: RemedyTrial, finding: Finding) -> str:
    """Return statements that make a change to a Keras layer named ``layer``, of one direction."""
    size, value = finding.hidden_size, trial.value
    condition = ""
    match trial.change:
        case "gain":
            lines = [f"weights[1] *= {value:g}"]
        case "orthogonal":
            lines = [
                "weights[1] = np.hstack([np.linalg.qr(np.random.standard_normal("
                f"({size}, {size})))[0] for _ in range({len(KERAS_GATES[finding.cell])})])"
            ]
        case "chrono":
            gate, condition = _find_retaining_gate(finding), _ask_for_keras_bias(finding)
            lines = [f"b = np.log(np.random.uniform(1, {value - 1:g}, {size}))"]
            lines += _set_keras_bias(finding, gate, "b")
            for other in finding.counterparts:
                lines += _set_keras_bias(finding, other, "-b")
        case _:
            gate, condition = _find_retaining_gate(finding), _ask_for_keras_bias(finding)
            lines = _set_keras_bias(finding, gate, f"{value:g}")
    statements = ["weights = layer.get_weights()", *lines, "layer.set_weights(weights)"]
    return "; ".join(statements) + condition


def _find_torch_names(finding: Finding) -> _TorchNames:
    own = finding.array_names
    weight = next((name for name in own if "weight_hh" in name.rpartition(".")[2]), None)
    if finding.framework != "torch" or weight is None:
        weight, ih, hh = (f"layer.{part}_l0" for part in ("weight_hh", "bias_ih", "bias_hh"))
        return _TorchNames(weight, hh, ih, "")
    (name,) = strip_wrappers([weight])
    path, dot, leaf = name.rpartition(".")
    # a repr, because a name in a file may contain quotes
    weight, ih, hh = (
        f"model.get_parameter({path + dot + leaf.replace('weight_hh', part)!r})"
        for part in ("weight_hh", "bias_ih", "bias_hh")
    )
    has_bias = any("bias_" in name.rpartition(".")[2] for name in own)
    return _TorchNames(weight, hh, ih, "" if has_bias else "  # of a layer with bias=True")


def _ask_for_keras_bias(finding: Finding) -> str:
    """Return a comment that asks for a bias if the layer in the file has none."""
    only_kernels = finding.framework == "keras" and len(finding.array_names) == 2
    return "  # of a layer with use_bias=True" if only_kernels else ""


def _set_torch_bias(finding: Finding, names: _TorchNames, gate: str, value: str) -> list[str]:
    """Return statements that set the sum of torch's two biases of a gate."""
    place = f"[{_find_rows(TORCH_GATES, finding, gate)}]"
    return [f"{names.recurrent_bias}.data{place} = {value}", f"{names.other_bias}.data{place} = 0"]


def _set_keras_bias(finding: Finding, gate: str, value: str) -> list[str]:
    place = _find_rows(KERAS_GATES, finding, gate)
    if finding.cell != "gru":
        return [f"weights[2][{place}] = {value}"]
    # a gru that resets after the product has two rows of biases, which are added
    return [f"weights[2][..., {place}] = 0", f"np.atleast_2d(weights[2])[0, {place}] = {value}"]


def _find_rows(gates: Mapping[str, str], finding: Finding, gate: str) -> str:
    """Return the rows of a gate, in the order of a framework, as a slice."""
    first = gates[finding.cell].index(gate) * finding.hidden_size
    return f"{first}:{first + finding.hidden_size}"


def _find_retaining_gate(finding: Finding) -> str:
    """Return the gate whose bias is changed: the one with a time constant."""
    return next(row.gate for row in finding.gates if row.time_constants is not None)
