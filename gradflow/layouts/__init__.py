"""Named arrays → networks of cells: one file per framework, for each has its own names and order of gates.

A layout is a module with ``claims(arrays, choices)``, which tells by names and shapes which arrays are a
recurrent network in its framework's words, and how to make the cells of them.
"""

from gradflow.tables import Table

LAYOUTS: Table = {
    "torch": "gradflow.layouts.torch",
    "keras": "gradflow.layouts.keras",
    "onnx": "gradflow.layouts.onnx",
    "flax": "gradflow.layouts.flax",
    "equinox": "gradflow.layouts.equinox",
    "haiku": "gradflow.layouts.haiku",
    "tensorflow1": "gradflow.layouts.tensorflow1",
}
