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
from typing import NamedTuple

from gradflow.cells.base import Array, Cell
from gradflow.layouts.names import NamedArrays, normalize_name, split_path
from gradflow.layouts.network import Levels
from gradflow.readers.messages import quote
from gradflow.readers.stored_array import StoredArray

# The assumption by which arrays that can change the step are left out, and its only value.
UNREAD_OPTION = "unread"
UNREAD_IGNORED = "ignored"

MAX_LISTED_UNREAD = 12
# A gated cell has up to this many blocks of H rows in one array: 4 gates, and those of a highway.
MAX_GATE_BLOCKS = 8

# Words in the names of what stands inside a step, even if another word of the name says otherwise.
_STEP_WORD_PATTERN = re.compile(
    "norm|ln|bn|(?:layer|batch|group|rms)norm|gates?|attn|attention|decay|peepholes?|rec|recurrent|hyper|zoneout"
    "|query|key"
)
# Words in the names of layers before or after a recurrent layer.
_OTHER_WORD_PATTERN = re.compile(
    "heads?|fc|out|outputs?|dec|decoders?|decode|enc|encoders?|classifiers?|classify|classification|cls|clf"
    "|logits?|emb|embed|embeddings?|embedder|wte|readout|predictor|predict|prediction|pred|policy|actor|critic"
    "|tag|tagger|labels?|vocab|softmax|crf|scores?|scorer|regressor|regression|conv|cnn|features?"
    "|backbone|generator|discriminator|criterion|loss"
)
_OUTPUT_WORD_PATTERN = re.compile("out|outputs?")
# Words in the names of layers that may be anything: only matrices that fit the step on all sides are inside.
_VAGUE_WORD_PATTERN = re.compile("linear|lin|dense|mlp|proj|projection|projector|ff|ffn|layer")
_OTHER_LAYER_PATTERN = re.compile("(?:h|hid|hidden|lstm|gru|rnn)_?2_?(?:o|y|out|output|tag|label|logits?)")
_STATE_PATTERN = re.compile(
    "[hc]_?(?:0|x|init|initial)|(?:hidden|cell)(?:_?state)?_?0?|[hc]_?state|state_?0?|carry|hidden_states"
)
_STATE_WORD_PATTERN = re.compile("init|initial|initializer|start")
# Words in the names of numbers that programs save beside weights.
_BOOKKEEPING_WORD_PATTERN = re.compile(
    "epochs?|steps?|iter|iterations?|loss|acc|accuracy|lr|best|seed|version|metric|scores?|tracked"
    "|perplexity|ppl"
)
# Names of recurrent modules, and of recurrent weights or of layers that hold them.
_RECURRENT_MODULE_PATTERN = re.compile(
    "(?:.*(?:lstm|gru|rnn|sru|mgu)(?:_?(?:cell|layers?|stack|lst))?|(?:.*_)?cell)[_0-9]*"
)
_RECURRENT_WEIGHT_PATTERN = re.compile(
    "h2h|hh|hidden2hidden|recurrent_.+|.+_recurrent|[UR]_?[ifgoczrhn]|W_?h[ifgoczrhn]|W_rec"
)
# Names of data that programs save beside weights, and words in the names of what evaluation does not use.
_DATA_PATTERN = re.compile(
    "[xyt]|inputs?|targets?|labels?|data|states|outputs|train|test|history|losses|[xy]_(?:train|test)"
)
_TRAINING_WORD_PATTERN = re.compile("rngs?|seed|dropout|drop")


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

    @property
    def names(self) -> set[str]:
        """The names of all of them."""
        return {array.name for array in (*self.changing, *self.initial, *self.other)}

    def describe_changing(self, name: str) -> str:
        """Return why a layer is refused, and how to read it all the same."""
        return (
            f"{self._name(name)} has arrays that are not read and can change its step: "
            f"{_list_arrays(self.changing)}; expected a plain cell; `assume` "
            f"{UNREAD_OPTION}={UNREAD_IGNORED} reads it without them"
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
                f"{self._name(name)} has arrays in its module that are not read, by name and shape no part "
                f"of its step: {_list_arrays(self.other)}"
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
    arrays: NamedArrays,
    accounted: Set[str],
    networks: Mapping[int, Levels],
    inner_modules: Mapping[int, Sequence[str]],
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
    inner_modules : mapping
        For each network the names of modules inside a layer's module that hold its arrays.

    Returns
    -------
    dict
        Networks without such arrays are left out.
    """
    owners: dict[tuple[str, ...], tuple[int, list[Cell]]] = {}
    for number, levels in networks.items():
        for layer in (layer for level in levels for layer in level):
            module = tuple(commonprefix([_split_name(array.name)[:-1] for array in layer.stored]))
            module = module[:-1] if module and module[-1] in inner_modules[number] else module
            owners.setdefault(module, (number, []))[1].append(layer.cell)
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
        sorted_out = _sort_out(module, members, _find_step_shape(cells), weights)
        before = found.get(number)
        found[number] = sorted_out if before is None else _join(before, sorted_out)
    return found


def _join(one: UnreadArrays, other: UnreadArrays) -> UnreadArrays:
    return UnreadArrays(one.changing + other.changing, one.initial + other.initial, one.other + other.other)


def _split_name(name: str) -> tuple[str, ...]:
    return tuple(split_path(normalize_name(name)))


class _StepShape(NamedTuple):
    """The numbers of rows and columns that arrays inside a step can have, and those of its states."""

    sizes: Set[int]
    states: Set[int]

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return whether an array can take part: one side fits, or it is one number."""
        return all(size == 1 for size in shape) or any(size in self.sizes for size in shape)

    def fits_everywhere(self, shape: tuple[int, ...]) -> bool:
        """Return whether all sides fit."""
        return all(size in self.sizes for size in shape)


def describe_unclaimed(arrays: NamedArrays, claimed: Set[str]) -> Iterator[str]:
    """Yield a note for each module that is recurrent by its name, but whose arrays no layout knows.

    Parameters
    ----------
    arrays : mapping
        The arrays of the file by name.
    claimed : set of str
        The names of the arrays that belong to layers, whether these were read or refused, and of those in
        their modules. A module that contains such an array is not noted.

    Examples
    --------
    >>> import numpy as np
    >>> from gradflow.readers.in_memory import wrap_array
    >>> names = ("sru.weight_c", "rnn.fc.bias", "rnn.lstm.weight_hh")
    >>> arrays = {name: wrap_array(np.ones(2), name) for name in names}
    >>> list(describe_unclaimed(arrays, {"rnn.lstm.weight_hh"}))
    ["left out: 'sru' is recurrent by its name, but no known layer has these: 'sru.weight_c' (2,)"]
    """
    around = {
        path[:length] for path in map(_split_name, claimed) for length in range(len(path) + 1)
    }  # the modules around claimed arrays
    modules: dict[tuple[str, ...], list[StoredArray]] = {}
    for name, array in arrays.items():
        path = _split_name(name)
        module = _find_recurrent_module(path)
        if name not in claimed and module is not None and module not in around:
            modules.setdefault(module, []).append(array)
    for module, members in modules.items():
        yield (
            f"left out: {quote('.'.join(module)) if module else 'the module at the root'} is recurrent by "
            f"its name, but no known layer has these: {_list_arrays(members)}"
        )


def _find_recurrent_module(path: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the path of the outermost module that is recurrent by its name or by that of an array."""
    for k, element in enumerate(path):
        if k < len(path) - 1 and _RECURRENT_MODULE_PATTERN.fullmatch(element.lower()):
            return path[: k + 1]
        if _RECURRENT_WEIGHT_PATTERN.fullmatch(element):
            return path[:k]
    return None


def _find_step_shape(cells: Sequence[Cell]) -> _StepShape:
    sizes: set[int] = set()
    states: set[int] = set()
    for cell in cells:
        hidden = getattr(cell, "hidden_size", cell.state_size)
        outputs, inputs = cell.output_size, cell.input_size
        sizes |= {inputs, outputs, inputs + hidden, inputs + outputs}
        sizes |= {count * hidden for count in range(1, MAX_GATE_BLOCKS + 1)}
        states |= {hidden, outputs, cell.state_size}
    return _StepShape(sizes, states)


def _sort_out(
    module: tuple[str, ...],
    members: Iterable[StoredArray],
    step: _StepShape,
    weights: Mapping[tuple[str, ...], tuple[int, ...]],
) -> UnreadArrays:
    """Return what each array of a module is. ``weights`` has the shapes of the arrays that were read."""
    groups: dict[str, list[StoredArray]] = {}
    for array in members:
        groups.setdefault(_split_name(array.name)[len(module)], []).append(array)
    sorted_out: dict[str, list[StoredArray]] = {"changing": [], "initial": [], "other": []}
    for element, group in groups.items():
        for array in group:
            path = _split_name(array.name)
            # A moment or an average of a weight has the shape of the weight, and a name below its name.
            if weights.get(path[:-1]) == array.shape or _is_bookkeeping(array, path[-1]):
                sorted_out["other"].append(array)
            elif len(path) == len(module) + 1:
                sorted_out[_judge_direct(element, array.shape, step)].append(array)
            else:
                sorted_out[_judge_inner(element, array.shape, group, step)].append(array)
    return UnreadArrays(*(tuple(sorted_out[key]) for key in ("changing", "initial", "other")))


def _is_bookkeeping(array: StoredArray, leaf: str) -> bool:
    """Return whether an array is text, a counter, or a number such as that of the epoch."""
    if array.dtype.startswith(("<U", ">U", "|S", "object")):
        return True
    whole = array.dtype.startswith(("int", "uint", "bool"))
    number = all(size == 1 for size in array.shape)
    return number and (whole or _has_word(leaf, _BOOKKEEPING_WORD_PATTERN))


def _judge_direct(name: str, shape: tuple[int, ...], step: _StepShape) -> str:
    """Return what an array of the module itself is: ``changing``, ``initial`` or ``other``."""
    if _DATA_PATTERN.fullmatch(name.lower()):
        return "other"
    judgement = _judge_name(name, shape, step)
    # What leads to an output of its own has a side of its own; a gain of the cell's output fits on all sides.
    about_output = _has_word(name, _OUTPUT_WORD_PATTERN) or _OTHER_LAYER_PATTERN.fullmatch(name.lower())
    if judgement == "other" and shape and about_output and step.fits_everywhere(shape):
        return "changing"
    return judgement or ("changing" if step.fits(shape) else "other")


def _judge_inner(name: str, shape: tuple[int, ...], group: Sequence[StoredArray], step: _StepShape) -> str:
    """Return the same of an array in a module inside it; ``group`` has all arrays of the inner module."""
    judgement = _judge_name(name, shape, step)
    if judgement:
        return judgement
    if len(shape) > 3:  # a convolution
        return "other"
    if _has_word(name, _VAGUE_WORD_PATTERN):
        matrices = [array.shape for array in group if len(array.shape) > 1]
        return "changing" if any(step.fits_everywhere(matrix) for matrix in matrices) else "other"
    return "changing" if step.fits(shape) else "other"


def _judge_name(name: str, shape: tuple[int, ...], step: _StepShape) -> str:
    """Return what an array is by the first element of its name in the module; empty if that does not tell."""
    if _has_word(name, _TRAINING_WORD_PATTERN):
        return "other"
    if _has_word(name, _STEP_WORD_PATTERN):
        return "changing" if step.fits(shape) else "other"
    is_state = shape != () and shape[-1] in step.states and _STATE_PATTERN.fullmatch(name.lower())
    if is_state or _has_word(name, _STATE_WORD_PATTERN):
        return "initial"
    if _has_word(name, _OTHER_WORD_PATTERN) or _OTHER_LAYER_PATTERN.fullmatch(name.lower()):
        return "other"
    return ""


def _has_word(name: str, pattern: re.Pattern[str]) -> bool:
    return any(pattern.fullmatch(word) for word in split_words(name))


def split_words(name: str) -> list[str]:
    """Return the words of an element of a name in lower case, without numbers.

    Examples
    --------
    >>> split_words("outputGate_2"), split_words("ln_ih")
    (['output', 'gate'], ['ln', 'ih'])
    """
    return [word.lower() for word in re.findall("[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
