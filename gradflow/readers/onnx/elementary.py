"""Recurrent layers that are unrolled over their steps into elementary nodes.

They are found by their shared weights: products of one constant matrix R (H, gH), each with a value that
depends on the product before. What a step computes is not read from its nodes. It is run by ONNX's reference
evaluator on random numbers, and a cell is accepted only if it gives the same numbers to 1e-12, in one of the
orders that its gates may have.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.messages import quote
from gradflow.readers.onnx.constants import OnnxConstant
from gradflow.readers.onnx.evaluation import EvaluationBudget
from gradflow.readers.onnx.folding import ConstantFolder, wrap_constant
from gradflow.readers.onnx.scopes import DEFAULT_DOMAINS, GraphScope, name_node
from gradflow.readers.onnx.tracing import ValueTrace, ValueTracer

Matrix = NDArray[np.float64]

CERTIFICATE_TOLERANCE = 1e-12
_CERTIFICATE_DRAWS = 3
_MIN_PRODUCTS = 4  # Two whole steps must stand between them.
_FORGET_GATE = 2  # in ONNX's order i, o, f, c
_MAX_NUMBERED_ENTRIES = 1_000_000
_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_MAX_STEP_NODES, _MAX_BIASES, _MAX_STEPS, _MAX_SEQUENCES = 500, 4, 10_000, 64
_MAX_VISITS = 3_000_000  # nodes passed to find what depends on what
_MAX_STEP_BYTES, _MAX_STEP_WORK, _MAX_STEP_RUNS = 50_000_000, 1e9, 2000


@dataclass(frozen=True, eq=False)
class ElementaryLayer:
    """A chain of products with one matrix.

    Attributes
    ----------
    name : str
        The path that the nodes share, or the name of the first.
    operator : str
        RNN, LSTM or GRU; empty if the cell is not recognized.
    weights : dict of str to OnnxConstant
        W, R and B as ONNX's operator has them.
    attributes : dict
        Its attributes.
    scope, given : GraphScope and str
        The value that the recognized step multiplies: its input, or that of all steps if the attributes have
        a layout.
    states : frozenset of str
        The values that are multiplied: the outputs of the layer in all steps but the last.
    remark : str
        What was found, for people.
    """

    name: str
    operator: str
    weights: dict[str, OnnxConstant]
    attributes: dict[str, Any]
    scope: GraphScope
    given: str
    states: frozenset[str]
    remark: str


class _Step(NamedTuple):
    """The values at the ends of a step: states before, the state h after, the product with W."""

    hidden: str
    new_hidden: str
    carried: list[str]
    input_product: Any


class _Misfit(Exception):  # noqa: N818 - it is caught here, and never seen
    """A chain whose cell is not recognized."""


def find_elementary_layers(
    folder: ConstantFolder, scopes: Sequence[GraphScope], graph: Any
) -> Iterator[ElementaryLayer]:
    """Yield the chains of products with one matrix, recognized or not."""
    finder = _ChainFinder(folder, graph)
    for scope in scopes:
        yield from finder.find(scope)


class _Chain(NamedTuple):
    """Products with one matrix, each of a value that depends on the one before, and their positions."""

    scope: GraphScope
    products: list[Any]
    positions: list[int]

    def get_operand(self, k: int) -> str:
        """Return the value that product k multiplies."""
        operand: str = self.products[k].input[0]
        return operand


def _is_product(node: Any) -> bool:
    return node.domain in DEFAULT_DOMAINS and node.op_type in ("MatMul", "Gemm") and len(node.input) > 1


def _is_transposed(node: Any) -> bool:
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)


def _read_matrix(folder: ConstantFolder, scope: GraphScope, node: Any) -> Matrix | None:
    """Return the constant second factor of a product, as the product uses it; None if it is no constant."""
    try:
        constant = folder.fold(scope, node.input[1])
        if constant is None or len(constant.shape) != 2:
            return None
        matrix = constant.decode(constant.load())
    except DataError:
        return None
    matrix = matrix.T if _is_transposed(node) else matrix
    return matrix.astype(np.float64) if matrix.dtype.kind == "f" and matrix.size else None


@dataclass
class _ChainFinder:
    """Finds the chains of one model, within a budget."""

    folder: ConstantFolder
    graph: Any
    budget: EvaluationBudget = field(
        default_factory=lambda: EvaluationBudget(work=_MAX_STEP_WORK, nodes=_MAX_STEP_RUNS)
    )
    visits_left: int = _MAX_VISITS

    def find(self, scope: GraphScope) -> Iterator[ElementaryLayer]:
        """Yield the chains of a graph."""
        groups: dict[Any, _Chain] = {}
        for position, node in enumerate(scope.nodes):
            if _is_product(node):
                key = (self.folder.identify(scope, node.input[1]), _is_transposed(node))
                chain = groups.setdefault(key, _Chain(scope, [], []))
                chain.products.append(node)
                chain.positions.append(position)
        for chain in groups.values():
            looped = len(chain.products) == 1 and chain.get_operand(0) in scope.states
            if looped or (len(chain.products) > 1 and self._depends(chain)):
                matrix = _read_matrix(self.folder, scope, chain.products[0])
                if matrix is not None:
                    yield self._recognize(chain, matrix, looped)

    def _depends(self, chain: _Chain) -> bool:
        """Return whether each of the first products depends on the product before."""
        count = min(len(chain.products), _MIN_PRODUCTS)
        return all(
            chain.get_operand(k + 1) in self._mark_followers(chain, k, k + 1) for k in range(count - 1)
        )

    def _mark_followers(self, chain: _Chain, first: int, last: int) -> set[str]:
        """Return the values between two products that depend on the first, its own outputs too."""
        start, end = chain.positions[first], chain.positions[last]
        self.visits_left -= end - start
        if self.visits_left < 0:
            return set()
        followers = set(filter(None, chain.products[first].output))
        for node in chain.scope.nodes[start + 1 : end]:
            if not followers.isdisjoint(node.input):
                followers.update(filter(None, node.output))
        return followers

    def _recognize(self, chain: _Chain, matrix: Matrix, looped: bool) -> ElementaryLayer:
        scope, products = chain.scope, chain.products
        first, last = name_node(products[0]), name_node(products[-1])
        path = first.rpartition("/")[0]
        name = path if path.strip("./") else first
        what = f"the nodes {quote(first)} to {quote(last)} multiply {len(products)} states by one matrix"
        form = "is unrolled"
        if looped:
            what = f"the node {quote(first)} multiplies the state of {quote(scope.label)} by a matrix"
            form = "is written in elementary nodes"
        try:
            if len(products) < _MIN_PRODUCTS and not looped:
                raise _Misfit
            if looped:
                step, follower = self._walk_body(chain)
            else:
                step, follower = (self._walk_step(chain, k) for k in (1, 2))
            with np.errstate(all="ignore"):  # The weights of a damaged file may be infinite.
                operator, weights, attributes = self._fit_cell(scope, step, follower, matrix, len(products))
        except (_Misfit, DataError):
            remark = (
                f"left out: {what}, {matrix.shape}, as a recurrent layer does; its cell is not "
                "recognized, export it as an RNN, LSTM or GRU node"
            )
            return ElementaryLayer(name, "", {}, {}, scope, "", frozenset(), remark)
        remark = (
            f"{quote(name.strip('./'))} {form}: {what}; a step gives the numbers of the {operator} to "
            f" {CERTIFICATE_TOLERANCE:.0e}"
        )
        given, states = step.input_product.input[0], frozenset(product.input[0] for product in products)
        if looped and given in scope.sequences and scope.outer is not None:
            scope, given = scope.outer, scope.sequences[given]
            attributes = {**attributes, "layout": 0}
        return ElementaryLayer(name, operator, weights, attributes, scope, given, states, remark)

    def _walk_step(self, chain: _Chain, k: int) -> _Step:
        """Return the ends of the step between products k and k + 1."""
        old, new = self._mark_followers(chain, k - 1, k + 1), self._mark_followers(chain, k, k + 1)
        return self._walk(chain.scope, chain.get_operand(k), chain.get_operand(k + 1), old, new)

    def _walk_body(self, chain: _Chain) -> tuple[_Step, _Step]:
        """Return the ends of the step in the body of a loop, and the names at the ends of the step after."""
        states, hidden = chain.scope.states, chain.get_operand(0)
        end = _Chain(chain.scope, chain.products * 2, [chain.positions[0], len(chain.scope.nodes)])
        new = self._mark_followers(end, 0, 1)
        step = self._walk(chain.scope, hidden, states[hidden], set(states), new)
        return step, step._replace(carried=[states[name] for name in step.carried])

    def _walk(self, scope: GraphScope, hidden: str, new_hidden: str, old: set[str], new: set[str]) -> _Step:
        """Return the ends of a step, found backwards from its new state.

        Values of ``old``, but not of ``new``, come from the step before.
        """
        carried: list[str] = []
        products: dict[str, Any] = {}
        waiting, seen = [new_hidden], {hidden}
        while waiting:
            name = waiting.pop()
            if name in seen or not name:
                continue
            seen.add(name)
            if len(seen) > _MAX_STEP_NODES:
                raise _Misfit
            maker = scope.makers.get(name)
            if name not in new and name in old:
                carried.append(name)
            elif maker is not None and name not in new and self._multiplies(scope, maker):
                products[name] = maker
            elif maker is not None:
                waiting += maker.input
        if len(products) != 1:
            raise _Misfit
        return _Step(hidden, new_hidden, carried, next(iter(products.values())))

    def _multiplies(self, scope: GraphScope, node: Any) -> bool:
        """Return whether a node is a product with a constant."""
        return _is_product(node) and self.folder.fold(scope, node.input[1]) is not None

    def _fit_cell(
        self, scope: GraphScope, step: _Step, follower: _Step, matrix: Matrix, steps: int
    ) -> tuple[str, dict[str, OnnxConstant], dict[str, Any]]:
        """Return the operator, weights and attributes of the cell that gives the numbers of a step.

        `_Misfit` if none does.
        """
        input_matrix = _read_matrix(self.folder, scope, step.input_product)
        size, rows = matrix.shape
        if input_matrix is None or input_matrix.shape[1] != rows or rows % size:
            raise _Misfit
        if len(step.carried) != len(follower.carried) or len(step.carried) > 1:
            raise _Misfit
        if len({self.folder.identify(scope, each.input_product.input[1]) for each in (step, follower)}) > 1:
            raise _Misfit
        roles = {"h": step.hidden, "x": step.input_product.input[0]}
        results = {"h": step.new_hidden}
        if step.carried:
            roles["c"], results["c"] = step.carried[0], follower.carried[0]
        stops = {_locate(scope, name): (role, "Y") for role, name in roles.items()}
        tracer = ValueTracer(self.folder, stops, self.graph)
        traces = {role: tracer.trace(scope, name) for role, name in results.items()}
        if any(trace.obstacle or trace.inputs for trace in traces.values()):
            raise _Misfit
        biases, shifts = _list_biases(traces["h"], rows), _list_shifts(traces["h"])
        for known_direction, layout, runs in self._run_step(traces, input_matrix.shape[0], size, steps):
            direction = known_direction
            if not direction:
                first, second = (each.input_product.input[0] for each in (step, follower))
                direction = self._find_direction(scope, first, second, steps)
            products = [_StepProducts.multiply(given, input_matrix, matrix) for given, _ in runs]
            for candidate in _list_candidates(bool(step.carried), rows // size, rows, biases, shifts):
                if all(candidate.gives(own, made) for own, (_, made) in zip(products, runs, strict=True)):
                    weights = candidate.arrange(input_matrix, matrix)
                    attributes = {"hidden_size": size, "direction": direction, **candidate.attributes}
                    attributes |= {} if layout is None else {"layout": layout}
                    return candidate.operator, weights, attributes
        raise _Misfit

    def _find_direction(self, scope: GraphScope, first: str, second: str, steps: int) -> str:
        """Return in which direction two values, one after the other, are cut out of the model's input.

        The input is filled with the numbers of its entries. The direction is forward if it cannot be told.
        """
        tracer = ValueTracer(self.folder, {}, self.graph)
        places = []
        for trace in (tracer.trace(scope, first), tracer.trace(scope, second)):
            shape = trace.inputs[0].shape if len(trace.inputs) == 1 else None
            if trace.obstacle or shape is None:
                return "forward"
            sizes = tuple(size or steps + 1 for size in shape)
            if np.prod(sizes, dtype=float) > _MAX_NUMBERED_ENTRIES:
                return "forward"
            numbered = np.arange(np.prod(sizes), dtype=np.float64).reshape(sizes)
            self.budget.bytes = _MAX_STEP_BYTES
            try:
                made = trace.evaluate({trace.inputs[0].value: numbered}, self.budget)
            except DataError:
                return "forward"
            if made.size == 0 or not 0 <= made.flat[0] < numbered.size:
                return "forward"
            places.append(int(made.flat[0]))
        return "reverse" if places[1] < places[0] else "forward"

    def _run_step(
        self, traces: Mapping[str, ValueTrace], inputs: int, size: int, steps: int
    ) -> Iterator[tuple[str, int | None, list[tuple[dict[str, Matrix], dict[str, Matrix]]]]]:
        """Yield random values of x, h and c, and the new values of h and c that the nodes make of them.

        The nodes may receive x of one step, (B, I), or cut it out of all steps, (T, B, I) or (B, T, I). Then
        x is yielded for both directions, with the axis of the steps as ONNX's layout. Otherwise the direction
        is not known here and left empty, and there is no layout.
        """
        draw = np.random.default_rng(0)
        for shape, axis in _list_input_shapes(traces["h"], inputs, steps):
            count = shape[0] if axis != 0 else shape[1]
            runs = []
            try:
                for _ in range(_CERTIFICATE_DRAWS):
                    given = {"x": draw.standard_normal(shape)}
                    given |= {role: draw.standard_normal((count, size)) for role in "hc"}
                    made = {role: self._evaluate(trace, given) for role, trace in traces.items()}
                    runs.append((given, made))
            except DataError:
                continue
            if any(value.shape != (count, size) for _, made in runs for value in made.values()):
                continue
            if axis is None:
                yield "", None, runs
                continue
            # The first of several products may be missing, as its state is zero.
            places = {"forward": 1 + shape[axis] - steps, "reverse": steps - 2}
            if places["forward"] != places["reverse"]:
                for direction, place in places.items():
                    inputs_at = [np.take(given["x"], place, axis) for given, _ in runs]
                    yield (
                        direction,
                        axis,
                        [(given | {"x": x}, made) for x, (given, made) in zip(inputs_at, runs, strict=True)],
                    )

    def _evaluate(self, trace: ValueTrace, given: Mapping[str, Matrix]) -> Matrix:
        self.budget.bytes = _MAX_STEP_BYTES
        return trace.evaluate({output.value: given[output.layer] for output in trace.layers}, self.budget)


def _list_input_shapes(
    trace: ValueTrace, inputs: int, steps: int
) -> Iterator[tuple[tuple[int, ...], int | None]]:
    """Yield shapes that x may have, and which axis has the steps; None if it is a single step."""
    yield (2, inputs), None
    yield (1, inputs), None  # Some graphs are fixed to one sequence.
    lengths = {length for shape in trace.stated_shapes for length in shape[:2] if length}
    for length in sorted(lengths & {steps, steps + 1}):
        if length <= _MAX_STEPS:
            for count in sorted({1, 2} | {count for count in lengths if count <= _MAX_SEQUENCES}):
                yield (length, count, inputs), 0
                yield (count, length, inputs), 1


def _locate(scope: GraphScope, name: str) -> tuple[GraphScope, str]:
    place = scope.locate(name)
    if place is None:
        raise _Misfit
    return place.scope, place.name


def _list_biases(trace: ValueTrace, rows: int) -> list[Matrix]:
    found = []
    for constant in trace.constants.values():
        if constant.shape and np.prod(constant.shape) == constant.shape[-1] == rows:
            array = constant.decode(constant.load())
            if array.dtype.kind == "f":
                found.append(array.astype(np.float64).ravel())
    if len(found) > _MAX_BIASES:
        raise _Misfit
    return found


def _list_shifts(trace: ValueTrace) -> list[float]:
    """Return single numbers among the constants, such as a forget bias that the graph adds."""
    found = {0.0}
    for constant in trace.constants.values():
        if constant.dtype.startswith("float") and np.prod(constant.shape) == 1:
            found.add(float(constant.decode(constant.load()).reshape(())))
    return sorted(found, key=abs)[:_MAX_BIASES]


@dataclass(frozen=True, eq=False)
class _StepProducts:
    """The products x W and h R of a step, (B, gH), and the states h and c before it."""

    above: Matrix
    across: Matrix
    given: Mapping[str, Matrix]

    @classmethod
    def multiply(cls, given: Mapping[str, Matrix], input_matrix: Matrix, matrix: Matrix) -> "_StepProducts":
        return cls(given["x"] @ input_matrix, given["h"] @ matrix, given)


@dataclass(frozen=True, eq=False)
class _CellCandidate:
    """A cell whose gates are in some order of their stored blocks.

    Attributes
    ----------
    operator, attributes
        The operator of ONNX, and its attributes.
    order : tuple of int
        The stored block of each gate, in ONNX's order.
    bias, inner_bias : array
        The biases of x W and of h R in their stored order.
    sign : float
        −1 if the stored update gate of a GRU is 1 − z.
    """

    operator: str
    attributes: dict[str, Any]
    order: tuple[int, ...]
    bias: Matrix
    inner_bias: Matrix
    sign: float = 1.0

    def gives(self, products: _StepProducts, made: Mapping[str, Matrix]) -> bool:
        """Return whether a step of ONNX's operator gives the numbers of the nodes."""
        count = len(self.order)
        aboves, acrosses = (
            np.split(product + bias, count, axis=1)
            for product, bias in ((products.above, self.bias), (products.across, self.inner_bias))
        )
        above, across = ([blocks[k] for k in self.order] for blocks in (aboves, acrosses))
        expected, h = {}, products.given["h"]
        with np.errstate(all="ignore"):
            if self.operator == "LSTM":
                i, o, f, c = (one + other for one, other in zip(above, across, strict=True))
                expected["c"] = _sigmoid(f) * products.given["c"] + _sigmoid(i) * np.tanh(c)
                expected["h"] = _sigmoid(o) * np.tanh(expected["c"])
            elif self.operator == "GRU":
                z, r = (_sigmoid(above[k] + across[k]) for k in (0, 1))
                new = np.tanh(above[2] + r * across[2])
                expected["h"] = (1.0 - z) * new + z * h if self.sign > 0 else z * new + (1.0 - z) * h
            elif self.attributes["activations"] == ["Tanh"]:
                expected["h"] = np.tanh(above[0] + across[0])
            else:
                expected["h"] = np.maximum(above[0] + across[0], 0.0)
            return all(
                bool(
                    np.all(
                        np.abs(value - made[role]) <= CERTIFICATE_TOLERANCE * np.maximum(1.0, np.abs(value))
                    )
                )
                for role, value in expected.items()
            )

    def arrange(self, input_matrix: Matrix, matrix: Matrix) -> dict[str, OnnxConstant]:
        """Return W (1, gH, I), R (1, gH, H) and B (1, 2gH) as ONNX's operator has them."""

        def take(rows: Matrix) -> Matrix:
            blocks = np.split(rows, len(self.order))
            ordered = [blocks[k] for k in self.order]
            return np.concatenate([self.sign * ordered[0], *ordered[1:]])

        bias = np.concatenate([take(self.bias), take(self.inner_bias)])
        arrays = {"W": take(input_matrix.T), "R": take(matrix.T), "B": bias}
        return {part: wrap_constant(array[np.newaxis]) for part, array in arrays.items()}


