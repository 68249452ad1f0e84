"""What feeds each recurrent layer of a Keras model, as the model's configuration says.

The model is called with symbols in place of arrays. The symbol that arrives at a recurrent layer says which
layers it comes from, and how it follows from their outputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from gradflow.errors import DataError
from gradflow.layouts import keras_computations as compute
from gradflow.layouts.feeds import MODEL_INPUT, Feed, UnknownFeed
from gradflow.layouts.keras_graph import LayerCall, TensorReference, list_calls, list_references
from gradflow.layouts.keras_layers import (
    COMPARISON,
    CONSTANT_OPTION,
    LAYER_RULES,
    MASK_RULES,
    OPERATION_RULES,
    STEPWISE_RULES,
    CalledLayer,
)
from gradflow.layouts.keras_places import (
    KerasPlace,
    assign_levels,
    find_places,
    get_model_config,
    list_layers,
    name_layer_groups,
)
from gradflow.layouts.keras_symbols import (
    SEQUENCE_RANK,
    VECTOR_RANK,
    Symbol,
    SymbolProgram,
    compile_symbol,
    make_input,
    make_unknown,
    transform,
)
from gradflow.layouts.keras_weights import LayerWeights
from gradflow.layouts.names import NamedArrays
from gradflow.readers.messages import quote

MODEL_CLASSES = ("Sequential", "Functional", "Model")
RECURRENT_CLASSES = ("LSTM", "GRU", "SimpleRNN", "RNN", "CuDNNLSTM", "CuDNNGRU", "Bidirectional")
_INPUT_CLASS, _STEPWISE_CLASS, _BIDIRECTIONAL_CLASS = "InputLayer", "TimeDistributed", "Bidirectional"
# The modules of Keras's own layers, in versions that write modules.
_OWN_MODULES = ("keras", "tf_keras", "tensorflow")
_OPERATIONS_MODULE = ".ops."
# Models in models call exponentially many layers if each is called twice.
MAX_LAYER_CALLS, MAX_MODEL_DEPTH = 20_000, 50
MAX_INSTRUCTIONS = 50_000  # of the programs of all networks
_DIRECTION_MERGES = {
    "concat": compute.concatenate,
    "sum": compute.add,
    "mul": compute.multiply,
    "ave": compute.average,
}


_PLAIN_CALL = LayerCall(())
# A layer and its call, by the name of the layer and the number of the call.
WaitingCalls = dict[tuple[str, int], tuple[Mapping[str, Any], LayerCall]]


def states_feeds(arrays: NamedArrays) -> bool:
    """Return whether the file has the configuration of the model."""
    return any(array.metadata.get("config") for array in arrays.values())


def find_feeds(arrays: NamedArrays, paths: Sequence[str]) -> dict[str, Feed | UnknownFeed]:
    """Return what feeds the networks at ``paths``; none for those that the model's input feeds directly.

    Files without the configuration of the model do not say it, so the result is empty.
    """
    config = get_model_config(arrays)
    if not isinstance(config, Mapping):
        return {}
    places: dict[str, dict[str, list[KerasPlace]]] = {}
    for path, cells in find_places(arrays).items():
        if path in paths:
            places.setdefault(cells[0].config_path, {})[path] = cells
    if not places:
        return {}
    version = next(iter(next(iter(places.values())).values()))[0].version
    walk = _ModelWalk(places, LayerWeights(arrays, name_layer_groups(arrays)), version)
    try:
        walk.call_model(config, None, ())
    except DataError as error:
        return {path: UnknownFeed(str(error)) for path in paths}
    return {path: feed for path in paths if (feed := walk.describe_feed(path)) is not None}


@dataclass
class _ModelWalk:
    """The calls of all layers of a model, and the symbols that arrive at its networks."""

    places: Mapping[str, Mapping[str, list[KerasPlace]]]  # by path in the configuration, then in the file
    weights: LayerWeights
    version: str
    arrived: dict[str, list[Symbol]] = field(default_factory=dict)  # by path in the file, for each call
    input_names: list[str] = field(default_factory=list)
    visited: dict[str, str] = field(default_factory=dict)  # the classes of layers
    calls: int = 0  # the number of layers called
    programs: dict[Symbol, SymbolProgram] = field(default_factory=dict)
    instructions: int = 0  # of all programs
    is_named: bool = False  # whether paths in the configuration begin with the name of the whole model

    def describe_feed(self, path: str) -> Feed | UnknownFeed | None:
        """Return the feed of a network, or None if it is the model's input."""
        arrived = self.arrived.get(path, [])
        if not arrived:
            return self._describe_unreached(path)
        if len(arrived) > 1:
            return UnknownFeed(f"the model calls it {len(arrived)} times, each time with other inputs")
        symbol = arrived[0]
        if symbol.reason:
            return UnknownFeed(symbol.reason)
        program = self._compile(symbol)
        if program is None:
            return UnknownFeed(
                f"the layers between the networks of the model make more than {MAX_INSTRUCTIONS} computations"
            )
        called = [source for source in program.sources if len(self.arrived.get(source, [])) > 1]
        if called:
            return UnknownFeed(f"layer {quote(called[0])}, which feeds it, is called more than once")
        if MODEL_INPUT in program.sources and len(self.input_names) > 1:
            several = (
                f"the model has {len(self.input_names)} inputs ({', '.join(map(quote, self.input_names))})"
            )
            if program.is_input:
                return UnknownFeed(
                    f"{several}; name the layer to give it inputs of its own", program.input_name
                )
            through = ", ".join(program.through) or "other layers"
            return UnknownFeed(f"{several}, and one of them reaches it through {through}")
        if program.is_input:
            return None
        if MODEL_INPUT in program.sources and program.input_size is None:
            return UnknownFeed("the file does not say how many features the model's input has")
        return Feed(program.sources, program, program.through, program.input_size)

    def _compile(self, symbol: Symbol) -> SymbolProgram | None:
        """Return the program of a symbol, or None if those of the model become too long."""
        if symbol not in self.programs and self.instructions <= MAX_INSTRUCTIONS:
            self.programs[symbol] = compile_symbol(symbol)
            self.instructions += len(self.programs[symbol].instructions)
        return self.programs.get(symbol)

    def _describe_unreached(self, path: str) -> UnknownFeed | None:
        """Return why nothing is known of a network that no call of the model reaches."""
        if not self.calls:  # a model of another class, whose configuration has no layers
            return None
        config_path = next((known for known, group in self.places.items() if path in group), "")
        elements = config_path.split("/")
        for count in range(1, len(elements)):
            class_name = self.visited.get("/".join(elements[:count]), "")
            if class_name and class_name not in MODEL_CLASSES:
                name = quote(elements[count - 1])
                return UnknownFeed(f"it stands in layer {name} ({class_name}), whose code is not in the file")
        return UnknownFeed("the configuration of the model does not say which layer calls it")

    # Models

    def call_model(
        self, model: Mapping[str, Any], inputs: list[Symbol] | None, path: tuple[str, ...]
    ) -> list[Symbol]:
        """Return the outputs of a model; ``inputs`` is None for the whole model."""
        config = model.get("config")
        name = config.get("name") if isinstance(config, Mapping) else None
        path = (*path, name) if isinstance(name, str) else path
        self.is_named = self.is_named or (inputs is None and bool(path))
        self.visited["/".join(path)] = str(model.get("class_name"))
        layers = list_layers(model)
        if any("inbound_nodes" in layer for layer in layers) and isinstance(config, Mapping):
            return self._call_functional(config, layers, inputs, path)
        return self._call_sequential(model, layers, inputs, path)

    def _call_sequential(
        self,
        model: Mapping[str, Any],
        layers: list[Mapping[str, Any]],
        inputs: list[Symbol] | None,
        path: tuple[str, ...],
    ) -> list[Symbol]:
        outputs = inputs
        if outputs is None:
            if not layers:
                return []
            outputs = [make_input(_find_input_shape(layers[0], model), "input")]
            self.input_names.append("input")
            # What follows the last network feeds none, and its weights may be large.
            layers = layers[
                : max((k + 1 for k, one in enumerate(layers) if _may_hold_network(one)), default=0)
            ]
        for layer in layers:
            if layer.get("class_name") != _INPUT_CLASS:
                outputs = self.call_layer(layer, outputs[:1], path)
        return outputs

    def _call_functional(
        self,
        config: Mapping[str, Any],
        layers: list[Mapping[str, Any]],
        inputs: list[Symbol] | None,
        path: tuple[str, ...],
    ) -> list[Symbol]:
        known: dict[tuple[str, int], list[Symbol]] = {}
        stated = [reference.layer for reference in list_references(config.get("input_layers"))]
        waiting: WaitingCalls = {}
        for layer in layers:
            name = _get_name(layer)
            if layer.get("class_name") == _INPUT_CLASS:
                if inputs is None:
                    known[name, 0] = [make_input(_find_input_shape(layer), name)]
                elif name in stated and stated.index(name) < len(inputs):
                    known[name, 0] = [inputs[stated.index(name)]]
            else:
                waiting |= {(name, node): (layer, call) for node, call in enumerate(list_calls(layer))}
        if inputs is None:
            waiting = _keep_needed_calls(waiting)
            used = {one.layer for _, call in waiting.values() for one in call.list_references()}
            self.input_names = [
                name for (name, _), (symbol,) in known.items() if name in used and not symbol.reason
            ]
        # Each call follows those that it reads.
        readers: dict[tuple[str, int], list[tuple[str, int]]] = {}
        missing: dict[tuple[str, int], int] = {}
        for key, (_, call) in waiting.items():
            needed = {(one.layer, one.node) for one in call.list_references()} & waiting.keys()
            missing[key] = len(needed)
            for source in needed:
                readers.setdefault(source, []).append(key)
        ready = [key for key in waiting if missing[key] == 0]
        while ready:
            key = ready.pop(0)
            layer, call = waiting[key]
            arguments = [_look_up(known, reference) for reference in call.inputs]
            masks = [_look_up(known, reference) for reference in call.masks]
            known[key] = self.call_layer(layer, arguments, path, call, masks)
            for reader in readers.get(key, []):
                missing[reader] -= 1
                if missing[reader] == 0:
                    ready.append(reader)
        return [_look_up(known, one) for one in list_references(config.get("output_layers"))]

    # Layers

    def call_layer(
        self,
        layer: Mapping[str, Any],
        inputs: list[Symbol],
        path: tuple[str, ...],
        call: LayerCall = _PLAIN_CALL,
        masks: Sequence[Symbol] = (),
    ) -> list[Symbol]:
        """Return the outputs of a layer. The masks must hide no step, so that they change nothing."""
        for mask in masks:
            inputs = [_require_mask(symbol, mask) for symbol in inputs[:1]] + inputs[1:]
        self.calls += 1
        if self.calls > MAX_LAYER_CALLS or len(path) > MAX_MODEL_DEPTH:
            raise DataError(
                f"the model calls more than {MAX_LAYER_CALLS} layers, or has models in models more than "
                f"{MAX_MODEL_DEPTH} deep"
            )
        class_name, config = str(layer.get("class_name")), layer.get("config")
        full_path = (*path, _get_name(layer))
        self.visited["/".join(full_path)] = class_name
        called = CalledLayer(
            class_name, config if isinstance(config, Mapping) else {}, full_path[self.is_named :],
            self.version, self.weights,
        )  # fmt: skip
        is_own = _is_own_class(layer)
        if is_own and class_name in RECURRENT_CLASSES:
            return self._call_recurrent(
                called, inputs, "/".join(full_path), bool(call.others) or len(inputs) > 1
            )
        if is_own and class_name in MODEL_CLASSES and list_layers(layer):
            return self.call_model(layer, inputs, path)
        try:
            if class_name != "Embedding":
                for symbol in inputs:
                    if symbol.reason:
                        return [symbol]
            if class_name == COMPARISON and len(call.constants) == 1:
                called = replace(called, config={**called.config, CONSTANT_OPTION: call.constants[0]})
            elif call.has_constants:
                raise called.refuse()
            if call.others or not inputs or not is_own:
                raise called.refuse()
            return [_apply_rule(called, inputs)]
        except DataError as error:
            return [make_unknown(str(error))]

    def _call_recurrent(
        self, layer: CalledLayer, inputs: list[Symbol], config_path: str, has_state: bool
    ) -> list[Symbol]:
        networks = self.places.get(config_path, {})
        arrived = inputs[0] if inputs else make_unknown(str(layer.refuse()))
        own = layer.get_wrapped().config if layer.class_name == _BIDIRECTIONAL_CLASS else layer.config
        if not arrived.reason:
            if has_state:
                arrived = make_unknown("another layer gives it its first state, and it does not start from 0")
            elif own.get("time_major") or arrived.rank not in (SEQUENCE_RANK, None):
                arrived = make_unknown("its input has no axis of steps after that of the batch")
            else:
                arrived = _check_width(arrived, networks)
        for path in networks:
            self.arrived.setdefault(path, []).append(arrived)
        if not networks:
            return [make_unknown(f"{layer.label} stands before it, which is not read")]
        if has_state:
            return [make_unknown(f"{layer.label} stands before it and does not start from 0")]
        halves = sorted(_split_directions(networks, arrived.mask), key=lambda half: half[1].way == "backward")
        sequences = own.get("return_sequences") is True
        shown = [_show_half(symbol, place, sequences) for symbol, place in halves]
        states = [state for half in halves for state in _list_states(layer, *half)]
        if layer.class_name != _BIDIRECTIONAL_CLASS:
            return [shown[0], *states]
        mode = layer.config.get("merge_mode", "concat")
        if mode is None:
            return [*shown, *states]
        if (
            not isinstance(mode, str)
            or mode not in _DIRECTION_MERGES
            or len({symbol.size for symbol in shown}) > (1 if mode != "concat" else 2)
        ):
            return [make_unknown(str(layer.refuse()))]
        size = sum(symbol.size or 0 for symbol in shown) if mode == "concat" else shown[0].size
        return [transform(_DIRECTION_MERGES[mode], shown, size=size), *states]


