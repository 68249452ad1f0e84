"""Which product of Jacobians to measure, which part of it, and by which method.

With P the product of the steps between two states, block ``xy`` is ∂x/∂y for x, y among h and c: a block of
the true product, not a product of blocks. The backward view measures P_k = J_T ⋯ J_{T−k+1}, the gradient of
the last state with respect to the state k steps before. The forward view measures P_k = J_k ⋯ J_1, the
gradient of state k with respect to the first state.
"""

import math
from collections.abc import Callable, Sequence
from operator import index
from typing import Any, NamedTuple

import numpy as np

from gradflow.analysis.shared.side_call import SideCall
from gradflow.analysis.shared.trajectory import Trajectory
from gradflow.cells.base import Array, Cell, Index
from gradflow.cells.factor import StepFactor
from gradflow.errors import UsageError
from gradflow.linalg.batch import batch_norms
from gradflow.linalg.chain import CHAIN_TOLERANCE, ChainNorms, chain_norms
from gradflow.linalg.gram_norms import spectral_norms
from gradflow.linalg.joint_lanczos import leading_singular_values
from gradflow.linalg.matrix_free import matrix_free_norms
from gradflow.linalg.products import UnresolvedError
from gradflow.linalg.rounding import EPS_BY_BYTES
from gradflow.linalg.scaled import log10_of

MAX_BATCHED_STATE = 64  # state sizes up to which many seeds are measured as one batch
MAX_GRAM_STATE = 64  # state sizes up to which the norm of a single Jacobian is cheapest from its Gram matrix
STEP_TOLERANCE = 1e-7  # relative residual at which the norm of a single large Jacobian is taken
JOINT_STEPS = 256  # single steps whose norms are searched for together
MAX_STEP_ERROR = 1e-3  # largest relative error of such a norm: less than a picture shows
STEP_ERROR_CHANCE = 1e-6  # probability that the stated error of the step norms of one run is too small
# From this state size on, few lags are measured without forming a product, which would take too much memory.
MIN_MATRIX_FREE_STATE = 3000
MIN_HALVED_ENTRIES = 2**20  # of a block whose product with a Jacobian takes two cores
# An inverse with a larger relative error than this is not shown.
MAX_INVERSE_ERROR = 1e-3


class View(NamedTuple):
    """The requested ``norms`` of ``blocks`` of every product, at ``lags`` from 1, ascending."""

    direction: str
    blocks: tuple[str, ...]
    norms: tuple[str, ...]
    lags: tuple[int, ...]
    exact: bool

    def order(self, steps: int) -> range:
        """Return the places of the factors as the lag grows."""
        return range(steps) if self.direction == "forward" else range(steps - 1, -1, -1)


class ProductPart(NamedTuple):
    """How a block is computed: Y_0 has the unit vectors ``start``, and ``rows`` of Y are measured."""

    start: Index
    rows: Index


def part_of(cell: Cell, block: str, direction: str) -> ProductPart:
    """Return how a block is computed: backward from the transposed product, forward from the product itself.

    Raises
    ------
    UsageError
        If the state of the cell has no such part.
    """
    parts = dict(cell.parts)
    if block == "state":
        return ProductPart(slice(None), slice(None))
    missing = sorted(set(block) - set(parts))
    if missing:
        raise UsageError(f"block {block!r}: the state has no part {missing[0]!r}, only {', '.join(parts)}")
    to, of = (parts[name] for name in block)
    return ProductPart(of, to) if direction == "forward" else ProductPart(to, of)


def output_part(cell: Cell, direction: str) -> ProductPart:
    """Return how the rows of the output h are computed, the gradient of what a loss reads."""
    everything = slice(None)
    if direction == "forward":
        return ProductPart(everything, cell.output)
    return ProductPart(cell.output, everything)


def _find_output_columns(cell: Cell, view: View, block: str) -> Index | None:
    """Return the columns of the transposed product that hold ∂h/∂s; None if all do, or of another product."""
    is_proper = block == "state" and view.direction == "backward" and cell.output_size < cell.state_size
    return cell.output if is_proper else None


class ProductNorms(NamedTuple):
    """One norm of the product at every lag, as log₁₀, shape (..., T); nan at lags not asked for."""

    log10: Array
    error: float  # a bound of the relative error, rounding included, where ``bounds`` is false
    bounds: Array  # of bool, (..., T): whether rounding left no digit, so that the number is an upper bound


