"""The states of every recurrent layer of a checkpoint along inputs, written to a file."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradflow.analysis.shared.arguments import refuse_without_effect
from gradflow.analysis.shared.checkpoints import Model, open_source, parse_name
from gradflow.analysis.shared.inputs import TOKENS_NOTE, Inputs, kind_of, looks_like_tokens
from gradflow.analysis.shared.network_run import LayerRun, NetworkFeeder, NetworkInputs, run_network
from gradflow.analysis.shared.weight_file import WeightFile, WrittenArrays
from gradflow.blas_threads import use_one_blas_thread
from gradflow.cells.base import Layer as LayerCell
from gradflow.errors import DataError, NumericalError, UsageError
from gradflow.layouts.assumptions import check_assumptions
from gradflow.layouts.chains import chain_networks, parse_chain
from gradflow.layouts.checkpoint import Checkpoint
from gradflow.printable import format_count, format_steps
from gradflow.readers.arrays import read_array
from gradflow.readers.in_memory import convert_array, name_origin
from gradflow.record import Record, column, scalar, table
from gradflow.table import Table


@dataclass(frozen=True, eq=False, repr=False)
class LayerStates(Table):
    """The layers that were run."""

    layer: list[str] = column("its name in the file")
    cell: list[str] = column("rnn, lstm or gru")
    direction: list[str] = column("forward, or backward: from the last input to the first", detail=True)
    fed: list[str] = column(
        "what the layer receives: the input, the output of the layer below, or that of other networks and "
        "through which layers"
    )
    hidden_size: list[int] = column("units")
    output_rms: list[float] = column("root mean square of its output over sequences, steps and units")
    largest_state: list[float] = column("largest modulus of an entry of its state")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class NetworkStates(Record):
    """The states of every recurrent layer along inputs.

    ``states`` maps names to arrays of float64, ``LAYER.h`` and, for an LSTM, ``LAYER.c``. Each has shape
    (T, size), or (batch, T, size) for a batch of inputs. Entry t belongs to input t, in both directions.

    See Also
    --------
    gradflow.run : Computes it.
    gradflow.inspect : Measures what the layers do to gradients along the same states.

    Examples
    --------
    The states of h' = h/2 + x along ones are 1, 3/2, 7/4, …

    >>> import numpy as np
    >>> import gradflow
    >>> weights = {"weight_ih_l0": np.ones((1, 1)), "weight_hh_l0": np.full((1, 1), 0.5)}
    >>> model = gradflow.from_state_dict(weights, assume={"activation": "identity"})
    >>> gradflow.run(model, np.ones((3, 1))).states["rnn.h"].ravel()
    array([1.  , 1.5 , 1.75])
    """

    command: ClassVar[str] = "run"

    sequences: int = scalar("number of input sequences")
    steps: int = scalar("T, steps of each sequence", unit="step")
    layers_run: int = scalar("layers that were run")
    file: str | None = scalar("file with the states")
    size: int | None = scalar("size of the file", unit="byte")
    conclusion: str = scalar("the result in words", prose=True)

    layers: LayerStates = table("the layers that were run", across=("layer",))
    arrays: WrittenArrays | None = table("the arrays in the file", absent="name a file with `output`")

    # for use in Python
    states: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


class FedRun(NamedTuple):
    """A layer along its inputs, and where these come from."""

    run: LayerRun
    fed: str

    def name_states(self) -> dict[str, NDArray[np.float64]]:
        """Return the parts of the states, (draws, T, size) in the order of the inputs, by name."""
        layer, states = self.run.layer, self.run.trajectory.states[..., 1:, :]
        ordered = states[..., ::-1, :] if layer.direction == "backward" else states
        return {f"{layer.name}.{part}": ordered[..., index] for part, index in layer.cell.parts.items()}


@use_one_blas_thread
def run(
    source: str | Path | Model,
    input: str | Path | ArrayLike,
    *,
    key: str | None = None,
    layout: str | None = None,
    assume: Mapping[str, Any] | None = None,
    chain: str | Sequence[str] | None = None,
    output: str | Path | None = None,
) -> NetworkStates:
    """Compute the states of every recurrent layer of a checkpoint along inputs, from the state 0.

    Each layer receives what its model feeds it: the input, the output of the layer below, or that of other
    layers and what is between. A layer whose inputs the file does not tell is left out, with the reason.

    Parameters
    ----------
    source : str, path, Checkpoint, Network, mapping or module
        ``FILE`` or ``FILE::layer``, the result of `load` or `from_state_dict`, a state dict, or a module that
        has a ``state_dict()``.
    input : str, path or array-like (T, features) or (batch, T, features)
        The inputs of the model: a file or data.
    key : str, optional
        Name of the array in an input file with several arrays.
    layout, assume : str and mapping, optional
        As for `load`.
    chain : str or sequence of str, optional
        As for `inspect`: networks of which each receives the output of the one before.
    output : str or path, optional
        File for the states, .npz or .safetensors. It is written completely or not at all.

    Returns
    -------
    NetworkStates
        The table ``layers``, and ``states``, a mapping of names to arrays.

    Raises
    ------
    DataError
        If a file cannot be read or written, or if the inputs of no layer are known.
    UsageError
        If the output has another suffix, or nothing in the file leaves an assumption open.
    NumericalError
        If a state leaves the range of a double.

    Examples
    --------
    >>> import numpy as np
    >>> from gradflow import from_state_dict
    >>> draw = np.random.default_rng(0).standard_normal
    >>> model = from_state_dict({"weight_ih_l0": draw((32, 4)), "weight_hh_l0": draw((32, 8))})
    >>> found = run(model, draw((50, 4)))
    >>> {name: array.shape for name, array in found.states.items()}
    {'lstm.h': (50, 8), 'lstm.c': (50, 8)}
    """
    file = None if output is None else WeightFile.of(output, any_names=True)
    networks_in_chain = parse_chain(chain)
    for what, given in (("source", source), ("input", input)):
        name = parse_name(os.fspath(given)).file if isinstance(given, str | os.PathLike) else ""
        if file is not None and name and file.path == Path(os.path.realpath(name)):
            raise UsageError(f"{file.name!r} is the {what}, which would be overwritten; name another file")
    checkpoint, layer, is_named = open_source(source, layout, assume)
    wanted = frozenset(one.name for one in (checkpoint[layer] if layer else checkpoint).layers)
    named = wanted if is_named else frozenset()
    if networks_in_chain:
        checkpoint = chain_networks(checkpoint, networks_in_chain)
    data = _read_input(input, key)
    inputs = Inputs.of(
        data, key=None, format=None, steps=None, features=None, scale=None, seed=0, count=len(data)
    )
    feeder = NetworkFeeder(checkpoint, inputs, len(data), named)
    runs, remarks = _run_layers(checkpoint, feeder, wanted)
    if not runs:
        raise DataError(f"{checkpoint.source}: no layer can be run: {' '.join(remarks)}")
    states = {
        name: array[0] if data.ndim == 2 else array
        for one in runs
        for name, array in one.name_states().items()
    }
    size = None if file is None else file.write(states)
    params = {
        "source": os.fspath(source) if isinstance(source, str | Path) else checkpoint.source,
        "input": name_origin(input), "key": key, "layout": layout, "assume": check_assumptions(assume),
        "chain": list(networks_in_chain) or None, "output": None if output is None else os.fspath(output),
    }  # fmt: skip
    sequences, steps, _ = (1, 1, 1)[: 3 - data.ndim] + data.shape
    return NetworkStates(
        params=params,
        notes=(*_list_notes(checkpoint, runs, data), *remarks),
        sequences=sequences,
        steps=steps,
        layers_run=len(runs),
        file=None if file is None else file.name,
        size=size,
        conclusion=_conclude(runs, sequences, steps, file),
        layers=_list_layers(runs),
        arrays=None if file is None else WrittenArrays.of(states),
        states=states,
    )


def _read_input(source: str | Path | ArrayLike, key: str | None) -> NDArray[Any]:
    """Return the inputs, (T, features) or (batch, T, features)."""
    if isinstance(source, str | os.PathLike):
        if kind_of(source) is not None:
            raise UsageError(
                f"input {str(source)!r}: expected a file or data, because the states along drawn or constant "
                "inputs are not those of a task"
            )
        return read_array(source, key, dimensions=(2, 3))
    refuse_without_effect({"key": key}, "on an array, because it names an array of a file")
    return convert_array(source, "input", (2, 3))


def _run_layers(
    checkpoint: Checkpoint, feeder: NetworkFeeder, wanted: Collection[str]
) -> tuple[list[FedRun], list[str]]:
    """Return the layers along their inputs, and remarks on those whose inputs are not known."""
    runs, remarks = [], []
    for network in checkpoint.networks:
        if not any(layer.name in wanted for layer in network.layers):
            continue
        inputs = feeder.feed(network)
        if inputs.drawn is not None or not inputs.took_input:
            remarks.append(f"{network.name}: left out, because {_explain_absence(network.name, inputs)}.")
            continue
        lowest = network.levels[0]
        for run in run_network(network, inputs.values):
            step = run.trajectory.blow_up
            if step is not None:
                raise NumericalError(
                    f"{checkpoint.source}: the state of {run.layer.name} leaves the range of a double at "
                    f"step {step}; give fewer steps or smaller inputs"
                )
            if run.layer.name in wanted:
                runs.append(FedRun(run, inputs.fed if run.layer in lowest else "layer below"))
    return runs, remarks


def _explain_absence(name: str, inputs: NetworkInputs) -> str:
    """Return why the inputs of a network do not come from the given input, a clause."""
    if inputs.drawn is None:
        return "it does not take the input"
    if inputs.drawn.network != name:
        return f"its inputs come from {inputs.drawn.network}, which is left out"
    return inputs.drawn.reason


def _list_layers(runs: Sequence[FedRun]) -> LayerStates:
    layers = [one.run.layer for one in runs]
    outputs = [one.run.order_outputs() for one in runs]
    return LayerStates(
        layer=[layer.name for layer in layers],
        cell=[layer.kind for layer in layers],
        direction=[layer.direction for layer in layers],
        fed=[one.fed for one in runs],
        hidden_size=[cast(LayerCell, layer.cell).hidden_size for layer in layers],
        output_rms=[_root_mean_square(output) for output in outputs],
        largest_state=[float(np.abs(one.run.trajectory.states).max()) for one in runs],
    )


def _root_mean_square(values: NDArray[np.float64]) -> float:
    # divided by the largest value first: its square may be beyond the range of a double
    largest = float(np.abs(values).max())
    return largest * float(np.sqrt(np.mean(np.square(values / largest)))) if largest else 0.0


def _list_notes(checkpoint: Checkpoint, runs: Sequence[FedRun], data: NDArray[Any]) -> Iterator[str]:
    for one in runs:
        if assumed := one.run.layer.describe_assumed():
            yield f"{one.run.layer.name}: {assumed}"
    yield from (f"{remark}." for remark in checkpoint.remarks)
    if looks_like_tokens(data):
        yield TOKENS_NOTE


def _conclude(runs: Sequence[FedRun], sequences: int, steps: int, file: WeightFile | None) -> str:
    layers = format_count(len(runs), "layer", "layers")
    given = format_count(sequences, "sequence", "sequences")
    written = " (`output` writes them to a file)" if file is None else f": written to {file.name}"
    return f"The states of {layers} along {given} of {format_steps(steps)}{written}."
