"""The answers of the exercise sheet, one file a topic, in the sheet's order.

``build_topic`` of each returns a `DerivationTopic` of a seed: statement, lines, answer. Its keyword-only
parameters are the options that the topic takes.
"""

from gradflow.registry import Registry

DERIVATIONS: Registry = {
    "jacobian": "gradflow.analysis.derivations.jacobian:build_topic",
    "bptt": "gradflow.analysis.derivations.bptt:build_topic",
    "expand": "gradflow.analysis.derivations.expand:build_topic",
    "power": "gradflow.analysis.derivations.power:build_topic",
    "regimes": "gradflow.analysis.derivations.regimes:build_topic",
    "gates": "gradflow.analysis.derivations.gates:build_topic",
    "carousel": "gradflow.analysis.derivations.carousel:build_topic",
    "cell-gradient": "gradflow.analysis.derivations.cell_gradient:build_topic",
    "gru": "gradflow.analysis.derivations.gru:build_topic",
}
ALL_TOPICS = "all"