def _apply_rule(layer: CalledLayer, inputs: list[Symbol]) -> Symbol:
    if layer.class_name != _STEPWISE_CLASS:
        rule = LAYER_RULES.get(layer.class_name)
        if rule is None:
            raise layer.refuse()
        return rule(layer, inputs)
    inner = layer.get_wrapped()
    rule = STEPWISE_RULES.get(inner.class_name)
    if rule is None or inputs[0].rank not in (SEQUENCE_RANK, None):
        raise layer.refuse()
    step = transform(None, inputs[:1], rank=VECTOR_RANK)
    return transform(None, [rule(inner, [step])], rank=SEQUENCE_RANK)


def _require_mask(symbol: Symbol, mask: Symbol) -> Symbol:
    """Return a symbol of which a mask must hide no step."""
    if symbol.mask is mask:
        return symbol
    if not symbol.reason and not mask.reason:
        symbol = transform(compute.require_mask, [symbol, mask])
    reason = symbol.reason or (
        mask.reason and f"the model gives it a mask of steps that is not known: {mask.reason}"
    )
    return replace(symbol, reason=reason, mask=mask)


def _check_width(arrived: Symbol, networks: Mapping[str, list[KerasPlace]]) -> Symbol:
    """Return the symbol that arrives at networks, or why it does not fit their weights."""
    lowest = [place for places in networks.values() for place in assign_levels(places) if place.level == 0]
    widths = {place.arrays["kernel"].shape[0] for place in lowest}
    if arrived.size is None or widths <= {arrived.size}:
        return arrived
    return make_unknown(
        f"its weights are for {min(widths)} features, and the layers below give {arrived.size}"
    )


