"""``gradflow run``."""

from typing import Annotated, Any

import typer

import gradflow
from gradflow.cli.emit import emits
from gradflow.cli.help import SUBJECT_GROUP
from gradflow.cli.options import Assume, Chain, Key, Layout, assumptions, option
from gradflow.writers import ARRAY_SUFFIXES


@emits("gradflow.analysis.run:NetworkStates", has_pictures=False)
def run(
    source: Annotated[str, typer.Argument(metavar="FILE", help="A checkpoint, or FILE::LAYER.")],
    input: Annotated[
        str,
        option(
            "--input",
            group=SUBJECT_GROUP,
            metavar="FILE|-",
            help="Inputs of the model, T×features or batch×T×features.",
        ),
    ],
    key: Key = None,
    layout: Layout = None,
    assume: Assume = None,
    chain: Chain = None,
    output: Annotated[
        str | None,
        option(
            "-o", "--output", metavar="FILE",
            help=f"File for the states: {ARRAY_SUFFIXES}.",
        ),
    ] = None,
) -> Any:  # fmt: skip
    """The states of every recurrent layer along inputs.

    Each layer receives what its model feeds it: the input, the output of the layer below, or that of other
    layers and what is between. The report goes to stdout, the states to the file.

    \b
    Examples:
      gradflow run model.keras --input features.npy -o states.npz
      gradflow run model.pt --input features.npy --chain encoder,decoder
      gradflow run model.onnx::decoder --input features.npy -o states.npz

    The file has the arrays LAYER.h and, for an LSTM, LAYER.c, each T×size or batch×T×size.
    """
    return gradflow.run(
        source, input, key=key, layout=layout, assume=assumptions(assume), chain=chain, output=output
    )
