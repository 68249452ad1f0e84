"""What happens to gradients on their way back through a recurrent network.

Every public name is resolved on first use (PEP 562), so that ``import gradflow`` costs nothing and a help
text needs no numpy.
"""

# Nothing is imported here, so that Ctrl-C while the program starts meets its own handler, in `__main__`.
TYPE_CHECKING = False  # type checkers take a variable of this name as true

__version__ = "0.1.0"

# The public API: every name here, where it lives, and nothing else. Commands call these very names. Functions
# have a check of their arguments' types in front (`gradflow.argument_types`).
API = {
    "bptt": "gradflow.analysis.bptt.bptt:bptt",
    "compare": "gradflow.analysis.compare.compare:compare",
    "convert": "gradflow.analysis.convert:convert",
    "derive": "gradflow.derivations.derive:derive",
    "figure": "gradflow.render.plots.files:figure",
    "from_state_dict": "gradflow.layouts.checkpoint:from_state_dict",
    "init": "gradflow.analysis.init.init:init",
    "inspect": "gradflow.analysis.inspect.inspect:inspect",
    "load": "gradflow.layouts.checkpoint:load",
    "lyapunov": "gradflow.analysis.lyapunov.lyapunov:lyapunov",
    "power": "gradflow.analysis.power.power:power",
    "random_matrix": "gradflow.linalg.ensembles:random_matrix",
    "read_array": "gradflow.readers.arrays:read_array",
    "read_arrays": "gradflow.readers.arrays:read_arrays",
    "read_matrix": "gradflow.readers.arrays:read_matrix",
    "run": "gradflow.analysis.run:run",
    "theory": "gradflow.analysis.theory.theory:theory",
    "to_text": "gradflow.render.to_text:to_text",
    "Checkpoint": "gradflow.layouts.checkpoint:Checkpoint",
    "Conversion": "gradflow.analysis.convert:Conversion",
    "CreditAssignment": "gradflow.analysis.bptt.record:CreditAssignment",
    "Derivation": "gradflow.derivations.record:Derivation",
    "Flow": "gradflow.analysis.compare.record:Flow",
    "Inspection": "gradflow.analysis.inspect.record:Inspection",
    "Lyapunov": "gradflow.analysis.lyapunov.record:Lyapunov",
    "NetworkStates": "gradflow.analysis.run:NetworkStates",
    "Powers": "gradflow.analysis.power.record:Powers",
    "Theory": "gradflow.analysis.theory.record:Theory",
    "Tuned": "gradflow.analysis.init.record:Tuned",
    "GradflowError": "gradflow.errors:GradflowError",
}

__all__ = ["__version__", *API]

if TYPE_CHECKING:
    from typing import Any

    from gradflow.analysis.bptt.bptt import bptt as bptt
    from gradflow.analysis.bptt.record import CreditAssignment as CreditAssignment
    from gradflow.analysis.compare.compare import compare as compare
    from gradflow.analysis.compare.record import Flow as Flow
    from gradflow.analysis.convert import Conversion as Conversion
    from gradflow.analysis.convert import convert as convert
    from gradflow.analysis.init.init import init as init
    from gradflow.analysis.init.record import Tuned as Tuned
    from gradflow.analysis.inspect.inspect import inspect as inspect
    from gradflow.analysis.inspect.record import Inspection as Inspection
    from gradflow.analysis.lyapunov.lyapunov import lyapunov as lyapunov
    from gradflow.analysis.lyapunov.record import Lyapunov as Lyapunov
    from gradflow.analysis.power.power import power as power
    from gradflow.analysis.power.record import Powers as Powers
    from gradflow.analysis.run import NetworkStates as NetworkStates
    from gradflow.analysis.run import run as run
    from gradflow.analysis.theory.record import Theory as Theory
    from gradflow.analysis.theory.theory import theory as theory
    from gradflow.derivations.derive import derive as derive
    from gradflow.derivations.record import Derivation as Derivation
    from gradflow.errors import GradflowError as GradflowError
    from gradflow.layouts.checkpoint import Checkpoint as Checkpoint
    from gradflow.layouts.checkpoint import from_state_dict as from_state_dict
    from gradflow.layouts.checkpoint import load as load
    from gradflow.linalg.ensembles import random_matrix as random_matrix
    from gradflow.readers.arrays import read_array as read_array
    from gradflow.readers.arrays import read_arrays as read_arrays
    from gradflow.readers.arrays import read_matrix as read_matrix
    from gradflow.render.plots.files import figure as figure
    from gradflow.render.to_text import to_text as to_text


def __getattr__(name: str) -> "Any":
    if name not in API:
        raise AttributeError(f"module 'gradflow' has no attribute {name!r}")
    from gradflow.registry import lookup

    value = lookup(API, name, "name")
    if not isinstance(value, type):
        from gradflow.argument_types import add_type_check

        value = add_type_check(value, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
