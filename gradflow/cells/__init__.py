"""Cells: parameters, one step, and its Jacobian as a factor. One file a cell."""

from gradflow.registry import Registry

CELLS: Registry = {
    "rnn": "gradflow.cells.rnn:RNN",
    "lstm": "gradflow.cells.lstm:LSTM",
    "gru": "gradflow.cells.gru:GRU",
}
