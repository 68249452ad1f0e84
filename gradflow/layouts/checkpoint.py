"""A checkpoint: the recurrent networks among named arrays, whichever framework wrote them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from importlib import import_module
from itertools import chain, combinations, count
from os import PathLike, fspath
from typing import Any

from gradflow.errors import DataError, UsageError
from gradflow.layouts import LAYOUT_SIGNS, LAYOUTS
from gradflow.layouts.accounting import (
    UNREAD_IGNORED,
    UNREAD_OPTION,
    describe_unclaimed,
    find_unread,
    record_reads,
)
from gradflow.layouts.assumptions import Assumptions, check_assumptions, check_left_open
from gradflow.layouts.gate_orders import assume_gate_order, check_gate_order, states_gate_order
from gradflow.layouts.names import NONLINEARITY_KEY, NamedArrays, is_training_state, strip_wrappers
from gradflow.layouts.network import (
    Levels,
    MisfitError,
    Network,
    NetworkClaim,
    NetworkLayer,
    check_chain,
    name_layers,
    sort_networks,
)
from gradflow.layouts.reparametrizations import ComputedWeight, compute_weights
from gradflow.printable import describe_argument
from gradflow.readers.arrays import read_named_arrays
from gradflow.readers.in_memory import flatten_state_dict
from gradflow.readers.messages import prefix_errors, quote
from gradflow.registry import check_name, describe_unknown, lookup

MAX_LISTED_NAMES = 12
MAX_LISTED_REFUSALS = 3
# Chainer's LSTM has the rows of its gates in turn: g, i, f, o of the first unit, then of the next.
_CHAINER_ENDING = "lateral/W"
_CHAINER_ADVICE = (
    "these are names of Chainer, which are not read; give the names of torch to "
    "W.reshape(-1, 4, W.shape[1])[:, [1, 2, 0, 3]].swapaxes(0, 1).reshape(W.shape)"
)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The recurrent networks of a file or a state dict.

    ``checkpoint[name]`` is a network or one of its layers. The name may be shortened to any part that only
    one of them has. `gradflow.compare`, `gradflow.bptt` and `gradflow.lyapunov` accept it as a cell.

    Attributes
    ----------
    source : str
        The file, or the name of the state dict.
    networks : tuple of Network
        The networks in the order of the arrays.
    remarks : tuple of str
        The arrays that looked like a recurrent layer but could not be read as one, each with the reason.
    left_open : frozenset of str
        The options that the arrays leave open for some layer. ``assume`` may set them.
    states_feeds : bool
        Whether the file says what feeds its networks.
    layers : list of NetworkLayer
        The layers of all networks. Each has a name, a cell with weights of float64, and the assumptions made.

    See Also
    --------
    gradflow.load : Finds the networks of a file.
    gradflow.from_state_dict : Finds the networks among arrays.

    Examples
    --------
    >>> import numpy as np
    >>> weights = {"lstm.weight_ih_l0": np.ones((4, 3)), "lstm.weight_hh_l0": np.ones((4, 1))}
    >>> checkpoint = from_state_dict(weights)
    >>> checkpoint["lstm"].make_cell().hidden_size
    1
    """

    source: str
    networks: tuple[Network, ...]
    remarks: tuple[str, ...] = ()
    left_open: frozenset[str] = frozenset()
    states_feeds: bool = False

    @property
    def layers(self) -> list[NetworkLayer]:
        """The layers of all networks."""
        return [layer for network in self.networks for layer in network.layers]

    def __getitem__(self, name: str) -> Network:
        """Return the network or layer of that name, or the only one whose name contains it.

        Raises
        ------
        UsageError
            If there is no such network or layer, or several.
        """
        single = [
            Network(layer.name, ((layer,),))
            for network in self.networks
            for layer in network.layers
            if layer.name != network.name
        ]
        candidates = [*self.networks, *single]
        matches = [network for network in candidates if network.name == name]
        # Otherwise the name is a part of a name; networks come before layers.
        for group in (self.networks, single):
            matches = matches or [network for network in group if _is_part(name, network.name)]
        if len(matches) == 1:
            return matches[0]
        names = [network.name for network in (matches or candidates)]
        if matches:
            raise UsageError(f"{self.source}: layer {name!r} could be {', '.join(names)}; say which")
        near = get_close_matches(name, names, n=MAX_LISTED_NAMES, cutoff=0.3)
        listed = list(dict.fromkeys([*near, *names]))[:MAX_LISTED_NAMES]
        raise UsageError(f"{self.source}: {describe_unknown('layer', name, listed)}")

    def __repr__(self) -> str:
        listed = ", ".join(f"{layer.name}: {layer.kind}" for layer in self.layers)
        return f"Checkpoint({self.source}, {listed})"


