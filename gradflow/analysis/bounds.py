"""What theory says no norm can exceed, beside what is measured."""

import math

import numpy as np

from gradflow.analysis.trajectory import Trajectory
from gradflow.analysis.view import View
from gradflow.cells.base import Array

# Relative, a step and a row of the state: bounds are rounded up, for a measured norm is rounded too.
ROUNDING = 8 * float(np.finfo(np.float64).eps)


def log10_bounds(trajectory: Trajectory, view: View, block: str, retained: Array | None) -> dict[str, Array]:
    """Return log₁₀ of the bound of each norm that has one, shape (..., T) by lag.

    For the state of a simple recurrent network the bound is (γ σ_max(W))^k, γ the steepest slope of the
    activation (Pascanu et al. 2013, section 2.1); for the direct path of a gated cell ∏ max f. Both bound the
    spectral norm, hence the smallest singular value, and √n times them the Frobenius norm.
    """
    steps = _step_bounds(trajectory, block, retained)
    if steps is None:
        return {}
    eps = ROUNDING * np.finfo(trajectory.states.dtype).eps / np.finfo(np.float64).eps
    size = trajectory.cell.state_size
    with np.errstate(divide="ignore"):
        logs = np.log10(steps[..., list(view.order(trajectory.steps))] * (1.0 + eps * size))
    two = np.cumsum(logs, axis=-1)
    known = {"2": two, "min": two, "fro": two + 0.5 * math.log10(size)}
    return {name: known[name] for name in view.norms if name in known}


def _step_bounds(trajectory: Trajectory, block: str, retained: Array | None) -> Array | None:
    """Return a bound of every single step, shape (..., T)."""
    if block == "direct":
        return None if retained is None else retained.max(axis=-1)
    bound = trajectory.cell.step_bound()
    if bound is None or block not in ("state", "hh"):
        return None
    shape = trajectory.inputs.shape[:-1]
    return np.broadcast_to(np.asarray(bound)[..., None], shape)
