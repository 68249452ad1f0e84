"""What can go wrong, each with the exit code that a script sees.

A message is one line: what, which value, what was expected, what to do. The outermost call that knows
the context (the file, the option) puts it in front.
"""


class GradflowError(Exception):
    """Root of every error that gradflow raises on purpose.

    Its leaves are in ``gradflow.errors``: ``UsageError``, the call itself is wrong; ``DataError``, what was
    given cannot be read or used; ``NumericalError``, the numbers asked for cannot be had. The message is one
    line: what, which value, what was expected, what to do.

    Attributes
    ----------
    exit_code : int
        What the command line exits with.

    Examples
    --------
    >>> import gradflow
    >>> for matrix in ("1 2", "1 nan; 0 1"):
    ...     try:
    ...         gradflow.power(matrix)
    ...     except GradflowError as error:
    ...         print(type(error).__name__, error.exit_code)
    UsageError 2
    DataError 1
    >>> {leaf.__name__: leaf.exit_code for leaf in GradflowError.__subclasses__()}
    {'UsageError': 2, 'DataError': 1, 'NumericalError': 1}
    """

    exit_code = 1


class UsageError(GradflowError):
    """The call itself is wrong: an unknown name, a bad value, a matrix that is not square."""

    exit_code = 2


class DataError(GradflowError):
    """The bytes could not be read, or what they hold cannot be used."""


class NumericalError(GradflowError):
    """The data are fine, but the numbers asked for could not be had."""
