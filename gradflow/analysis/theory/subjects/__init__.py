"""What theory predicts, one file a subject: a cell with fresh weights, or a product of random matrices.

A theory is a function of a `Case` that returns its predictions, each with what measures the same of one draw.
"""

from gradflow.registry import Registry

THEORIES: Registry = {
    "rnn": "gradflow.analysis.theory.subjects.rnn:predictions",
    "lstm": "gradflow.analysis.theory.subjects.gated:lstm",
    "gru": "gradflow.analysis.theory.subjects.gated:gru",
    "ginibre": "gradflow.analysis.theory.subjects.ginibre:predictions",
}
