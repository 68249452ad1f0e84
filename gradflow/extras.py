"""Packages that only some work needs, imported when it is done."""

from importlib import import_module
from typing import Any

from gradflow.errors import DataError


def required(package: str, work: str, extra: str) -> Any:
    """Return ``package``, which ``work`` needs, imported now.

    Raises
    ------
    DataError
        If it is not installed; ``extra`` of gradflow installs it.

    Examples
    --------
    >>> required("absent", "reading HDF5", "hdf5")
    Traceback (most recent call last):
    gradflow.errors.DataError: reading HDF5 needs absent; pip install absent brings it (extra gradflow[hdf5])
    """
    try:
        return import_module(package)
    except ImportError as error:
        # its own name, for on the package index gradflow's name is another project's
        raise DataError(
            f"{work} needs {package}; pip install {package.partition('.')[0]} brings it "
            f"(extra gradflow[{extra}])"
        ) from error
