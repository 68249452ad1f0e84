"""Checkpoints as torch writes them, with what torch computes from them beside each.

Run ``python tests/oracles/torch_files.py``; it writes into ``files``, as ``shelf.py`` says. The stored
files were made with torch 2.13.0 and safetensors 0.8.0 on the CPU.

The weights are saved in the precision the case names, float32 otherwise, and what lies beside them is
computed in float64 from these very numbers. Every layer is stepped as a module of torch's own with one
layer and one direction; the run of the whole module must agree with that.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from shelf import STEPS, Layer, agree, is_generic_for_relu, keep, seed, walk
from torch import Tensor, nn
from torch.autograd.functional import jacobian
from torch.nn.utils import parametrizations, prune

HIDDEN, INPUT, PROJECTION, OUTPUT = 4, 3, 2, 2

# Torch's default is +-1/sqrt(H) = +-0.5; wider weights drive the gates away from their linear range.
WEIGHT_RANGE = 0.8

CELLS = {nn.RNNCell: nn.RNN, nn.LSTMCell: nn.LSTM, nn.GRUCell: nn.GRU}

State = dict[str, Tensor]


# ---------------------------------------------------------------------------------------------------
# What a module computes


def single(module: nn.RNNBase, layer: int, suffix: str) -> nn.RNNBase:
    """Return one layer and direction of `module` as a module of its own."""
    ending = f"_l{layer}{suffix}"
    weights = {
        f"{name.removesuffix(ending)}_l0": value.double()
        for name, value in module.state_dict().items()
        if name.endswith(ending)
    }
    options = {"bias": module.bias}
    if module.mode == "LSTM":
        options["proj_size"] = module.proj_size
    elif module.mode.startswith("RNN"):
        options["nonlinearity"] = module.mode.removeprefix("RNN_").lower()
    inputs = weights["weight_ih_l0"].shape[1]
    alone = type(module)(inputs, module.hidden_size, dtype=torch.float64, **options)
    alone.load_state_dict(weights)
    return alone.requires_grad_(False)


def parts(module: nn.RNNBase) -> tuple[int, ...]:
    """Return the sizes of h and, if there is one, c."""
    outputs = module.proj_size or module.hidden_size
    return (outputs, module.hidden_size) if module.mode == "LSTM" else (outputs,)


def advance(module: nn.RNNBase, x: Tensor, state: Tensor) -> Tensor:
    """Take a module with one layer one step on."""
    h, *c = (part[None] for part in state.split(parts(module)))
    _, final = module(x[None], (h, *c) if c else h)
    return (torch.cat(final, dim=1) if c else final)[0]


def trace(module: nn.RNNBase, path: str, inputs: NDArray) -> dict[str, Layer]:
    """Return every layer of `module` under its name, held against the run of the whole module."""
    suffixes = ("", "_reverse") if module.bidirectional else ("",)
    several = module.num_layers * len(suffixes) > 1
    layers, fed = {}, inputs
    for number in range(module.num_layers):
        outputs = []
        for suffix in suffixes:
            alone = single(module, number, suffix)
            order = slice(None, None, -1 if suffix else 1)

            def step(x: NDArray, s: NDArray, alone: nn.RNNBase = alone) -> Tensor:
                return advance(alone, torch.from_numpy(x), torch.from_numpy(s))

            def derivative(x: NDArray, s: NDArray, alone: nn.RNNBase = alone) -> Tensor:
                return jacobian(partial(advance, alone, torch.from_numpy(x)), torch.from_numpy(s))

            layer = walk(step, derivative, fed[order].copy(), sum(parts(alone)))
            layers[f"{path}.l{number}{suffix}" if several else path] = layer
            outputs.append(layer.outputs[order, : parts(alone)[0]])
        fed = np.hstack(outputs)
    with torch.no_grad():
        output, final = copy.deepcopy(module).double()(torch.from_numpy(inputs))
    agree(fed, output, f"{path}: output", 1e-13)
    last = np.stack([layer.states[-1] for layer in layers.values()])
    agree(last, torch.cat(final, dim=1) if module.mode == "LSTM" else final, f"{path}: last state", 1e-13)
    return layers


def trace_cell(cell: nn.RNNCellBase, path: str, inputs: NDArray) -> dict[str, Layer]:
    """Return what a cell does, as a module with one layer, held against the cell itself."""
    module = CELLS[type(cell)](cell.input_size, cell.hidden_size)
    module.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    layers = trace(module, path, inputs)
    cell, state, states = copy.deepcopy(cell).double(), None, []
    with torch.no_grad():
        for x in torch.from_numpy(inputs):
            state = cell(x, state)
            states.append(torch.cat(state) if isinstance(state, tuple) else state)
    agree(layers[path].outputs, torch.stack(states), f"{path}: cell", 1e-13)
    return layers


def trace_all(model: nn.Module, inputs: NDArray) -> dict[str, Layer]:
    """Return every recurrent layer in `model`; at the root it is called by its kind."""
    layers = {}
    for path, module in model.named_modules():
        if isinstance(module, nn.RNNBase):
            layers |= trace(module, path or type(module).__name__.lower(), inputs)
        elif isinstance(module, nn.RNNCellBase):
            layers |= trace_cell(module, path, inputs)
    return layers


# ---------------------------------------------------------------------------------------------------
# The networks


def draw_weights(model: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights from the uniform distribution on +-WEIGHT_RANGE, biases among them."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(WEIGHT_RANGE * (2 * torch.rand(parameter.shape, generator=generator) - 1))


def inside(path: str, module: nn.Module) -> nn.Module:
    """Return a model that has `module` at `path` and a linear layer."""
    model = nn.ModuleDict({"head": nn.Linear(HIDDEN, OUTPUT)})
    *outer, last = path.split(".")
    place = model
    for name in outer:
        place[name] = nn.ModuleDict()
        place = place[name]
    place[last] = module
    return model


def save(state: State, path: Path) -> None:
    """Write `state` in the format of the extension."""
    if path.suffix == ".safetensors":
        save_file(state, path, metadata={"format": "pt"})
    else:
        torch.save(state, path)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "torch_rnn_tanh": partial(nn.RNN, INPUT, HIDDEN),
    "torch_rnn_relu": partial(nn.RNN, INPUT, HIDDEN, nonlinearity="relu"),
    "torch_lstm": partial(nn.LSTM, INPUT, HIDDEN),
    "torch_lstm_no_bias": lambda: inside("decoder", nn.LSTM(INPUT, HIDDEN, bias=False)),
    "torch_lstm_projection": partial(nn.LSTM, INPUT, HIDDEN, proj_size=PROJECTION),
    "torch_lstm_projection_bidirectional": partial(
        nn.LSTM, INPUT, HIDDEN, num_layers=2, proj_size=PROJECTION, bidirectional=True
    ),
    "torch_lstm_stacked": lambda: inside("encoder.lstm", nn.LSTM(INPUT, HIDDEN, num_layers=2)),
    "torch_lstm_bidirectional": partial(nn.LSTM, INPUT, HIDDEN, num_layers=2, bidirectional=True),
    "torch_gru": partial(nn.GRU, INPUT, HIDDEN),
    "torch_gru_bidirectional": lambda: inside("tagger.gru", nn.GRU(INPUT, HIDDEN, bidirectional=True)),
    "torch_rnn_cell": lambda: inside("encoder.cell", nn.RNNCell(INPUT, HIDDEN)),
    "torch_lstm_cell": lambda: inside("encoder.cell", nn.LSTMCell(INPUT, HIDDEN)),
    "torch_gru_cell": lambda: inside("encoder.cell", nn.GRUCell(INPUT, HIDDEN)),
    "torch_float16": lambda: nn.LSTM(INPUT, HIDDEN).half(),
    "torch_bfloat16": lambda: nn.GRU(INPUT, HIDDEN).bfloat16(),
}

EXTENSIONS = {"torch_bfloat16": ("pt", "safetensors")}
ASSUME = {"torch_rnn_relu": ["activation=relu"]}


def draw(case: str, build: Callable[[], nn.Module]) -> tuple[nn.Module, NDArray]:
    """Return a network and its inputs."""
    generator = torch.Generator().manual_seed(seed(case))
    while True:
        model = build()
        draw_weights(model, generator)
        inputs = torch.randn(STEPS, INPUT, generator=generator, dtype=torch.float64).numpy()
        if "relu" not in case or is_generic_for_relu(trace_all(model, inputs)["rnn"]):
            return model, inputs


def plain(case: str) -> None:
    """Write the state dict of a network as it is."""
    model, inputs = draw(case, NETWORKS[case])
    keep(
        case,
        "torch",
        inputs=inputs,
        layers=trace_all(model, inputs),
        write={ending: partial(save, model.state_dict()) for ending in EXTENSIONS.get(case, ("pt",))},
        assume=ASSUME.get(case, ()),
    )


def nested(case: str) -> None:
    """Write what a training script writes: weights among counters, the optimizer and its arguments."""
    model, inputs = draw(case, lambda: inside("encoder.lstm", nn.LSTM(INPUT, HIDDEN)))
    parallel = nn.DataParallel(model)
    optimizer = torch.optim.Adam(parallel.parameters())
    output, _ = model["encoder"]["lstm"](torch.from_numpy(inputs).float())
    model["head"](output).square().mean().backward()
    optimizer.step()
    checkpoint = {
        "epoch": 3,
        "model_state_dict": parallel.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "args": argparse.Namespace(hidden=HIDDEN, lr=1e-3, data=Path("corpus")),
    }
    keep(
        case,
        "torch",
        inputs=inputs,
        layers=trace_all(model, inputs),
        write={"pt": partial(torch.save, checkpoint)},
    )


def train(model: nn.Module, inputs: NDArray) -> None:
    """Change all parameters by a few steps of gradient descent, so that none keeps its first value."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for _ in range(3):
        output, _ = model(torch.from_numpy(inputs).float())
        optimizer.zero_grad()
        output.square().sum().backward()
        optimizer.step()


