"""What a network receives in its model: the outputs of other networks, and the layers between."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from gradflow.cells.base import Array

# The name of the model's input among the sources of a feed.
MODEL_INPUT = ""


class FeedComputation(Protocol):
    """The layers between the sources of a feed and the network. It can be pickled."""

    def __call__(self, outputs: Mapping[str, Array]) -> Array:
        """Return the inputs of the network, (batch, T, features), from the sequences of its sources.

        It raises a `DataError` with a clause that says why if they cannot be computed.

        ``outputs`` has all steps of each source's output, (batch, T, size), in the order of its inputs. A
        network with two directions gives both side by side, forward first.
        """


@dataclass(frozen=True)
class Feed:
    """How the inputs of a network follow from the outputs of other networks.

    Attributes
    ----------
    sources : tuple of str
        The names of the networks whose outputs are used, and `MODEL_INPUT` if the model's input is used too.
    compute : FeedComputation
        The layers between.
    through : tuple of str
        The names of the layers between, for people.
    input_size : int, optional
        The features of the model's input, if it is a source.
    """

    sources: tuple[str, ...]
    compute: FeedComputation
    through: tuple[str, ...] = ()
    input_size: int | None = None

    def describe(self) -> str:
        """Return the sources and the layers between, for people."""
        sources = ", ".join(source or "the input" for source in self.sources)
        return f"{sources} through {', '.join(self.through)}" if self.through else sources

    def rename_sources(self, names: Mapping[str, str]) -> "Feed":
        """Return the feed with other names of its sources."""
        return replace(
            self,
            sources=tuple(names.get(source, source) for source in self.sources),
            compute=_RenamedComputation(self.compute, {names.get(old, old): old for old in self.sources}),
        )


@dataclass(frozen=True)
class UnknownFeed:
    """The reason why the inputs of a network cannot be computed from the file.

    Attributes
    ----------
    reason : str
        The reason, a clause.
    input_name : str
        The input of the model that the network reads as it is, if all that is unknown is which of the
        model's inputs the given data are.
    """

    reason: str
    input_name: str = ""

    def rename_sources(self, names: Mapping[str, str]) -> "UnknownFeed":  # noqa: ARG002 - as a Feed has it
        """Return the same."""
        return self


@dataclass(frozen=True)
class _RenamedComputation:
    """A computation whose sources have other names."""

    compute: FeedComputation
    old_names: Mapping[str, str]

    def __call__(self, outputs: Mapping[str, Array]) -> Array:
        return self.compute({self.old_names[name]: output for name, output in outputs.items()})
