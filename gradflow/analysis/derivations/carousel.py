"""Exercise 5-3c: the constant error carousel (Hochreiter & Schmidhuber 1997)."""

from functools import partial, reduce

import numpy as np

from gradflow.analysis.derivations.complex_step import FUNCTIONS, derivative, sigmoid
from gradflow.analysis.derivations.drawn_gates import SATURATED
from gradflow.analysis.derivations.figures import lowered
from gradflow.analysis.derivations.line import Array, Line, Topic
from gradflow.analysis.derivations.sheet_lstm import SheetLSTM
from gradflow.notation.evaluate import Symbols

LAG, FAR_BACK = 5, 100
OPEN, SHUT = SATURATED, -SATURATED


def _along(net: SheetLSTM, t: int, k: int, C: Array) -> Array:
    """Return Cₜ of Cₖ with gates and candidates as they are, whatever C is."""
    for i in range(k + 1, t + 1):
        gates = net.points[i].gates
        C = gates["f"] * C + gates["i"] * gates["c"]
    return C


def _direct(net: SheetLSTM, t: int, k: int) -> Array:
    """Return ∂Cₜ/∂Cₖ (n, n), the gates held fixed."""
    return derivative(lambda C: _along(net, t, k, C), net.points[k].C)


def _loss(net: SheetLSTM, t: int, C: Array) -> Array:
    """Return Lₜ = ½‖hₜ‖² of Cₜ."""
    return np.asarray((net.shown(t, C) ** 2).sum() / 2)


def _losses(net: SheetLSTM, k: int, C: Array) -> Array:
    """Return Lₖ + … + L_LAG of Cₖ."""
    return np.asarray(sum(_loss(net, t, _along(net, t, k, C)) for t in range(k, LAG + 1)))


def _gathered(net: SheetLSTM, *, every: bool) -> Array:
    """Return Σₜ ∂Lₜ/∂Cₜ ∂Cₜ/∂C₁ (n); with ``every`` loss in the place of Lₜ."""
    loss = _losses if every else _loss
    terms = [
        derivative(partial(loss, net, t), net.points[t].C) @ _direct(net, t, 1) for t in range(1, LAG + 1)
    ]
    return np.asarray(sum(terms))


def _product(net: SheetLSTM) -> Array:
    return reduce(np.matmul, [_direct(net, i, i - 1) for i in range(LAG, 0, -1)])


def _kept(net: SheetLSTM) -> Array:
    """Return f₁⊙f₂⊙…⊙f_LAG (n)."""
    return np.asarray(net.along("f")[:LAG].prod(axis=0))


def _cell_block(net: SheetLSTM, steps: int, **biases: float) -> Array:
    """Return ∂C/∂C (n, n) over so many steps: that block of gradflow's Jacobian of [h; C]."""
    size = len(net.C)
    return net.jacobian(steps, 0, **biases)[size:, size:]


def _weightless(net: SheetLSTM) -> SheetLSTM:
    """Return the same network with all weights 0."""
    return SheetLSTM(
        {g: 0.0 * W for g, W in net.W.items()}, {g: 0.0 * U for g, U in net.U.items()}, net.b,
        net.inputs, net.h, net.C,
    )  # fmt: skip


def _symbols(net: SheetLSTM) -> Symbols:
    """Return what the formulas are made of; hᵢ is that of step LAG."""
    C, f = ([lowered(letter, k) for k in range(LAG + 1)] for letter in "Cf")
    pairs = [(t, k) for t in range(LAG + 1) for k in range(t + 1)]
    steps = range(1, LAG + 1)
    return {
        **FUNCTIONS, "I": np.eye(len(net.C)), "T": np.array(LAG), "b_f": np.array(1.0),
        "fᵢ": net.points[LAG].gates["f"], "∂⁺Cᵢ/∂Cᵢ₋₁": _direct(net, LAG, LAG - 1),
        **{f[t]: net.points[t].gates["f"] for t in steps},
        **{f"∂⁺{C[t]}/∂{C[k]}": _direct(net, t, k) for t, k in pairs},
        **{f"∂⁺L/∂{C[k]}": derivative(partial(_losses, net, k), net.points[k].C)[None] for k in steps},
        **{
            f"∂⁺{lowered('L', t)}/∂{C[t]}": derivative(partial(_loss, net, t), net.points[t].C)[None]
            for t in steps
        },
    }  # fmt: skip


