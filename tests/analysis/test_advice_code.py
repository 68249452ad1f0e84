"""The code in advice: run on stand-ins for torch and Keras, it makes the layer that was promised."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

import gradflow
from gradflow.layouts.names import strip_wrappers
from tests.layouts.test_files import FILES

LENGTH = 40
INPUTS = np.random.default_rng(8).standard_normal((4, 90, 3))


class Tensor(np.ndarray):
    """What the code uses of a tensor, in an array."""

    def split(self, size):
        return np.split(self, len(self) // size)

    def uniform_(self, low, high):
        self[...] = np.random.default_rng(9).uniform(low, high, self.shape)
        return self

    def log(self):
        return np.log(self)


def make_orthogonal(tensor):
    tensor[...] = np.linalg.qr(np.random.default_rng(10).standard_normal(tensor.shape))[0]


TORCH = SimpleNamespace(
    empty=lambda size: np.empty(size).view(Tensor),
    nn=SimpleNamespace(init=SimpleNamespace(orthogonal_=make_orthogonal)),
)


class Module:
    """A module of torch with its parameters: float64 arrays by name, and biases of 0 if the file has none."""

    def __init__(self, arrays):
        names = dict(zip(arrays, strip_wrappers(list(arrays)), strict=True))
        self.parameters = {
            names[name]: SimpleNamespace(data=np.array(array, np.float64).view(Tensor))
            for name, array in arrays.items()
        }
        for name in [name for name in self.parameters if "weight_hh" in name]:
            rows = len(self.parameters[name].data)
            for part in ("bias_ih", "bias_hh"):
                empty = SimpleNamespace(data=np.zeros(rows).view(Tensor))
                self.parameters.setdefault(name.replace("weight_hh", part), empty)

    def get_parameter(self, name):
        return self.parameters[name]

    def inspect(self):
        arrays = {name: np.asarray(parameter.data) for name, parameter in self.parameters.items()}
        return inspect(gradflow.from_state_dict(arrays), advice="none")


def inspect(model, **options):
    return gradflow.inspect(model, input=INPUTS, length=LENGTH, **options)


def by_layer(table, column):
    return dict(zip(table.layer, getattr(table, column), strict=True))


def assert_as_promised(change, promised, share, cell, before):
    """The share is the promised one; of changes that are drawn, the numbers are those that may be drawn."""
    if change in ("gain", "forget_bias", "update_bias"):
        assert share == pytest.approx(promised, abs=1e-9)
        return
    if change == "orthogonal":
        for gate in cell.blocks:
            block = cell.recurrent(gate)
            np.testing.assert_allclose(block.T @ block, np.eye(block.shape[1]), atol=1e-12)
        np.testing.assert_allclose(cell.bias, before.bias, atol=1e-12)
        return
    kept = cell.bias[cell.blocks["f" if "f" in cell.blocks else "z"]]
    assert 0 <= kept.min() < kept.max() <= math.log(LENGTH - 1)
    if "i" in cell.blocks:
        np.testing.assert_allclose(cell.bias[cell.blocks["i"]], -kept, atol=1e-12)
    changed = {"f", "i", "z"} & set(cell.blocks)
    for gate in set(cell.blocks) - changed:
        np.testing.assert_array_equal(cell.bias[cell.blocks[gate]], before.bias[before.blocks[gate]])


def cell_of(source, name):
    return next(layer.cell for network in source.networks for layer in network.layers if layer.name == name)


TORCH_FILES = [
    "torch_lstm.pt", "torch_gru.pt", "torch_rnn_tanh.pt", "torch_lstm_stacked.pt", "torch_nested.pt",
    "torch_gru_bidirectional.pt", "torch_lstm_projection.pt", "torch_lstm_no_bias.pt", "torch_gru_cell.pt",
    "torch_orig_mod.safetensors",
]  # fmt: skip


@pytest.mark.parametrize("file", TORCH_FILES)
def test_the_code_for_torch_makes_what_was_promised(file):
    arrays = {
        name: array.read_numbers()
        for name, array in gradflow.read_arrays(FILES / file).items()
        if "head" not in name and "optim" not in name
    }
    found = inspect(FILES / file)
    for layer, change, code, promised in zip(
        found.advice.layer, found.advice.change, found.advice.code, found.advice.log10_share, strict=True
    ):
        model = Module(arrays)
        has_bias = any("bias" in name for name in arrays)
        assert code.endswith("# of a layer with bias=True") == (not has_bias and "bias" in code)
        exec(code, {"torch": TORCH, "model": model})
        # an upper layer is fed by those below it, which stay as they were
        share = by_layer(model.inspect().layers, "log10_share")
        made = {name: np.asarray(one.data) for name, one in model.parameters.items()}
        cell = cell_of(gradflow.from_state_dict(made), layer)
        assert_as_promised(change, promised, share[layer], cell, cell_of(gradflow.load(FILES / file), layer))


def keras_arrays(gates, bias):
    """The arrays of a Keras layer of 4 units; ``bias`` is its shape, or None."""
    draw = np.random.default_rng(gates).standard_normal
    arrays = {"kernel": draw((3, 4 * gates)), "recurrent_kernel": draw((4, 4 * gates))}
    return {**arrays, "bias": draw(bias)} if bias else arrays


KERAS_LAYERS = {
    "lstm": (4, (16,)),
    "gru": (3, (2, 12)),
    "gru that resets before": (3, (12,)),
    "lstm without bias": (4, None),
    "gru without bias": (3, None),
    "simple_rnn": (1, (4,)),
}


class KerasLayer:
    """A Keras layer with its weights in their order."""

    def __init__(self, arrays):
        self.weights = [array.copy() for array in arrays]

    def get_weights(self):
        return [array.copy() for array in self.weights]

    def set_weights(self, weights):
        assert [array.shape for array in weights] == [array.shape for array in self.weights]
        self.weights = weights


@pytest.mark.parametrize("kind", KERAS_LAYERS)
def test_the_code_for_keras_makes_what_was_promised(kind):
    arrays = keras_arrays(*KERAS_LAYERS[kind])

    def read(weights):
        names = dict(zip(("kernel", "recurrent_kernel", "bias"), weights, strict=False))
        return gradflow.from_state_dict({f"enc/{name}": array for name, array in names.items()})

    source = read(arrays.values())
    found = inspect(source)
    assert found.layers.framework == ["keras"]
    for change, code, promised in zip(
        found.advice.change, found.advice.code, found.advice.log10_share, strict=True
    ):
        layer = KerasLayer(arrays.values())
        if "bias" not in arrays and change not in ("gain", "orthogonal"):
            assert code.endswith("# of a layer with use_bias=True")
            gates = KERAS_LAYERS[kind][0]
            layer.weights.append(np.zeros((2, 12) if gates == 3 else 4 * gates))
        exec(code, {"np": np, "layer": layer})
        made = read(layer.weights)
        share = inspect(made, advice="none").layers.log10_share[0]
        cells = [one.networks[0].layers[0].cell for one in (made, source)]
        assert_as_promised(change, promised, share, *cells)


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_code_for_another_framework_makes_a_layer_of_the_same_gates(framework):
    # the share of a change of a bias is that of the effective bias, in whichever framework it is set
    arrays = keras_arrays(4, (16,)) if framework == "torch" else None
    if framework == "torch":
        source = gradflow.from_state_dict({f"enc/{name}": array for name, array in arrays.items()})
    else:
        source = gradflow.load(FILES / "torch_lstm.pt")
    found = inspect(source, advice=framework)
    code = found.advice.code[found.advice.change.index("forget_bias")]
    value = found.advice.value[found.advice.change.index("forget_bias")]
    bias_ih, bias_hh = np.arange(16.0), np.arange(16.0)
    if framework == "torch":
        layer = SimpleNamespace(
            bias_ih_l0=SimpleNamespace(data=bias_ih), bias_hh_l0=SimpleNamespace(data=bias_hh)
        )
        exec(code, {"layer": layer})
        assert (bias_ih + bias_hh).tolist() == [0, 2, 4, 6, *[value] * 4, *range(16, 32, 2)]
    else:
        layer = KerasLayer([np.zeros((3, 16)), np.zeros((4, 16)), bias_ih])
        exec(code, {"np": np, "layer": layer})
        assert layer.weights[2].tolist() == [0, 1, 2, 3, *[value] * 4, *range(8, 16)]


def test_a_name_in_a_file_cannot_leave_its_quotes():
    hostile = 'x"); raise SystemExit; ("'
    draw = np.random.default_rng(0).standard_normal
    arrays = {f"{hostile}.weight_ih_l0": draw((16, 3)), f"{hostile}.weight_hh_l0": draw((16, 4))}
    code = inspect(gradflow.from_state_dict(arrays)).advice.code[0]
    asked = []
    model = SimpleNamespace(
        get_parameter=lambda name: asked.append(name) or SimpleNamespace(data=np.zeros(16))
    )
    exec(code, {"model": model, "torch": TORCH})
    assert asked == [f"{hostile}.bias_hh_l0", f"{hostile}.bias_ih_l0"]
