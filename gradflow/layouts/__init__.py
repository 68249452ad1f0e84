"""Named arrays → networks of cells: one file per framework, as each has its own names and order of gates.

A layout is a module with ``find_networks(arrays, assumptions)``. By names and shapes it tells which arrays
form a recurrent network under its framework's names, and how to make cells of them.
"""

from typing import NamedTuple

from gradflow.registry import Registry


class LayoutSigns(NamedTuple):
    """The signs by which arrays may belong to a layout; a layout without a sign is not even loaded.

    Attributes
    ----------
    name_parts : tuple of str
        The name of an array of a recurrent layer contains one of these.
    metadata_key : str
        If arrays have this key in their metadata, then the file itself declares this layout, and no other
        layout is tried. Empty if no file declares it.
    feeds : str
        The module whose ``find_feeds(arrays, paths)`` says what feeds the networks at ``paths``: for each
        path a `Feed` or `UnknownFeed`, or no entry for the model's input. Empty if files do not say it.
    """

    name_parts: tuple[str, ...]
    metadata_key: str = ""
    feeds: str = ""


# One line per layout: the name of its module, and its signs.
LAYOUT_SIGNS = {
    "torch": LayoutSigns(("weight_hh",)),
    "keras": LayoutSigns(("recurrent_kernel", "vars", "_U", "param_"), feeds="gradflow.layouts.keras_feeds"),
    "onnx": LayoutSigns(("R",), metadata_key="op"),
    "flax": LayoutSigns(("kernel",)),
    "equinox": LayoutSigns(("weight_hh",)),
    "haiku": LayoutSigns(("w_h", "linear")),
    "tensorflow1": LayoutSigns(("_cell",)),
}

LAYOUTS: Registry = {name: f"gradflow.layouts.{name}" for name in LAYOUT_SIGNS}

# Cells → named arrays, for the layouts in which fresh weights can be written.
EXPORTERS: Registry = {
    "torch": "gradflow.layouts.to_torch:export_layers",
    "keras": "gradflow.layouts.to_keras:export_layers",
}