def _split_directions(
    networks: Mapping[str, list[KerasPlace]], mask: Symbol | None
) -> list[tuple[Symbol, KerasPlace]]:
    """Return the output of each direction of a layer, and a cell whose output it is."""
    halves = []
    for path, places in networks.items():
        levels = assign_levels(places)
        top = max(place.level for place in levels)
        last = [place for place in levels if place.level == top]
        sizes = [place.arrays["recurrent_kernel"].shape[0] for place in last]
        whole = Symbol(SEQUENCE_RANK, sum(sizes), path, mask=mask)
        for k, place in enumerate(last):
            first = sum(sizes[:k])
            operation = partial(compute.take_features, first=first, last=first + sizes[k])
            part = whole if len(last) == 1 else transform(operation, [whole], size=sizes[k])
            halves.append((part, place))
    return halves


def _show_half(symbol: Symbol, place: KerasPlace, sequences: bool) -> Symbol:
    """Return what a layer gives out; ``symbol`` has all steps in the order of the inputs."""
    if not sequences:
        return _take_last(symbol, place)
    # A layer gives out steps in its own order, and a Bidirectional turns those of its layer named backward.
    is_turned = place.backward != (place.way == "backward")
    return transform(compute.reverse_steps, [symbol]) if is_turned else symbol


