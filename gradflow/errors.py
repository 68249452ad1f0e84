"""The errors that gradflow raises, each with the exit code that a script sees.

A message is one line. It says what is wrong, which value, what was expected and what to do. The outermost
call that knows the context (the file, the option) puts it in front of the message.
"""


class GradflowError(Exception):
    """Root of every error that gradflow raises on purpose.

    ``gradflow.errors`` holds its subclasses. ``UsageError``: the call itself is wrong. ``DataError``: the
    input cannot be read or used. ``NumericalError``: the requested numbers cannot be computed. The message
    is one line. It says what is wrong, which value, what was expected and what to do.

    Attributes
    ----------
    exit_code : int
        The exit code of the command line.

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
    """The call itself is wrong: for example an unknown name, a bad value or a matrix that is not square."""

    exit_code = 2


class DataError(GradflowError):
    """The input cannot be read, or its contents cannot be used."""


class NumericalError(GradflowError):
    """The input is valid, but the requested numbers cannot be computed."""
