"""The networks of a checkpoint along inputs: what each receives in its model, and where its layers go."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gradflow.analysis.shared.inputs import Inputs
from gradflow.analysis.shared.trajectory import Trajectory, follow
from gradflow.cells.base import Array
from gradflow.errors import DataError
from gradflow.layouts.checkpoint import Checkpoint
from gradflow.layouts.feeds import MODEL_INPUT, Feed, UnknownFeed
from gradflow.layouts.network import Network, NetworkLayer

UNIT_NORMAL = "unit normal"
MAX_FEED_DEPTH = 100  # networks that feed each other


class DrawnInputs(NamedTuple):
    """Inputs that stand for those of a network in its model, which are not known.

    Attributes
    ----------
    network : str
        The network that is fed these inputs.
    kind : str
        What they are, such as ``unit normal``.
    reason : str
        Why its inputs in its model are not known, a clause.
    """

    network: str
    kind: str
    reason: str

    def describe(self, network: str) -> str:
        """Return a clause about a network that is fed these inputs, or by networks that are."""
        own = "" if network == self.network else f"above {self.network}, which is "
        return f"{own}{_describe_drawn(self.kind, self.reason)}"


class NetworkInputs(NamedTuple):
    """The inputs of a network.

    Attributes
    ----------
    values : array (draws, T, features)
        The inputs.
    fed : str
        What they are: ``input``, ``unit normal``, ``zero``, ``constant``, or the networks that feed it.
    took_input : bool
        Whether they come from the given input.
    drawn : DrawnInputs, optional
        The inputs from which they come if those of the model are not known. None if they are, or if nothing
        is known about the model.
    """

    values: Array
    fed: str
    took_input: bool
    drawn: DrawnInputs | None = None


class LayerRun(NamedTuple):
    """One layer of a network along its inputs.

    Attributes
    ----------
    layer : NetworkLayer
        The layer.
    trajectory : Trajectory
        Where it went. A backward layer goes from the last input to the first.
    caution : str
        A clause that says why its inputs are not the output of the level below. Empty if they are.
    """

    layer: NetworkLayer
    trajectory: Trajectory
    caution: str

    def order_outputs(self) -> Array:
        """Return the outputs (draws, T, size) in the order of the inputs."""
        shown = self.trajectory.states[..., 1:, : self.layer.cell.output_size]
        return shown[..., ::-1, :] if self.layer.direction == "backward" else shown


def run_network(network: Network, inputs: Array) -> Iterator[LayerRun]:
    """Yield each layer of a network along inputs (T, features) or (draws, T, features).

    The inputs of a level are the outputs of the level below, all directions side by side. If a state below
    overflows, the inputs are unit normal instead.
    """
    caution = ""
    for level in network.levels:
        runs = []
        for layer in level:
            fed = inputs[..., ::-1, :] if layer.direction == "backward" else inputs
            runs.append(LayerRun(layer, follow(layer.cell, fed), caution))
            yield runs[-1]
        lost = _find_overflow(runs)
        caution = caution or (_describe_drawn(UNIT_NORMAL, lost) if lost else "")
        if caution:
            width = sum(layer.cell.output_size for layer in level)
            inputs = np.random.default_rng(0).standard_normal((*inputs.shape[:-1], width))
        else:
            inputs = np.concatenate([run.order_outputs() for run in runs], axis=-1)


class NetworkFeeder:
    """Finds what each network of a checkpoint receives, from the inputs of the model up.

    Parameters
    ----------
    checkpoint : Checkpoint
        The networks.
    inputs : Inputs
        The given inputs, or the kind of inputs to draw.
    draws : int
        The number of sequences at most.
    named_layers : collection of str
        The layers that the user named. Given inputs of the width of such a layer are its own, unless its
        model computes its inputs from them.
    """

    def __init__(
        self, checkpoint: Checkpoint, inputs: Inputs, draws: int, named_layers: Collection[str] = ()
    ) -> None:
        self._networks = {network.name: network for network in checkpoint.networks}
        self._inputs = inputs
        self._draws = draws
        self._named_layers = named_layers
        self._known: dict[str, NetworkInputs] = {}
        self._pending: list[str] = []
        names = dict.fromkeys(_get_input_name(network) for network in checkpoint.networks)
        self._input_places = {name: place for place, name in enumerate(sorted(names))}
        # Whether a network reads the data as the model's input, directly or through other layers.
        self._takes_data = any(
            _reads_model_input(network) and self._has_width(_find_width(network))
            for network in checkpoint.networks
        )

    def feed(self, network: Network) -> NetworkInputs:
        """Return the inputs of a network."""
        if network.name not in self._known:
            self._known[network.name] = self._find_inputs(network)
        return self._known[network.name]

    def _find_inputs(self, network: Network) -> NetworkInputs:
        features = network.levels[0][0].cell.input_size
        fed, reason = None, ""
        match network.feed:
            case Feed() as feed:
                fed, reason = self._follow_feed(network, feed)
            case UnknownFeed(stated, input_name) if self._inputs.data is not None or not input_name:
                reason = stated
        takes_own = self._has_width(features) and any(
            layer.name in self._named_layers for layer in network.layers
        )
        if fed is not None and not (fed.drawn and takes_own):
            return fed
        if takes_own or (self._has_width(features) and not reason):
            return self._take_data()
        # Networks that read different inputs of the model get different draws.
        drawn = self._draw(features, self._draws * self._input_places[_get_input_name(network)])
        if self._inputs.data is not None:
            reason = reason or self._explain_width(features)
        return drawn._replace(drawn=DrawnInputs(network.name, drawn.fed, reason)) if reason else drawn

    def _explain_width(self, features: int) -> str:
        has, takes = f"the input has {self._inputs.features} features", f"it takes {features}"
        if not self._takes_data:
            return f"{has} and {takes}"
        return f"{has}, {takes}, and the file does not say what feeds it (`chain` can)"

    def _has_width(self, features: int | None) -> bool:
        return self._inputs.data is not None and self._inputs.features == features

    def _make_inputs(self, features: int) -> NetworkInputs:
        """Return the given inputs if they have as many features, else draws."""
        return self._take_data() if self._has_width(features) else self._draw(features)

    def _take_data(self) -> NetworkInputs:
        assert self._inputs.data is not None
        count = min(len(self._inputs.data), self._draws)
        return NetworkInputs(_draw_inputs(self._inputs, count), "input", True)

    def _draw(self, features: int, first: int = 0) -> NetworkInputs:
        """Return draws from number ``first`` on, or constant inputs if those are asked for."""
        inputs = self._inputs
        if inputs.data is not None or inputs.kind == "normal":
            drawn = replace(inputs, features=features, kind="normal", data=None)
            return NetworkInputs(_draw_inputs(drawn, self._draws, first), UNIT_NORMAL, False)
        return NetworkInputs(_draw_inputs(replace(inputs, features=features), 1), inputs.kind, False)

    def _follow_feed(self, network: Network, feed: Feed) -> tuple[NetworkInputs | None, str]:
        """Return what a network receives from others, or None and the reason why that is unknown."""
        if network.name in self._pending or len(self._pending) >= MAX_FEED_DEPTH:
            return None, "its inputs depend on its own output, or on too many networks"
        self._pending.append(network.name)
        try:
            sources, reason = self._run_sources(feed)
        finally:
            self._pending.pop()
        if reason:
            return None, reason
        outputs = {source: given.values for source, given in sources.items()}
        try:
            with np.errstate(all="ignore"):
                values = np.asarray(feed.compute(outputs), float)
        except DataError as error:
            return None, str(error)
        expected = (*next(iter(outputs.values())).shape[:2], network.levels[0][0].cell.input_size)
        if values.shape != expected:
            return None, f"the layers below give inputs of shape {values.shape}, not {expected}"
        if not np.isfinite(values).all():
            return None, "the layers below leave the range of a double"
        took_input = any(given.took_input for given in sources.values())
        drawn = next((given.drawn for given in sources.values() if given.drawn), None)
        return NetworkInputs(values, feed.describe(), took_input, drawn), ""

    def _run_sources(self, feed: Feed) -> tuple[dict[str, NetworkInputs], str]:
        """Return what comes out of the sources of a feed, and the reason why a source gives nothing."""
        sources: dict[str, NetworkInputs] = {}
        for source in feed.sources:
            if source == MODEL_INPUT:
                if feed.input_size is None:
                    return {}, "the file does not say how many features the model's input has"
                if self._inputs.data is not None and not self._has_width(feed.input_size):
                    return {}, (
                        f"the input has {self._inputs.features} features and the model takes "
                        f"{feed.input_size}"
                    )
                sources[source] = self._make_inputs(feed.input_size)
            elif source not in self._networks:
                return {}, f"it receives the output of {source}, which is not at hand"
            else:
                network = self._networks[source]
                below = self.feed(network)
                runs = list(run_network(network, below.values))
                if lost := _find_overflow(runs):
                    return {}, lost
                top = [run.order_outputs() for run in runs[-len(network.levels[-1]) :]]
                sources[source] = below._replace(values=np.concatenate(top, axis=-1))
        return sources, ""


def _describe_drawn(kind: str, reason: str) -> str:
    return f"fed {kind} inputs because {reason}"


def _find_overflow(runs: Sequence[LayerRun]) -> str:
    """Return a clause that names the first layer whose state overflows, or an empty text."""
    lost = [run.layer.name for run in runs if run.trajectory.blow_up is not None]
    return f"the state of {lost[0]} below overflows" if lost else ""


def _reads_model_input(network: Network) -> bool:
    return network.feed is None or (isinstance(network.feed, Feed) and MODEL_INPUT in network.feed.sources)


def _find_width(network: Network) -> int | None:
    """Return the features of the model's input that a network reads."""
    return network.feed.input_size if isinstance(network.feed, Feed) else network.levels[0][0].cell.input_size


def _get_input_name(network: Network) -> str:
    """Return the name of the input of the model that a network reads, of several; empty if it reads none."""
    return network.feed.input_name if isinstance(network.feed, UnknownFeed) else ""


def _draw_inputs(inputs: Inputs, count: int, first: int = 0) -> Array:
    return np.stack([inputs.draw(draw) for draw in range(first, first + count)])
