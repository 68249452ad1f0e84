"""Any bytes give finite arrays or a GradflowError of one line, within the limit on memory."""

import random

import numpy as np
import pytest

from gradflow import read_arrays
from gradflow.errors import GradflowError
from gradflow.readers import READERS

MUTATIONS = 600  # of all examples of a kind together
LIMIT = 2_000_000


def mutated(content, rng):
    content = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        position = rng.randrange(len(content))
        match rng.randrange(5):
            case 0:
                content[position] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
            case 1:
                content[position] ^= 1 << rng.randrange(8)
            case 2:
                del content[position : position + rng.randint(1, 8)]
            case 3:
                content[position:position] = rng.choice([b"9", b"-", b"[", b"1e999", b"\xff" * 4, b"\0" * 8])
            case 4:
                del content[rng.randrange(len(content)) :]
        if not content:
            return b"\0"
    return bytes(content)


def is_finite(numbers):
    return np.isfinite(numbers).all()


def outcome_of(path):
    """Return the numbers in a file, or the message."""
    try:
        return [array.read_numbers() for array in read_arrays(path).values()]
    except GradflowError as error:
        return str(error)


@pytest.mark.parametrize("kind", READERS)
def test_mutated_file_gives_finite_arrays_or_an_error(kind, examples, place_as, memory_below, monkeypatch):
    monkeypatch.setenv("GRADFLOW_MAX_BYTES", str(LIMIT))
    rng = random.Random(f"mutations of {kind}")
    outcomes = {"read": 0, "refused": 0}
    with memory_below(5 * LIMIT):
        contents = examples(kind)
        for content in contents:
            for _ in range(MUTATIONS // len(contents)):
                found = outcome_of(place_as(kind, mutated(content, rng)))
                outcomes["refused" if isinstance(found, str) else "read"] += 1
                assert found.isprintable() if isinstance(found, str) else all(map(is_finite, found))
    # The test would show nothing if all mutations failed, or none.
    assert min(outcomes.values()) > 0
