"""CIFAR-10's binary release: images as sequences (Krizhevsky 2009).

A record is 1 byte of label and 3072 bytes of image: 1024 red, 1024 green and 1024 blue values, each row by
row. As a sequence, an image has 1024 steps of 3 features (one pixel per step), or 32 steps of 96 features
(one row of 32 pixels per step).
"""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.messages import prefix_errors
from gradflow.readers.source import open_source

IMAGE_SIDE, IMAGE_COLORS, LABEL_COUNT = 32, 3, 10
IMAGE_PIXELS = IMAGE_SIDE * IMAGE_SIDE
RECORD_BYTES = 1 + IMAGE_COLORS * IMAGE_PIXELS


def read_pixels(source: str | os.PathLike[str], count: int) -> NDArray[np.float64]:
    """Return the first ``count`` images as an array (images, 1024, 3), scaled to [0, 1].

    If the file holds fewer images, all of them are returned.

    Raises
    ------
    DataError
        If the file cannot be read, does not hold a whole number of records, or has a label above 9.
    """
    origin = open_source(source)
    with prefix_errors(origin.name):
        images, rest = divmod(origin.size, RECORD_BYTES)
        if rest or not images:
            raise DataError(
                f"has {origin.size} bytes; expected records of {RECORD_BYTES} as in CIFAR-10's binary "
                "release, such as data_batch_1.bin"
            )
        records: NDArray[Any] = origin.map_array(np.uint8, (images, RECORD_BYTES), 0)
        worst = int(records[:, 0].max())
        if worst >= LABEL_COUNT:
            raise DataError(f"holds the label {worst}; expected CIFAR-10's binary release, labels 0 to 9")
        # image, color, pixel → image, pixel, color
        planes = records[:count, 1:].reshape(-1, IMAGE_COLORS, IMAGE_PIXELS).transpose(0, 2, 1)
        return planes / 255.0


def read_rows(source: str | os.PathLike[str], count: int) -> NDArray[np.float64]:
    """Return the first ``count`` images as an array (images, 32, 96), pixel after pixel.

    In all else this is `read_pixels`.
    """
    pixels = read_pixels(source, count)
    return np.ascontiguousarray(pixels).reshape(-1, IMAGE_SIDE, IMAGE_SIDE * IMAGE_COLORS)