LINES: tuple[Line[SheetLSTM], ...] = (
    Line(
        "Cₜ = Cₖ",
        "$fᵢ = 1$ and $iᵢ = 0$ at every step (biases of $±1000$): $Cᵢ = 1 ⊙ Cᵢ₋₁ + 0 ⊙ C̃ᵢ$; after "
        f"{FAR_BACK} steps, by gradflow's own cell",
        lambda net: (net.cells(f=OPEN, i=SHUT)[FAR_BACK - 1], net.C),
    ),
    Line(
        "∂⁺Cᵢ/∂Cᵢ₋₁ = diag(fᵢ)",
        "in general, by $Cᵢ = fᵢ ⊙ Cᵢ₋₁ + iᵢ ⊙ C̃ᵢ$; the $+$ says with the gates and $C̃$ held fixed: unit "
        "by unit "
        "a factor $fᵢ$. (What comes by way of the gates is 5-3d)",
        lambda net: (_direct(net, LAG, LAG - 1), np.diag(net.along("f")[LAG - 1])),
    ),
    Line(
        "∂⁺Cₜ/∂Cₖ = ∏ᵢ₌ₖ₊₁ᵗ ∂⁺Cᵢ/∂Cᵢ₋₁",
        f"chain rule, a factor for each step between; here and below $t − k = {LAG}$ unless told otherwise",
        lambda net: (_direct(net, LAG, 0), _product(net)),
        at={"t": LAG, "k": 0},
    ),
    Line(
        "∂⁺Cₜ/∂Cₖ = diag(∏ᵢ₌ₖ₊₁ᵗ fᵢ)",
        "(2) put into (3): diagonal matrices are multiplied entry by entry, and no $W$ stands between them",
        lambda net: (_direct(net, LAG, 0), np.diag(_kept(net))),
        at={"t": LAG, "k": 0},
    ),
    Line(
        "∂Cₜ/∂Cₖ = I",
        "every $fᵢ = 1$ in (4), and by way of the gates nothing comes: where $fᵢ$ is 1 and $iᵢ$ is 0 their "
        "slopes "
        f"are 0, and $iᵢ = 0$ stops the candidate. Left: gradflow's Jacobian over {FAR_BACK} steps, gates "
        "and all",
        lambda net: (_cell_block(net, FAR_BACK, f=OPEN, i=SHUT), np.eye(len(net.C))),
    ),
    Line(
        "∂Cₜ/∂Cₖ = σ(b_f)ᵗ⁻ᵏ I",
        "a gate a little under 1 is forgetful all the same: without weights $fᵢ = σ(b_f)$, and with $b_f = "
        "1$ it is 0.731, so that 10 steps leave 0.0436",
        lambda net: (
            _cell_block(_weightless(net), 10, f=1.0),
            sigmoid(np.array(1.0)) ** 10 * np.eye(len(net.C)),
        ),
        at={"t": 10, "k": 0},
    ),
    Line(
        "∂⁺Cₜ/∂Cₖ ≠ (∂⁺Cₜ/∂Cₜ₋₁)ᵗ⁻ᵏ",
        "the product as the sheet prints it, $∏ᵢ₌ₖ₊₁ᵗ ∂Cₜ/∂Cₜ₋₁$, repeats the last step's factor",
        lambda net: (_direct(net, LAG, 0), np.linalg.matrix_power(_direct(net, LAG, LAG - 1), LAG)),
        at={"t": LAG, "k": 0},
    ),
    Line(
        "∂⁺L/∂Cₖ = Σₜ₌ₖᵀ ∂⁺Lₜ/∂Cₜ · ∂⁺Cₜ/∂Cₖ",
        "chain rule: every later loss goes back along the carousel; with $Lₜ = ‖hₜ‖²/2$, $k = 1$, $T = "
        f"{LAG}$",
        lambda net: (
            derivative(lambda C: _losses(net, 1, C), net.points[1].C),
            _gathered(net, every=False),
        ),
        at={"k": 1},
    ),
    Line(
        "∂⁺L/∂Cₖ ≠ Σₜ₌ₖᵀ ∂⁺L/∂Cₜ · ∂⁺Cₜ/∂Cₖ",
        "with $∂L/∂Cₜ$ in place of $∂Lₜ/∂Cₜ$, as in the sheet's double sum before (c), a loss counts once "
        "for each step on its way",
        lambda net: (
            derivative(lambda C: _losses(net, 1, C), net.points[1].C),
            _gathered(net, every=True),
        ),
        at={"k": 1},
    ),
)


def derivation(seed: int, *, hidden: int = 3) -> Topic[SheetLSTM]:
    """Return the gradient along the cell state, for a random LSTM of ``hidden`` units."""
    return Topic(
        exercise="5-3c",
        title="the constant error carousel",
        statement=(
            "Let $fₜ = 1$ and $iₜ = 0$ for all $t$, so that $Cₜ = Cₜ₋₁$. What is $∂Cₜ/∂Cₖ = ∏ᵢ₌ₖ₊₁ᵗ "
            "∂Cᵢ/∂Cᵢ₋₁$?"
        ),
        case=SheetLSTM.drawn(seed, hidden, FAR_BACK),
        symbols=_symbols,
        lines=LINES,
        answer=(
            "$∂Cₜ/∂Cₖ = I$, exactly and over any number of steps: the gradient neither vanishes nor "
            "explodes. In a plain network there stands $diag(σ′) W$ at every step; here there stands "
            "$diag(fᵢ)$, which the network can learn to hold near 1."
        ),
        slip=(
            "The product must run over $∂Cᵢ/∂Cᵢ₋₁$; with $∂Cₜ/∂Cₜ₋₁$ as printed it would be a power of the "
            "last factor (line 7); with $fᵢ = 1$ throughout that makes no difference. In the double sum "
            "before (c) $∂L/∂Cₜ$ must be $∂Lₜ/∂Cₜ$ (line 9)."
        ),
    )
