"""How far the state after some steps still depends on the first input."""

import math

import numpy as np

from gradflow.analysis.shared.trajectory import Trajectory, follow

ROUNDING_UNITS = 16  # units in the last place of a state, up to which two states count as equal


def measure_memory(trajectory: Trajectory, steps: int) -> float | None:
    """Return how far the state after ``steps`` steps depends on the first input of its sequence.

    Each sequence runs once more with the first input of another sequence. The distance between the two states
    after ``steps`` steps is divided by the root mean square distance between the states of different
    sequences. The result is the median over sequences: 1 if the state depends on the first input as much as
    on all inputs, 0 if it has forgotten it, or if rounding hides the distance. A gradient measures the same
    for an infinitely small change. A layer that has stored the input in saturated units keeps it although its
    gradient vanishes (Bengio, Simard & Frasconi 1994, section 4).

    Parameters
    ----------
    trajectory : Trajectory
        Of several sequences: states (S, T + 1, n).
    steps : int
        At most T.

    Returns
    -------
    float or None
        None if there are fewer than two sequences or steps than asked for, if all sequences have the same
        first input or the same states, or if a state overflows.

    Examples
    --------
    Of h' = h/2 + x with later inputs of 0, the state after any number of steps is set by the first input:

    >>> from gradflow.cells.rnn import RNN
    >>> halving = RNN(np.ones((1, 1)), np.array([[0.5]]), np.zeros(1), "identity")
    >>> inputs = np.zeros((2, 9, 1))
    >>> inputs[:, 0] = [[1.0], [2.0]]
    >>> round(measure_memory(follow(halving, inputs), 9), 12)
    1.0
    """
    states, inputs = trajectory.states, trajectory.inputs
    if states.ndim != 3 or len(states) < 2 or trajectory.steps < steps or trajectory.blow_up is not None:
        return None
    exchanged = inputs[:, :steps].copy()
    exchanged[:, 0] = np.roll(inputs[:, 0], 1, axis=0)
    differ = (exchanged[:, 0] != inputs[:, 0]).any(axis=-1)
    other = follow(trajectory.cell, exchanged)
    if not differ.any() or other.blow_up is not None:
        return None
    final, moved = states[:, steps], other.states[:, steps]
    # near 1 by one power of two, so that squares stay in the range of a double
    exponent = -int(np.frexp(max(np.abs(final).max(), np.abs(moved).max()))[1])
    final, moved = np.ldexp(final, exponent), np.ldexp(moved, exponent)
    distances = np.linalg.norm(moved - final, axis=-1)[differ]
    # the mean square distance between two different sequences is 2 S/(S − 1) times the variance over all
    variance = np.square(final - final.mean(axis=0)).sum(axis=-1).mean()
    spread = math.sqrt(2.0 * len(final) / (len(final) - 1) * float(variance))
    rounding = ROUNDING_UNITS * np.finfo(final.dtype).eps * np.linalg.norm(final, axis=-1)[differ]
    distances = np.where(distances <= rounding, 0.0, distances)
    return float(np.median(distances)) / spread if spread > 0 else None
