"""Packages that only some containers need, imported when a file of that kind is read."""

from importlib import import_module
from typing import Any

from gradflow.errors import DataError


def required(package: str, what: str, extra: str) -> Any:
    """Return ``package``, imported now.

    Raises
    ------
    DataError
        If it is not installed; ``extra`` of gradflow installs it.

    Examples
    --------
    >>> required("absent", "HDF5", "hdf5")
    Traceback (most recent call last):
    gradflow.errors.DataError: reading HDF5 needs absent; install it with: pip install gradflow[hdf5]
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise DataError(
            f"reading {what} needs {package}; install it with: pip install gradflow[{extra}]"
        ) from error
