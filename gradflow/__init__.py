"""What happens to gradients on their way back through a recurrent network.

Every public name is resolved on first use (PEP 562), so that ``import gradflow`` costs nothing and a help
text needs no numpy.
"""

from typing import TYPE_CHECKING, Any

from gradflow.registry import lookup

__version__ = "0.1.0"

# The public API: every name here, where it lives, and nothing else. Commands call these very names.
API = {
    "bptt": "gradflow.analysis.bptt:bptt",
    "compare": "gradflow.analysis.flow:compare",
    "convert": "gradflow.analysis.conversion:convert",
    "derive": "gradflow.analysis.derive:derive",
    "figure": "gradflow.render.plots.files:figure",
    "from_state_dict": "gradflow.layouts.checkpoint:from_state_dict",
    "init": "gradflow.analysis.init:init",
    "inspect": "gradflow.analysis.inspection:inspect",
    "load": "gradflow.layouts.checkpoint:load",
    "lyapunov": "gradflow.analysis.lyapunov:lyapunov",
    "power": "gradflow.analysis.powers:power",
    "random_matrix": "gradflow.linalg.ensembles:random_matrix",
    "read_array": "gradflow.readers.arrays:read_array",
    "read_arrays": "gradflow.readers.arrays:read_arrays",
    "read_matrix": "gradflow.readers.arrays:read_matrix",
    "theory": "gradflow.analysis.theory:theory",
    "to_text": "gradflow.render.to_text:to_text",
    "Checkpoint": "gradflow.layouts.checkpoint:Checkpoint",
    "Conversion": "gradflow.analysis.conversion:Conversion",
    "CreditAssignment": "gradflow.analysis.bptt_record:CreditAssignment",
    "Derivation": "gradflow.analysis.derive_record:Derivation",
    "Flow": "gradflow.analysis.flow_record:Flow",
    "Inspection": "gradflow.analysis.inspection_record:Inspection",
    "Lyapunov": "gradflow.analysis.lyapunov_record:Lyapunov",
    "Powers": "gradflow.analysis.powers_record:Powers",
    "Theory": "gradflow.analysis.theory_record:Theory",
    "Tuned": "gradflow.analysis.init_record:Tuned",
    "GradflowError": "gradflow.errors:GradflowError",
}

__all__ = ["__version__", *API]

if TYPE_CHECKING:
    from gradflow.analysis.bptt import bptt as bptt
    from gradflow.analysis.bptt_record import CreditAssignment as CreditAssignment
    from gradflow.analysis.conversion import Conversion as Conversion
    from gradflow.analysis.conversion import convert as convert
    from gradflow.analysis.derive import derive as derive
    from gradflow.analysis.derive_record import Derivation as Derivation
    from gradflow.analysis.flow import compare as compare
    from gradflow.analysis.flow_record import Flow as Flow
    from gradflow.analysis.init import init as init
    from gradflow.analysis.init_record import Tuned as Tuned
    from gradflow.analysis.inspection import inspect as inspect
    from gradflow.analysis.inspection_record import Inspection as Inspection
    from gradflow.analysis.lyapunov import lyapunov as lyapunov
    from gradflow.analysis.lyapunov_record import Lyapunov as Lyapunov
    from gradflow.analysis.powers import power as power
    from gradflow.analysis.powers_record import Powers as Powers
    from gradflow.analysis.theory import theory as theory
    from gradflow.analysis.theory_record import Theory as Theory
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


def __getattr__(name: str) -> Any:
    if name not in API:
        raise AttributeError(f"module 'gradflow' has no attribute {name!r}")
    value = lookup(API, name, "name")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