def _is_part(name: str, whole: str) -> bool:
    """Return whether ``name`` consists of consecutive, complete elements of the name ``whole``."""
    return f".{name}.".replace("/", ".") in f".{whole}.".replace("/", ".")


def load(
    path: str | PathLike[str], *, layout: str | None = None, assume: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Return the recurrent networks of a checkpoint, found by the names and shapes of its arrays.

    The framework that wrote the file is not needed, and nothing in the file is executed.

    Parameters
    ----------
    path : str or path-like
        A .safetensors, .pt, .pth, .npz, .h5, .keras, .msgpack or .onnx file, one of several files that belong
        together (shards, TensorFlow), a directory with one checkpoint, or ``"-"`` for standard input. The
        content says which format it has, except for ONNX, which needs the suffix.
    layout : str, optional
        Look only for the names of this framework, one of ``gradflow.layouts.LAYOUTS``.
    assume : mapping, optional
        Values for options that the file leaves open: ``activation``, ``gate_activation``, ``reset``,
        ``forget_bias``, ``residual``, ``orthogonal_map``, ``gate_order``, ``clip``, ``leak``.
        ``unread=ignored`` reads layers beside whose arrays the file has others that can change them.

    Returns
    -------
    Checkpoint
        Each of its ``layers`` has a cell with weights of float64. ``checkpoint["encoder.lstm"]`` is one
        network.

    Raises
    ------
    DataError
        If the file cannot be read, or if it holds no recurrent layer, or one that can be read in two ways.
    UsageError
        If the layout or an assumption is unknown, if nothing in the file leaves an assumption open, or if
        an argument has another type.

    Examples
    --------
    A GRU has three gates, so 6 rows mean 2 units.

    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/m.npz", weight_ih_l0=np.ones((6, 4)), weight_hh_l0=np.ones((6, 2)))
    ...     [(layer.kind, layer.cell.hidden_size) for layer in load(f"{folder}/m.npz").layers]
    [('gru', 2)]
    """
    if not isinstance(path, str | PathLike):
        raise UsageError(
            f"{describe_argument('path', path)}: expected the name of a file; give a state dict to "
            "gradflow.from_state_dict"
        )
    return _check_settled(read_checkpoint(path, layout, assume), assume)


def from_state_dict(
    mapping: Mapping[str, Any],
    *,
    name: str = "state dict",
    layout: str | None = None,
    assume: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Return the recurrent networks among arrays, found by their names and shapes.

    The values are arrays of numpy, or tensors of any library, such as those of torch and JAX. Any other
    value, such as a number of epochs, is left out.

    Parameters
    ----------
    mapping : mapping of str to array
        For example torch's ``model.state_dict()``. Each array has the shape that its framework gives it. The
        names of nested mappings are joined by dots.
    name : str
        The name of the checkpoint in tables and messages.
    layout, assume : str and mapping, optional
        As for `load`.

    Returns
    -------
    Checkpoint
        As for `load`.

    Raises
    ------
    DataError
        If there is no recurrent layer, or one that can be read in two ways, or a tensor that cannot be
        converted to numpy.
    UsageError
        If ``mapping`` is not a mapping, and as for `load`.

    Examples
    --------
    An LSTM has four gates, so 8 rows mean 2 units.

    >>> import numpy as np
    >>> weights = {"enc": {"weight_ih_l0": np.ones((8, 3)), "weight_hh_l0": np.ones((8, 2))}, "epoch": 7}
    >>> checkpoint = from_state_dict(weights)
    >>> cell = checkpoint["enc"].make_cell()
    >>> checkpoint, cell.input_size, cell.hidden_size
    (Checkpoint(state dict, enc: lstm), 3, 2)
    """
    if not isinstance(mapping, Mapping):
        raise UsageError(
            f"{describe_argument('state dict', mapping)}: expected a mapping of names to arrays; pass "
            "model.state_dict(), or pass a path to gradflow.load"
        )
    return _check_settled(find_networks(mapping, name, layout, assume), assume)


def find_networks(
    mapping: Mapping[str, Any],
    name: str,
    layout: str | None = None,
    assume: Mapping[str, Any] | None = None,
    activations: Mapping[str, str] | None = None,
) -> Checkpoint:
    """Return the networks as `from_state_dict` does, but accept assumptions that leave the networks alone.

    ``activations`` has the activations that modules state, by the path of the module.
    """
    arrays = flatten_state_dict(mapping)
    for path, activation in (activations or {}).items():
        start = f"{path}." if path else ""
        arrays |= {
            array.name: replace(array, metadata={**array.metadata, NONLINEARITY_KEY: activation})
            for array in arrays.values()
            if array.name.startswith(start)
        }
    return _find_networks(arrays, name, layout, assume)


def read_checkpoint(
    path: str | PathLike[str], layout: str | None = None, assume: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Return the networks as `load` does, but accept assumptions that the file does not leave open."""
    arrays, remarks = read_named_arrays(path)
    source = "standard input" if path == "-" else fspath(path)
    return _find_networks(arrays, source, layout, assume, remarks)


def _check_settled(checkpoint: Checkpoint, assume: Mapping[str, Any] | None) -> Checkpoint:
    check_left_open(assume, checkpoint.left_open, checkpoint.source)
    return checkpoint


def _find_networks(
    arrays: NamedArrays,
    source: str,
    layout: str | None,
    assume: Mapping[str, Any] | None,
    contents_remarks: Sequence[str] = (),
) -> Checkpoint:
    if layout is not None:
        check_name("layout", layout, LAYOUTS)
    assumptions = Assumptions(check_assumptions(assume))
    with prefix_errors(source):
        stored = {name: array for name, array in arrays.items() if not is_training_state(name)}
        effective, weights = compute_weights(stored, assumptions)
        effective, read_names = record_reads(effective)
        claims = [
            (name, claim)
            for name in _choose_layouts(effective, layout)
            if any(part in array for array in effective for part in LAYOUT_SIGNS[name].name_parts)
            for claim in lookup(LAYOUTS, name, "layout").find_networks(effective, assumptions)
        ]
        _check_ambiguity(claims)
        built = _build_claims(claims, effective, weights)
        _order_gates(built, assumptions)
        _describe_computed(built, weights, assumptions)
        unread_names = _account(built, effective, read_names, assumptions)
        networks, remarks = _assemble_networks(built, effective)
        claimed = unread_names.union(*(claim.names for _, claim in claims))
        remarks += tuple(describe_unclaimed(_choose_accountable(effective), claimed)) if networks else ()
        if not networks:
            problems = [one.error for one in built if one.error and not isinstance(one.error, MisfitError)]
            if problems:
                raise problems[0]
            refusals = [str(one.error) for one in built if one.error]
            if refusals:
                raise DataError(_describe_refusals(refusals))
            reasons = (*remarks, *contents_remarks)
            tried = list(_choose_layouts(effective, layout))
            raise DataError(_describe_absence(stored, reasons, tried))
    return Checkpoint(
        source,
        networks,
        (*contents_remarks, *remarks),
        frozenset(assumptions.left_open),
        _states_feeds(built, effective),
    )


def _states_feeds(outcomes: Sequence["_ClaimOutcome"], arrays: NamedArrays) -> bool:
    """Return whether the file says what feeds its networks: a graph or a configuration is in it."""
    modules = {LAYOUT_SIGNS[outcome.layout].feeds for outcome in outcomes if outcome.levels} - {""}
    return any(import_module(module).states_feeds(arrays) for module in modules)


def _choose_accountable(arrays: NamedArrays) -> NamedArrays:
    """Return the arrays that may belong to layers: if a file declares its layout, only those it marks."""
    keys = {signs.metadata_key for signs in LAYOUT_SIGNS.values()} - {""}
    marked = {name: array for name, array in arrays.items() if keys & set(array.metadata)}
    return marked or arrays


def _choose_layouts(arrays: NamedArrays, layout: str | None) -> Iterable[str]:
    """Return the layouts to try: the one that is asked for, else those that the file declares, else all."""
    if layout is not None:
        return [layout]
    keys = {key for array in arrays.values() for key in array.metadata}
    declared = [name for name, signs in LAYOUT_SIGNS.items() if signs.metadata_key in keys]
    return declared or [name for name, signs in LAYOUT_SIGNS.items() if not signs.on_request]


def _check_ambiguity(claims: Sequence[tuple[str, NetworkClaim]]) -> None:
    for (one, first), (other, second) in combinations(claims, 2):
        shared = sorted(first.names & second.names)
        if shared:
            raise DataError(
                f"{quote(shared[0])} can be read as {one} ({quote(first.path)}) and as {other} "
                f"({quote(second.path)}); choose one with `layout`"
            )


@dataclass
class _ClaimOutcome:
    """What became of a claim: its levels, or the error that says why there are none, and remarks."""

    layout: str
    claim: NetworkClaim
    levels: Levels = ()
    error: DataError | None = None
    remarks: list[str] = field(default_factory=list)

    def list_remarks(self) -> list[str]:
        """Return what people should know of the claim."""
        return [*self.remarks, *([f"left out: {self.error}"] if self.error else [])]


def _build_claims(
    claims: Sequence[tuple[str, NetworkClaim]], arrays: NamedArrays, weights: Mapping[str, ComputedWeight]
) -> list[_ClaimOutcome]:
    """Return the outcome of every claim, in the order of the arrays."""
    outcomes = []
    place = {name: k for k, name in enumerate(arrays)}
    for layout, claim in sorted(claims, key=lambda pair: min(place[name] for name in pair[1].names)):
        outcome = _ClaimOutcome(layout, claim)
        problems = [weights[name].problem for name in sorted(claim.names & set(weights))]
        try:
            if any(problems):
                raise MisfitError("; ".join(filter(None, problems)))
            levels = claim.build()
            check_chain(levels)
            outcome.levels, outcome.remarks = levels, list(claim.remarks)
        except DataError as error:
            outcome.error = error
        outcomes.append(outcome)
    return outcomes


def _order_gates(outcomes: Sequence[_ClaimOutcome], assumptions: Assumptions) -> None:
    """Give the order of gates that the user says to layers with Keras' names in files of other programs."""
    kinds: set[str] = set()
    for outcome in outcomes:
        borrowed = LAYOUT_SIGNS[outcome.layout].borrowed_names
        if borrowed and outcome.levels and not states_gate_order(outcome.levels):
            kinds |= {layer.kind for level in outcome.levels for layer in level}
            outcome.levels, remarks = assume_gate_order(outcome.levels, outcome.claim.path, assumptions)
            outcome.remarks += remarks
    check_gate_order(kinds, assumptions)


def _describe_computed(
    outcomes: Sequence[_ClaimOutcome], weights: Mapping[str, ComputedWeight], assumptions: Assumptions
) -> None:
    """Add what was computed for each claim, and what was assumed for that."""
    for outcome in outcomes:
        own = {name: weights[name] for name in sorted(outcome.claim.names & set(weights))}
        assumptions.left_open.update(*(weight.left_open for weight in own.values()))
        if outcome.levels:
            outcome.remarks += [weight.remark for weight in own.values()]
            outcome.levels = tuple(
                tuple(_add_assumed(layer, own) for layer in level) for level in outcome.levels
            )


def _add_assumed(layer: NetworkLayer, weights: Mapping[str, ComputedWeight]) -> NetworkLayer:
    assumed = [
        option for array in layer.stored if array.name in weights for option in weights[array.name].assumed
    ]
    return replace(layer, assumed=tuple(dict.fromkeys([*layer.assumed, *assumed])))


def _account(
    outcomes: Sequence[_ClaimOutcome], arrays: NamedArrays, read_names: set[str], assumptions: Assumptions
) -> set[str]:
    """Refuse the layers of whose modules an array was not read that can change them; note the others.

    Return the names of the arrays that were not read.

    Raises
    ------
    UsageError
        If the user's value of the option is unknown.
    """
    given = assumptions.given.get(UNREAD_OPTION)
    if given not in (None, UNREAD_IGNORED):
        raise UsageError(f"{UNREAD_OPTION}={given}: expected {UNREAD_OPTION}={UNREAD_IGNORED}")
    named = {name for outcome in outcomes if outcome.error for name in outcome.claim.names}
    # Arrays without names have no modules.
    networks = {
        k: outcome.levels
        for k, outcome in enumerate(outcomes)
        if outcome.levels and not LAYOUT_SIGNS[outcome.layout].on_request
    }
    accountable = _choose_accountable(arrays)
    inner_modules = {k: LAYOUT_SIGNS[outcomes[k].layout].inner_modules for k in networks}
    found = find_unread(accountable, read_names | named, networks, inner_modules)
    for k, unread in found.items():
        outcome, path = outcomes[k], outcomes[k].claim.path
        if unread.changing:
            assumptions.left_open.add(UNREAD_OPTION)
            if given is None:
                outcome.levels, outcome.remarks = (), []
                outcome.error = MisfitError(unread.describe_changing(path))
                continue
            outcome.remarks.append(unread.describe_ignored(path))
        outcome.remarks += unread.describe_rest(path)
    return {name for unread in found.values() for name in unread.names}


def _assemble_networks(
    outcomes: Sequence[_ClaimOutcome], arrays: NamedArrays
) -> tuple[tuple[Network, ...], tuple[str, ...]]:
    """Return the named networks, and all remarks."""
    remarks = tuple(remark for outcome in outcomes for remark in outcome.list_remarks())
    built = [(outcome.claim.path, outcome.levels) for outcome in outcomes if outcome.levels]
    paths_of_layouts: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.levels:
            paths_of_layouts.setdefault(outcome.layout, []).append(outcome.claim.path)
    paths = strip_wrappers([path for path, _ in built])
    networks = [name_layers(path, levels) for path, (_, levels) in zip(paths, built, strict=True) if path]
    used_names = {network.name for network in networks}
    for k, (path, (_, levels)) in enumerate(zip(paths, built, strict=True)):
        if not path:  # A network at the root is named after its kind, unless that name is taken.
            names = chain([levels[0][0].kind, "root"], map("root{}".format, count(2)))
            networks.insert(k, name_layers(next(name for name in names if name not in used_names), levels))
            used_names.add(networks[k].name)
    names_of_paths = {path: network.name for (path, _), network in zip(built, networks, strict=True)}
    feeds = {
        names_of_paths[path]: feed.rename_sources(names_of_paths)
        for layout, own_paths in paths_of_layouts.items()
        if LAYOUT_SIGNS[layout].feeds
        for path, feed in import_module(LAYOUT_SIGNS[layout].feeds).find_feeds(arrays, own_paths).items()
    }
    return sort_networks(replace(network, feed=feeds.get(network.name)) for network in networks), remarks


def _describe_refusals(refusals: Sequence[str]) -> str:
    more = len(refusals) - MAX_LISTED_REFUSALS
    others = f"; and {more} more" if more > 0 else ""
    return f"holds no recurrent layer that can be read: {'; '.join(refusals[:MAX_LISTED_REFUSALS])}{others}"


def _describe_absence(arrays: NamedArrays, remarks: Sequence[str], layouts: Iterable[str]) -> str:
    listed = ", ".join(
        f"{quote(array.name)} {array.shape}" for array in list(arrays.values())[:MAX_LISTED_NAMES]
    )
    more = f" and {len(arrays) - MAX_LISTED_NAMES} more" if len(arrays) > MAX_LISTED_NAMES else ""
    chainer = (_CHAINER_ADVICE,) if any(name.endswith(_CHAINER_ENDING) for name in arrays) else ()
    why = f" ({'; '.join((*remarks, *chainer))})" if remarks or chainer else ""
    return (
        f"holds no recurrent layer under the names of {', '.join(layouts)}{why}; it holds "
        f"{listed or 'no array'}{more}. To read a plain cell, rename its arrays to those of one of them, "
        "such as weight_ih and weight_hh of torch"
    )