def build_effective(module: nn.RNNBase) -> nn.RNNBase:
    """Return a plain module with the weights that a reparametrized one uses in evaluation, in float64."""
    used = module.double()
    for hook in used._forward_pre_hooks.values():  # the reparametrizations before torch 2
        hook(used, ())
    plain_type = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN_TANH": nn.RNN}[module.mode]
    fresh = plain_type(module.input_size, HIDDEN, module.num_layers, bidirectional=module.bidirectional)
    fresh.double().load_state_dict({name: getattr(used, name).detach() for name in fresh.state_dict()})
    return fresh


def drop_weights(module: nn.RNNBase, name: str) -> None:
    """Do what WeightDrop does: keep the weight under another name, and dropout of it under its own."""
    weight = getattr(module, name)
    del module._parameters[name]
    module.register_parameter(f"{name}_raw", nn.Parameter(weight.detach()))
    module.register_forward_pre_hook(lambda m, _: setattr(m, name, dropout(getattr(m, f"{name}_raw"), m)))
    module.register_buffer(name, nn.functional.dropout(weight.detach(), 0.5))


def dropout(weight: Tensor, module: nn.Module) -> Tensor:
    """Return the weight as WeightDrop uses it."""
    return nn.functional.dropout(weight.detach(), 0.5, module.training)


