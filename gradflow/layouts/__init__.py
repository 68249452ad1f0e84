"""Named arrays → networks of cells: one file per framework, for each has its own names and order of gates.

A layout is a module with ``claims(arrays, choices)``, which tells by names and shapes which arrays are a
recurrent network in its framework's words, and how to make the cells of them.
"""

from gradflow.tables import Table

# What a person may say about a layer where its file does not.
ASSUMABLE = ("activation", "gate_activation", "reset", "forget_bias", "residual")

# A layout, and what the names of its recurrent layers contain: one without a trace is not even loaded.
TRACES = {
    "torch": ("weight_hh",),
    "keras": ("recurrent_kernel", "vars"),
    "onnx": ("R",),
    "flax": ("kernel",),
    "equinox": ("weight_hh",),
    "haiku": ("w_h", "linear"),
    "tensorflow1": ("_cell",),
}

# Cells → named arrays: those that fresh weights can be written in.
WRITABLE: Table = {
    "torch": "gradflow.layouts.to_torch:written",
    "keras": "gradflow.layouts.to_keras:written",
}

LAYOUTS: Table = {name: f"gradflow.layouts.{name}" for name in TRACES}