def _list_candidates(
    carries: bool, gates: int, rows: int, biases: Sequence[Matrix], shifts: Sequence[float]
) -> Iterator[_CellCandidate]:
    """Yield cells in every order of their gates, and with every place of their biases that matters.

    ``shifts`` are numbers that may be added to the forget gate.
    """
    nothing = np.zeros(rows)
    total = np.sum([nothing, *biases], axis=0)
    if carries and gates == _GATES["LSTM"]:
        for shift, order in product(shifts, permutations(range(gates))):
            bias = total.reshape(gates, -1).copy()
            bias[order[_FORGET_GATE]] += shift
            yield _CellCandidate("LSTM", {}, order, bias.ravel(), nothing)
    elif not carries and gates == _GATES["GRU"]:
        for order, inside in product(permutations(range(gates)), product((False, True), repeat=len(biases))):
            inner = np.sum(
                [nothing, *(bias for bias, held in zip(biases, inside, strict=True) if held)], axis=0
            )
            for sign in (1.0, -1.0):
                yield _CellCandidate("GRU", {"linear_before_reset": 1}, order, total - inner, inner, sign)
    elif not carries and gates == _GATES["RNN"]:
        for activation in ("Tanh", "Relu"):
            yield _CellCandidate("RNN", {"activations": [activation]}, (0,), total, nothing)


def _sigmoid(values: Matrix) -> Matrix:
    result: Matrix = 1.0 / (1.0 + np.exp(-values))
    return result