# Each takes a module and the name of a weight.
REPARAMETRIZATIONS: dict[str, Callable[[nn.Module, str], object]] = {
    "weight_norm": nn.utils.weight_norm,
    "weight_norm_new": parametrizations.weight_norm,
    "weight_norm_dim": partial(parametrizations.weight_norm, dim=1),
    "weight_norm_whole": partial(nn.utils.weight_norm, dim=None),
    "spectral_norm": nn.utils.spectral_norm,
    "spectral_norm_new": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "orthogonal_cayley": partial(parametrizations.orthogonal, orthogonal_map="cayley"),
    "orthogonal_householder": partial(
        parametrizations.orthogonal, orthogonal_map="householder", use_trivialization=False
    ),
    "pruned": partial(prune.l1_unstructured, amount=0.5),
    "weight_drop": drop_weights,
    "weight_and_spectral_norm": lambda module, name: (
        parametrizations.weight_norm(module, name),
        parametrizations.spectral_norm(module, name),
    ),
}


def reparametrized(case: str, kind: type[nn.RNNBase], names: tuple[str, ...], **options: object) -> None:
    """Write the state dict of a module whose weights are computed from others."""
    what = case.removeprefix("reparametrized_")
    module, inputs = draw(case, lambda: kind(INPUT, HIDDEN, **options))
    torch.manual_seed(seed(case))
    for name in names:
        REPARAMETRIZATIONS[what](module, name)
    if what != "weight_drop":
        train(module, inputs)
    module.eval()  # In training, every look at a spectral norm changes its vectors.
    state = {f"encoder.rnn.{name}": value.clone() for name, value in module.state_dict().items()}
    keep(
        case,
        "torch",
        inputs=inputs,
        layers=trace(build_effective(module), "encoder.rnn", inputs),
        write={"pt": partial(torch.save, state)},
        assume=("orthogonal_map=cayley",) if "cayley" in what else (),
    )


