"""Cells: parameters, one step, and its Jacobian as a factor. Each cell has its own file."""

from gradflow.registry import Registry

CELLS: Registry = {
    "rnn": "gradflow.cells.rnn:RNN",
    "lstm": "gradflow.cells.lstm:LSTM",
    "gru": "gradflow.cells.gru:GRU",
    "leaky": "gradflow.cells.leaky:LeakyRNN",
}


def name_cell(cell: object) -> str:
    """Return the name of a cell in `CELLS`, or the name of its class if it is not in the table."""
    kind = type(cell)
    place = f"{kind.__module__}:{kind.__name__}"
    return next((name for name, entry in CELLS.items() if entry == place), kind.__name__)
