"""Checkpoints of flax, equinox and haiku, with what each framework computes from them beside each.

Run ``python tests/oracles/jax_files.py``; it writes into ``files``, as ``shelf.py`` says. The stored
files were made with jax 0.10.2, flax 0.12.8, equinox 0.13.8, dm-haiku 0.0.17 and safetensors 0.8.0 on
the CPU.

None of these has a format of its own that is more than a tree of arrays, so the tree is flattened, its
names joined by a slash or a dot, and saved as safetensors or npz. The weights are float32 and what lies
beside them is computed in float64 from these very numbers. A layer is stepped as the framework's cell;
the framework's own loop over time must agree with that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import equinox as eqx
import haiku as hk
import jax
import numpy as np
from flax import linen, nnx
from jax import Array
from jax import numpy as jnp
from numpy.typing import NDArray
from safetensors.numpy import save_file
from shelf import STEPS, Layer, agree, is_generic_for_relu, keep, seed, walk

jax.config.update("jax_enable_x64", True)

HIDDEN, INPUT, OUTPUT = 4, 3, 2

# As in torch_files.py: the usual draws are smaller and their biases zero.
WEIGHT_RANGE = 0.8

Parts = tuple[Array, ...]
Weights = dict[tuple[str, ...], Array]


@dataclass(frozen=True)
class Network:
    """A network with one recurrent layer; a state is given as its parts, h first."""

    path: tuple[str, ...]
    weights: Weights
    step: Callable[[Array, Parts], Parts]
    loop: Callable[[Array, Parts], tuple[Array, Parts]]
    parts: int


def drawn(tree: object, rng: np.random.Generator) -> object:
    """Return `tree` with all its arrays drawn anew, exact in float32."""

    def draw(leaf: Array) -> Array:
        values = rng.uniform(-WEIGHT_RANGE, WEIGHT_RANGE, leaf.shape)
        return jnp.asarray(values.astype(np.float32), jnp.float64)

    return jax.tree.map(draw, tree)


def count_parts(cell: type) -> int:
    """Return how many parts the state of a cell has."""
    return 2 if "LSTM" in cell.__name__ else 1


def zeros(parts: int) -> Parts:
    """Return the state a network starts from."""
    return (jnp.zeros(HIDDEN),) * parts


# ---------------------------------------------------------------------------------------------------
# Flax. A carry is (c, h) for an LSTM and h for the others.


def to_carry(state: Parts) -> object:
    """Return a state as flax has it."""
    return state[::-1] if len(state) > 1 else state[0]


def from_carry(carry: object) -> Parts:
    """Return the parts of a state of flax."""
    return carry[::-1] if isinstance(carry, tuple) else (carry,)


class LinenCompact(linen.Module):
    """The usual way: linen names what is made on the fly, so that the cell gets a name of its own."""

    cell: type[linen.RNNCellBase]

    @linen.compact
    def __call__(self, xs: Array, initial_carry: object) -> tuple[object, Array]:
        rnn = linen.RNN(self.cell(HIDDEN), return_carry=True)
        carry, outputs = rnn(xs, initial_carry=initial_carry)
        linen.Dense(OUTPUT)(outputs)
        return carry, outputs


class LinenSetup(linen.Module):
    """The other way, in which the attribute gives the name."""

    cell: type[linen.RNNCellBase]

    def setup(self) -> None:
        self.encoder = linen.RNN(self.cell(HIDDEN), return_carry=True)
        self.head = linen.Dense(OUTPUT)

    def __call__(self, xs: Array, initial_carry: object) -> tuple[object, Array]:
        carry, outputs = self.encoder(xs, initial_carry=initial_carry)
        self.head(outputs)
        return carry, outputs


def linen_rnn(cell: type[linen.RNNCellBase]) -> linen.Module:
    """Return the layer without anything around it."""
    return linen.RNN(cell(HIDDEN), return_carry=True)


def linen_network(
    model: Callable[[type[linen.RNNCellBase]], linen.Module],
    cell: type[linen.RNNCellBase],
    path: tuple[str, ...],
    rng: np.random.Generator,
) -> Network:
    """Build a model whose cell is at `path` in its parameters."""
    module, parts = model(cell), count_parts(cell)
    start = to_carry(zeros(parts))
    variables = drawn(module.init(jax.random.key(0), jnp.zeros((STEPS, INPUT)), initial_carry=start), rng)
    own = variables["params"]
    for name in path:
        own = own[name]

    def step(x: Array, state: Parts) -> Parts:
        carry, _ = cell(HIDDEN).apply({"params": own}, to_carry(state), x)
        return from_carry(carry)

    def loop(xs: Array, state: Parts) -> tuple[Array, Parts]:
        carry, outputs = module.apply(variables, xs, initial_carry=to_carry(state))
        return outputs, from_carry(carry)

    return Network(path, leaves(variables), step, loop, parts)


class NnxModel(nnx.Module):
    """A layer and a head."""

    def __init__(self, cell: nnx.RNNCellBase, rngs: nnx.Rngs) -> None:
        self.encoder = nnx.RNN(cell, return_carry=True)
        self.head = nnx.Linear(HIDDEN, OUTPUT, rngs=rngs)


def nnx_network(cell: type[nnx.RNNCellBase], rng: np.random.Generator) -> Network:
    """Build a model whose cell is at encoder.cell."""
    rngs = nnx.Rngs(0)
    model = NnxModel(cell(INPUT, HIDDEN, dtype=jnp.float64, rngs=rngs), rngs)
    nnx.update(model, drawn(nnx.state(model, nnx.Param), rng))

    def step(x: Array, state: Parts) -> Parts:
        carry, _ = model.encoder.cell(to_carry(state), x)
        return from_carry(carry)

    def loop(xs: Array, state: Parts) -> tuple[Array, Parts]:
        # nnx loops over batches only.
        start = jax.tree.map(lambda part: part[None], to_carry(state))
        carry, outputs = model.encoder(xs[None], initial_carry=start)
        return outputs[0], tuple(part[0] for part in from_carry(carry))

    weights = leaves(nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    return Network(("encoder", "cell"), weights, step, loop, count_parts(cell))


# ---------------------------------------------------------------------------------------------------
# Equinox


class EquinoxModel(eqx.Module):
    """A cell and a head. Equinox leaves the loop to jax."""

    cell: eqx.Module
    head: eqx.nn.Linear

    def step(self, x: Array, state: Parts) -> Parts:
        new = self.cell(x, state if len(state) > 1 else state[0])
        return new if isinstance(new, tuple) else (new,)

    def loop(self, xs: Array, state: Parts) -> tuple[Array, Parts]:
        def body(state: Parts, x: Array) -> tuple[Parts, Array]:
            new = self.step(x, state)
            return new, new[0]

        final, outputs = jax.lax.scan(body, state, xs)
        return outputs, final


def equinox_network(cell: type[eqx.Module], rng: np.random.Generator, *, bias: bool = True) -> Network:
    """Build a model whose cell is at cell."""
    key = jax.random.key(0)
    own, head = cell(INPUT, HIDDEN, use_bias=bias, key=key), eqx.nn.Linear(HIDDEN, OUTPUT, key=key)
    model = drawn(EquinoxModel(own, head), rng)
    return Network(("cell",), leaves(model), model.step, model.loop, count_parts(cell))


# ---------------------------------------------------------------------------------------------------
# Haiku. Parameters are {path with slashes: {name: array}}.


def haiku_network(core: type[hk.RNNCore], path: str, rng: np.random.Generator) -> Network:
    """Build a model whose cell has the name that haiku gives it."""
    parts = count_parts(core)

    def to_core(state: Parts) -> object:
        return hk.LSTMState(*state) if parts > 1 else state[0]

    def from_core(state: object) -> Parts:
        return tuple(state) if parts > 1 else (state,)

    def run(xs: Array, state: Parts) -> tuple[Array, Parts]:
        outputs, final = hk.dynamic_unroll(core(HIDDEN), xs, to_core(state))
        hk.Linear(OUTPUT)(outputs)
        return outputs, from_core(final)

    def step(x: Array, state: Parts) -> Parts:
        _, new = core(HIDDEN)(x, to_core(state))
        return from_core(new)

    whole, single = (hk.without_apply_rng(hk.transform(f)) for f in (run, step))
    parameters = drawn(whole.init(jax.random.key(0), jnp.zeros((STEPS, INPUT)), zeros(parts)), rng)
    step_alone, loop = partial(single.apply, parameters), partial(whole.apply, parameters)
    return Network((path,), leaves(parameters), step_alone, loop, parts)


# ---------------------------------------------------------------------------------------------------
# Cases


def leaves(tree: object) -> Weights:
    """Return the arrays of a tree by their paths."""

    def name(key: object) -> str:
        return str(key.key if isinstance(key, jax.tree_util.DictKey) else key.name)

    return {tuple(map(name, path)): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def trace(network: Network, inputs: NDArray, case: str) -> Layer:
    """Return what the cell does, held against the framework's loop over time."""

    def step(x: Array, s: Array) -> Array:
        return jnp.concatenate(network.step(jnp.asarray(x), tuple(jnp.split(s, network.parts))))

    layer = walk(step, jax.jacrev(step, argnums=1), inputs, network.parts * HIDDEN)
    outputs, final = network.loop(jnp.asarray(inputs), zeros(network.parts))
    agree(layer.outputs[:, :HIDDEN], outputs, f"{case}: output", 1e-13)
    agree(layer.states[-1], jnp.concatenate(final), f"{case}: last state", 1e-13)
    return layer


