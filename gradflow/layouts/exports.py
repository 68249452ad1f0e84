"""Networks under a framework's own names, ready to be written. A module ``to_*`` has a `WeightExporter`."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gradflow.cells import name_cell
from gradflow.cells.activations import ACTIVATION_FAMILIES, parse_activation
from gradflow.cells.base import Array, Layer
from gradflow.layouts.network import Network, NetworkLayer


class ExportedModule(NamedTuple):
    """A torch module, a Keras layer or an ONNX node with its arrays.

    Attributes
    ----------
    path : str
        Its name.
    constructor : str
        The Python expression that makes it in the framework.
    arrays : dict of str to array
        Its weights by their names inside it, in the framework's order.
    layers : tuple of NetworkLayer
        The layers that it computes.
    remarks : tuple of str
        What else the user has to know or do. Sentences.
    separator : str
        What stands between the path and the name of an array.
    drops_path : bool
        Whether the framework takes the arrays of a single module under their names inside it.
    """

    path: str
    constructor: str
    arrays: dict[str, Array]
    layers: tuple[NetworkLayer, ...]
    remarks: tuple[str, ...] = ()
    separator: str = "/"
    drops_path: bool = False

    @property
    def parameters(self) -> int:
        """The number of entries in its arrays."""
        return sum(array.size for array in self.arrays.values())


class WeightExporter(NamedTuple):
    """A framework whose names and order of gates can be written.

    Attributes
    ----------
    title : str
        The framework in sentences.
    nouns : tuple of str
        What it calls a module, in the singular and in the plural.
    build_modules : callable
        Returns a network as modules. Raises `DataError` if the framework has no such cell.
    kind_names : mapping of str to str
        The framework's names of cells, where they are not gradflow's.
    """

    title: str
    nouns: tuple[str, str]
    build_modules: Callable[[Network], list[ExportedModule]]
    kind_names: Mapping[str, str] = {}


def export_cells(exporter: WeightExporter, cells: Sequence[Layer]) -> list[ExportedModule]:
    """Return a stack of cells of one kind, from the lowest to the highest, as modules named after the kind.

    Raises
    ------
    DataError
        If the framework has no such cell.
    """
    kind = name_cell(cells[0])
    levels = tuple((NetworkLayer(cell, "", (), name=kind),) for cell in cells)
    return exporter.build_modules(Network(exporter.kind_names.get(kind, kind), levels))


def split_activation(name: str) -> tuple[str, tuple[float, ...]]:
    """Return the name of an activation without its parameters, and the parameters.

    Examples
    --------
    >>> split_activation("hard_sigmoid"), split_activation("elu(2)"), split_activation("tanh")
    (('hard_sigmoid', (0.2, 0.5)), ('elu', (2.0,)), ('tanh', ()))
    """
    parse_activation(name)
    family, bracket, inside = name.partition("(")
    if bracket:
        return family, tuple(float(part) for part in inside.removesuffix(")").split(","))
    return family, ACTIVATION_FAMILIES[family][1] if family in ACTIVATION_FAMILIES else ()


def write_call(function: str, *arguments: object, **options: object) -> str:
    """Return the Python expression of a call; `Expression` values are written as they are.

    Examples
    --------
    >>> write_call("torch.nn.RNN", 3, 4, nonlinearity="relu")
    "torch.nn.RNN(3, 4, nonlinearity='relu')"
    """
    written = [repr(argument) for argument in arguments]
    written += [f"{name}={value!r}" for name, value in options.items()]
    return f"{function}({', '.join(written)})"


class Expression(str):
    """Python code, which is its own ``repr``."""

    __slots__ = ()

    __repr__ = str.__str__
