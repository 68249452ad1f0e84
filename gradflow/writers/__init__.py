"""Named arrays → bytes: one file per container.

A writer is a module with ``encode(arrays)``, which returns the bytes of the file.
"""

from typing import NamedTuple

from gradflow.registry import Registry


class WrittenContainer(NamedTuple):
    """A container that can be written.

    Attributes
    ----------
    writer : str
        The module that writes it.
    layout : str
        The layout whose names alone it takes. Empty if it takes any names.
    """

    writer: str
    layout: str = ""


# One line per container, by its suffix.
WRITTEN_CONTAINERS = {
    "safetensors": WrittenContainer("gradflow.writers.safetensors"),
    "npz": WrittenContainer("gradflow.writers.npz"),
    "weights.h5": WrittenContainer("gradflow.writers.keras_weights", layout="keras"),
}

WRITERS: Registry = {name: container.writer for name, container in WRITTEN_CONTAINERS.items()}
# The suffixes of containers that take any names.
ARRAY_SUFFIXES = " or ".join(
    f".{name}" for name, container in WRITTEN_CONTAINERS.items() if not container.layout
)
WRITTEN_SUFFIXES = " or ".join(", ".join(f".{name}" for name in WRITERS).rsplit(", ", 1))
