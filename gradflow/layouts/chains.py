"""Networks that feed each other because the user says so: files of torch do not say it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from gradflow.cells.base import Array
from gradflow.errors import UsageError
from gradflow.layouts.checkpoint import Checkpoint
from gradflow.layouts.feeds import Feed
from gradflow.layouts.network import Network, sort_networks
from gradflow.printable import describe_argument

# Stands for all networks in the order of the file.
FILE_ORDER = "order"


def parse_chain(chain: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of networks in a chain; a text has them separated by commas.

    Raises
    ------
    UsageError
        If it is neither text nor a list of texts.

    Examples
    --------
    >>> parse_chain("encoder, decoder"), parse_chain(None)
    (('encoder', 'decoder'), ())
    """
    if chain is None:
        return ()
    if isinstance(chain, str):
        return tuple(name.strip() for name in chain.split(","))
    if not isinstance(chain, list | tuple) or not all(isinstance(name, str) for name in chain):
        raise UsageError(
            f"{describe_argument('chain', chain)}: expected the names of networks, such as 'encoder,decoder'"
        )
    return tuple(chain)


def chain_networks(checkpoint: Checkpoint, chain: Sequence[str]) -> Checkpoint:
    """Return the checkpoint with networks of which each receives the output of the one before.

    Parameters
    ----------
    checkpoint : Checkpoint
        The networks.
    chain : sequence of str
        The names of the networks, the lowest first; or `FILE_ORDER` alone.

    Raises
    ------
    UsageError
        If a name is unknown or occurs twice, if there is only one, if the file itself says what feeds one of
        them, or if the output of a network has another size than the input of the next.

    Examples
    --------
    >>> import numpy as np
    >>> from gradflow import from_state_dict
    >>> arrays = {"a.weight_ih": np.ones((2, 3)), "a.weight_hh": np.ones((2, 2))}
    >>> arrays |= {"b.weight_ih": np.ones((4, 2)), "b.weight_hh": np.ones((4, 4))}
    >>> [network.feed for network in chain_networks(from_state_dict(arrays), ["a", "b"]).networks][1].sources
    ('a',)
    """
    listed = ", ".join(network.name for network in checkpoint.networks)
    if list(chain) == [FILE_ORDER]:
        chosen = list(checkpoint.networks)
    else:
        chosen = [_choose_network(checkpoint, name) for name in chain]
    names = [network.name for network in chosen]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{checkpoint.source}: chain has {twice} twice; expected each network once")
    if len(chosen) < 2:
        raise UsageError(
            f"{checkpoint.source}: chain of {names[0] if names else 'no network'}: expected at least two "
            f"networks, of {listed}"
        )
    feeds = {above.name: _connect(checkpoint, below, above) for below, above in pairwise(chosen)}
    return replace(
        checkpoint,
        networks=sort_networks(
            replace(network, feed=feeds.get(network.name, network.feed)) for network in checkpoint.networks
        ),
    )


def find_fitting(checkpoint: Checkpoint) -> tuple[str, str] | None:
    """Return the first two neighbours of which one may feed the other by their sizes, or None."""
    pairs = [*pairwise(checkpoint.networks), *pairwise(checkpoint.networks[::-1])]
    fitting = (
        (below.name, above.name)
        for below, above in pairs
        if _count_outputs(below) == above.levels[0][0].cell.input_size
    )
    return next(fitting, None)


def _count_outputs(network: Network) -> int:
    return sum(layer.cell.output_size for layer in network.levels[-1])


def _choose_network(checkpoint: Checkpoint, name: str) -> Network:
    chosen = checkpoint[name]
    if chosen not in checkpoint.networks:
        raise UsageError(
            f"{checkpoint.source}: chain: {chosen.name} is a layer inside a network, whose layers feed each "
            f"other already; name networks: {', '.join(network.name for network in checkpoint.networks)}"
        )
    return chosen


def _connect(checkpoint: Checkpoint, below: Network, above: Network) -> Feed:
    if isinstance(above.feed, Feed):
        raise UsageError(
            f"{checkpoint.source}: chain: the file itself says what feeds {above.name}; leave it out of the "
            "chain"
        )
    size = _count_outputs(below)
    expected = above.levels[0][0].cell.input_size
    if size != expected:
        raise UsageError(
            f"{checkpoint.source}: chain: {below.name} gives {size} features and {above.name} takes "
            f"{expected}; expected equal sizes, because nothing is known of layers between: name networks in "
            "the order in which they feed each other"
        )
    return Feed((below.name,), PassedOutput(below.name))


@dataclass(frozen=True)
class PassedOutput:
    """The output of one network as it is."""

    source: str

    def __call__(self, outputs: Mapping[str, Array]) -> Array:
        """Return the output."""
        return outputs[self.source]
