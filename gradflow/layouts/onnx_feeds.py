"""What an ONNX graph feeds its recurrent nodes, computed in float64 by ONNX's reference evaluator.

The axes of the model's input are not named in the file. They are found by computing small sequences of random
numbers: with the right axes the node receives one vector for each step of each sequence, and sequences do not
mix. Graphs that are fixed to some number of sequences or steps are computed in pieces of that size, if the
computation is proved by such numbers to treat each sequence, or each step, alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, permutations, product
from math import prod
from typing import Any

import numpy as np

from gradflow.cells.base import Array
from gradflow.errors import DataError
from gradflow.layouts.feeds import MODEL_INPUT, Feed, UnknownFeed
from gradflow.layouts.names import NamedArrays, normalize_name
from gradflow.layouts.onnx import NodeCalls, find_calls, group_nodes
from gradflow.readers.messages import quote
from gradflow.readers.onnx.evaluation import EvaluationBudget
from gradflow.readers.onnx.recurrent import RecurrentPlace
from gradflow.readers.onnx.tracing import GraphInput, ValueTrace
from gradflow.readers.stored_array import StoredArray

_PROBE_STEPS, _PROBE_SEQUENCES = 5, 2
_MAX_PROBE_ENTRIES = 2_000_000  # of the random numbers for a graph that is fixed to many steps
_MAX_PROBE_BYTES = 50_000_000  # besides the constants
_MAX_PROBE_WORK, _MAX_PROBE_NODES = 1e9, 5000  # for all feeds of a file
_MAX_TRACED_INPUTS, _MAX_TRIED_SIZES, _MAX_ATTEMPTS = 3, 8, 500
_MAX_GUESSED_SIZE = 10_000  # steps or sequences to which a graph may be fixed without stating it
_PROBE_TOLERANCE = 1e-9
_WIDEST_ENTRY_BYTES = 16
_DRAW_WORK = 60  # of each random number, in multiplications
_FIXED_GRAPH = "its graph is fixed to"
# Operators that compute nothing which people would call a layer.
_PLUMBING_OPERATORS = {
    *(
        "Shape",
        "Size",
        "Gather",
        "Concat",
        "Slice",
        "Squeeze",
        "Unsqueeze",
        "Reshape",
        "Flatten",
        "Transpose",
    ),
    *("Cast", "Expand", "Range", "Split"),
}
# Axes of an input of the model by its number of dimensions, the likeliest first: T are steps, B sequences,
# F features.
_INPUT_AXES = {
    1: ("T", "B"),
    2: ("TF", "TB", "BT"),
    3: ("TBF", "BTF", *("".join(p) for p in permutations("BFT") if "".join(p) not in ("TBF", "BTF"))),
}


@dataclass(frozen=True)
class LayerWire:
    """An output of a recurrent node that enters a computation.

    Attributes
    ----------
    value : str
        Its name in the trace.
    source : str
        The network that computes it.
    output : str
        ``Y`` of all steps, or ``Y_h`` of the last.
    direction : str
        The direction of the node: forward, reverse or bidirectional.
    batch_first : bool
        Whether the node has the axis of sequences first.
    """

    value: str
    source: str
    output: str
    direction: str
    batch_first: bool

    def shape_output(self, sequences: Array) -> Array:
        """Return the output as the node has it, from the sequences of the network, (B, T, D·H)."""
        count, steps, width = sequences.shape
        directions = 2 if self.direction == "bidirectional" else 1
        outputs = sequences.reshape(count, steps, directions, width // directions)
        if self.output == "Y":  # (T, D, B, H), or (B, T, D, H)
            return outputs if self.batch_first else outputs.transpose(1, 2, 0, 3)
        ends = np.stack(
            [
                outputs[:, 0 if self.direction == "reverse" or place else -1, place]
                for place in range(directions)
            ]
        )
        return ends.transpose(1, 0, 2) if self.batch_first else ends  # (D, B, H), or (B, D, H)


@dataclass(frozen=True)
class InputWire:
    """An input of the model in a computation: its name in the trace, and its axes, as in ``"TBF"``."""

    value: str
    axes: str
    shape_only: bool
    features: int

    def shape_input(self, sequences: Array) -> Array:
        """Return the input as the model has it, from sequences (B, T, F)."""
        missing = _list_missing(self.axes)
        moved = sequences.transpose(["BTF".index(axis) for axis in self.axes + missing])
        sizes = moved.shape[len(self.axes) :]
        if any(size != 1 for size in sizes) and not self.shape_only:
            raise DataError(
                f"the model's input lacks axes for {', '.join(map(str, sizes))} sequences or features"
            )
        return moved.reshape(*moved.shape[: len(self.axes)], -1)[..., 0]


def _list_missing(axes: str) -> str:
    return "".join(axis for axis in "BTF" if axis not in axes)


@dataclass(frozen=True)
class GraphComputation:
    """The nodes between the sources of a feed and a recurrent node. A `FeedComputation`.

    Attributes
    ----------
    trace : ValueTrace
        The nodes.
    layers, inputs : tuple of LayerWire and of InputWire
        Where the sources enter.
    batch_first : bool
        Whether the recurrent node has the axis of sequences first.
    features : int
        The number of inputs of the recurrent node.
    sequences, steps : int
        To how many sequences and steps the graph is fixed; 0 if to none.
    """

    trace: ValueTrace
    layers: tuple[LayerWire, ...]
    inputs: tuple[InputWire, ...]
    batch_first: bool
    features: int
    sequences: int = 0
    steps: int = 0

    def __call__(self, outputs: Mapping[str, Array]) -> Array:
        """Return the inputs of the node, (B, T, I)."""
        return self.compute(outputs, EvaluationBudget())

    def compute(self, outputs: Mapping[str, Array], budget: EvaluationBudget) -> Array:
        """Return the inputs of the node, (B, T, I), within a budget.

        Raises
        ------
        DataError
            If a node cannot be computed.
        """
        count, steps = next(iter(outputs.values())).shape[:2]
        group, chunk = self.sequences or count, self.steps or steps
        rows = []
        for first in range(0, count, group):
            pieces = [
                self._run(
                    {
                        name: _take_piece(sequences, first, group, start, chunk)
                        for name, sequences in outputs.items()
                    },
                    budget,
                )
                for start in range(0, steps, chunk)
            ]
            rows.append(np.concatenate(pieces, axis=1))
        return np.concatenate(rows)[:count, :steps]

    def _run(self, outputs: Mapping[str, Array], budget: EvaluationBudget) -> Array:
        count, steps = next(iter(outputs.values())).shape[:2]
        values: dict[str, Any] = {wire.value: wire.shape_output(outputs[wire.source]) for wire in self.layers}
        for wire in self.inputs:
            given = np.zeros((count, steps, wire.features)) if wire.shape_only else outputs[MODEL_INPUT]
            values[wire.value] = wire.shape_input(given)
        result = self.trace.evaluate(values, budget)
        expected = (count, steps, self.features) if self.batch_first else (steps, count, self.features)
        if result.shape != expected:
            raise DataError(f"its graph makes an array of shape {result.shape}; expected {expected}")
        result = np.asarray(result, np.float64)
        return np.ascontiguousarray(result if self.batch_first else result.transpose(1, 0, 2))


def _take_piece(sequences: Array, first: int, group: int, start: int, chunk: int) -> Array:
    """Return a piece of ``group`` sequences and ``chunk`` steps; the last ones are repeated at the end."""
    if (group, chunk) == sequences.shape[:2]:
        return sequences
    rows = np.minimum(np.arange(first, first + group), len(sequences) - 1)
    steps = np.minimum(np.arange(start, start + chunk), sequences.shape[1] - 1)
    return sequences[rows][:, steps]


@dataclass(frozen=True)
class OutputItself:
    """The output of another network, unchanged. A `FeedComputation`."""

    source: str

    def __call__(self, outputs: Mapping[str, Array]) -> Array:
        """Return the output, (B, T, I)."""
        return outputs[self.source]


# Finding the feeds


def states_feeds(arrays: NamedArrays) -> bool:
    """Return whether the arrays belong to a graph."""
    return bool(group_nodes(arrays))


def find_feeds(arrays: NamedArrays, paths: Sequence[str]) -> dict[str, Feed | UnknownFeed]:
    """Return what feeds the recurrent nodes at ``paths``; no entry for those that read the model's input."""
    nodes = group_nodes(arrays)
    # Arrays W and R without a node say nothing about a graph.
    known = [path for path in paths if path in nodes]
    finder = _FeedFinder(nodes, find_calls(nodes), set(known))
    feeds = {path: feed for path in known if (feed := finder.find(path)) is not None}
    circular = _find_circles(feeds)
    return {
        path: UnknownFeed(f"{quote(path)} feeds itself in the graph") if path in circular else feed
        for path, feed in feeds.items()
    }


