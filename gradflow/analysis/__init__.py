"""One file per question, each with its own record type.

The words of the verdicts stand at the door, so that a help text can list them without numpy.
"""

REGIMES = ("vanishing", "exploding", "preserving", "polynomial", "nilpotent", "undecided")
FLOW_VERDICTS = ("vanishing", "stable", "exploding")