def product_log10_norms(
    trajectory: Trajectory, view: View, block: str, on_lag: Callable[[], object] | None = None
) -> dict[str, ProductNorms]:
    """Return each requested norm, and others whenever they cost nothing.

    These are the Frobenius norm (``fro``) and, of the whole product backward, the Frobenius norm of ∂h/∂s for
    the output h at the last lag (``output``), and nan at some others.

    −inf means that the product is 0 by its structure. The Frobenius norm is nan where no product is formed.
    The smallest singular value is nan where rounding left no digit of the inverse. ``on_lag`` is called after
    lags of the product, unless many seeds are measured together.
    """
    part = part_of(trajectory.cell, block, view.direction)
    found: dict[str, ProductNorms] = {}
    if set(view.norms) - {"min"}:
        output = _find_output_columns(trajectory.cell, view, block)
        norms = _forward_norms(trajectory, view, part, columns=output, on_lag=on_lag)
        if output is not None and norms.part is not None and norms.part_bounds is not None:
            found["output"] = ProductNorms(norms.part, norms.error, norms.part_bounds)
        found["2"] = ProductNorms(norms.two, norms.error, norms.bounds)
        found["fro"] = ProductNorms(norms.frobenius, norms.error, norms.bounds)
    if {"min", "cond"} & set(view.norms):
        unit = np.eye(trajectory.size, dtype=trajectory.dtype)
        inverse, error = inverse_log10_norms(trajectory, view, unit)
        found["min"] = ProductNorms(-inverse, error, np.zeros(inverse.shape, bool))
        if "cond" in view.norms:
            # an exactly singular product has an infinite condition number, also if the product is 0
            singular, (two, rest, bounds) = np.isinf(inverse), found["2"]
            cond = np.where(singular, np.inf, two + np.where(singular, 0.0, inverse))
            found["cond"] = ProductNorms(cond, rest + error, bounds & ~singular)
    return found


def output_log10_shares(trajectory: Trajectory, view: View) -> Array:
    """Return log₁₀ of ‖∂h/∂s‖_F / √H at every lag, (..., T), where h is the output, of size H.

    A loss reads the output. The share is the root mean square factor for the gradient of a loss in a random
    direction of h. It is nan where no product is formed.
    """
    if _forms_no_product(trajectory, view):
        return np.full((*trajectory.states.shape[:-2], trajectory.steps), np.nan)
    part = output_part(trajectory.cell, view.direction)
    norms = _forward_norms(trajectory, view._replace(norms=("fro",)), part, spectral=False)
    return scale_to_share(norms.frobenius, trajectory.cell)


def scale_to_share(log10_frobenius: Array, cell: Cell) -> Array:
    """Return log₁₀ of the share ‖∂h/∂s‖_F / √H, given log₁₀ ‖∂h/∂s‖_F. H is the size of the output h."""
    return np.asarray(log10_frobenius - 0.5 * math.log10(cell.output_size))


def _forms_no_product(trajectory: Trajectory, view: View) -> bool:
    """Return whether the norms come without a product: few spectral norms of one very large trajectory."""
    lags = [lag for lag in view.lags if lag <= trajectory.steps]
    few = trajectory.size >= MIN_MATRIX_FREE_STATE and len(lags) < trajectory.steps / 2
    return few and trajectory.states.ndim == 2 and view.norms == ("2",) and not view.exact


def _forward_norms(
    trajectory: Trajectory,
    view: View,
    part: ProductPart,
    *,
    spectral: bool = True,
    columns: Index | None = None,
    on_lag: Callable[[], object] | None = None,
) -> ChainNorms:
    """Return the norms of the product itself by the method that suits its size.

    Without ``spectral``, only the Frobenius norms are computed. The Frobenius norm of some of the columns at
    the last lag is the ``part`` of the result, unless no product is formed.
    """
    steps = trajectory.steps
    places = view.order(steps)
    act, react = ("matmat", "rmatmat")[:: 1 if view.direction == "forward" else -1]

    def along(k: int, block: Array) -> Array:
        return _multiply_on_two_cores(getattr(trajectory.jacobian(places[k]), act), block)

    def back(k: int, block: Array) -> Array:
        return np.asarray(getattr(trajectory.jacobian(places[k]), react)(block))

    start = np.eye(trajectory.size, dtype=trajectory.dtype)[:, part.start]
    if trajectory.states.ndim > 2:
        seeds = len(trajectory.states)
        starts = np.broadcast_to(start, (seeds, *start.shape))
        if spectral:
            return batch_norms(along, steps, starts, rows=part.rows, part=columns)
        return batch_norms(
            along, steps, starts, rows=part.rows, wanted=frozenset().__contains__, part=slice(None)
        )
    lags = [lag for lag in view.lags if lag <= steps]
    if _forms_no_product(trajectory, view):
        return matrix_free_norms(along, back, steps, lags, start, rows=part.rows, on_lag=on_lag)
    wanted = frozenset(lags if spectral else ())
    return chain_norms(
        along,
        steps,
        start,
        rows=part.rows,
        wanted=wanted.__contains__,
        part=columns,
        part_lag=lags[-1] if lags else None,
        exact=view.exact,
        on_lag=on_lag,
    )