def _find_circles(feeds: Mapping[str, Feed | UnknownFeed]) -> set[str]:
    """Return the networks whose sources cannot all be computed before them."""
    left = {path: set(feed.sources) & set(feeds) for path, feed in feeds.items() if isinstance(feed, Feed)}
    while ready := {path for path, sources in left.items() if not sources & set(left)}:
        left = {path: sources for path, sources in left.items() if path not in ready}
    return set(left)


@dataclass
class _FeedFinder:
    """Finds the feeds of one file."""

    nodes: Mapping[str, Mapping[str, StoredArray]]
    calls: Mapping[str, NodeCalls]
    paths: set[str]
    budget: EvaluationBudget = field(
        default_factory=lambda: EvaluationBudget(work=_MAX_PROBE_WORK, nodes=_MAX_PROBE_NODES)
    )

    def __post_init__(self) -> None:
        self._layers_of_nodes = {
            name: (path, name in calls.agreeing) for path, calls in self.calls.items() for name in calls.names
        }
        self._used_inputs = sorted(
            {
                given.name
                for path in self.paths
                for given in self._get_place(path).trace.inputs
                if given.is_float and not given.shape_only
            }
        )

    def _get_place(self, path: str) -> RecurrentPlace:
        place: RecurrentPlace = self.nodes[path]["R"].metadata["place"]
        return place

    def find(self, path: str) -> Feed | UnknownFeed | None:
        """Return what feeds the node at ``path``; None if it reads the only input of the model as it is."""
        trace = self._get_place(path).trace
        try:
            feed = self._find(path, trace)
        except DataError as error:
            return UnknownFeed(str(error))
        used = [given.name for given in trace.inputs if not given.shape_only]
        if feed is None and len(self._used_inputs) > 1 and used:
            reason = f"{self._describe_several()}; name the layer to give it inputs of its own"
            return UnknownFeed(reason, used[0])
        return feed

    def _describe_several(self) -> str:
        return f"the model has several inputs, {', '.join(map(quote, self._used_inputs))}"

    def _find(self, path: str, trace: ValueTrace) -> Feed | None:
        place = self._get_place(path)
        below = _find_path(place.below) if place.below else ""
        if below in self.paths:
            return Feed((below,), OutputItself(below))
        if trace.obstacle:
            raise DataError(trace.obstacle)
        if place.unrolled:
            if not trace.layers and all(step.operator in _PLUMBING_OPERATORS for step in trace.steps):
                return None
            raise DataError("it is unrolled, so that its inputs are not one value of the graph")
        layers = tuple(self._wire_layers(trace))
        used = [given for given in trace.inputs if not given.shape_only]
        if not layers and not used:
            raise DataError("it receives constants of the file")
        if len(used) > 1:
            raise DataError(self._describe_several())
        if not layers and not trace.steps:
            return None
        computation, direct = self._find_axes(path, trace, layers)
        if direct:
            return None
        if used and len(self._used_inputs) > 1:
            raise DataError(self._describe_several())
        sources = tuple(dict.fromkeys(wire.source for wire in layers))
        through = tuple(step.label for step in trace.steps if step.operator not in _PLUMBING_OPERATORS)
        features = next((wire.features for wire in computation.inputs if not wire.shape_only), None)
        return Feed((*sources, *((MODEL_INPUT,) if used else ())), computation, through, features)

    def _wire_layers(self, trace: ValueTrace) -> Iterator[LayerWire]:
        """Yield where recurrent nodes enter; `DataError` if their outputs in the model are not known."""
        for output in trace.layers:
            name = _find_path(output.layer)
            path, agrees = self._layers_of_nodes.get(name, (name, True))
            if path not in self.paths:
                raise DataError(f"{quote(name)} before it is not read")
            if not agrees:
                raise DataError(f"{quote(name)} before it calls {quote(path)} again, with other inputs")
            place, metadata = self._get_place(path), self.nodes[path]["R"].metadata
            if place.initial_layers:
                raise DataError(
                    f"{quote(name)} before it starts from a state that comes {place.initial_state}"
                )
            if place.lengths:
                raise DataError(
                    f"{quote(name)} before it stops at lengths of its sequences that come {place.lengths}"
                )
            if output.output == "Y_c":
                raise DataError(f"it receives the cell state of {quote(name)}")
            attributes = metadata["attributes"]
            direction = str(attributes.get("direction", "forward"))
            yield LayerWire(output.value, path, output.output, direction, bool(attributes.get("layout", 0)))

    def _find_axes(
        self, path: str, trace: ValueTrace, layers: tuple[LayerWire, ...]
    ) -> tuple[GraphComputation, bool]:
        """Return the computation with the axes that fit, and whether it hands on the model's input as it is.

        Raises
        ------
        DataError
            If no axes fit.
        """
        members = self.nodes[path]
        features = members["W"].shape[-1]
        batch_first = bool(members["R"].metadata["attributes"].get("layout", 0))
        problems: list[str] = []
        for axes, sequences, steps in _list_attempts(trace):
            wires = tuple(
                InputWire(given.value, own, given.shape_only, _find_features(given, own, features))
                for given, own in zip(trace.inputs, axes, strict=True)
            )
            computation = GraphComputation(trace, layers, wires, batch_first, features, sequences, steps)
            try:
                return computation, self._probe(computation)
            except DataError as error:
                problems.append(str(error))
        reasons = [problem for problem in problems if problem.startswith(_FIXED_GRAPH)] or problems
        raise DataError(reasons[0] if reasons else _describe_inputs(trace.inputs))

    def _probe(self, computation: GraphComputation) -> bool:
        """Return whether a computation hands on the model's input as it is; `DataError` if it fails."""
        count = computation.sequences or _PROBE_SEQUENCES
        steps = computation.steps or _PROBE_STEPS
        draw = np.random.default_rng(0)
        sizes = {wire.source: self._get_output_size(wire.source) for wire in computation.layers}
        used = [wire.features for wire in computation.inputs if not wire.shape_only]
        if used:
            sizes[MODEL_INPUT] = used[0]
        widths = [*sizes.values(), *(wire.features for wire in computation.inputs)]
        if count * steps * max(widths) > _MAX_PROBE_ENTRIES:
            raise DataError(f"{count} of its sequences of {steps} steps are too much to follow")

        def draw_outputs(count: int, steps: int) -> dict[str, Array]:
            self.budget.bytes = _MAX_PROBE_BYTES
            self.budget.spend(0, _DRAW_WORK * count * steps * sum(widths))
            return {name: draw.standard_normal((count, steps, size)) for name, size in sizes.items()}

        outputs = draw_outputs(count, steps)
        stored = sum(prod(constant.shape) for constant in computation.trace.constants.values())

        def run(changed: Mapping[str, Array]) -> Array:
            self.budget.bytes = _MAX_PROBE_BYTES + 2 * _WIDEST_ENTRY_BYTES * stored
            return computation.compute(changed, self.budget)

        plain = run(outputs)
        if not np.isfinite(plain).all():
            raise DataError("its graph makes numbers that are not finite")
        if not (computation.sequences and computation.steps):
            # What seems free may be fixed to just these sizes.
            run(draw_outputs(count + (not computation.sequences), steps + (not computation.steps)))
        order = np.roll(np.arange(count), 1)
        if count > 1 and not _agree(run({name: rows[order] for name, rows in outputs.items()}), plain[order]):
            raise DataError("its graph mixes the sequences of a batch")
        if computation.steps > 1:
            self._check_steps_alone(outputs, plain, run, steps)
        given = outputs.get(MODEL_INPUT)
        return (
            given is not None
            and len(outputs) == 1
            and given.shape == plain.shape
            and bool(np.all(given == plain))
        )

    def _check_steps_alone(self, outputs: Any, plain: Array, run: Any, steps: int) -> None:
        order = np.roll(np.arange(steps), 1)
        order[[0, -1]] = order[[-1, 0]]
        moved = run({name: rows[:, order] for name, rows in outputs.items()})
        changed = {name: rows.copy() for name, rows in outputs.items()}
        for rows in changed.values():
            rows[:, steps // 2] += 1.0
        differs = np.delete(run(changed) != plain, steps // 2, axis=1)
        if not _agree(moved, plain[:, order]) or differs.any():
            raise DataError(f"{_FIXED_GRAPH} sequences of {steps} steps")

    def _get_output_size(self, path: str) -> int:
        directions, _, size = self.nodes[path]["R"].shape
        return directions * size


def _find_path(name: str) -> str:
    """Return the path that a node has by its name."""
    return normalize_name(f"{name}/R").removesuffix("/R")


def _agree(one: Array, other: Array) -> bool:
    scale = max(1.0, float(np.abs(other).max(initial=0.0)))
    return one.shape == other.shape and bool(np.all(np.abs(one - other) <= _PROBE_TOLERANCE * scale))


def _list_axes(given: GraphInput) -> Sequence[str]:
    """Return the axes that an input may have."""
    dimensions = 3 if given.shape is None else len(given.shape)
    return _INPUT_AXES.get(dimensions, ())


def _find_features(given: GraphInput, axes: str, otherwise: int) -> int:
    """Return the features of an input: as the model states them, else those of the node."""
    stated = None if given.shape is None or "F" not in axes else given.shape[axes.index("F")]
    return 1 if "F" not in axes else stated or otherwise


def _list_attempts(trace: ValueTrace) -> list[tuple[tuple[str, ...], int, int]]:
    """Return what to try: the axes of each input, and to how many sequences and steps the graph is fixed.

    0 is any number. What the graph leaves free comes first. A single step is tried only if the model states
    it: a graph that slices the steps runs on one step too, and gives something else on more.
    """
    if len(trace.inputs) > _MAX_TRACED_INPUTS:
        return []
    stated = [shape[:2] for shape in trace.stated_shapes if len(shape) > 1]
    pairs = [pair for shape in stated for pair in (shape, shape[::-1])]
    numbers = sorted({size for size in chain(*pairs, _list_integers(trace)) if size})[:_MAX_TRIED_SIZES]
    sizes = [(0, 0), (1, 0)]
    sizes += [
        size
        for count, steps in pairs
        for size in ((count or 0, 0), (0, steps or 0), (1, steps or 0), (count or 0, steps or 0))
    ]
    sizes += [size for number in numbers for size in ((number, 0), (0, number), (1, number))]
    sizes += list(product(numbers, numbers))
    axes = list(product(*map(_list_axes, trace.inputs)))
    attempts = [(own, *size) for size in dict.fromkeys(sizes) for own in axes]
    single = bool(stated) and all(tuple(shape) == (1, 1) for shape in stated)
    return [attempt for attempt in attempts if single or attempt[-1] != 1][:_MAX_ATTEMPTS]


def _list_integers(trace: ValueTrace) -> Iterator[int]:
    """Yield the integers in short constants of a graph, such as those of a Reshape."""
    for constant in trace.constants.values():
        if constant.dtype == "int64" and len(constant.shape) == 1 and constant.shape[0] <= _MAX_TRIED_SIZES:
            yield from (int(number) for number in constant.load() if 0 < number <= _MAX_GUESSED_SIZE)


def _describe_inputs(inputs: Sequence[GraphInput]) -> str:
    listed = ", ".join(f"{quote(given.name)} of shape {given.shape}" for given in inputs)
    return f"the axes of the model's input {listed} are not known"
