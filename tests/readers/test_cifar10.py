"""CIFAR-10's binary release: pixel order, scale, and other files."""

import numpy as np
import pytest

from gradflow.errors import DataError
from gradflow.readers import INPUT_FORMATS
from gradflow.readers.cifar10 import read_pixels, read_rows

RECORD = 3073  # a label, and 1024 bytes each of red, green and blue, row by row


def written(path, images, labels=None):
    """Write images (count, 3, 32, 32) of bytes as records, one by one."""
    with open(path, "wb") as stream:
        for k, image in enumerate(images):
            stream.write(bytes([labels[k] if labels else k % 10]))
            for color in image:
                for row in color:
                    stream.write(bytes(row.tolist()))
    return path


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), np.uint8)


def test_a_row_is_a_step_of_96_features(tmp_path, images):
    found = read_rows(written(tmp_path / "a.bin", images), 4)
    assert found.shape == (4, 32, 96)
    assert found.dtype == np.float64
    for image, step, pixel, color in [(0, 0, 0, 0), (0, 0, 0, 2), (1, 5, 0, 1), (2, 5, 7, 0), (3, 31, 31, 2)]:
        assert found[image, step, 3 * pixel + color] == images[image, color, step, pixel] / 255


def test_a_pixel_is_a_step_of_3_features(tmp_path, images):
    found = read_pixels(written(tmp_path / "a.bin", images), 4)
    assert found.shape == (4, 1024, 3)
    for image, row, column, color in [(0, 0, 0, 0), (0, 0, 1, 2), (1, 1, 0, 1), (3, 31, 31, 2)]:
        assert found[image, 32 * row + column, color] == images[image, color, row, column] / 255


def test_black_is_0_and_full_colour_is_1(tmp_path):
    images = np.zeros((2, 3, 32, 32), np.uint8)
    images[1] = 255
    found = read_rows(written(tmp_path / "a.bin", images), 2)
    assert np.all(found[0] == 0)
    assert np.all(found[1] == 1)


@pytest.mark.parametrize("name", INPUT_FORMATS)
@pytest.mark.parametrize(("asked", "given"), [(1, 1), (3, 3), (4, 4), (9, 4)])
def test_first_images_are_returned(tmp_path, images, name, asked, given):
    read = {"cifar10-rows": read_rows, "cifar10-pixels": read_pixels}[name]
    path = written(tmp_path / "a.bin", images)
    found = read(path, asked)
    assert len(found) == given
    np.testing.assert_array_equal(found, read(str(path), 4)[:given])


def test_labels_go_up_to_9(tmp_path, images):
    assert len(read_rows(written(tmp_path / "a.bin", images, [0, 9, 9, 5]), 4)) == 4


@pytest.mark.parametrize("read", [read_rows, read_pixels])
def test_any_label_above_9_is_refused(tmp_path, images, read):
    path = written(tmp_path / "wrong.bin", images, [1, 2, 3, 10])
    with pytest.raises(DataError, match=r"wrong\.bin.*label 10.*labels 0 to 9"):
        read(path, 1)


@pytest.mark.parametrize("bytes_", [1, RECORD - 1, RECORD + 1, 4 * RECORD - 1])
def test_incomplete_record_is_refused(tmp_path, images, bytes_):
    path = written(tmp_path / "cut.bin", images)
    path.write_bytes((path.read_bytes() + b"\0")[:bytes_])
    with pytest.raises(DataError, match=rf"cut\.bin.*{bytes_} bytes.*{RECORD}"):
        read_rows(path, 2)


def test_unreadable_path_is_refused_by_name(tmp_path):
    (tmp_path / "empty.bin").touch()
    for name in ("empty.bin", "absent.bin", "."):
        with pytest.raises(DataError) as caught:
            read_rows(tmp_path / name, 1)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)
