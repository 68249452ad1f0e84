"""Directories: every checkpoint that is read when it is named itself is found, and nothing else disturbs."""

import json
import os

import numpy as np
import pytest

from gradflow import inspect, load
from gradflow.readers import CONTAINERS
from gradflow.readers.folders import list_checkpoints
from tests.readers import checkpoints, msgpack, tensorflow_table
from tests.readers.conftest import WRITERS, written

WEIGHTS = {"weight_ih_l0": np.ones((4, 3)), "weight_hh_l0": np.ones((4, 1))}
STATE_DICT = json.dumps({name: array.tolist() for name, array in WEIGHTS.items()}).encode()
# Files that are no checkpoints, by name.
OTHERS = {
    "args.json": b'{"hidden": 5, "rate": 1e-3, "layers": [1, 2]}',
    "history.json": b'{"loss": [[1.0, 0.5], [0.4, 0.3]]}',
    "notes.txt": b"trained twice\n",
    "numbers.csv": b"1,2\n3,4\n",
    "loss.png": b"\x89PNG\r\n\x1a\n",
    "docs.zip": checkpoints.zipped([("read.me", b"hello")]),
    "data.npy": written(np.save, np.eye(2)),
    "empty": b"",
    "run.py": b"print(1)\n",
}


def names(folder):
    return [os.path.relpath(path, folder) for path in list_checkpoints(folder)]


@pytest.fixture
def filled(tmp_path):
    for name, content in OTHERS.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("kind", [kind for kind in WRITERS if CONTAINERS[kind].finder])
@pytest.mark.parametrize("name", ["epoch_3", "best.tar", "best.pkl"])
def test_checkpoint_is_found_by_its_content(kind, name, filled):
    content = STATE_DICT if kind == "json" else WRITERS[kind](np.eye(3))
    (filled / name).write_bytes(content)
    assert names(filled) == [name]


def test_suffix_of_a_checkpoint_is_enough(filled):
    for name in ("damaged.pt", "MODEL.NPZ", "net.onnx"):
        (filled / name).write_bytes(b"?")
    assert names(filled) == ["MODEL.NPZ", "damaged.pt", "net.onnx"]


def test_damaged_file_is_noted_and_others_are_read(filled):
    (filled / "a").write_bytes(checkpoints.saved(WEIGHTS))
    (filled / "b.pt").write_bytes(checkpoints.saved(WEIGHTS)[:-30])
    found = inspect(filled, length=3, advice="none")
    assert found.files_read == 1
    assert found.layers.layer == ["a::lstm"]
    assert any("b.pt" in note for note in found.notes)
    assert not any(name in " ".join(found.notes) for name in OTHERS)


def test_hidden_names_and_circles_of_links_are_left_out(filled):
    (filled / "below" / ".git").mkdir(parents=True)
    for name in ("below/model", ".hidden.pt", "below/.git/object.pt"):
        (filled / name).write_bytes(STATE_DICT)
    (filled / "below" / "circle").symlink_to(filled)
    (filled / "lost.pt").symlink_to("nowhere")
    os.mkfifo(filled / "pipe.pt")
    assert names(filled) == ["below/model"]


def test_several_names_of_one_file_are_one_checkpoint(filled):
    (filled / "blob").write_bytes(STATE_DICT)
    (filled / "weights.bin").symlink_to("blob")
    (filled / "zzz").symlink_to("blob")
    assert names(filled) == ["weights.bin"]


def test_file_of_several_under_another_name_is_no_checkpoint_of_its_own(filled):
    # The cache of Hugging Face: snapshots link to files that are named after their checksums.
    (filled / "blobs").mkdir()
    (filled / "snapshot").mkdir()
    for number, (name, array) in enumerate(WEIGHTS.items(), 1):
        (filled / "blobs" / f"{number}").write_bytes(checkpoints.saved({name: array}))
        (filled / "snapshot" / f"model-{number}-of-2.bin").symlink_to(f"../blobs/{number}")
    assert names(filled) == ["snapshot/model-1-of-2.bin"]
    assert len(load(filled).layers) == 1


def test_folder_of_a_saved_model_is_one_checkpoint(filled):
    variables = filled / "export" / "variables"
    variables.mkdir(parents=True)
    tensorflow_table.written(variables, WEIGHTS, "variables")
    (filled / "export" / "saved_model.pb").write_bytes(b"\x08\x01")
    (filled / "export" / "assets.pt").write_bytes(b"?")
    assert names(filled) == ["export/variables/variables.index"]


def test_load_takes_the_only_checkpoint_and_lists_several(filled, check_refused):
    (filled / "a").write_bytes(STATE_DICT)
    assert len(load(filled).layers) == 1
    (filled / "b").write_bytes(msgpack.packed({"params": WEIGHTS}))
    check_refused(lambda: load(filled), "is a directory with 2 checkpoints", "'a', 'b'")


def test_folder_without_a_checkpoint_says_what_is_in_it(filled, check_refused):
    check_refused(lambda: inspect(filled), "is a directory that contains no checkpoint", ".safetensors")
    (filled / "net.tflite").write_bytes(b"\x1c\0\0\0TFL3")
    check_refused(lambda: inspect(filled), "'net.tflite' is a TensorFlow Lite model")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["_METADATA", "d/1"], ["Orbax", "flax.serialization.to_bytes"]),
        (["default/manifest.ocdbt", "_CHECKPOINT_METADATA"], ["Orbax"]),
        ([".metadata", "__0_0.distcp"], ["torch.distributed", "dcp_to_torch_save"]),
    ],
)
def test_folders_that_are_not_read_are_named(names, words, tmp_path, check_refused):
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(checkpoints.saved(WEIGHTS) if name.endswith("distcp") else b"?")
    check_refused(lambda: load(tmp_path), *words)
    check_refused(lambda: load(tmp_path / names[0]), *words)