def _multiply_on_two_cores(act: Callable[[Array], Array], block: Array) -> Array:
    """Return a product with a block of columns, of a large one half by half, on any number of cores."""
    if block.size < MIN_HALVED_ENTRIES:
        return np.asarray(act(block))
    middle = block.shape[-1] // 2
    second = SideCall(lambda: act(block[..., middle:]), at_once=True)
    first = act(block[..., :middle])
    return np.concatenate([first, second.wait()], axis=-1)


def inverse_log10_norms(trajectory: Trajectory, view: View, start: Array) -> tuple[Array, float]:
    """Return log₁₀ ‖P⁻¹ Y‖₂ by lag: inf from a singular step on, nan from one singular to rounding.

    If Y = ``start`` is the identity, the norm is 1/σ_min. Rounding destroys the small singular values of the
    product itself after a few steps. In the product of the inverses they are the largest.
    """
    steps = trajectory.steps
    places = view.order(steps)
    act = "rsolve" if view.direction == "forward" else "solve"
    ends: list[tuple[int, float]] = []
    rounding = 0.0

    def along(k: int, block: Array) -> Array:
        nonlocal rounding
        if ends:
            return np.zeros_like(block)
        factor = trajectory.jacobian(places[k])
        try:
            with np.errstate(all="ignore"):
                inverted = np.asarray(getattr(factor, act)(block))
                error = factor.inverse_error()
        except np.linalg.LinAlgError:
            ends.append((k, np.inf))
        except UnresolvedError:
            ends.append((k, np.nan))
        else:
            if np.isfinite(inverted).all() and error < MAX_INVERSE_ERROR:
                rounding += error
                return inverted
            ends.append((k, np.nan))
        return np.zeros_like(block)

    norms = chain_norms(along, steps, start, wanted=frozenset(view.lags).__contains__, exact=view.exact)
    two = np.where(norms.bounds, np.nan, norms.two)
    for k, value in ends:
        two[k:] = value
    return two, norms.error + rounding


class StepNorms(NamedTuple):
    """‖J‖₂ of the single step at each lag, in the order of ``view.order``."""

    log10: Array  # (..., T)
    error: float  # bound of the relative error at the requested lags


