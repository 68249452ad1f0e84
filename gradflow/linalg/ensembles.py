"""Random matrices, one function for each ensemble, with a size, a gain and a generator as arguments.

Except for ``jordan`` the ``gain`` is the standard deviation of the entries times the square root of the size.
So the spectral radius tends to ``gain`` (``ginibre``, ``uniform``, ``orthogonal``) or to twice that
(``symmetric``) as the size grows (circular law: Girko 1984; semicircle: Wigner 1958).
"""

from __future__ import annotations  # an annotation must not load numpy.random

import math
from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import UsageError
from gradflow.linalg import ENSEMBLES
from gradflow.printable import describe_argument
from gradflow.registry import lookup

Matrix = NDArray[np.float64]
LARGEST_SIZE = 10**6  # already 8 TB


def random_matrix(ensemble: str, size: int, *, gain: float = 1.0, seed: int = 0) -> Matrix:
    """Return a random matrix of shape (size, size).

    The ``gain`` is the standard deviation of the entries times √size: as the size grows, the spectral radius
    tends to it (ginibre, uniform) or to twice that (symmetric). For orthogonal it is the gain at every size.

    Parameters
    ----------
    ensemble : str
        A name in ``gradflow.linalg.ENSEMBLES``.
    size : int
        Rows and columns, at least 1.
    gain : float
        Scale, as above. For ``jordan`` it is the eigenvalue itself.
    seed : int
        The same seed gives the same matrix.

    Returns
    -------
    array (size, size) of float64
        The matrix.

    Raises
    ------
    UsageError
        If the ensemble is unknown, the size is no integer from 1, the gain is no finite number, or the seed
        is no integer from 0.

    References
    ----------
    Ginibre 1965; Girko 1984 for the circular law; Wigner 1958 for symmetric matrices; Mezzadri 2007 for
    orthogonal ones.

    Examples
    --------
    >>> import numpy as np
    >>> W = random_matrix("orthogonal", 3, gain=0.9)
    >>> bool(np.allclose(W.T @ W, 0.81 * np.eye(3), atol=1e-14))
    True
    >>> random_matrix("jordan", 2, gain=0.9)
    array([[0.9, 1. ],
           [0. , 0.9]])
    """
    make = lookup(ENSEMBLES, ensemble, "random matrix")
    if not _is_integer(size) or not 1 <= size <= LARGEST_SIZE:
        raise UsageError(f"{describe_argument('size', size)}: expected an integer from 1 to {LARGEST_SIZE}")
    if not _is_integer(seed) or seed < 0:
        raise UsageError(f"{describe_argument('seed', seed)}: expected an integer from 0")
    if not _is_finite(gain):
        raise UsageError(f"{describe_argument('gain', gain)}: expected a finite number")
    matrix: Matrix = make(size, float(gain), np.random.default_rng(seed))
    return matrix


def _is_integer(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # of an integer
        return False


def ginibre(size: int, gain: float, generator: np.random.Generator) -> Matrix:
    """Return a matrix with independent normal entries (Ginibre 1965)."""
    return np.asarray(generator.standard_normal((size, size)) * (gain / np.sqrt(size)))


def uniform(size: int, gain: float, generator: np.random.Generator) -> Matrix:
    """Return a matrix with independent uniform entries; torch's default recurrent weights have gain 1/√3."""
    bound = gain * np.sqrt(3.0 / size)
    return generator.uniform(-bound, bound, (size, size))


def symmetric(size: int, gain: float, generator: np.random.Generator) -> Matrix:
    """Return a symmetric matrix with normal entries (Gaussian orthogonal ensemble)."""
    square = ginibre(size, gain, generator)
    return np.asarray((square + square.T) / np.sqrt(2.0))


def orthogonal(size: int, gain: float, generator: np.random.Generator) -> Matrix:
    """Return ``gain`` times an orthogonal matrix from the Haar measure (Mezzadri 2007)."""
    q, r = np.linalg.qr(generator.standard_normal((size, size)))
    signs = np.where(np.diag(r) < 0, -1.0, 1.0)
    return np.asarray(gain * q * signs, dtype=np.float64)


def jordan(size: int, gain: float, generator: np.random.Generator) -> Matrix:  # noqa: ARG001 - not random
    """Return the Jordan block with the eigenvalue ``gain``, which shows extreme transient growth."""
    return gain * np.eye(size) + np.eye(size, k=1)
