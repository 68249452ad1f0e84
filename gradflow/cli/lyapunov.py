"""``gradflow lyapunov``."""

from typing import Annotated, Any

import gradflow
from gradflow.analysis import FLOW_VERDICTS
from gradflow.cli.emit import emits
from gradflow.cli.options import (
    CELL,
    Features,
    Hidden,
    Input,
    InputFormat,
    InputScale,
    Key,
    Seed,
    Steps,
    Transient,
    option,
)


@emits(FLOW_VERDICTS)
def lyapunov(
    cell: Annotated[
        str | None,
        CELL,
    ] = None,
    jacobians: Annotated[
        str | None,
        option("--jacobians", metavar="FILE|-", help="Those of any system, T×n×n, the first applied first."),
    ] = None,
    key: Key = None,
    count: Annotated[
        int | None, option("-k", "--count", metavar="K", help="Leading exponents alone; all unless given.")
    ] = None,
    steps: Steps = None,
    transient: Transient = None,
    tolerance: Annotated[
        float | None,
        option("--tolerance", metavar="E", help="Run on until standard errors are at most that."),
    ] = None,
    hidden: Hidden = None,
    seed: Seed = 0,
    seeds: Annotated[
        int | None,
        option("--seeds", metavar="S", help="Draws of weights and inputs, 1; exponents are means."),
    ] = None,
    features: Features = None,
    input: Input = None,
    input_format: InputFormat = None,
    input_scale: InputScale = None,
    *,
    map: Any,
) -> Any:
    """The Lyapunov spectrum of a cell or any system.

    Exponents of the whole state, forward in time, in nats per step, with standard errors: how fast small
    changes grow, direction by direction, along the same inputs as compare's.

    \b
    Examples:
      gradflow lyapunov rnn:init=ginibre,gain=2 --input zero
      gradflow lyapunov lstm --hidden 64 -k 8 --steps 5000 --seeds 4
      gradflow lyapunov gru --tolerance 0.001
      gradflow lyapunov model.safetensors::encoder --input features.npy
      gradflow lyapunov --jacobians J.npy --transient 0 --table exponents -f csv
      gradflow lyapunov --jacobians - --fail-on exploding

    \b
    Options of cells: as for compare (gradflow compare -h)
    Tables:   exponents (main), history, summary
    Verdicts: vanishing, stable, exploding, undecided
    """
    return gradflow.lyapunov(
        cell, jacobians=jacobians, key=key, count=count, steps=steps, transient=transient,
        tolerance=tolerance, hidden=hidden, seed=seed, seeds=seeds, features=features, input=input,
        input_format=input_format, input_scale=input_scale, map=map,
    )  # fmt: skip