def step_norms(trajectory: Trajectory, view: View) -> StepNorms:
    """Return ‖J‖₂ of the single step at each lag.

    For a large cell it is nan at some lags that were not requested, and where the iteration does not
    converge. The iteration may miss a larger singular value. The stated error is too small with a probability
    under `STEP_ERROR_CHANCE`.
    """
    steps, order = trajectory.steps, list(view.order(trajectory.steps))
    rounding = trajectory.size * EPS_BY_BYTES[trajectory.dtype.itemsize]
    if view.exact or trajectory.states.ndim > 2 or trajectory.size <= MAX_GRAM_STATE:
        every = [_dense_log10_norm(trajectory.jacobian(place), exact=view.exact) for place in range(steps)]
        logs = np.stack(every, axis=-1) if every else np.empty((*trajectory.states.shape[:-2], 0))
        return StepNorms(np.asarray(logs[..., order]), rounding)
    logs, errors = np.full(steps, np.nan), np.full(steps, np.nan)
    for first in sorted({order[lag - 1] // JOINT_STEPS * JOINT_STEPS for lag in view.lags if lag <= steps}):
        stretch = slice(first, min(first + JOINT_STEPS, steps))
        logs[stretch], errors[stretch] = _stretch_log10_norms(trajectory, stretch)
    asked = errors[[order[lag - 1] for lag in view.lags if lag <= steps]]
    return StepNorms(logs[order], float(np.nanmax(asked, initial=rounding)))


def _dense_log10_norm(factor: StepFactor, *, exact: bool) -> Array:
    dense = factor.todense()
    # scaled by a power of two to near 1: squares of small entries would be 0, and sums of large ones overflow
    shift = np.frexp(np.abs(dense).max(axis=(-2, -1), keepdims=True))[1]
    near = np.ldexp(dense, -shift)
    norms = np.linalg.norm(near, 2, axis=(-2, -1)) if exact else spectral_norms(near)
    return log10_of(norms, shift[..., 0, 0])


def _stretch_log10_norms(trajectory: Trajectory, stretch: slice) -> tuple[Array, Array]:
    """Return log₁₀ of the norms of a stretch of Jacobians of one draw, and the errors of the norms."""
    factor = trajectory.linearize_steps(stretch.start, stretch.stop)
    each, count = factor.each(), stretch.stop - stretch.start
    tolerance = max(STEP_TOLERANCE, CHAIN_TOLERANCE[factor.dtype.itemsize])
    shape = (factor.size, count)
    chance = STEP_ERROR_CHANCE / trajectory.steps
    leading = leading_singular_values(
        each.matmat, each.rmatmat, shape, factor.dtype, tolerance, allowed_error=MAX_STEP_ERROR, chance=chance
    )
    logs, errors = log10_of(leading.values), leading.errors
    unsettled = (leading.residuals > tolerance) | (leading.errors > MAX_STEP_ERROR)
    for k in np.flatnonzero(unsettled):
        # The Gram matrix of a very large factor takes minutes, so its norm is left out: the column says so.
        if factor.size < MIN_MATRIX_FREE_STATE:
            logs[k] = _dense_log10_norm(factor.at(int(k)), exact=False)
            errors[k] = factor.size * EPS_BY_BYTES[factor.dtype.itemsize]
        else:
            logs[k] = errors[k] = np.nan
    return logs, errors


def retained_log10_norms(retained: Array, view: View) -> dict[str, Array]:
    """Return log₁₀ of the norms of ∏ diag(f): the constant error carousel (Hochreiter & Schmidhuber 1997).

    It approximates the block cc of the product: it leaves out that the gates depend on the state.

    Parameters
    ----------
    retained : array (..., T, H)
        The gate that multiplies the previous state, at every step.
    """
    with np.errstate(divide="ignore"):
        steps = np.log10(retained[..., list(view.order(retained.shape[-2])), :].astype(np.float64))
    logs = np.cumsum(steps, axis=-2)
    high, low = logs.max(axis=-1), logs.min(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.where(np.isinf(high)[..., None], -np.inf, logs - high[..., None])
        fro = high + 0.5 * np.log10(np.sum(10.0 ** (2 * apart), axis=-1))
    cond = np.where(np.isinf(low), np.inf, high - np.where(np.isinf(low), 0.0, low))
    found = {"2": high, "fro": np.where(np.isinf(high), high, fro), "min": low, "cond": cond}
    return {name: found[name] for name in view.norms}


def check_combination(view: View) -> None:
    """Check that the requested norms of the requested blocks can be computed.

    Raises
    ------
    UsageError
        If the smallest singular value of a block is requested: rounding leaves no digit of it, and the blocks
        of the inverse are not the inverses of the blocks.
    """
    lost = {"min", "cond"} & set(view.norms)
    others = set(view.blocks) - {"state", "direct"}
    if lost and others:
        raise UsageError(
            f"norm {sorted(lost)[0]!r} of block {sorted(others)[0]!r}: rounding leaves no digit of its small "
            "singular values after a few steps; expected block state or direct"
        )


def parse_lags(lags: str | Sequence[int], steps: int) -> tuple[int, ...]:
    """Return the requested lags: ``all``, ``log`` (√2 apart), or a list as text or numbers.

    Raises
    ------
    UsageError
        If a lag is not an integer from 1 to ``steps``.

    Examples
    --------
    >>> parse_lags("log", 20), parse_lags("5,10", 20)
    ((1, 2, 3, 4, 6, 8, 11, 16, 20), (5, 10))
    """
    if isinstance(lags, str) and lags == "all":
        return tuple(range(1, steps + 1))
    if isinstance(lags, str) and lags == "log":
        spaced = {round(2 ** (k / 2)) for k in range(2 * steps.bit_length())}
        return tuple(sorted({lag for lag in spaced if lag <= steps} | {steps}))
    try:
        given = [int(lag) if isinstance(lag, str) else index(lag) for lag in _list_lags(lags)]
    except (TypeError, ValueError):
        raise UsageError(f"lags {lags!r}: expected all, log or integers, such as 1,10,100") from None
    wrong = [lag for lag in given if not 1 <= lag <= steps]
    if wrong or not given:
        raise UsageError(
            f"lags {wrong[0] if wrong else 'of an empty list'}: expected 1 to {steps}, the number of steps"
        )
    return tuple(sorted(set(given)))


def _list_lags(lags: str | Sequence[int]) -> Sequence[Any]:
    return lags.split(",") if isinstance(lags, str) else lags
