"""``gradflow compare``."""

from typing import Annotated, Any

import gradflow
from gradflow.analysis import BLOCKS, DTYPES, NORMS, VIEWS
from gradflow.analysis.shared.progress import Progress
from gradflow.cli.emit import emits
from gradflow.cli.help import SUBJECT_GROUP
from gradflow.cli.options import (
    SEVERAL_CELLS,
    Assume,
    Features,
    GateSteps,
    Hidden,
    Input,
    InputFormat,
    InputScale,
    Key,
    OptionalSeed,
    assumptions,
    integer,
    option,
)
from gradflow.cli.workers import ProcessWorkers

TRIAL_SECONDS = 0.1  # about what the start of the processes takes


@emits("gradflow.analysis.compare.record:Flow", lists_cells=True)
def compare(
    cells: Annotated[
        list[str],
        SEVERAL_CELLS,
    ],
    hidden: Hidden = None,
    steps: Annotated[
        int | None,
        integer(
            "--steps",
            metavar="T",
            help="Number of steps and largest lag.",
            show_default="the length of the input, or 100",
        ),
    ] = None,
    seed: OptionalSeed = None,
    seeds: Annotated[
        int,
        integer(
            "--seeds",
            group=SUBJECT_GROUP,
            metavar="S",
            help="Draws of weights: tables have the median and 5-95 %.",
        ),
    ] = 10,
    features: Features = None,
    assume: Assume = None,
    input: Input = None,
    key: Key = None,
    input_format: InputFormat = None,
    input_scale: InputScale = None,
    norm: Annotated[
        str, option("--norm", metavar="NORM", help=f"{'|'.join(NORMS)}, or several, separated by commas.")
    ] = NORMS[0],
    block: Annotated[
        str, option("--block", metavar="BLOCK", help=f"{'|'.join(BLOCKS)}, or several, separated by commas.")
    ] = BLOCKS[0],
    view: Annotated[
        str, option("--view", metavar="VIEW", help="backward: ∂s_T/∂s_T-k; forward: ∂s_k/∂s_0.")
    ] = VIEWS[0],
    lags: Annotated[str, option("--lags", metavar="LAGS", help="all, log, or a list: 1,10,100.")] = "all",
    pair_map: Annotated[
        bool, option("--map", help="Add the table map: every pair of steps.", show_default=False)
    ] = False,
    paths: Annotated[
        bool,
        option(
            "--paths",
            help="Add the tables path_means and paths: the terms of ∂c_t/∂c_t-1 in an lstm.",
            show_default=False,
        ),
    ] = False,
    gate_steps: GateSteps = False,
    exact: Annotated[
        bool,
        option("--exact", help="Take every norm from all singular values.", show_default=False),
    ] = False,
    dtype: Annotated[str, option("--dtype", metavar="DTYPE", help=" or ".join(DTYPES) + ".")] = DTYPES[0],
    *,
    progress: Progress | None,
) -> Any:
    """Gradient flow by lag, for several cells side by side.

    Measures the norm of the Jacobian product of the whole state at every lag. Cells are fresh ones or the
    networks of trained checkpoints; all receive the same inputs.

    \b
    Examples:
      gradflow compare rnn lstm gru
      gradflow compare lstm lstm:init=chrono,horizon=200 --steps 200
      gradflow compare rnn:activation=relu,init=identity rnn:init=orthogonal
      gradflow compare lstm:layers=2 --block hh,cc,direct --norm 2,fro
      gradflow compare rnn lstm --input features.npy --hidden 128 -f csv
      gradflow compare lstm model.safetensors::encoder.lstm --input features.npy
      gradflow compare lstm --input data_batch_1.bin --input-format cifar10-rows

    \b
    Blocks:   hc is ∂h/∂c; direct is ∏ diag(f) alone, an approximation
    Norms:    2 spectral, fro Frobenius, min smallest singular value, cond
    horizon:  the longest memory, in steps, that init=chrono draws
    """
    return gradflow.compare(
        *cells, hidden=hidden, steps=steps, seed=seed, seeds=seeds, features=features,
        assume=assumptions(assume), input=input, key=key, input_format=input_format, input_scale=input_scale,
        norm=norm, block=block, view=view, lags=lags, pair_map=pair_map, paths=paths, gate_steps=gate_steps,
        exact=exact, dtype=dtype, progress=progress, executor=ProcessWorkers(TRIAL_SECONDS),
    )  # fmt: skip
