"""The answers of the exercise sheet, one file a topic, in the sheet's order.

A topic is a function of a seed that returns a `Topic`: statement, lines, answer. Its keyword-only parameters
are the options that it takes.
"""

from gradflow.registry import Registry

DERIVATIONS: Registry = {
    "jacobian": "gradflow.analysis.derivations.jacobian:derivation",
    "bptt": "gradflow.analysis.derivations.bptt:derivation",
    "expand": "gradflow.analysis.derivations.expand:derivation",
    "power": "gradflow.analysis.derivations.power:derivation",
    "regimes": "gradflow.analysis.derivations.regimes:derivation",
    "gates": "gradflow.analysis.derivations.gates:derivation",
    "carousel": "gradflow.analysis.derivations.carousel:derivation",
    "cell-gradient": "gradflow.analysis.derivations.cell_gradient:derivation",
    "gru": "gradflow.analysis.derivations.gru:derivation",
}
EVERY = "all"
