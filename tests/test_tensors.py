"""Tensors of other libraries stand wherever an array may, also in training and in types that numpy lacks."""

import ml_dtypes
import numpy as np
import pytest

import gradflow
from gradflow.errors import DataError

RANDOM = np.random.default_rng(0)


class Size(tuple):
    """The shape of a tensor of torch."""

    def __repr__(self):
        return f"torch.Size({list(self)})"


class Tensor:
    """A tensor as torch has it: it lets numpy have its entries only when nothing is left to be done."""

    def __init__(self, array, requires_grad=False, is_conjugated=False, device="cpu"):
        self.array, self.requires_grad = array, requires_grad
        self.is_conjugated, self.device = is_conjugated, device

    def __repr__(self):
        raise AssertionError("a tensor is written nowhere")

    def __bool__(self):
        raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")

    def __eq__(self, other):
        raise RuntimeError("a comparison of tensors is a tensor")

    __hash__ = object.__hash__

    def __len__(self):
        return len(self.array)

    def __getitem__(self, place):
        return Tensor(self.array[place], self.requires_grad, self.is_conjugated, self.device)

    @property
    def shape(self):
        return Size(self.array.shape)

    @property
    def dtype(self):
        return f"torch.{self.array.dtype}"

    def detach(self):
        return Tensor(self.array, False, self.is_conjugated, self.device)

    def cpu(self):
        return Tensor(self.array, self.requires_grad, self.is_conjugated)

    def resolve_conj(self):
        return Tensor(
            self.array.conj() if self.is_conjugated else self.array, self.requires_grad, False, self.device
        )

    def float(self):
        return Tensor(self.array.astype(np.float32), self.requires_grad, self.is_conjugated, self.device)

    def numpy(self):
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        if self.is_conjugated:
            raise RuntimeError("Can't call numpy() on Tensor that has conjugate bit set.")
        if self.device != "cpu":
            raise TypeError(f"can't convert {self.device} device type tensor to numpy.")
        if self.array.dtype.kind == "V":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.array

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.numpy(), dtype)

    def __dlpack_device__(self):
        return (1, 0) if self.device == "cpu" else (2, 0)

    def __dlpack__(self, **options):
        if self.requires_grad or self.is_conjugated or self.device != "cpu":
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        if self.array.dtype.kind == "V":
            raise BufferError("Bfloat16 is not supported")
        return self.array.__dlpack__(**options)


class JaxArray:
    """An array as JAX has it: numpy gets its entries, those of type bfloat16 in the type of ml_dtypes."""

    def __init__(self, array):
        self.array = array

    shape = property(lambda self: self.array.shape)
    dtype = property(lambda self: self.array.dtype)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype)

    def astype(self, dtype):
        return JaxArray(self.array.astype(dtype))


BFLOAT16 = ml_dtypes.bfloat16
FLOAT8 = ml_dtypes.float8_e4m3fn
TENSORS = {
    "plain": Tensor,
    "in training": lambda array: Tensor(array, requires_grad=True),
    "float64 in training": lambda array: Tensor(array.astype(np.float64), requires_grad=True),
    "bfloat16": lambda array: Tensor(array.astype(BFLOAT16)),
    "bfloat16 in training on a card": lambda array: Tensor(array.astype(BFLOAT16), True, device="cuda:0"),
    "float8": lambda array: Tensor(array.astype(FLOAT8), requires_grad=True),
    "list of rows in training": lambda array: [Tensor(row, requires_grad=True) for row in array],
    "jax": JaxArray,
    "jax bfloat16": lambda array: JaxArray(array.astype(BFLOAT16)),
    "numpy bfloat16": lambda array: array.astype(BFLOAT16),
}


def draw(*shape):
    """Return numbers that every type here holds exactly."""
    return (RANDOM.integers(-3, 4, shape) / 4).astype(np.float32)


WEIGHTS = {"weight_ih_l0": draw(32, 4), "weight_hh_l0": draw(32, 8)}
SMALL = {"hidden": 3}
# Every argument that may be an array: an array for it, and a call with it.
ARGUMENTS = {
    "power matrix": (draw(3, 3), lambda array: gradflow.power(array, steps=3)),
    "power claim_vectors": (
        np.eye(2, dtype=np.float32),
        lambda array: gradflow.power("0.5 0; 0 0.25", claim_vectors=array, claim_values="0.5 0.25", steps=3),
    ),
    "power claim_values": (
        np.array([[0.5, 0], [0, 0.25]], np.float32),
        lambda array: gradflow.power("0.5 0; 0 0.25", claim_vectors="1 0; 0 1", claim_values=array, steps=3),
    ),
    "derive matrix": (draw(2, 2), lambda array: gradflow.derive("power", matrix=array)),
    "lyapunov jacobians": (draw(40, 2, 2), lambda array: gradflow.lyapunov(jacobians=array)),
    "lyapunov input": (draw(40, 4), lambda array: gradflow.lyapunov("rnn", input=array, **SMALL)),
    "compare input": (draw(2, 9, 4), lambda array: gradflow.compare("rnn", input=array, seeds=2, **SMALL)),
    "bptt input": (draw(9, 4), lambda array: gradflow.bptt("rnn", input=array, **SMALL)),
    "bptt targets": (draw(9, 3), lambda array: gradflow.bptt("rnn", steps=9, targets=array, **SMALL)),
    "init input": (draw(4, 9, 4), lambda array: gradflow.init("gru", horizon=9, input=array, **SMALL)),
    "theory input": (draw(9, 4), lambda array: gradflow.theory("rnn", input=array, measure=False)),
    "inspect input": (
        draw(9, 4),
        lambda array: gradflow.inspect(gradflow.from_state_dict(WEIGHTS), input=array, length=3),
    ),
    "weights": (
        draw(32, 4),
        lambda array: gradflow.inspect(
            gradflow.from_state_dict(WEIGHTS | {"weight_ih_l0": array}), length=3
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_a_tensor_gives_the_result_of_the_array(argument):
    array, call = ARGUMENTS[argument]
    expected = call(array).to_json()
    for name, make in TENSORS.items():
        if argument != "weights" or not name.startswith("list"):
            assert call(make(array)).to_json() == expected, name


def test_a_conjugated_tensor_is_conjugated_first():
    array = (draw(2, 2) + 1j * draw(2, 2)).astype(np.complex64)
    tensor = Tensor(array.conj(), is_conjugated=True)
    assert gradflow.power(tensor, steps=3).to_json() == gradflow.power(array, steps=3).to_json()


class Abstract:
    """A tensor without entries."""

    dtype, shape = "float32", (2, 2)

    def __array__(self, dtype=None, copy=None):
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")


@pytest.mark.parametrize(("argument", "name"), [("power matrix", "matrix"), ("bptt targets", "targets")])
def test_a_tensor_without_entries_is_refused(argument, name):
    with pytest.raises(DataError, match=rf"{name} cannot be converted to numpy .*no data.*dense float32"):
        ARGUMENTS[argument][1](Abstract())
    with pytest.raises(DataError, match=rf"{name} cannot be converted to numpy|no data"):
        ARGUMENTS[argument][1]([Abstract(), Abstract()])


def test_a_list_without_the_shape_of_an_array_is_refused():
    for argument in ("power matrix", "derive matrix", "lyapunov jacobians", "compare input"):
        with pytest.raises(DataError, match="expected numbers in a rectangle"):
            ARGUMENTS[argument][1]([[1.0, 2.0], [3.0]])