def _take_last(symbol: Symbol, place: KerasPlace) -> Symbol:
    operation = partial(compute.take_step, step=0 if place.backward else -1)
    return transform(operation, [symbol], rank=VECTOR_RANK)


def _list_states(layer: CalledLayer, symbol: Symbol, place: KerasPlace) -> list[Symbol]:
    """Return the last states that a layer may give out: h, and of an LSTM c, which is no output."""
    size, columns = place.arrays["recurrent_kernel"].shape
    unknown = make_unknown(f"a state of {layer.label} stands before it, which is not computed")
    if place.stacked:
        return [unknown]
    return [_take_last(symbol, place), *([unknown] if columns == 4 * size else [])]


def _look_up(known: Mapping[tuple[str, int], list[Symbol]], reference: TensorReference) -> Symbol:
    outputs = known.get((reference.layer, reference.node), [])
    if 0 <= reference.output < len(outputs):
        return outputs[reference.output]
    return make_unknown(f"the output of layer {quote(reference.layer)}, which feeds it, is not computed")


def _keep_needed_calls(waiting: WaitingCalls) -> WaitingCalls:
    """Return the calls that feed networks. The weights of others may be large, and are not read."""
    needed = {key for key, (layer, _) in waiting.items() if _may_hold_network(layer)}
    pending = list(needed)
    while pending:
        _, call = waiting[pending.pop()]
        below = {(one.layer, one.node) for one in call.list_references()} & waiting.keys()
        pending += below - needed
        needed |= below
    return {key: call for key, call in waiting.items() if key in needed}


