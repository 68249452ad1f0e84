"""How a one-line message names a file and what stands in it."""

from collections.abc import Iterator
from contextlib import contextmanager

from gradflow.errors import DataError, GradflowError


def shown(text: str, width: int = 60) -> str:
    r"""Return ``text`` quoted, its control characters escaped, cut to ``width`` characters.

    Names and numbers from inside a file reach the screen through here only.

    Examples
    --------
    >>> print(shown("weight\x1b[2J"))
    'weight\x1b[2J'
    >>> shown("w" * 80, width=10)
    "'wwwwwww...'"
    """
    return repr(text if len(text) <= width else text[: width - 3] + "...")


def damaged(what: str) -> DataError:
    """Return the error for a file that contradicts itself or its format.

    Examples
    --------
    >>> damaged("its header ends early")
    DataError('its header ends early; the file is damaged, write it again')
    """
    return DataError(f"{what}; the file is damaged, write it again")


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Put ``name``, the file's, in front of whatever goes wrong inside, unless it stands there already.

    Raises
    ------
    GradflowError
        The same leaf as was raised inside, or `DataError` where the system itself gave up.

    Examples
    --------
    >>> with reading("weights.npz"):
    ...     raise DataError("holds no arrays")
    Traceback (most recent call last):
    gradflow.errors.DataError: weights.npz: holds no arrays
    """
    try:
        yield
    except GradflowError as error:
        if str(error).startswith(f"{name}: "):
            raise
        raise type(error)(f"{name}: {error}") from error
    except MemoryError as error:
        raise DataError(f"{name}: does not fit in this machine's memory; choose a part of it") from error
    except OSError as error:
        raise DataError(f"{name}: could not be read: {error.strerror or error}") from error
