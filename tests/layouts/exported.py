"""Networks of every form that a cell, a level and a stack can have, and what each framework lacks of them."""

from dataclasses import replace

import numpy as np

from gradflow.cells.spec import parse_cell
from gradflow.layouts.checkpoint import Checkpoint
from gradflow.layouts.network import NetworkLayer, name_layers
from gradflow.readers.in_memory import wrap_array

FEATURES, HIDDEN = 3, 4


def layer(spec, features=FEATURES, hidden=HIDDEN, seed=0, direction="forward", **changes):
    """Return a layer with weights of float64, all of whose arrays are random."""
    draw = np.random.default_rng(seed)
    cell = parse_cell(spec).make(hidden, features, draw)
    cell = cell.with_weights(lambda weights: draw.uniform(-1, 1, weights[0].shape))
    stored = (wrap_array(cell.weight_hh, "weight_hh"),)
    return NetworkLayer(replace(cell, **changes), "torch", stored, direction)


def level(spec, features=FEATURES, other=None, **options):
    """Return a level of two directions, which differ in their weights."""
    return (layer(spec, features, **options), layer(other or spec, features, seed=1, direction="backward"))


NETWORKS = {
    "rnn": [(layer("rnn"),)],
    "relu": [(layer("rnn:activation=relu"),)],
    "lstm": [(layer("lstm"),)],
    "gru": [(layer("gru"),)],
    "reset before": [(layer("gru:reset=before"),)],
    "peepholes": [(layer("lstm:peephole=on"),)],
    "coupled gates": [(layer("lstm:coupled=on"),)],
    "coupled gates and peepholes": [(layer("lstm:coupled=on,peephole=on"),)],
    "no forget gate": [(layer("lstm:forget_gate=off"),)],
    "projection": [(layer("lstm:projection=2"),)],
    "leaky": [(layer("leaky"),)],
    "backward": [(layer("gru", direction="backward"),)],
    "both ways": [level("lstm")],
    "both ways, reset before": [level("gru:reset=before")],
    "both ways, resets differ": [level("gru", other="gru:reset=before")],
    "both ways, kinds differ": [level("gru", other="lstm")],
    "both ways, peepholes in one": [level("lstm:peephole=on", other="lstm")],
    "stack": [(layer("lstm"),), (layer("lstm", HIDDEN, 5, seed=2),), (layer("lstm", 5, 2, seed=3),)],
    "stack of kinds": [(layer("gru"),), (layer("rnn", HIDDEN, seed=2),), (layer("lstm", HIDDEN, seed=3),)],
    "stack both ways": [level("gru"), level("gru", 2 * HIDDEN, seed=2), level("gru", 2 * HIDDEN, seed=4)],
    "hard gates": [(layer("lstm", gate_activation="hard_sigmoid(0.25,0.5)"),)],
    "three activations": [
        (layer("lstm", gate_activation="hard_sigmoid(0.25,0.5)", activation="elu(1.5)",
               output_activation="affine(0.5,0.25)"),),
    ],
    "activations of a gru": [(layer("gru", gate_activation="softsign", activation="leaky_relu(0.125)"),)],
    "erf": [(layer("rnn:activation=erf"),)],
}  # fmt: skip

# What a framework lacks; everything else is written.
LACKING = {
    "torch": {
        "reset before": "a reset gate before",
        "peepholes": "peepholes",
        "coupled gates": "coupled gates",
        "coupled gates and peepholes": "peepholes",
        "no forget gate": "coupled gates",
        "leaky": "no leaky cell",
        "both ways, reset before": "a reset gate before",
        "both ways, resets differ": "a reset gate before",
        "both ways, peepholes in one": "peepholes",
        "hard gates": "activations hard_sigmoid",
        "three activations": "activations hard_sigmoid",
        "activations of a gru": "activations softsign",
        "erf": "activation erf",
    },
    "keras": {
        "peepholes": "peepholes",
        "coupled gates": "coupled gates",
        "coupled gates and peepholes": "peepholes",
        "no forget gate": "no forget gate",
        "projection": "a projection",
        "leaky": "no leaky cell",
        "both ways, peepholes in one": "peepholes",
        "three activations": r"activation elu\(1.5\) of the candidate, but affine\(0.5,0.25\) of c",
    },
    "onnx": {
        "no forget gate": "no forget gate",
        "projection": "a projection",
        "leaky": "no leaky node",
        "erf": "activation erf",
    },
}


def checkpoint(name):
    return Checkpoint("memory", (name_layers("a.net", tuple(NETWORKS[name])),))
