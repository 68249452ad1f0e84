"""A checkpoint: all recurrent networks among named arrays, whichever framework wrote them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain, combinations, count
from os import PathLike, fspath
from typing import Any

from gradflow.errors import DataError, UsageError
from gradflow.layouts import ASSUMABLE, LAYOUTS, TRACES
from gradflow.layouts.names import is_training_state, unwrapped
from gradflow.layouts.network import Choices, Claim, Layer, MisfitError, Network, check_chain, named
from gradflow.readers.arrays import read_arrays
from gradflow.readers.given import given_state
from gradflow.readers.messages import reading, shown
from gradflow.readers.stored import StoredArray
from gradflow.tables import lookup, unknown

LISTED = 12


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The recurrent networks of a file or a state dict.

    ``checkpoint[name]`` is one network, or one layer of one, by its name or as much of it as tells it apart:
    a cell for `gradflow.compare`, `gradflow.bptt` and `gradflow.lyapunov`.

    Attributes
    ----------
    source : str
        The file, or what else the arrays came from.
    networks : tuple of Network
        In the order of the arrays.
    remarks : tuple of str
        What looked like a recurrent layer and could not be read as one.
    left_open : frozenset of str
        What ``assume`` may say of the arrays, which they do not settle for every layer.
    layers : list of Layer
        The layers of all networks; each has a name, a cell with weights of float64, and what was assumed.

    See Also
    --------
    gradflow.load : Finds it in a file.
    gradflow.from_state_dict : Finds it among arrays.

    Examples
    --------
    >>> import numpy as np
    >>> found = from_state_dict({"lstm.weight_ih_l0": np.ones((4, 3)), "lstm.weight_hh_l0": np.ones((4, 1))})
    >>> found["lstm"].cell().hidden_size
    1
    """

    source: str
    networks: tuple[Network, ...]
    remarks: tuple[str, ...] = ()
    left_open: frozenset[str] = frozenset()

    @property
    def layers(self) -> list[Layer]:
        """The layers of all networks."""
        return [layer for network in self.networks for layer in network.layers]

    def __getitem__(self, name: str) -> Network:
        """Return the network, or the one layer, of that name, or of the only name of which it is a part.

        Raises
        ------
        UsageError
            If there is none, or several.
        """
        single = [
            Network(layer.name, ((layer,),))
            for network in self.networks
            for layer in network.layers
            if layer.name != network.name
        ]
        every = [*self.networks, *single]
        found = [network for network in every if network.name == name]
        for group in (
            self.networks,
            single,
        ):  # else those of which the name is a part, networks before layers
            found = found or [network for network in group if _is_part(name, network.name)]
        if len(found) == 1:
            return found[0]
        names = [network.name for network in (found or every)]
        if found:
            raise UsageError(f"{self.source}: layer {name!r} could be {', '.join(names)}; say which")
        near = get_close_matches(name, names, n=LISTED, cutoff=0.3)
        listed = list(dict.fromkeys([*near, *names]))[:LISTED]
        raise UsageError(f"{self.source}: {unknown('layer', name, listed)}")

    def __repr__(self) -> str:
        listed = ", ".join(f"{layer.name}: {layer.kind}" for layer in self.layers)
        return f"Checkpoint({self.source}, {listed})"


def _is_part(name: str, whole: str) -> bool:
    """Return whether a name is some of the elements of a whole one, from one border to another."""
    return f".{name}.".replace("/", ".") in f".{whole}.".replace("/", ".")


