"""Accounting: the arrays of a layer's own module that the layer did not use, and what follows from each.

A layer is read only if every array of its module is accounted for. An array that no layer read can change
the step of the cell if its shape fits the step (H, gH, I, …), as those of normalizations, peepholes and
decays do: then the layer is refused, unless the user says ``unread=ignored``. It cannot if it is a learned
initial state, a counter, or belongs to another layer below the same path, such as a head: then a note names
it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from os.path import commonprefix

from gradflow.cells.base import Array, Cell
from gradflow.layouts.names import NamedArrays, normalize_name, split_path
from gradflow.layouts.network import Levels
from gradflow.readers.messages import quote
from gradflow.readers.stored_array import StoredArray

# The option of --assume by which arrays that can change the step are left out, and its only value.
UNREAD_OPTION = "unread"
UNREAD_IGNORED = "ignored"

MAX_LISTED_UNREAD = 12
# A gated cell has up to this many blocks of H rows in one array: 4 gates, and those of a highway.
MAX_GATE_BLOCKS = 8

# Words in the names of what stands inside a step, even if another word of the name says otherwise.
_STEP_WORDS = {
    *("norm", "ln", "bn", "layernorm", "batchnorm", "groupnorm", "rmsnorm", "gate", "gates", "attn"),
    *("attention", "decay", "peephole", "recurrent", "rec", "hyper", "zoneout", "query", "key"),
}
# Words in the names of layers before or after a recurrent layer.
_OTHER_LAYER_WORDS = {
    *("head", "heads", "fc", "out", "output", "outputs", "dec", "decoder", "decode", "enc", "encoder", "classifier"),
    *("classify", "classification", "cls", "clf", "logit", "logits", "emb", "embed", "embedding", "embeddings"),
    *("embedder", "wte", "readout", "predictor", "predict", "prediction", "pred", "policy", "actor", "critic"),
    *("value", "values", "tag", "tagger", "label", "labels", "vocab", "softmax", "crf", "score", "scores", "scorer"),
    *("regressor", "regression", "conv", "cnn", "feature", "features", "backbone", "generator", "discriminator"),
    *("criterion", "loss"),
}  # fmt: skip
# Names of layers that may be anything: only matrices that fit the step on every side count as inside.
_VAGUE_WORDS = {"linear", "lin", "dense", "mlp", "proj", "projection", "projector", "ff", "ffn", "layer"}
_OTHER_LAYER_PATTERN = re.compile(r"(?:h|hid|hidden|lstm|gru|rnn)_?2_?(?:o|y|out|output|tag|label|logits?)")
_STATE_PATTERN = re.compile(
    r"[hc]_?(?:0|x|init|initial)|(?:hidden|cell)(?:_?state)?_?0?|(?:h|c)_?state|state_?0?|carry|hidden_states?"
)
_STATE_WORDS = {"init", "initial", "initializer", "start"}
# Numbers that programs save beside weights.
_BOOKKEEPING_WORDS = {
    *("epoch", "epochs", "step", "steps", "iter", "iteration", "iterations", "loss", "acc", "accuracy", "lr", "best"),
    *("seed", "version", "metric", "score", "time", "count", "tracked", "rng", "rngs", "perplexity", "ppl", "f1"),
}  # fmt: skip
# Data that programs save beside weights.
_DATA_NAMES = {
    *("x", "y", "t", "input", "inputs", "target", "targets", "label", "labels", "data", "states", "outputs"),
    *("train", "test", "history", "losses", "mean", "std", "x_train", "y_train", "x_test", "y_test"),
}  # fmt: skip


@dataclass(frozen=True)
class UnreadArrays:
    """The arrays of a network's own modules that no network read.

    Attributes
    ----------
    changing : tuple of StoredArray
        Those that can change the step of the cell.
    initial : tuple of StoredArray
        Learned initial states.
    other : tuple of StoredArray
        Counters, and arrays of other layers.
    """

    changing: tuple[StoredArray, ...]
    initial: tuple[StoredArray, ...]
    other: tuple[StoredArray, ...]

    def describe_changing(self, name: str) -> str:
        """Return why a layer is refused, and how to read it all the same."""
        return (
            f"{self._name(name)} has arrays that are not read and can change its step: "
            f"{_list_arrays(self.changing)}; expected a plain cell; `assume` {UNREAD_OPTION}={UNREAD_IGNORED} "
            "reads it without them"
        )

    def describe_ignored(self, name: str) -> str:
        """Return the note about arrays that the user left out."""
        return (
            f"{self._name(name)} is read without arrays that can change its step, because "
            f"{UNREAD_OPTION}={UNREAD_IGNORED}: {_list_arrays(self.changing)}"
        )

    def describe_rest(self, name: str) -> Iterator[str]:
        """Yield the notes about arrays that cannot change the step."""
        if self.initial:
            yield (
                f"{self._name(name)} starts from 0, and not from the initial states that the file has: "
                f"{_list_arrays(self.initial)}"
            )
        if self.other:
            yield (
                f"{self._name(name)} has arrays in its module that are not read, by name and shape no part of "
                f"its step: {_list_arrays(self.other)}"
            )

    @staticmethod
    def _name(name: str) -> str:
        return quote(name) if name else "the network at the root"


def _list_arrays(arrays: Sequence[StoredArray]) -> str:
    listed = ", ".join(f"{quote(array.name)} {array.shape}" for array in arrays[:MAX_LISTED_UNREAD])
    more = len(arrays) - MAX_LISTED_UNREAD
    return f"{listed} and {more} more" if more > 0 else listed


def record_reads(arrays: NamedArrays) -> tuple[dict[str, StoredArray], set[str]]:
    """Return the arrays, and a set that receives the name of each array when it is read.

    Examples
    --------
    >>> import numpy as np
    >>> from gradflow.readers.in_memory import wrap_array
    >>> recorded, names = record_reads({"w": wrap_array(np.eye(1), "w"), "v": wrap_array(np.eye(1), "v")})
    >>> recorded["w"].read_numbers(), names
    (array([[1.]]), {'w'})
    """
    names: set[str] = set()
    recorded = {
        name: replace(array, load=partial(_record_load, array, names)) for name, array in arrays.items()
    }
    return recorded, names


def _record_load(array: StoredArray, names: set[str]) -> Array:
    names.add(array.name)
    return array.load()


def find_unread(
    arrays: NamedArrays, accounted: Set[str], networks: Mapping[int, Levels]
) -> dict[int, UnreadArrays]:
    """Return the arrays that each network leaves unread in its own modules, by the number of the network.

    Parameters
    ----------
    arrays : mapping
        The arrays of the file by name.
    accounted : set of str
        The names of the arrays that networks read, or that are named for another reason.
    networks : mapping
        The levels of each network by its number. The module of a layer is the common path of its arrays.
        Each unread array belongs to the innermost module around it.

    Returns
    -------
    dict
        Networks without such arrays are left out.
    """
    owners: dict[tuple[str, ...], tuple[int, list[Cell]]] = {}
    for number, levels in networks.items():
        for layer in (layer for level in levels for layer in level):
            folders = [_split_name(array.name)[:-1] for array in layer.stored]
            owners.setdefault(tuple(commonprefix(folders)), (number, []))[1].append(layer.cell)
    inside: dict[tuple[str, ...], list[StoredArray]] = {}
    for name, array in arrays.items():
        if name in accounted:
            continue
        elements = _split_name(name)
        for length in range(len(elements) - 1, -1, -1):
            if elements[:length] in owners:
                inside.setdefault(elements[:length], []).append(array)
                break
    found: dict[int, UnreadArrays] = {}
    weights = {_split_name(name): arrays[name].shape for name in accounted if name in arrays}
    for module, members in inside.items():
        number, cells = owners[module]
        sorted_out = _sort_out(module, members, cells, weights)
        before = found.get(number)
        found[number] = sorted_out if before is None else _join(before, sorted_out)
    return found


def _join(one: UnreadArrays, other: UnreadArrays) -> UnreadArrays:
    return UnreadArrays(
        one.changing + other.changing, one.initial + other.initial, one.other + other.other
    )


def _split_name(name: str) -> tuple[str, ...]:
    return tuple(split_path(normalize_name(name)))


def _sort_out(
    module: tuple[str, ...],
    members: Iterable[StoredArray],
    cells: Sequence[Cell],
    weights: Mapping[tuple[str, ...], tuple[int, ...]],
) -> UnreadArrays:
    sizes = _find_step_sizes(cells)
    groups: dict[str, list[StoredArray]] = {}
    for array in members:
        groups.setdefault(_split_name(array.name)[len(module)], []).append(array)
    sorted_out: dict[str, list[StoredArray]] = {"changing": [], "initial": [], "other": []}
    for element, group in groups.items():
        direct = len(_split_name(group[0].name)) == len(module) + 1
        for array in group:
            # A moment or an average of a weight has the shape of the weight, and a name below its name.
            if weights.get(_split_name(array.name)[:-1]) == array.shape:
                sorted_out["other"].append(array)
                continue
            sorted_out[_judge(element, array, group, direct, sizes, cells)].append(array)
    return UnreadArrays(*(tuple(sorted_out[key]) for key in ("changing", "initial", "other")))


def _find_step_sizes(cells: Sequence[Cell]) -> set[int]:
    """Return the numbers of rows and columns that arrays inside the step of a cell can have."""
    sizes: set[int] = set()
    for cell in cells:
        hidden = getattr(cell, "hidden_size", cell.state_size)
        outputs, inputs = cell.output_size, cell.input_size
        sizes |= {inputs, outputs, inputs + hidden, inputs + outputs}
        sizes |= {count * hidden for count in range(1, MAX_GATE_BLOCKS + 1)}
    return sizes


def _judge(
    element: str,
    array: StoredArray,
    group: Sequence[StoredArray],
    direct: bool,
    sizes: Set[int],
    cells: Sequence[Cell],
) -> str:
    """Return what an array is: ``changing`` the step, an ``initial`` state, or ``other``.

    ``element`` is the first element of its name inside the module, and ``group`` has all arrays below it.
    """
    words = _split_words(element)
    last = _split_words(_split_name(array.name)[-1])
    number = all(size == 1 for size in array.shape)
    if _is_text(array) or (number and (array.dtype.startswith(("int", "uint", "bool")) or last & _BOOKKEEPING_WORDS)):
        return "other"
    # Dropout does nothing when training is over; zoneout mixes the states.
    if words & {"rng", "rngs", "seed", "dropout", "drop"} or (direct and element.lower() in _DATA_NAMES):
        return "other"
    fits = _fits(array.shape, sizes)
    if words & _STEP_WORDS:
        return "changing" if number or any(fits) else "other"
    states = {cell.output_size for cell in cells} | {cell.state_size for cell in cells} | {
        getattr(cell, "hidden_size", cell.state_size) for cell in cells
    }  # fmt: skip
    if words & _STATE_WORDS or (
        _STATE_PATTERN.fullmatch(element.lower()) and array.shape[-1:] and array.shape[-1] in states
    ):
        return "initial"
    if words & _OTHER_LAYER_WORDS or _OTHER_LAYER_PATTERN.fullmatch(element.lower()):
        return "other"
    if len(array.shape) > 3:  # A convolution.
        return "other"
    if words & _VAGUE_WORDS and not direct:
        matrices = [one.shape for one in group if len(one.shape) > 1]
        return "changing" if any(all(_fits(shape, sizes)) for shape in matrices) else "other"
    return "changing" if number or any(fits) else "other"


def _fits(shape: tuple[int, ...], sizes: Set[int]) -> list[bool]:
    return [size in sizes for size in shape]


def _is_text(array: StoredArray) -> bool:
    return array.dtype.startswith(("<U", ">U", "|S", "object"))


def _split_words(element: str) -> set[str]:
    """Return the words of a name: ``outputGate_2`` has output and gate.

    Examples
    --------
    >>> sorted(_split_words("outputGate_2")), sorted(_split_words("ln_ih"))
    (['gate', 'output'], ['ih', 'ln'])
    """
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", element)}
