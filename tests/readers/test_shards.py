"""Models in several files: the shards of one model are read as one model, or not at all."""

import json
import os
import threading

import numpy as np
import pytest
import safetensors.numpy

from gradflow import load, read_array, read_arrays, read_matrix
from gradflow.readers.shards import MAX_INDEX_BYTES

DRAW = np.random.default_rng(5).normal
WEIGHTS = {
    "encoder.rnn.weight_ih_l0": DRAW(size=(8, 3)),
    "encoder.rnn.weight_hh_l0": DRAW(size=(8, 2)),
    "encoder.rnn.bias_ih_l0": DRAW(size=8),
    "encoder.rnn.bias_hh_l0": DRAW(size=8),
}
INDEX = "model.safetensors.index.json"


def shard_name(number, count=2):
    return f"model-{number:05d}-of-{count:05d}.safetensors"


@pytest.fixture
def sharded(tmp_path):
    """Write the weights into one shard and the biases into another; return their folder."""

    def sharded(index=True, **changed):
        places = {}
        for number, kind in ((1, "weight"), (2, "bias")):
            part = {name: array for name, array in WEIGHTS.items() if kind in name}
            safetensors.numpy.save_file(part, tmp_path / shard_name(number))
            places |= dict.fromkeys(part, shard_name(number))
        if index:
            (tmp_path / INDEX).write_text(json.dumps({"weight_map": {**places, **changed}}))
        return tmp_path

    return sharded


def is_whole(checkpoint):
    """Return whether the only layer is made of all four arrays."""
    (layer,) = checkpoint.layers
    read = {array.name: array.read_numbers() for array in layer.stored}
    return read.keys() == WEIGHTS.keys() and all((read[name] == WEIGHTS[name]).all() for name in read)


@pytest.mark.parametrize("name", [INDEX, "."])
def test_index_and_folder_are_the_whole_model_without_a_remark(name, sharded):
    checkpoint = load(sharded() / name)
    assert is_whole(checkpoint)
    assert checkpoint.remarks == ()


@pytest.mark.parametrize("number", [1, 2])
def test_one_shard_is_read_with_the_others_and_says_so(number, sharded):
    checkpoint = load(sharded() / shard_name(number))
    assert is_whole(checkpoint)
    (remark,) = checkpoint.remarks
    assert shard_name(number) in remark
    assert INDEX in remark


@pytest.mark.parametrize("name", [".", shard_name(1), shard_name(2)])
def test_shards_without_an_index_are_joined_by_their_names_and_say_so(name, sharded):
    checkpoint = load(sharded(index=False) / name)
    assert is_whole(checkpoint)
    (remark,) = checkpoint.remarks
    assert "of 2" in remark
    assert "no index" in remark


@pytest.mark.parametrize("name", [INDEX, shard_name(2)])
def test_matrix_of_a_shard_is_read_through_the_index(name, sharded):
    for read in (read_array, lambda path, key: read_matrix(str(path), key)):
        found = read(sharded() / name, "encoder.rnn.weight_hh_l0[:2]")
        np.testing.assert_array_equal(found, WEIGHTS["encoder.rnn.weight_hh_l0"][:2])


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("name", [".", shard_name(1)])
def test_missing_shard_is_named(index, name, sharded, check_refused):
    folder = sharded(index)
    (folder / shard_name(2)).unlink()
    check_refused(
        lambda: load(folder / name), "shard", shard_name(2) if index else "shard 2 is not beside it"
    )


def test_only_shard_of_one_is_whole(tmp_path):
    safetensors.numpy.save_file(WEIGHTS, tmp_path / shard_name(1, 1))
    assert load(tmp_path / shard_name(1, 1)).remarks == ()


@pytest.mark.parametrize(
    "name", ["../other.safetensors", "/etc/passwd", "..", "", "a\\b", "a\0b", 3, None, ["x"]]
)
def test_index_names_no_file_outside_its_folder(name, sharded, check_refused):
    folder = sharded(**{"encoder.rnn.bias_hh_l0": name})
    check_refused(lambda: load(folder / INDEX), "the index names the shard", "the name of a file beside it")


def test_index_that_places_an_array_in_the_wrong_shard_is_refused(sharded, check_refused):
    folder = sharded(**{"encoder.rnn.bias_hh_l0": shard_name(1)})
    check_refused(
        lambda: load(folder / INDEX), "places 'encoder.rnn.bias_hh_l0' in the shard", "does not hold it"
    )


