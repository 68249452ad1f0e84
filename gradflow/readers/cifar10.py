"""CIFAR-10's binary release: images as sequences (Krizhevsky 2009).

A record is 1 byte of label and 3072 of image: 1024 red, 1024 green, 1024 blue, each row by row. As a
sequence an image is 1024 steps of 3 features, a pixel a step, or 32 steps of 96, a row of 32 pixels a step.
"""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.messages import reading
from gradflow.readers.source import open_source

SIDE, COLORS, LABELS = 32, 3, 10
PIXELS = SIDE * SIDE
RECORD = 1 + COLORS * PIXELS


def read_pixels(source: str | os.PathLike[str], count: int) -> NDArray[np.float64]:
    """Return the first ``count`` images, or as many as there are, as (images, 1024, 3), scaled to [0, 1].

    Raises
    ------
    DataError
        If the file cannot be read, or is no whole number of records with labels under 10.
    """
    origin = open_source(source)
    with reading(origin.name):
        images, rest = divmod(origin.size, RECORD)
        if rest or not images:
            raise DataError(
                f"has {origin.size} bytes; expected records of {RECORD} as in CIFAR-10's binary "
                "release, such as data_batch_1.bin"
            )
        records: NDArray[Any] = origin.mapped(np.uint8, (images, RECORD), 0)
        worst = int(records[:, 0].max())
        if worst >= LABELS:
            raise DataError(f"holds the label {worst}; expected CIFAR-10's binary release, labels 0 to 9")
        # image, color, pixel → image, pixel, color
        planes = records[:count, 1:].reshape(-1, COLORS, PIXELS).transpose(0, 2, 1)
        return planes / 255.0


def read_rows(source: str | os.PathLike[str], count: int) -> NDArray[np.float64]:
    """Return the first ``count`` images as (images, 32, 96), pixel after pixel; else as `read_pixels`."""
    pixels = read_pixels(source, count)
    return np.ascontiguousarray(pixels).reshape(-1, SIDE, SIDE * COLORS)