def write_reparametrized() -> None:
    """Write modules of every reparametrization, of weights of any shape, direction and level."""
    reparametrized("reparametrized_weight_norm", nn.LSTM, ("weight_hh_l0", "weight_ih_l0", "bias_hh_l0"))
    reparametrized(
        "reparametrized_weight_norm_new",
        nn.GRU,
        ("weight_hh_l0_reverse", "weight_ih_l1"),
        num_layers=2,
        bidirectional=True,
    )
    reparametrized("reparametrized_weight_norm_dim", nn.LSTM, ("weight_ih_l0",))
    reparametrized("reparametrized_weight_norm_whole", nn.RNN, ("weight_hh_l0",))
    reparametrized("reparametrized_spectral_norm", nn.LSTM, ("weight_hh_l1", "weight_ih_l0"), num_layers=2)
    reparametrized("reparametrized_spectral_norm_new", nn.RNN, ("weight_hh_l0", "weight_ih_l0"))
    reparametrized("reparametrized_orthogonal", nn.RNN, ("weight_hh_l0", "weight_ih_l0"))
    reparametrized("reparametrized_orthogonal_cayley", nn.LSTM, ("weight_hh_l0", "weight_ih_l0"))
    reparametrized("reparametrized_orthogonal_householder", nn.GRU, ("weight_hh_l0",))
    reparametrized("reparametrized_pruned", nn.LSTM, ("weight_hh_l0", "bias_ih_l0"))
    reparametrized("reparametrized_weight_drop", nn.LSTM, ("weight_hh_l0",))
    reparametrized("reparametrized_weight_and_spectral_norm", nn.GRU, ("weight_hh_l0",))


def compiled(case: str) -> None:
    """Write the state dict of what torch.compile returns, which compiles nothing before it is called."""
    model, inputs = draw(case, lambda: inside("encoder.lstm", nn.LSTM(INPUT, HIDDEN)))
    keep(
        case,
        "torch",
        inputs=inputs,
        layers=trace_all(model, inputs),
        write={"safetensors": partial(save, torch.compile(model).state_dict())},
    )


def views(case: str) -> None:
    """Write weights that are views of one storage: transposed, with gaps, or further down in it."""
    model, inputs = draw(case, lambda: nn.LSTM(INPUT, HIDDEN))
    rows = 4 * HIDDEN
    shapes = {"weight_ih_l0": (INPUT, rows), "weight_hh_l0": (rows, 2 * HIDDEN), "bias_ih_l0": (3 * rows,)}
    # Something else first, so that no view begins where the storage does.
    blocks = torch.full((5 + rows * (INPUT + 2 * HIDDEN + 3),), 9.0)[5:].split(
        [int(np.prod(shape)) for shape in shapes.values()]
    )
    w_i, w_h, b = (block.view(shape) for block, shape in zip(blocks, shapes.values(), strict=True))
    state = {
        "weight_ih_l0": w_i.T,
        "weight_hh_l0": w_h[:, 1::2],
        "bias_ih_l0": b[: 2 * rows : 2],
        "bias_hh_l0": b[2 * rows :],
    }
    for name, value in model.state_dict().items():
        state[name].copy_(value)
    keep(
        case,
        "torch",
        inputs=inputs,
        layers=trace_all(model, inputs),
        write={"pt": partial(torch.save, state)},
    )


