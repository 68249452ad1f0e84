"""``gradflow compare``."""

from typing import Annotated, Any

import gradflow
from gradflow.analysis import BLOCKS, DTYPES, FLOW_VERDICTS, NORMS, VIEWS
from gradflow.cli.emit import emits
from gradflow.cli.options import (
    SEVERAL_CELLS,
    Features,
    GateSteps,
    Hidden,
    Input,
    InputFormat,
    InputScale,
    Key,
    OptionalSeed,
    option,
)


@emits(FLOW_VERDICTS)
def compare(
    cells: Annotated[
        list[str],
        SEVERAL_CELLS,
    ],
    hidden: Hidden = None,
    steps: Annotated[
        int | None, option("--steps", metavar="T", help="Steps, the largest lag; 100, or all of the input.")
    ] = None,
    seed: OptionalSeed = None,
    seeds: Annotated[
        int, option("--seeds", metavar="S", help="Draws of weights: median and 5-95 % quantiles.")
    ] = 10,
    features: Features = None,
    input: Input = None,
    key: Key = None,
    input_format: InputFormat = None,
    input_scale: InputScale = None,
    norm: Annotated[
        str, option("--norm", metavar="NORM", help=f"{'|'.join(NORMS)}, or several with commas.")
    ] = NORMS[0],
    block: Annotated[
        str, option("--block", metavar="BLOCK", help=f"{'|'.join(BLOCKS)}, or several with commas.")
    ] = BLOCKS[0],
    view: Annotated[
        str, option("--view", metavar="VIEW", help="backward: ∂s_T/∂s_T-k; forward: ∂s_k/∂s_0.")
    ] = VIEWS[0],
    lags: Annotated[str, option("--lags", metavar="LAGS", help="all, log, or a list: 1,10,100.")] = "all",
    pair_map: Annotated[
        bool, option("--map", help="The norm for every pair of steps: table map.", show_default=False)
    ] = False,
    paths: Annotated[
        bool,
        option(
            "--paths",
            help="The terms of ∂c_t/∂c_t-1 of an lstm: tables path_means, paths.",
            show_default=False,
        ),
    ] = False,
    gate_steps: GateSteps = False,
    exact: Annotated[bool, option("--exact", help="No shortcut of any kind.", show_default=False)] = False,
    dtype: Annotated[str, option("--dtype", metavar="DTYPE", help=" or ".join(DTYPES) + ".")] = DTYPES[0],
    *,
    map: Any,
) -> Any:
    """Gradient flow by lag, cell beside cell.

    The norm of the Jacobian product of the whole state at every lag, for fresh cells, or the networks of
    trained checkpoints, on the same inputs.

    \b
    Examples:
      gradflow compare rnn lstm gru
      gradflow compare lstm lstm:forget_bias=1 lstm:init=chrono,horizon=200 --steps 200
      gradflow compare rnn:activation=relu,init=identity rnn:init=orthogonal,gain=1.1
      gradflow compare lstm:layers=2 --block hh,cc,direct --norm 2,fro
      gradflow compare rnn lstm --input features.npy --hidden 128 -f csv
      gradflow compare rnn lstm model.safetensors::encoder.lstm --input features.npy
      gradflow compare lstm --input data_batch_1.bin --input-format cifar10-rows

    \b
    Options of all:  layers=1  gain=1  init=torch|keras|ginibre|orthogonal|identity|chrono
    Options of rnn:  activation=tanh|sigmoid|relu|identity|erf
    Options of lstm: forget_bias=B  peephole=off  coupled=off  forget_gate=on  projection=N  horizon=100
    Options of gru:  update_bias=B  reset=after|before  horizon=100
    Options of leaky: a=0.1  activation=tanh|sigmoid|relu|identity|erf
    (horizon is the longest memory that init=chrono spreads over)

    \b
    Blocks:   hc is ∂h/∂c; direct is ∏ diag(f) alone, an approximation
    Norms:    2 spectral, fro Frobenius, min smallest singular value, cond
    Tables:   flow (main), cells, gates, gate_steps, path_means, paths, map,
              summary
    Verdicts: vanishing, stable, exploding, undecided
    """
    return gradflow.compare(
        *cells, hidden=hidden, steps=steps, seed=seed, seeds=seeds, features=features, input=input, key=key,
        input_format=input_format, input_scale=input_scale, norm=norm, block=block, view=view, lags=lags,
        pair_map=pair_map, paths=paths, gate_steps=gate_steps, exact=exact, dtype=dtype, map=map,
    )  # fmt: skip
