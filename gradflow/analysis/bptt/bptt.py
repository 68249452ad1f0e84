"""Where the gradient of a loss comes from: backpropagation through time, taken apart by lag."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gradflow.analysis import LOSSES
from gradflow.analysis.bptt.gradient_parts import take_apart
from gradflow.analysis.bptt.losses import Loss, Objective, draw_targets, read_targets
from gradflow.analysis.bptt.record import CreditAssignment
from gradflow.analysis.bptt.report import record
from gradflow.analysis.shared.arguments import check_count, check_map, refuse_without_effect
from gradflow.analysis.shared.checkpoints import Trained
from gradflow.analysis.shared.inputs import Inputs
from gradflow.analysis.shared.progress import Progress
from gradflow.analysis.shared.subjects import Spec, Subject, draw_cell, read_subject, sizes, used_sizes
from gradflow.analysis.shared.trajectory import follow
from gradflow.blas_threads import use_one_blas_thread
from gradflow.cells.base import Array, Cell
from gradflow.errors import NumericalError, UsageError
from gradflow.layouts.assumptions import check_assumptions
from gradflow.readers.in_memory import name_origin
from gradflow.registry import lookup

DEFAULT_SEQUENCES = 32  # sequences of somebody's data that are used unless more are asked for
DRAWN_SENTENCE = (
    "Targets or readout are drawn from the seed: windows are those of that loss, not of the one trained on."
)


@use_one_blas_thread
def bptt(
    cell: Subject,
    *,
    loss: str = "mean",
    targets: str | Path | ArrayLike | None = None,
    targets_key: str | None = None,
    parameter: str = "weight_hh",
    hidden: int | None = None,
    steps: int | None = None,
    batch: int | None = None,
    seed: int | None = None,
    features: int | None = None,
    assume: Mapping[str, Any] | None = None,
    input: str | Path | ArrayLike | None = None,
    key: str | None = None,
    input_format: str | None = None,
    input_scale: float | None = None,
    pair_map: bool = False,
    progress: Progress | None = None,
) -> CreditAssignment:
    """Compute the parts of ∂L/∂W = Σ_t Σ_{k≤t} ∂L_t/∂s_t ∂s_t/∂s_k ∂⁺s_k/∂W by the lag t − k of each.

    ∂⁺ is the immediate derivative, with the state before held fixed. Lag 0 is what no Jacobian has
    multiplied; truncated backpropagation through time keeps the lags up to its window.

    Parameters
    ----------
    cell : str, path, Network, Checkpoint, mapping or module
        ``NAME[:option=value,...]``, as in ``"lstm:forget_bias=1"``, or a trained network, as for `compare`.
    loss : str
        Of the output h of the highest layer: ``mean`` over the steps of ½‖h_t − y_t‖², ``final`` for
        ½‖h_T − y_T‖², or ``random`` for the mean of r·h_t, r one normal draw. Of a batch the mean over its
        sequences.
    targets : str, path or array-like (T, R) or (B, T, R), optional
        What each h is to be, y, of R numbers; normal draws unless given. For ``final`` the last alone,
        (R,), (1, R) or (B, 1, R), will do.
    targets_key : str, optional
        Which array of a file of targets with several.
    parameter : str
        ``weight_hh``, the recurrent weights; ``weight_hh.f``, a gate's rows; ``weight_ih``, ``bias``, what
        else the cell has; ``layer2.weight_hh``, where there are layers; ``all``; several with commas.
    hidden : int, optional
        Hidden size; that of the checkpoint, or 32.
    steps : int, optional
        T; 100, or the length of ``input``.
    batch : int, optional
        B; as many sequences as ``input`` has, at most 32, or 1.
    seed : int, optional
        Of weights, inputs, targets and readout; 0 unless given.
    features : int, optional
        Features of the inputs; those of ``input``, of the checkpoint, or 32.
    assume : mapping, optional
        What the arrays of a trained network leave open, as for `load`.
    input : str, path or array-like (T, features) or (B, T, features), optional
        As for `compare`, which feeds cells the same; a batch is what the loss is averaged over.
    key, input_format : str, optional
        As for `compare`.
    input_scale : float, optional
        Multiplies the inputs; 1 unless given.
    pair_map : bool
        Add the table ``map``, a row for every pair of steps; of one sequence.
    progress : callable, optional
        Called as ``progress(done, total)`` when the sweep begins and after each lag. What it raises ends the
        work.

    Returns
    -------
    CreditAssignment
        The table ``lags``, the window that keeps the gradient within 1 %, and how far the gradient is from
        central differences.

    Raises
    ------
    UsageError
        For an unknown cell, loss or parameter, a number out of range, or an option that has no effect beside
        the others.
    DataError
        For inputs or targets that cannot be read or do not fit.
    NumericalError
        Where the state or the loss leaves the range of a double.

    Notes
    -----
    Norms and what is lost, with their logarithms, are computed without a loss of range: a part of an error
    signal is kept however small it is beside others. Shares are plain doubles, and read 0 under 1e-308.
    States and derivatives under 1e-4932 count as 0, and so does what two of them leave of an error signal in
    one step where that is under about 1e-8800. A note says so. A size that reads 0 then is none, for it is
    not known. ``trajectory_error`` and ``difference_error`` are estimates. Parts that cancel carry the
    rounding of their terms.

    References
    ----------
    Pascanu, Mikolov & Bengio 2013, eq. 3 to 5, for the sum. Williams & Peng 1990 for its truncation.

    Examples
    --------
    >>> found = bptt("rnn", hidden=8, steps=40)
    >>> bool(abs(found.lags.share.sum() - 1.0) < 1e-12), found.difference_error < 1e-8
    (True, True)
    """
    rule: Loss = lookup(LOSSES, loss, "loss")
    if targets is not None and not rule.targets:
        raise UsageError(f"loss {loss!r} is a readout and has no targets: leave them out, or choose another")
    _check(targets, targets_key, input, batch)
    spec = read_subject(cell, assume)
    hidden, features = sizes([spec], hidden, features, input)
    inputs = Inputs.of(
        input, key=key, format=input_format, steps=steps, features=features, scale=input_scale,
        seed=0 if seed is None else seed,        count=batch or DEFAULT_SEQUENCES,
    )  # fmt: skip
    random = targets is None or inputs.kind == "normal" or not isinstance(spec, Trained)
    if not random:
        refuse_without_effect({"seed": seed}, "where nothing is drawn: weights, inputs and targets are given")
    seed = 0 if seed is None else seed
    sequences = _sequences(inputs, batch)
    if pair_map and sequences > 1:
        raise UsageError(f"map of {sequences} sequences: expected one, batch 1")
    if pair_map:
        check_map(inputs.steps)
    network = draw_cell(spec, hidden, inputs.features, seed, 0)
    shape = (sequences, inputs.steps, network.output_size)
    if targets is None:
        wanted = draw_targets(rule, shape, seed)
    else:
        wanted = read_targets(targets, targets_key, shape, last_only=rule.last_only)
    fed = np.stack([inputs.draw(draw) for draw in range(sequences)])
    objective = _objective(spec, network, fed, rule, wanted.values)
    params = {
        "cell": spec.text, "assume": check_assumptions(assume), "loss": loss,
        "targets": name_origin(targets), "targets_key": targets_key,
        "parameter": parameter, **used_sizes([spec], hidden, inputs), "steps": inputs.steps,
        "batch": sequences,
        "seed": seed if random else None, "input": name_origin(input), "key": key,
        "input_format": input_format,
        "input_scale": inputs.used_scale, "pair_map": pair_map,
    }  # fmt: skip
    notes = [*_told(spec, inputs, sequences, objective), *wanted.told]
    if targets is None and isinstance(spec, Trained):
        notes.append(DRAWN_SENTENCE)
    used = {"hidden": hidden, "features": inputs.features}
    return record(params, used, notes, objective, take_apart(objective, parameter, pair_map, progress))


def _check(targets: object, targets_key: str | None, input: object, batch: int | None) -> None:
    """Refuse what does not go together.

    Raises
    ------
    UsageError
        With its name.
    """
    if targets is None and targets_key is not None:
        raise UsageError(f"targets key {targets_key!r} is for a file of targets: none was given")
    if isinstance(targets, str) and isinstance(input, str) and targets == input == "-":
        raise UsageError("input and targets are both standard input (-): expected a file for one of them")
    if batch is not None:
        check_count("batch", batch)


def _told(spec: Spec, inputs: Inputs, sequences: int, objective: Objective) -> Iterator[str]:
    """Yield what to know of the cell and its inputs: what was assumed, left out, or lost."""
    if isinstance(spec, Trained):
        yield from spec.list_caveats()
    if inputs.data is not None and len(inputs.data) > sequences:
        yield f"Of the {len(inputs.data)} input sequences the first {sequences} are used (batch)."
    if isinstance(spec, Trained) and spec.backward:
        yield "The layer runs backward: its first step is the last of the data, as targets and steps have it."
    if not np.isfinite(objective.value()):
        yield "The loss leaves the range of a double; the gradient does not."


def _sequences(inputs: Inputs, batch: int | None) -> int:
    """Return how many sequences the loss is the mean over."""
    if inputs.data is None:
        return batch or 1
    if batch is not None and batch > len(inputs.data):
        raise UsageError(f"batch {batch}: the input has {len(inputs.data)} sequences; expected at most that")
    return batch or min(len(inputs.data), DEFAULT_SEQUENCES)


def _objective(spec: Spec, cell: Cell, fed: Array, loss: Loss, wanted: Array) -> Objective:
    """Return the loss of a cell along inputs (B, T, features).

    Raises
    ------
    NumericalError
        Where a state overflows: there is no loss then.
    """
    if isinstance(spec, Trained) and spec.backward:
        fed, wanted = fed[:, ::-1], wanted[:, ::-1]
    trajectory = follow(cell, fed)
    if trajectory.blow_up is not None:
        raise NumericalError(
            f"the state overflows at step {trajectory.blow_up} of {fed.shape[1]}, so there is no "
            "loss; expected fewer steps, or smaller weights"
        )
    return Objective(trajectory, loss, wanted)
