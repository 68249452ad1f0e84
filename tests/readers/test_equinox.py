"""Equinox's leaves: arrays without names, which become cells only by shape, order and on request."""

import io

import ml_dtypes
import numpy as np
import pytest

from gradflow import load, read_arrays
from tests.readers.conftest import written

DRAW = np.random.default_rng(4).normal
LSTM = [DRAW(size=(8, 3)), DRAW(size=(8, 2)), DRAW(size=8)]
GRU = [DRAW(size=(9, 2)), DRAW(size=(9, 3)), DRAW(size=9), DRAW(size=3)]
LINEAR = [DRAW(size=(2, 3)), DRAW(size=2)]


def leaves(*arrays):
    return b"".join(written(np.save, array) for array in arrays)


@pytest.mark.parametrize("start", [b"", b'{"size": 5, "name": "x"}\n'])
def test_leaves_are_refused_by_name_and_read_on_request(start, place, check_refused):
    path = place(start + leaves(*LSTM, *GRU, *LINEAR), "m.eqx")
    check_refused(lambda: load(path), "Equinox", "names", "equinox_leaves", "np.savez")
    checkpoint = load(path, layout="equinox_leaves")
    lstm, gru = checkpoint.layers
    assert [(layer.name, layer.kind) for layer in checkpoint.layers] == [
        ("leaves.0", "lstm"),
        ("leaves.3", "gru"),
    ]
    np.testing.assert_array_equal(lstm.cell.weight_ih, LSTM[0])
    np.testing.assert_array_equal(lstm.cell.bias, LSTM[2])
    np.testing.assert_array_equal(gru.cell.weight_hh, GRU[1])
    assert sum("by their shapes and order" in remark for remark in checkpoint.remarks) == 2
    assert sum("moments of an optimizer" in remark for remark in checkpoint.remarks) == 2


@pytest.mark.parametrize("arrays", [LSTM[:2], [LSTM[0], LSTM[2], LSTM[1]], GRU[:3], LINEAR * 2, LSTM[1:]])
def test_other_leaves_are_no_cell(arrays, place, check_refused):
    path = place(leaves(*arrays), "m.eqx")
    check_refused(lambda: load(path, layout="equinox_leaves"), "no recurrent layer")


def test_bfloat16_is_read_and_said(place):
    stream = io.BytesIO()
    for array in LSTM:
        np.save(stream, array.astype(ml_dtypes.bfloat16))
    checkpoint = load(place(stream.getvalue()), layout="equinox_leaves")
    expected = LSTM[1].astype(ml_dtypes.bfloat16).astype(float)
    np.testing.assert_array_equal(checkpoint.layers[0].cell.weight_hh, expected)
    assert any("bfloat16" in remark for remark in checkpoint.remarks)


def test_single_array_stays_an_npy(place):
    assert list(read_arrays(place(leaves(LSTM[0])))) == ["array"]


def test_damage_is_told(place, check_refused):
    content = leaves(*LSTM)
    check_refused(lambda: read_arrays(place(content[:-1])), "'leaves.2'", "takes")
    check_refused(lambda: read_arrays(place(content + b"more")), "'leaves.3'", "does not start as an .npy")
    objects = written(np.save, np.array([{}]), allow_pickle=True)
    check_refused(lambda: read_arrays(place(leaves(LSTM[0]) + objects)), "'leaves.1'", "pickles are not read")
