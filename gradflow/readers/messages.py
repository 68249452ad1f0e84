"""One-line error messages about a file and its contents."""

from collections.abc import Iterator
from contextlib import contextmanager

from gradflow.errors import DataError, GradflowError


def quote(text: str, width: int = 60) -> str:
    r"""Return ``text`` cut to ``width`` characters and quoted, with its control characters escaped.

    Every name and number from inside a file passes through this function before it reaches the screen.

    Examples
    --------
    >>> print(quote("weight\x1b[2J"))
    'weight\x1b[2J'
    >>> quote("w" * 80, width=10)
    "'wwwwwww...'"
    """
    return repr(text if len(text) <= width else text[: width - 3] + "...")


def report_damage(what: str) -> DataError:
    """Return the error for a file that contradicts itself or breaks its format.

    Examples
    --------
    >>> report_damage("its header ends early")
    DataError('its header ends early; the file is damaged, write it again')
    """
    return DataError(f"{what}; the file is damaged, write it again")


@contextmanager
def prefix_errors(name: str) -> Iterator[None]:
    """Put ``name`` and a colon in front of every error message from inside, unless it already starts so.

    Raises
    ------
    GradflowError
        An error of the same class as the one from inside; `DataError` for an error of the operating system.

    Examples
    --------
    >>> with prefix_errors("weights.npz"):
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