def load(
    path: str | PathLike[str], *, layout: str | None = None, assume: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Return the recurrent networks of a checkpoint, found by names and shapes.

    The framework that wrote it is not needed, and nothing in it is executed.

    Parameters
    ----------
    path : str or path-like
        A .safetensors, .pt, .pth, .npz, .h5, .keras or .onnx file (recognised by content, save ONNX), or
        ``"-"`` for standard input.
    layout : str, optional
        Whose names to look for alone: torch, keras, onnx, flax, equinox, haiku, tensorflow1.
    assume : mapping, optional
        What the file leaves open: ``activation``, ``gate_activation``, ``reset``, ``forget_bias``,
        ``residual``.

    Returns
    -------
    Checkpoint
        Its ``layers`` have a cell each, with weights of float64; ``checkpoint["encoder.lstm"]`` is one
        network.

    Raises
    ------
    DataError
        If the file cannot be read, holds no recurrent layer, or holds one that can be read in two ways.
    UsageError
        For an unknown layout or assumption, or one that nothing in the file leaves open.

    Examples
    --------
    A GRU has three gates: 3·2 rows are those of 2 units.

    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/m.npz", weight_ih_l0=np.ones((6, 4)), weight_hh_l0=np.ones((6, 2)))
    ...     [(layer.kind, layer.cell.hidden_size) for layer in load(f"{folder}/m.npz").layers]
    [('gru', 2)]
    """
    return _settled(read_checkpoint(path, layout, assume), assume)


def from_state_dict(
    mapping: Mapping[str, Any],
    *,
    name: str = "state dict",
    layout: str | None = None,
    assume: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Return the recurrent networks among arrays, found by names and shapes.

    Arrays are numpy's, or tensors taken over DLPack, as torch and JAX hand them out; what is neither, as a
    number of epochs, is left out.

    Parameters
    ----------
    mapping : mapping of str to array
        As torch's ``model.state_dict()``, each array of the shape that its framework gives it; nested
        mappings are flattened with dots.
    name : str
        What to call it in tables and messages.
    layout, assume : str and mapping, optional
        As for `load`.

    Returns
    -------
    Checkpoint
        As that of `load`.

    Raises
    ------
    DataError
        If there is no recurrent layer, one that can be read in two ways, or a tensor on another device.
    UsageError
        For what is no mapping, and as for `load`.

    Examples
    --------
    An LSTM has four gates: 4·2 rows are those of 2 units.

    >>> import numpy as np
    >>> weights = {"enc": {"weight_ih_l0": np.ones((8, 3)), "weight_hh_l0": np.ones((8, 2))}, "epoch": 7}
    >>> found = from_state_dict(weights)
    >>> found, found["enc"].cell().input_size, found["enc"].cell().hidden_size
    (Checkpoint(state dict, enc: lstm), 3, 2)
    """
    if not isinstance(mapping, Mapping):
        raise UsageError(
            f"{type(mapping).__name__} is no mapping of names to arrays: give model.state_dict(), or a path "
            "to gradflow.load"
        )
    return _settled(_found(given_state(mapping), name, layout, assume), assume)


def read_checkpoint(
    path: str | PathLike[str], layout: str | None = None, assume: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Return what `load` does, whether or not the file leaves open what is said about it."""
    arrays = read_arrays(path)
    return _found(arrays, "standard input" if path == "-" else fspath(path), layout, assume)


def _settled(checkpoint: Checkpoint, assume: Mapping[str, Any] | None) -> Checkpoint:
    check_settles(assume, checkpoint.left_open, checkpoint.source)
    return checkpoint


def check_settles(assume: Mapping[str, Any] | None, left_open: frozenset[str], source: str) -> None:
    """Refuse what was said about something that is not left open.

    Raises
    ------
    UsageError
        With what is left open.
    """
    unused = sorted(set(assume or {}) - left_open)
    if unused:
        told = f"it leaves open {', '.join(sorted(left_open))}" if left_open else "it leaves nothing open"
        raise UsageError(f"{source}: says itself what {unused[0]} is ({told}); leave {unused[0]} out")


def check_assumed(given: Mapping[str, Any] | None) -> dict[str, str]:
    """Return what a person says, as text.

    Raises
    ------
    UsageError
        For what cannot be said.
    """
    for option in given or {}:
        if option not in ASSUMABLE:
            raise UsageError(unknown("assumption", option, ASSUMABLE))
    return {option: str(value) for option, value in (given or {}).items()}


def _found(
    arrays: Mapping[str, StoredArray], source: str, layout: str | None, assume: Mapping[str, Any] | None
) -> Checkpoint:
    if layout is not None and layout not in LAYOUTS:
        raise UsageError(unknown("layout", layout, LAYOUTS))
    choices = Choices(check_assumed(assume))
    with reading(source):
        arrays = {name: array for name, array in arrays.items() if not is_training_state(name)}
        claims = [
            (name, claim)
            for name in _candidates(arrays, layout)
            if any(trace in array for array in arrays for trace in TRACES[name])
            for claim in lookup(LAYOUTS, name, "layout").claims(arrays, choices)
        ]
        _check_ambiguity(claims)
        networks, remarks = _built([claim for _, claim in claims], list(arrays))
        if not networks:
            raise DataError(_nothing(arrays, remarks, [layout] if layout else LAYOUTS))
    return Checkpoint(source, networks, remarks, frozenset(choices.used))


def _candidates(arrays: Mapping[str, StoredArray], layout: str | None) -> Iterable[str]:
    """Return the layouts to look for: where a file has operators, these say what its arrays are."""
    if layout is not None:
        return [layout]
    return ["onnx"] if any("op" in array.about for array in arrays.values()) else LAYOUTS


def _check_ambiguity(claims: Sequence[tuple[str, Claim]]) -> None:
    for (one, first), (other, second) in combinations(claims, 2):
        both = sorted(first.names & second.names)
        if both:
            raise DataError(
                f"{shown(both[0])} can be read as {one} ({shown(first.path)}) and as {other} "
                f"({shown(second.path)}); say which with --layout (layout=)"
            )


def _built(claims: Sequence[Claim], order: Sequence[str]) -> tuple[tuple[Network, ...], tuple[str, ...]]:
    """Return the networks of the claims whose shapes fit, in the arrays' order, and why others do not."""
    built, remarks = [], []
    problems: list[DataError] = []
    place = {name: k for k, name in enumerate(order)}
    for claim in sorted(claims, key=lambda claim: min(place[name] for name in claim.names)):
        try:
            levels = claim.build()
            check_chain(levels)
            built.append((claim.path, levels))
        except DataError as error:
            remarks.append(f"left out: {error}")
            problems += [] if isinstance(error, MisfitError) else [error]
    if problems and not built:
        raise problems[0]
    paths = unwrapped([path for path, _ in built])
    networks = [named(path, levels) for path, (_, levels) in zip(paths, built, strict=True) if path]
    taken = {network.name for network in networks}
    for k, (path, (_, levels)) in enumerate(zip(paths, built, strict=True)):
        if not path:  # what stands at the root is called by its kind, unless something is
            names = chain([levels[0][0].kind, "root"], map("root{}".format, count(2)))
            networks.insert(k, named(next(name for name in names if name not in taken), levels))
            taken.add(networks[k].name)
    return tuple(networks), tuple(remarks)


def _nothing(arrays: Mapping[str, StoredArray], remarks: Sequence[str], layouts: Iterable[str]) -> str:
    listed = ", ".join(f"{shown(array.name)} {array.shape}" for array in list(arrays.values())[:LISTED])
    more = f" and {len(arrays) - LISTED} more" if len(arrays) > LISTED else ""
    why = f" ({'; '.join(remarks)})" if remarks else ""
    return (
        f"holds no recurrent layer under the names of {', '.join(layouts)}{why}; it holds "
        f"{listed or 'no array'}{more}"
    )
