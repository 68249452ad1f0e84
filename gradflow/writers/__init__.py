"""Named arrays → bytes: one file per container.

A writer is a module with ``encode(arrays)``.
"""

from gradflow.tables import Table

WRITERS: Table = {
    "safetensors": "gradflow.writers.safetensors",
    "npz": "gradflow.writers.npz",
}
