"""Matrices only: this package knows no cell.

The table of random ensembles is defined here, so that a help text can list it without loading numpy.
"""

from gradflow.registry import Registry

ENSEMBLES: Registry = {
    "ginibre": "gradflow.linalg.ensembles:ginibre",
    "uniform": "gradflow.linalg.ensembles:uniform",
    "symmetric": "gradflow.linalg.ensembles:symmetric",
    "orthogonal": "gradflow.linalg.ensembles:orthogonal",
    "jordan": "gradflow.linalg.ensembles:jordan",
}
