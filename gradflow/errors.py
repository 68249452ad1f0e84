"""What can go wrong, each with the exit code that a script sees.

A message is one line: what, which value, what was expected, what to do. The outermost call that knows
the context (the file, the option) puts it in front.
"""


class GradflowError(Exception):
    """Root of every error that gradflow raises on purpose."""

    exit_code = 1


class UsageError(GradflowError):
    """The call itself is wrong: an unknown name, a bad value, a matrix that is not square."""

    exit_code = 2


class DataError(GradflowError):
    """The bytes could not be read, or what they hold cannot be used."""


class NumericalError(GradflowError):
    """The data are fine, but the numbers asked for could not be had."""
