"""One package per question, named after its command, and what they share.

The words that a person may ask with, and those of the verdicts, stand at the door, so that a help text can
list them without numpy.
"""

from gradflow.registry import Registry

REGIMES = ("vanishing", "exploding", "preserving", "polynomial", "nilpotent", "undecided")
VERDICTS = ("vanishing", "borderline", "stable", "exploding")
INSPECTION_VERDICTS = (*VERDICTS, "unreadable")

# The frameworks in whose code inspect can write its advice.
ADVICE_WRITERS: Registry = {
    "torch": "gradflow.analysis.inspect.advice_code:write_torch_code",
    "keras": "gradflow.analysis.inspect.advice_code:write_keras_code",
}

RATE_UNIT = "nats per step"

VIEWS = ("backward", "forward")
NORMS = ("2", "fro", "min", "cond")
BLOCKS = ("state", "hh", "hc", "ch", "cc", "direct")
DTYPES = ("float64", "float32")
INPUTS = ("normal", "zero", "constant")

LOSSES: Registry = {
    "mean": "gradflow.analysis.bptt.losses:MEAN_LOSS",
    "final": "gradflow.analysis.bptt.losses:FINAL_LOSS",
    "random": "gradflow.analysis.bptt.losses:RANDOM_LOSS",
}
