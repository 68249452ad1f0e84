"""The square matrix of a question, from a literal, a file, standard input or an array."""

from typing import Any

from numpy.typing import ArrayLike, NDArray

from gradflow.analysis.shared.without_effect import refuse_without_effect
from gradflow.errors import UsageError
from gradflow.readers.arrays import read_matrix
from gradflow.readers.in_memory import convert_array


def square_matrix(source: str | ArrayLike, key: str | None = None) -> NDArray[Any]:
    """Return the matrix (n, n) that ``source`` holds or names; ``key`` picks one array of a file.

    Raises
    ------
    UsageError
        If it is not square.
    DataError
        If it cannot be read.

    Examples
    --------
    >>> square_matrix("0 1; 1 1")
    array([[0., 1.],
           [1., 1.]])
    """
    if isinstance(source, str):
        matrix = read_matrix(source, key)
    else:
        refuse_without_effect({"key": key}, "on an array, because it names an array of a file")
        matrix = convert_array(source, "matrix")
    if matrix.shape[0] != matrix.shape[1]:
        raise UsageError(
            f"the matrix is {'×'.join(map(str, matrix.shape))}; expected a square one: pick a square block "
            "with a key, 'NAME[rows, columns]'"
        )
    return matrix
