"""Parameters and calls in messages: in Python as Python has them, on the command line as flags and commands.

A message has a parameter between backticks, alone or with a value: ```key```, ```pair_map=True```,
```key='W[0]'```; and a call of a public function too: ```gradflow.derive('all')```. The flags come from the
signature of the command, so there is no second list of them.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

_PARAMETER = re.compile(r"`(\w+)(?:=([^`]*))?`")
_CALL = re.compile(r"`gradflow\.(\w+)\('([^'`]*)'\)`")
_SWITCH_VALUES = ("True", "False")


def list_flags(command: Callable[..., Any]) -> dict[str, tuple[str, ...]]:
    """Return the flags of each parameter of a command, those for True before those for False.

    Examples
    --------
    >>> from gradflow.cli.theory import theory
    >>> list_flags(theory)["measure"], list_flags(theory)["fail_on"]
    (('--measure', '--no-measure'), ('--fail-on',))
    """
    flags: dict[str, tuple[str, ...]] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        # in an annotation typer takes the first of the words for the default, until it reads the signature
        words = [
            word
            for option in get_args(parameter.annotation)[1:]
            for word in (getattr(option, "default", None), *(getattr(option, "param_decls", None) or ()))
        ]
        long = [flag for word in words if isinstance(word, str) for flag in word.split("/")]
        flags[name] = tuple(flag for flag in long if flag.startswith("--"))
    return flags


def name_flags(message: str, flags: Mapping[str, tuple[str, ...]]) -> str:
    """Return a message with the parameters between backticks as flags, and the calls as commands.

    Examples
    --------
    >>> flags = {"pair_map": ("--map",), "key": ("--key",), "measure": ("--measure", "--no-measure")}
    >>> name_flags("add `pair_map=True`, choose `key='W[0]'` or give `measure=False`", flags)
    "add --map, choose --key 'W[0]' or give --no-measure"
    >>> name_flags("`other=3` is no option here", flags)
    '`other=3` is no option here'
    >>> name_flags("To derive all: `gradflow.derive('all')`.", flags)
    'To derive all: gradflow derive all.'
    """

    def name_flag(found: re.Match[str]) -> str:
        name, value = found.groups()
        if not flags.get(name):
            return found[0]
        if value in _SWITCH_VALUES:
            return flags[name][-1 if value == "False" else 0]
        return flags[name][0] if value is None else f"{flags[name][0]} {value}"

    return _CALL.sub(r"gradflow \1 \2", _PARAMETER.sub(name_flag, message))
