"""The recurrent layers of a checkpoint under another framework's names, written to another file."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gradflow.analysis.shared.checkpoints import Model, open_source
from gradflow.analysis.shared.weight_file import WeightFile, WrittenArrays, choose_written_layout
from gradflow.drawing import DrawnColumn, ItemDrawing
from gradflow.errors import DataError, UsageError
from gradflow.layouts import EXPORTERS
from gradflow.layouts.assumptions import check_assumptions
from gradflow.layouts.exports import ExportedModule, WeightExporter
from gradflow.layouts.network import Network
from gradflow.printable import format_count
from gradflow.readers.messages import quote
from gradflow.record import Record, column, scalar, table
from gradflow.registry import lookup
from gradflow.table import Table


@dataclass(frozen=True, eq=False, repr=False)
class Modules(Table):
    """The written modules."""

    module: list[str] = column("its name in the new file; - if the file has only this module")
    constructor: list[str] = column(
        "Python expression of what takes its arrays: a torch module, a Keras layer or an ONNX node"
    )
    layer: list[str] = column("its name in the old file")
    framework: list[str] = column("framework of its names in the old file")
    parameters: list[int] = column("number of entries in its arrays")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Conversion(Record):
    """Recurrent layers under the names of torch, Keras or ONNX.

    ``modules`` is the main table. ``notes`` say what was left out, and why.

    See Also
    --------
    gradflow.convert : Writes the file, and returns it.
    gradflow.load : Reads the file again.

    Examples
    --------
    torch's LSTM of 3 features and 2 units has two matrices and two biases, 4·2·(3 + 2 + 1 + 1) numbers:

    >>> import tempfile
    >>> import numpy as np
    >>> import gradflow
    >>> keras = {"lstm/kernel": np.ones((3, 8)), "lstm/recurrent_kernel": np.ones((2, 8))}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = gradflow.convert(gradflow.from_state_dict(keras), f"{folder}/new.npz")
    >>> found.modules.parameters, found.arrays.shape
    ([56], ['8×3', '8×2', '8', '8'])
    """

    command: ClassVar[str] = "convert"

    container: str = scalar("format of the new file")
    size: int = scalar("size of the new file", unit="byte")
    conclusion: str = scalar("the result in words", prose=True)

    modules: Modules = table(
        "the written modules", drawn=[ItemDrawing(("module",), (DrawnColumn("parameters"),))]
    )
    arrays: WrittenArrays = table("the arrays of these modules")


def convert(
    source: str | Path | Model,
    target: str | Path,
    *,
    to: str | None = None,
    layout: str | None = None,
    assume: Mapping[str, Any] | None = None,
) -> Conversion:
    """Write the recurrent layers of a checkpoint under the names of torch, Keras or ONNX.

    - torch: ``load_state_dict`` of torch.nn.RNN, LSTM and GRU takes the arrays. The module's name precedes
      the name of each array, unless a single layer was requested. The first of torch's two biases is the
      whole bias and the second is 0, except inside a GRU's reset gate.
    - keras: ``load_weights`` of a model of these layers takes a .weights.h5 file. In the other containers the
      arrays of a layer are in the order of ``set_weights``, under the paths of Keras 3's variables.
    - onnx: the inputs W, R, B and P of a node. The attributes of the node are part of ``constructor``.

    Arrays of float64 stay float64, all others become float32.

    Parameters
    ----------
    source : str, path, Checkpoint, Network, mapping or module
        ``FILE`` or ``FILE::layer``, the result of `load` or `from_state_dict`, a state dict, or a module that
        has a ``state_dict()``.
    target : str or path
        The new file, .safetensors, .npz or .weights.h5. It is written completely or not at all.
    to : str, optional
        Names and order of the arrays: ``torch``, ``keras`` or ``onnx``. Default: torch, or keras for
        .weights.h5.
    layout : str, optional
        As for `load`.
    assume : mapping, optional
        As for `load`.

    Returns
    -------
    Conversion
        The tables ``modules`` and ``arrays``, and ``notes`` about layers that could not be converted.

    Raises
    ------
    DataError
        If the file cannot be read or written, or the framework has no module for any of its cells.
    UsageError
        If the target has another suffix, takes other names, or is the source itself.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from gradflow import from_state_dict
    >>> model = from_state_dict({"lstm/kernel": np.ones((3, 8)), "lstm/recurrent_kernel": np.ones((2, 8))})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     convert(model, f"{folder}/new.safetensors").modules.constructor
    ['torch.nn.LSTM(3, 2)']
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     convert(model, f"{folder}/new.npz", to="keras").arrays.name[0]
    'lstm/lstm_cell/kernel'
    """
    file = WeightFile.of(target)
    to = choose_written_layout("framework to write", to, target)
    exporter: WeightExporter = lookup(EXPORTERS, to, "framework to write")
    checkpoint, layer, alone = open_source(source, layout, assume)
    networks = [checkpoint[layer]] if layer else list(checkpoint.networks)
    if file.path == Path(os.path.realpath(checkpoint.source)):
        raise UsageError(f"{str(target)!r} is the source file, which would be overwritten; name another file")
    made, remarks = _build_modules(exporter, networks)
    arrays = _name_arrays(made, alone)
    size = file.write(arrays)
    params = {
        "source": os.fspath(source) if isinstance(source, str | Path) else checkpoint.source,
        "target": str(target), "to": to, "layout": layout, "assume": check_assumptions(assume),
    }  # fmt: skip
    return Conversion(
        params=params,
        notes=(*checkpoint.remarks, *remarks),
        container=file.container,
        size=size,
        conclusion=_conclude(exporter, made, target),
        modules=_table(made, alone),
        arrays=WrittenArrays.of(arrays),
    )


BuiltModules = list[tuple[Network, ExportedModule]]


def _conclude(exporter: WeightExporter, made: BuiltModules, target: str | Path) -> str:
    count = format_count(len(made), *exporter.nouns)
    parameters = sum(module.parameters for _, module in made)
    return f"{count} of {exporter.title} with {parameters} parameters: written to {os.fspath(target)}."


def _build_modules(exporter: WeightExporter, networks: list[Network]) -> tuple[BuiltModules, list[str]]:
    made: BuiltModules = []
    remarks = []
    for network in networks:
        try:
            made += [(network, module) for module in exporter.build_modules(network)]
        except DataError as error:
            remarks.append(f"left out: {error}.")
    remarks += [remark for _, module in made for remark in module.remarks]
    remarks += [
        f"{layer.name}: {layer.describe_assumed()}"
        for network in dict.fromkeys(network for network, _ in made)
        for layer in network.layers
        if layer.describe_assumed()
    ]
    if not made:
        raise DataError(
            f"nothing to write: {' '.join(remarks)} {exporter.title} has no {exporter.nouns[0]} for these "
            "cells"
        )
    return made, remarks


def _name_arrays(made: BuiltModules, alone: bool) -> dict[str, np.ndarray[Any, Any]]:
    """Return all arrays by their names in the new file, with their types."""
    found: dict[str, np.ndarray[Any, Any]] = {}
    for _, module in made:
        prefix = "" if _drops_path(made, alone) else f"{module.path}{module.separator}"
        wide = any(array.dtype == "float64" for layer in module.layers for array in layer.stored)
        for name, array in module.arrays.items():
            with np.errstate(over="ignore"):  # reported by name below
                narrowed = array if wide else array.astype(np.float32)
            if not np.isfinite(narrowed).all():
                raise DataError(f"{quote(prefix + name)} does not fit into float32; expected smaller weights")
            if prefix + name in found:
                raise DataError(
                    f"two layers would have the same name {quote(module.path)}; convert them one by one, "
                    "as FILE::LAYER"
                )
            found[prefix + name] = narrowed
    return found


def _drops_path(made: BuiltModules, alone: bool) -> bool:
    """Return whether the file has a single module, whose arrays have their names inside the module."""
    return alone and len(made) == 1 and made[0][1].drops_path


def _table(made: BuiltModules, alone: bool) -> Modules:
    return Modules(
        module=["-" if _drops_path(made, alone) else module.path for _, module in made],
        constructor=[module.constructor for _, module in made],
        layer=[network.name for network, _ in made],
        framework=[module.layers[0].framework for _, module in made],
        parameters=[module.parameters for _, module in made],
    )
