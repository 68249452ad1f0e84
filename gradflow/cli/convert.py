"""``gradflow convert``."""

from typing import Annotated, Any

import typer

import gradflow
from gradflow.cli.emit import emits
from gradflow.cli.help import SUBJECT_GROUP
from gradflow.cli.options import Assume, Layout, assumptions, option
from gradflow.layouts import EXPORTERS
from gradflow.writers import WRITTEN_SUFFIXES


@emits("gradflow.analysis.convert:Conversion")
def convert(
    source: Annotated[str, typer.Argument(metavar="FILE", help="A checkpoint, or FILE::LAYER.")],
    target: Annotated[str, typer.Argument(metavar="NEW", help=f"The new file: {WRITTEN_SUFFIXES}.")],
    to: Annotated[
        str | None,
        option(
            "--to",
            group=SUBJECT_GROUP,
            metavar="NAME",
            help=f"{'|'.join(EXPORTERS)}: names and order of the arrays in NEW.",
            show_default="torch, or keras for .weights.h5",
        ),
    ] = None,
    layout: Layout = None,
    assume: Assume = None,
) -> Any:
    """Write the recurrent layers of a checkpoint under the names of torch, Keras or ONNX.

    torch: load_state_dict of torch.nn.RNN, LSTM and GRU takes the arrays. keras: load_weights of a model of
    these layers takes a .weights.h5 file; in other files the arrays are in the order of set_weights. onnx:
    the inputs W, R, B and P of a node. The result says how to make each module, layer or node.

    \b
    Examples:
      gradflow convert model.h5 model.safetensors
      gradflow convert model.pt model.weights.h5
      gradflow convert model.keras nodes.npz --to onnx
      gradflow convert model.onnx::encoder/LSTM lstm.npz
      gradflow convert haiku.npz lstm.safetensors --assume forget_bias=0
    """
    return gradflow.convert(source, target, to=to, layout=layout, assume=assumptions(assume))
