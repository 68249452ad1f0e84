"""Optional packages, imported only when the work that needs them starts."""

from importlib import import_module
from typing import Any

from gradflow.errors import DataError


def import_extra(package: str, work: str, extra: str) -> Any:
    """Import and return ``package``, which ``work`` needs.

    Raises
    ------
    DataError
        If the package is not installed. The message says how to install it, alone or with gradflow's
        ``extra``.

    Examples
    --------
    >>> import_extra("absent", "reading HDF5", "hdf5")
    Traceback (most recent call last):
    gradflow.errors.DataError: reading HDF5 needs absent; run: pip install absent (extra gradflow-rnn[hdf5])
    """
    try:
        return import_module(package)
    except ImportError as error:
        # The package's own name comes first: it works whether gradflow came from an index or a checkout.
        distribution = package.partition(".")[0]
        raise DataError(
            f"{work} needs {package}; run: pip install {distribution} (extra gradflow-rnn[{extra}])"
        ) from error
