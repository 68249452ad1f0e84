"""Norms of Y_k = A_k ⋯ A_1 Y_0 for many small products at once, without any shortcut."""

import numpy as np

from gradflow.errors import NumericalError
from gradflow.linalg.chain import LARGE, SMALL, Action, Norms, out_of_range
from gradflow.linalg.products import Array
from gradflow.linalg.scaled import log10_of
from gradflow.linalg.singular import gram_values

AT_ONCE = 2**20  # numbers whose Gram matrices are gathered before their eigenvalues are taken


def batch_norms(act: Action, steps: int, start: Array, *, rows: slice | Array = slice(None)) -> Norms:
    """Return the norms of ``rows`` of every product, shape (seeds, steps); one seed each.

    Parameters
    ----------
    act : callable
        ``act(k, block)`` returns A_{k+1} X for blocks X of shape (seeds, n, m).
    steps : int
        How many products.
    start : array (seeds, n, r)
        Y_0.
    rows : slice or index array
        The rows whose norm is meant; the product itself is carried whole.

    Raises
    ------
    NumericalError
        Where an entry leaves the range of a double within one step.

    Examples
    --------
    >>> start = np.stack([np.eye(2), 3 * np.eye(2)])
    >>> batch_norms(lambda k, block: 0.1 * block, 400, start).two[:, -1].round(4).tolist()
    [-400.0, -399.5229]
    """
    block, exponents = start, np.zeros(len(start), np.int64)
    two, frobenius = np.empty((len(start), steps)), np.empty((len(start), steps))
    pending: list[tuple[int, Array, Array]] = []
    for lag in range(steps):
        with np.errstate(over="ignore", invalid="ignore"):  # refused by its name below
            block = act(lag, block)
        whole = np.abs(block).max(axis=(1, 2))
        if not np.isfinite(whole).all():
            raise NumericalError(out_of_range(lag))
        pending.append((lag, block[:, rows], exponents.copy()))
        if len(pending) * block.size >= AT_ONCE or lag + 1 == steps:
            _measure(pending, two, frobenius)
            pending.clear()
        far = (whole > LARGE) | ((whole < SMALL) & (whole > 0))
        if far.any():
            shifts = np.where(far, np.frexp(whole)[1], 0)
            block = np.ldexp(block, -shifts[:, None, None])
            exponents += shifts
    return Norms(two, frobenius, start.shape[1] * float(np.finfo(start.dtype).eps))


def _measure(pending: list[tuple[int, Array, Array]], two: Array, frobenius: Array) -> None:
    """Write down the norms of the blocks that have gathered."""
    blocks = np.stack([block for _, block, _ in pending])
    exponents = np.stack([exponent for _, _, exponent in pending])
    lags = [lag for lag, _, _ in pending]
    # A block may be far smaller than the whole: near 1 its squares neither under- nor overflow.
    shifts = np.frexp(np.abs(blocks).max(axis=(2, 3), initial=0.0))[1]
    blocks, exponents = np.ldexp(blocks, -shifts[..., None, None]), exponents + shifts
    largest = np.sqrt(np.maximum(gram_values(blocks)[..., -1], 0.0))
    # l lag, s seed, i row, j column
    two[:, lags] = log10_of(largest, exponents).T
    frobenius[:, lags] = log10_of(np.sqrt(np.einsum("lsij,lsij->ls", blocks, blocks)), exponents).T
