"""Options that change nothing beside others: refused, so that nobody believes they did something."""

from collections.abc import Mapping

from gradflow.errors import UsageError
from gradflow.printable import escape_unprintable

READ_ALREADY = "on a checkpoint that is read already: it is for gradflow.load"


def refuse_without_effect(options: Mapping[str, object], reason: str) -> None:
    """Refuse every option that was given (is not None) where it changes nothing.

    Parameters
    ----------
    options : mapping
        What was given, by the name of its argument.
    reason : str
        Beside what the options have no effect, and why.

    Raises
    ------
    UsageError
        With the first such option, its value and the reason.

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
