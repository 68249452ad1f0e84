"""What theory predicts, one file a subject: a cell with fresh weights, or a product of random matrices.

Each is a `SubjectTheory`: a function of a `Case` that returns its predictions, each with what measures the
same of one draw, and whether the subject is a cell and the theory reads its inputs.
"""

from gradflow.registry import Registry

THEORIES: Registry = {
    "rnn": "gradflow.analysis.theory.subjects.rnn:RNN_THEORY",
    "lstm": "gradflow.analysis.theory.subjects.gated:LSTM_THEORY",
    "gru": "gradflow.analysis.theory.subjects.gated:GRU_THEORY",
    "ginibre": "gradflow.analysis.theory.subjects.ginibre:GINIBRE_THEORY",
}