# ---------------------------------------------------------------------------------------------------
# Whole modules, programs, the form before torch 1.6, and weights in other forms than plain tensors


def whole(case: str, build: Callable[[], nn.Module]) -> None:
    """Write a module whole, as the zip format has it."""
    model, inputs = draw(case, build)
    layers = trace_all(model, inputs)
    keep(case, "torch", inputs=inputs, layers=layers, write={"pt": partial(torch.save, model)})


def legacy(case: str) -> None:
    """Write a state dict in the form before torch 1.6."""
    model, inputs = draw(case, lambda: inside("encoder.gru", nn.GRU(INPUT, HIDDEN, num_layers=2)))
    write = partial(torch.save, model.state_dict(), _use_new_zipfile_serialization=False)
    keep(case, "torch", inputs=inputs, layers=trace_all(model, inputs), write={"pt": write})


def program(case: str, script: Callable[[nn.Module, NDArray], torch.jit.ScriptModule]) -> None:
    """Write a TorchScript program."""
    model, inputs = draw(case, lambda: nn.RNN(INPUT, HIDDEN, nonlinearity="relu"))
    write = {"pt": lambda path: script(model, inputs).save(str(path))}
    keep(case, "torch", inputs=inputs, layers=trace_all(model, inputs), write=write)


def converted(case: str, convert: Callable[[Tensor], Tensor], restore: Callable[[Tensor], Tensor]) -> None:
    """Write a state dict whose matrices ``convert`` gave another form; ``restore`` gives what they are."""
    model, inputs = draw(case, lambda: inside("encoder.lstm", nn.LSTM(INPUT, HIDDEN)))
    state = {name: convert(value) if value.ndim == 2 else value for name, value in model.state_dict().items()}
    model.load_state_dict(
        {name: restore(value) if value.ndim == 2 else value for name, value in state.items()}
    )
    keep(
        case,
        "torch",
        inputs=inputs,
        layers=trace_all(model, inputs),
        write={"pt": partial(torch.save, state)},
    )


def quantize_rows(value: Tensor) -> Tensor:
    """Return a matrix with a scale and a zero point for each row."""
    scales = value.double().abs().amax(dim=1) / 100
    return torch.quantize_per_channel(value, scales, torch.arange(len(value)) % 5 - 2, 0, torch.qint8)


def other_forms() -> None:
    """Write everything that torch writes besides tensors in the zip format."""
    whole(
        "torch_module",
        lambda: inside("encoder.lstm", nn.LSTM(INPUT, HIDDEN, num_layers=2, bidirectional=True)),
    )
    whole("torch_module_relu", lambda: nn.ModuleDict({"rnn": nn.RNN(INPUT, HIDDEN, nonlinearity="relu")}))
    legacy("torch_legacy")
    program("torch_script_relu", lambda model, _: torch.jit.script(model))
    program(
        "torch_trace_relu", lambda model, inputs: torch.jit.trace(model, torch.from_numpy(inputs).float())
    )
    quantize = partial(torch.quantize_per_tensor, scale=0.0137, zero_point=3, dtype=torch.qint8)
    converted("torch_quantized", quantize, Tensor.dequantize)
    converted("torch_quantized_rows", quantize_rows, Tensor.dequantize)
    converted("torch_sparse", lambda value: (value * (value > 0)).to_sparse(), Tensor.to_dense)
    converted("torch_sparse_rows", lambda value: (value * (value > 0)).to_sparse_csr(), Tensor.to_dense)


def main() -> None:
    """Write all files."""
    for case in NETWORKS:
        plain(case)
    write_reparametrized()
    nested("torch_nested")
    compiled("torch_orig_mod")
    views("torch_views")
    other_forms()


if __name__ == "__main__":
    main()