def _may_hold_network(layer: Mapping[str, Any]) -> bool:
    return str(layer.get("class_name")) in RECURRENT_CLASSES or bool(list_layers(layer))


def _get_name(layer: Mapping[str, Any]) -> str:
    config = layer.get("config")
    name = config.get("name") if isinstance(config, Mapping) else None
    return str(layer.get("name") or name)


def _is_own_class(layer: Mapping[str, Any]) -> bool:
    """Return whether a layer is one of Keras, and not a class of the same name."""
    module, registered = layer.get("module"), layer.get("registered_name")
    if isinstance(module, str):
        if _OPERATIONS_MODULE in module:
            return str(layer.get("class_name")) in (*OPERATION_RULES, *MASK_RULES)
        if module.partition(".")[0] not in _OWN_MODULES:
            return False
    return not (isinstance(registered, str) and ">" in registered)


def _find_input_shape(layer: Mapping[str, Any], model: Mapping[str, Any] | None = None) -> list[Any] | None:
    """Return the shape of the model's input, which begins with the batch, or None if nothing states it."""
    for holder, key in (
        (layer.get("config"), "batch_shape"),
        (layer.get("config"), "batch_input_shape"),
        (layer.get("build_config"), "input_shape"),
        ((model or {}).get("config"), "build_input_shape"),
        ((model or {}).get("build_config"), "input_shape"),
    ):
        shape = holder.get(key) if isinstance(holder, Mapping) else None
        if isinstance(shape, list) and shape and all(one is None or type(one) is int for one in shape):
            return shape
    return None
