"""An engineer's question: my LSTM does not learn dependences of 50 steps. Why, and what helps?

Inspect the checkpoint, see how much of a gradient is left and which gate limits it, draw new weights with
chrono initialization, and inspect those. ``python examples/lstm_checkpoint.py [NEW.npz]`` keeps the new
weights in that file.
"""

import math
import sys
import tempfile
from pathlib import Path

import numpy as np

import gradflow

LENGTH = 50  # the steps over which the task needs a gradient
HIDDEN, FEATURES = 16, 8


def write_checkpoint(path: Path) -> None:
    """Write an LSTM under torch's names, with weights as torch draws them.

    A file of ``torch.save(model.state_dict(), path)`` would do as well.
    """
    generator, bound = np.random.default_rng(0), 1 / math.sqrt(HIDDEN)
    rows = 4 * HIDDEN  # the gates i, f, g and o, one below the other
    shapes = {
        "weight_ih_l0": (rows, FEATURES),
        "weight_hh_l0": (rows, HIDDEN),
        "bias_ih_l0": (rows,),
        "bias_hh_l0": (rows,),
    }
    np.savez(path, **{name: generator.uniform(-bound, bound, shape) for name, shape in shapes.items()})


def get_forget_row(report: gradflow.Inspection) -> int:
    """Return the row of the forget gate in the table ``gates``."""
    return report.gates.gate.index("f")


def show(title: str, report: gradflow.Inspection) -> None:
    """Print the share of a gradient that is left, and how long the forget gate alone keeps it."""
    layers, gates, row = report.layers, report.gates, get_forget_row(report)
    print(f"{title:<20}{layers.share[0]:>12.3g}   {layers.verdict[0]:<10}", end="")
    print(f"{gates.median[row]:>12.3f}{gates.time_constant[row]:>12.1f} steps")


with tempfile.TemporaryDirectory() as folder:
    old = Path(folder) / "model.npz"
    new = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "new.npz"

    write_checkpoint(old)
    before = gradflow.inspect(old, length=LENGTH)
    drawn = gradflow.init(
        f"lstm:init=chrono,horizon={LENGTH}", hidden=HIDDEN, features=FEATURES, horizon=LENGTH, output=new
    )
    after = gradflow.inspect(new, length=LENGTH)
    weights = dict(np.load(new))

print(f"A gradient that goes back {LENGTH} steps in an LSTM of {HIDDEN} units:\n")
print(f"{'weights':<20}{'share left':>12}   {'verdict':<10}{'forget gate':>12}{'time constant':>18}")
show("as torch draws them", before)
show("chrono", after)
print(f"\nThe longest memory of the chrono gates was tuned to {drawn.value:.1f} steps.")
print("Changes tried on the old weights, and the share that is left with each:")
for trial in before.advice:
    print(f"  {trial['change']} {trial['value']:g}: {10 ** trial['log10_share']:.2g}, {trial['verdict']}")
    if trial["advised"]:
        print("    advised; in torch:", *trial["code"].split("; "), sep="\n      ")

# A gate near ½ leaves 1/e after about 1/ln 2 = 1.44 steps, far fewer than 50: it limits the gradient.
assert before.layers.verdict == ["vanishing"]
assert math.isclose(before.gates.time_constant[get_forget_row(before)], 1 / math.log(2), rel_tol=0.2)
assert "The forget gate limits it" in before.conclusion
# Chrono initialization (Tallec & Ollivier 2018): b_f = ln u with u in [1, T − 1], and b_i = −b_f.
bias_i, bias_f = np.split(weights["bias_ih_l0"] + weights["bias_hh_l0"], 4)[:2]
assert bias_f.min() >= 0
assert bias_f.max() <= math.log(drawn.value - 1) + 1e-6
assert np.allclose(bias_i, -bias_f, rtol=0, atol=1e-6)
assert after.layers.verdict == ["stable"]
