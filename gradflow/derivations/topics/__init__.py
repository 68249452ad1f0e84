"""The answers of the exercise sheet, one file a topic, in the sheet's order.

``build_topic`` of each returns a `DerivationTopic` of a seed: statement, lines, answer. Its keyword-only
parameters are the options that the topic takes.
"""

from gradflow.registry import Registry

DERIVATIONS: Registry = {
    "jacobian": "gradflow.derivations.topics.jacobian:build_topic",
    "bptt": "gradflow.derivations.topics.bptt:build_topic",
    "expand": "gradflow.derivations.topics.expand:build_topic",
    "power": "gradflow.derivations.topics.power:build_topic",
    "regimes": "gradflow.derivations.topics.regimes:build_topic",
    "gates": "gradflow.derivations.topics.gates:build_topic",
    "carousel": "gradflow.derivations.topics.carousel:build_topic",
    "cell-gradient": "gradflow.derivations.topics.cell_gradient:build_topic",
    "gru": "gradflow.derivations.topics.gru:build_topic",
}
ALL_TOPICS = "all"