def save(weights: Weights, separator: str, path: Path) -> None:
    """Write `weights` in the format of the extension."""
    flat = {separator.join(key): np.asarray(value, np.float32) for key, value in weights.items()}
    if path.suffix == ".safetensors":
        save_file(flat, path)
    else:
        np.savez(path, **flat)


@dataclass(frozen=True)
class Case:
    """A network, and how it is saved."""

    build: Callable[[np.random.Generator], Network]
    separator: str
    extension: str
    framework: str


CASES = {
    "flax_linen_lstm": Case(
        partial(linen_network, linen_rnn, linen.LSTMCell, ("cell",)), "/", "safetensors", "flax"
    ),
    "flax_linen_optimized_lstm": Case(
        partial(linen_network, LinenCompact, linen.OptimizedLSTMCell, ("OptimizedLSTMCell_0",)),
        "/",
        "npz",
        "flax",
    ),
    "flax_linen_gru": Case(
        partial(linen_network, LinenSetup, linen.GRUCell, ("encoder", "cell")), ".", "safetensors", "flax"
    ),
    "flax_linen_simple": Case(
        partial(linen_network, LinenSetup, linen.SimpleCell, ("encoder", "cell")), "/", "npz", "flax"
    ),
    "flax_nnx_lstm": Case(partial(nnx_network, nnx.LSTMCell), ".", "safetensors", "flax"),
    "flax_nnx_optimized_lstm": Case(partial(nnx_network, nnx.OptimizedLSTMCell), ".", "npz", "flax"),
    "flax_nnx_gru": Case(partial(nnx_network, nnx.GRUCell), "/", "safetensors", "flax"),
    "flax_nnx_simple": Case(partial(nnx_network, nnx.SimpleCell), ".", "npz", "flax"),
    "equinox_lstm": Case(partial(equinox_network, eqx.nn.LSTMCell), ".", "safetensors", "equinox"),
    "equinox_gru": Case(partial(equinox_network, eqx.nn.GRUCell), ".", "npz", "equinox"),
    # Without biases its names and formulas are torch's.
    "equinox_lstm_no_bias": Case(
        partial(equinox_network, eqx.nn.LSTMCell, bias=False), ".", "safetensors", "torch"
    ),
    "haiku_lstm": Case(partial(haiku_network, hk.LSTM, "lstm"), "/", "npz", "haiku"),
    "haiku_gru": Case(partial(haiku_network, hk.GRU, "gru"), "/", "safetensors", "haiku"),
    "haiku_vanilla_rnn": Case(partial(haiku_network, hk.VanillaRNN, "vanilla_rnn"), "/", "npz", "haiku"),
}


def draw(name: str, case: Case) -> tuple[Network, NDArray, Layer]:
    """Return a network, its inputs and what it does with them."""
    rng = np.random.default_rng(seed(name))
    while True:
        network = case.build(rng)
        inputs = rng.standard_normal((STEPS, INPUT))
        layer = trace(network, inputs, name)
        if name != "haiku_vanilla_rnn" or is_generic_for_relu(layer):
            return network, inputs, layer


def main() -> None:
    """Write all files."""
    for name, case in CASES.items():
        network, inputs, layer = draw(name, case)
        keep(
            name,
            case.framework,
            inputs=inputs,
            layers={case.separator.join(network.path): layer},
            write={case.extension: partial(save, network.weights, case.separator)},
        )


if __name__ == "__main__":
    main()
