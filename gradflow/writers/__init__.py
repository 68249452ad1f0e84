"""Named arrays → bytes: one file per container.

A writer is a module with ``encode(arrays)``, which returns the bytes of the file.
"""

from gradflow.registry import Registry

WRITERS: Registry = {
    "safetensors": "gradflow.writers.safetensors",
    "npz": "gradflow.writers.npz",
}
