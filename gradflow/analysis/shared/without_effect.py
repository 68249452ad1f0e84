"""Options without an effect raise an error, so that nobody relies on them."""

from collections.abc import Mapping

from gradflow.errors import UsageError
from gradflow.printable import escape_unprintable

READ_ALREADY = "on a checkpoint that was already read, give it to gradflow.load"


def refuse_without_effect(options: Mapping[str, object], reason: str) -> None:
    """Raise an error for every option that was given (is not None), because it has no effect.

    Parameters
    ----------
    options : mapping
        Maps names of arguments to values.
    reason : str
        Why the options have no effect. The message continues with it.

    Raises
    ------
    UsageError
        If an option is given. The message has its name, its value and the reason.

    Examples
    --------
    >>> refuse_without_effect({"hidden": None, "input_scale": 2.0}, "beside Jacobians")
    Traceback (most recent call last):
        ...
    gradflow.errors.UsageError: input scale 2.0 has no effect beside Jacobians: leave it out
    """
    for name, value in options.items():
        if value is not None:
            shown = f" {escape_unprintable(str(value))}" if isinstance(value, str | int | float) else ""
            raise UsageError(f"{name.replace('_', ' ')}{shown} has no effect {reason}: leave it out")