def test_index_that_places_an_array_that_is_nowhere_is_refused(sharded, check_refused):
    check_refused(lambda: load(sharded(absent=shard_name(1)) / INDEX), "places 'absent'")


@pytest.mark.parametrize("index", [True, False])
def test_two_shards_with_one_name_are_refused(index, sharded, check_refused):
    folder = sharded(index)
    safetensors.numpy.save_file(WEIGHTS, folder / shard_name(2))
    name = INDEX if index else shard_name(1)
    check_refused(lambda: load(folder / name), "both hold", shard_name(1), shard_name(2))


def test_shard_that_is_a_pipe_is_not_waited_for(sharded, check_refused):
    folder = sharded()
    (folder / shard_name(2)).unlink()
    os.mkfifo(folder / shard_name(2))
    waiting = threading.Thread(target=lambda: check_refused(lambda: load(folder / INDEX), shard_name(2)))
    waiting.start()
    waiting.join(30)
    assert not waiting.is_alive()


@pytest.mark.parametrize("map_", [{}, [], None, "model.safetensors", 3])
def test_index_without_a_map_is_refused(map_, tmp_path, check_refused):
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": map_}))
    check_refused(lambda: load(tmp_path / INDEX), "weight_map of this index of shards")


def test_json_that_is_no_index_is_read_as_json(tmp_path):
    (tmp_path / "my.index.json").write_text('{"weight": [[1, 2], [3, 4]]}')
    assert list(read_arrays(tmp_path / "my.index.json")) == ["weight"]


def test_huge_index_is_not_read(sharded):
    folder = sharded()
    with (folder / INDEX).open("r+b") as file:
        file.truncate(MAX_INDEX_BYTES + 1)
    assert is_whole(load(folder / shard_name(1)))


def test_hundreds_of_shards_are_one_model(tmp_path):
    count = 300
    for number in range(2, count + 1):
        array = {f"layer{number}.weight": np.ones((1, 1))}
        safetensors.numpy.save_file(array, tmp_path / shard_name(number, count))
    safetensors.numpy.save_file(WEIGHTS, tmp_path / shard_name(1, count))
    assert is_whole(load(tmp_path))


@pytest.mark.parametrize("name", [".", shard_name(1), shard_name(2), "model-2-of-2.safetensors"])
def test_two_shards_of_one_number_are_refused(name, sharded, check_refused):
    folder = sharded(index=False)
    more = {"head.weight": np.eye(2)}
    safetensors.numpy.save_file(more, folder / "model-2-of-2.safetensors")
    words = ("are both shard 2 of 2", shard_name(2), "model-2-of-2.safetensors")
    check_refused(lambda: load(folder / name), *words)


@pytest.mark.parametrize("name", ["log-1-of-2.txt", "log-2-of-2.txt", "data-00001-of-00010.csv"])
def test_other_files_with_names_of_shards_are_files_of_their_own(name, sharded):
    folder = sharded()
    (folder / name).write_text("1,2\n3,4\n")
    assert is_whole(load(folder))
    np.testing.assert_array_equal(read_matrix(folder / name), [[1, 2], [3, 4]])


def test_shards_without_a_suffix_of_checkpoints_are_known_by_their_content(sharded):
    folder = sharded(index=False)
    for number in (1, 2):
        (folder / shard_name(number)).rename(folder / f"model-{number}-of-2.part")
    assert is_whole(load(folder))


@pytest.mark.parametrize(
    "content", ['{"a": [' + "0.25," * 300_000 + "1]}", '{"metadata": [' + "[]," * 300_000 + "0]}"]
)
def test_large_json_with_the_name_of_an_index_is_not_parsed(content, tmp_path, memory_below):
    safetensors.numpy.save_file(WEIGHTS, tmp_path / "model.safetensors")
    (tmp_path / INDEX).write_text(content)
    load(tmp_path)  # imports what is needed
    with memory_below(2 * len(content) + 1_000_000):
        assert is_whole(load(tmp_path))


def test_index_of_a_large_model_is_read(tmp_path):
    layers = {f"layer{k}.weight": np.ones((1, 1)) for k in range(20_000)}
    safetensors.numpy.save_file(WEIGHTS | layers, tmp_path / shard_name(1))
    places = dict.fromkeys(WEIGHTS | layers, shard_name(1))
    (tmp_path / INDEX).write_text(json.dumps({"metadata": {"size": 3}, "weight_map": places}, indent=2))
    assert is_whole(load(tmp_path / INDEX))
