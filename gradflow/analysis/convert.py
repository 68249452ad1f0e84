"""The recurrent layers of a checkpoint under torch's names, written to another file."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gradflow.analysis.shared.arguments import READ_ALREADY, refuse_without_effect
from gradflow.analysis.shared.checkpoints import Model, is_model, is_read, open_model, parse_name
from gradflow.analysis.shared.weight_file import WeightFile, WrittenArrays
from gradflow.drawing import DrawnColumn, ItemDrawing
from gradflow.errors import DataError, UsageError
from gradflow.layouts.assumptions import check_assumptions, check_left_open
from gradflow.layouts.checkpoint import Checkpoint, load
from gradflow.layouts.network import Network
from gradflow.layouts.to_torch import TorchModule, build_modules
from gradflow.printable import describe_argument, format_count
from gradflow.readers.messages import quote
from gradflow.record import Record, column, scalar, table
from gradflow.table import Table


@dataclass(frozen=True, eq=False, repr=False)
class Modules(Table):
    """The written modules."""

    module: list[str] = column("its name in the new file; - if the file has only this module")
    constructor: list[str] = column("torch module whose load_state_dict takes its arrays")
    layer: list[str] = column("its name in the old file")
    framework: list[str] = column("framework of its names in the old file")
    parameters: list[int] = column("number of entries in its arrays")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Conversion(Record):
    """Recurrent layers under torch's names.

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
    layout: str | None = None,
    assume: Mapping[str, Any] | None = None,
) -> Conversion:
    """Write the recurrent layers of a checkpoint under torch's names, as .safetensors or .npz.

    ``load_state_dict`` of torch.nn.RNN, LSTM and GRU takes the arrays. The module's name precedes the name of
    each array, unless a single layer was requested. Arrays of float64 stay float64, all others become
    float32. The first of torch's two biases is the whole bias and the second is 0, except inside a GRU's
    reset gate.

    Parameters
    ----------
    source : str, path, Checkpoint, Network, mapping or module
        ``FILE`` or ``FILE::layer``, the result of `load` or `from_state_dict`, a state dict, or a module that
        has a ``state_dict()``.
    target : str or path
        The new file; its suffix sets the format. It is written completely or not at all.
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
        If the file cannot be read or written, or torch has no module for any of its cells.
    UsageError
        If the target has another suffix, or is the source itself.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from gradflow import from_state_dict
    >>> model = from_state_dict({"lstm/kernel": np.ones((3, 8)), "lstm/recurrent_kernel": np.ones((2, 8))})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     convert(model, f"{folder}/new.safetensors").modules.constructor
    ['torch.nn.LSTM(3, 2)']
    """
    file = WeightFile.of(target)
    checkpoint, networks, alone = _choose_networks(source, layout, assume)
    if file.path == Path(os.path.realpath(checkpoint.source)):
        raise UsageError(f"{str(target)!r} is the source file, which would be overwritten; name another file")
    made, remarks = _modules(networks)
    arrays = _name_arrays(made, alone)
    size = file.write(arrays)
    params = {
        "source": os.fspath(source) if isinstance(source, str | Path) else checkpoint.source,
        "target": str(target), "layout": layout, "assume": check_assumptions(assume),
    }  # fmt: skip
    return Conversion(
        params=params,
        notes=(*checkpoint.remarks, *remarks),
        container=file.container,
        size=size,
        conclusion=_conclude(made, target),
        modules=_table(made, alone),
        arrays=WrittenArrays.of(arrays),
    )


Made = list[tuple[Network, TorchModule]]


def _conclude(made: Made, target: str | Path) -> str:
    count = format_count(len(made), "module", "modules")
    parameters = sum(module.parameters for _, module in made)
    return f"{count} of torch with {parameters} parameters: written to {os.fspath(target)}."


def _choose_networks(
    source: str | Path | Model, layout: str | None, assume: Mapping[str, Any] | None
) -> tuple[Checkpoint, list[Network], bool]:
    """Return the checkpoint, the networks to convert, and whether a single one was named."""
    if is_model(source):
        if is_read(source):
            refuse_without_effect({"layout": layout, "assume": assume or None}, READ_ALREADY)
        checkpoint = open_model(source, layout, assume)
        if not is_read(source):
            check_left_open(assume, checkpoint.left_open, checkpoint.source)
        return checkpoint, list(checkpoint.networks), isinstance(source, Network)
    if not isinstance(source, str | os.PathLike):
        raise UsageError(
            f"{describe_argument('source', source)}: expected a file, a state dict, or a module that has one"
        )
    name = parse_name(os.fspath(source))
    checkpoint = load(name.file, layout=layout, assume={**(assume or {}), **name.assume})
    if name.layer:
        return checkpoint, [checkpoint[name.layer]], True
    return checkpoint, list(checkpoint.networks), False


def _modules(networks: list[Network]) -> tuple[Made, list[str]]:
    made: Made = []
    remarks = []
    for network in networks:
        try:
            made += [(network, module) for module in build_modules(network)]
        except DataError as error:
            remarks.append(f"left out: {error}.")
    remarks += [
        f"{module.path}: runs backward; give the torch module its inputs in reverse order."
        for _, module in made
        if module.backward
    ]
    written = dict.fromkeys(network for network, _ in made)
    remarks += [
        f"{layer.name}: {layer.describe_assumed()}"
        for network in written
        for layer in network.layers
        if layer.describe_assumed()
    ]
    if not made:
        raise DataError(f"nothing to write: {' '.join(remarks)} torch has no module for these cells")
    return made, remarks


def _name_arrays(made: Made, alone: bool) -> dict[str, np.ndarray[Any, Any]]:
    """Return all arrays by their names in the new file, with their types."""
    found: dict[str, np.ndarray[Any, Any]] = {}
    for network, module in made:
        prefix = "" if alone and len(made) == 1 else f"{_path(module)}."
        wide = any(array.dtype == "float64" for layer in network.layers for array in layer.stored)
        for name, array in module.arrays.items():
            with np.errstate(over="ignore"):  # reported by name below
                narrowed = array if wide else array.astype(np.float32)
            if not np.isfinite(narrowed).all():
                raise DataError(f"{quote(prefix + name)} does not fit into float32; expected smaller weights")
            if prefix + name in found:
                raise DataError(
                    f"two layers would have the same name {quote(_path(module))}; convert them one by one, "
                    "as FILE::LAYER"
                )
            found[prefix + name] = narrowed
    return found


def _path(module: TorchModule) -> str:
    return module.path.replace("/", ".")


def _table(made: Made, alone: bool) -> Modules:
    return Modules(
        module=["-" if alone and len(made) == 1 else _path(module) for _, module in made],
        constructor=[module.constructor for _, module in made],
        layer=[network.name for network, _ in made],
        framework=[network.layers[0].framework for network, _ in made],
        parameters=[module.parameters for _, module in made],
    )
