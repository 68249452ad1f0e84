"""``gradflow convert``."""

from typing import Annotated, Any

import typer

import gradflow
from gradflow.cli.emit import emits
from gradflow.cli.options import Assume, Layout, assumptions
from gradflow.writers import WRITERS


@emits("gradflow.analysis.convert:Conversion")
def convert(
    source: Annotated[str, typer.Argument(metavar="FILE", help="A checkpoint, or FILE::LAYER.")],
    target: Annotated[
        str, typer.Argument(metavar="NEW", help=f"The new file: {' or '.join(f'.{n}' for n in WRITERS)}.")
    ],
    layout: Layout = None,
    assume: Assume = None,
) -> Any:
    """Write the recurrent layers of a checkpoint under torch's names.

    The new file is safetensors or npz. load_state_dict of torch.nn.RNN, LSTM and GRU takes its arrays.

    \b
    Examples:
      gradflow convert model.h5 model.safetensors
      gradflow convert model.onnx::encoder/LSTM lstm.npz
      gradflow convert haiku.npz lstm.safetensors --assume forget_bias=0
    """
    return gradflow.convert(source, target, layout=layout, assume=assumptions(assume))
