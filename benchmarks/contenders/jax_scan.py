"""JAX: one jitted function, a scan of jacrev forward and a scan of products and norms backward."""

import os

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"  # OMP_NUM_THREADS says nothing to XLA
os.environ["NPROC"] = "1"  # nor to the pool of threads it runs on

from collections.abc import Callable

import jax  # type: ignore[import-not-found, unused-ignore]
import jax.numpy as jnp  # type: ignore[import-not-found, unused-ignore]
import numpy as np
from common import Problem, Run, main

jax.config.update("jax_enable_x64", True)

Step = Callable[[jax.Array, jax.Array], jax.Array]  # (state, drive) -> next state


def make_step(problem: Problem) -> Step:
    W, bias_hn = jnp.asarray(problem.weights.weight_hh), jnp.asarray(problem.weights.bias_hn)

    def rnn(h: jax.Array, drive: jax.Array) -> jax.Array:
        return jnp.tanh(W @ h + drive)

    def lstm(state: jax.Array, drive: jax.Array) -> jax.Array:
        h, c = jnp.split(state, 2)
        z_i, z_f, z_g, z_o = jnp.split(W @ h + drive, 4)
        new_c = jax.nn.sigmoid(z_f) * c + jax.nn.sigmoid(z_i) * jnp.tanh(z_g)
        return jnp.concatenate([jax.nn.sigmoid(z_o) * jnp.tanh(new_c), new_c])

    def gru(h: jax.Array, drive: jax.Array) -> jax.Array:
        (U_r, U_z, U_n), (d_r, d_z, d_n) = jnp.split(W @ h, 3), jnp.split(drive, 3)
        r, z = jax.nn.sigmoid(U_r + d_r), jax.nn.sigmoid(U_z + d_z)
        return (1 - z) * jnp.tanh(d_n + r * (U_n + bias_hn)) + z * h

    return {"lstm": lstm, "gru": gru}.get(problem.cell, rnn)


def make_chain(step: Step, size: int) -> Callable[[jax.Array], jax.Array]:
    """Return the function from the drives (T, ·) to the log10 norms by lag."""

    def kept(state: jax.Array, drive: jax.Array) -> tuple[jax.Array, jax.Array]:
        new = step(state, drive)
        return new, new  # what jacrev differentiates, and what it hands back beside the Jacobian

    def forward(state: jax.Array, drive: jax.Array) -> tuple[jax.Array, jax.Array]:
        J, new = jax.jacrev(kept, has_aux=True)(state, drive)
        return new, J

    def backward(
        carry: tuple[jax.Array, jax.Array], J: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        P, log10_scale = carry
        P = P @ J
        norm = jnp.linalg.norm(P, 2)
        log10_scale += jnp.log10(norm)
        return (P / norm, log10_scale), log10_scale

    def chain(drives: jax.Array) -> jax.Array:
        _, jacobians = jax.lax.scan(forward, jnp.zeros(size), drives)
        _, norms = jax.lax.scan(backward, (jnp.eye(size), jnp.zeros(())), jacobians, reverse=True)
        return norms[::-1]  # a reversed scan puts its outputs where its inputs stood

    return chain


def prepare(problem: Problem) -> Run:
    size = problem.weights.weight_hh.shape[1] * (2 if problem.cell == "lstm" else 1)
    drives = jnp.asarray(problem.drive())
    compiled = jax.jit(make_chain(make_step(problem), size)).lower(drives).compile()
    return lambda: np.asarray(compiled(drives))


if __name__ == "__main__":
    main(prepare)
