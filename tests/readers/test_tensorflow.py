"""TensorFlow's checkpoints, written by hand: every name of one leads to its arrays; damage is told."""

import random

import ml_dtypes
import numpy as np
import pytest

from gradflow import load, read_array, read_arrays
from gradflow.readers.tensorflow.table import compute_crc32c
from tests.readers import tensorflow_table as tf
from tests.readers.test_hostile import is_finite, mutated, outcome_of

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
DRAW = np.random.default_rng(11).normal
CELL = {
    "kernel": DRAW(size=(3, 8)).astype("float32"),
    "recurrent_kernel": DRAW(size=(2, 8)).astype("float32"),
    "bias": DRAW(size=8).astype("float32"),
}


def keyed(path):
    return {f"{path}/{name}{SUFFIX}": array for name, array in CELL.items()}


@pytest.mark.parametrize("name", ["ckpt-1.index", "ckpt-1.data-00000-of-00001", "ckpt-1", "."])
def test_every_name_of_a_checkpoint_leads_to_its_arrays(name, tmp_path):
    tf.written(tmp_path, keyed("layer_with_weights-0/cell"))
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "ckpt-1"\n')
    (layer,) = load(tmp_path / name).layers
    assert (layer.kind, layer.framework) == ("lstm", "keras")
    assert len(layer.stored) == len(CELL)
    for array in layer.stored:
        start, _, own = array.name.rpartition("/")
        assert start == "layer_with_weights-0/cell"
        np.testing.assert_array_equal(array.read_numbers(), CELL[own])


@pytest.mark.parametrize("name", [".", "saved_model.pb", "variables/variables.index", "variables"])
def test_saved_model_is_its_variables(name, tmp_path):
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01\x12\0")
    tf.written(tmp_path / "variables", keyed("layer_with_weights-0/cell"), "variables")
    assert [layer.kind for layer in load(tmp_path / name).layers] == ["lstm"]


def test_saved_model_of_keras_2_states_its_activations(tmp_path):
    config = (
        b'{"class_name": "Sequential", "keras_version": "2.15.0", "config": {"name": "s", "layers": ['
        b'{"class_name": "LSTM", "config": '
        b'{"name": "enc", "activation": "relu", "recurrent_activation": "hard_sigmoid"}}]}}'
    )
    (tmp_path / "variables").mkdir()
    tf.written(tmp_path / "variables", {f"enc/lstm_cell/{name}": a for name, a in CELL.items()}, "variables")
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    node = tf.field(2, 0) + tf.field(3, b"root") + tf.field(5, config)
    (tmp_path / "keras_metadata.pb").write_bytes(tf.field(1, node))
    (layer,) = load(tmp_path).layers
    assert layer.assumed == ()
    assert layer.cell.activation == "relu"
    assert layer.cell.gate_activation == "hard_sigmoid(0.2,0.5)"


def test_names_of_tensorflow_1_are_read(tmp_path):
    arrays = {
        "rnn/basic_lstm_cell/kernel": DRAW(size=(5, 8)),
        "rnn/basic_lstm_cell/kernel/Adam": DRAW(size=(5, 8)),
        "rnn/basic_lstm_cell/bias": DRAW(size=8),
        "beta1_power": np.array(0.9),
        "global_step": np.array(3),
    }
    (layer,) = load(tf.written(tmp_path, arrays, "model.ckpt-3")).layers
    assert (layer.kind, layer.framework, layer.name) == ("lstm", "tensorflow1", "rnn")
    assert layer.parameters == 5 * 8 + 8


def make_graph(keys, optimizer_first=False):
    """Return the graph of a model whose optimizer keeps its weights and its momenta."""
    weights = list(CELL)
    children = [("optimizer", 3), ("enc", 1)] if optimizer_first else [("enc", 1), ("optimizer", 3)]
    nodes = [
        tf.graph_node(children),
        tf.graph_node([("cell", 2)]),
        tf.graph_node([(name, 5 + k) for k, name in enumerate(weights)]),
        tf.graph_node([("_iterations", 8), ("_trainable_variables", 4), ("_momentums", 10), ("loop", 3)]),
        tf.graph_node([(str(k), 5 + k) for k in range(3)]),
        *(
            tf.graph_node([], [(f"enc/lstm_cell/{name}", key)])
            for name, key in zip(weights, keys, strict=True)
        ),
        tf.graph_node([], [("adam/iteration", f"optimizer/_iterations{SUFFIX}")]),
        tf.graph_node([], [("Adam/m/enc/lstm_cell/kernel", f"m{SUFFIX}")]),
        tf.graph_node([("0", 9)]),
    ]
    return b"".join(nodes)


@pytest.mark.parametrize("optimizer_first", [False, True])
def test_weights_get_their_own_names_and_states_of_the_optimizer_are_left_out(optimizer_first, tmp_path):
    keys = [f"optimizer/_trainable_variables/{k}{SUFFIX}" for k in range(3)]
    arrays = dict(zip(keys, CELL.values(), strict=True))
    arrays |= {f"optimizer/_iterations{SUFFIX}": np.array(7), f"m{SUFFIX}": np.ones((3, 8))}
    index = tf.written(tmp_path, arrays, graph=make_graph(keys, optimizer_first))
    (layer,) = load(index).layers
    assert layer.name == "enc"
    np.testing.assert_array_equal(layer.stored[0].read_numbers(), CELL["kernel"])
    assert "optimizer/Adam/m/enc/lstm_cell/kernel" in read_arrays(index)


def test_second_variable_of_one_name_is_named_after_its_key(tmp_path):
    keys = [f"{path}/cell/{name}{SUFFIX}" for path in "ab" for name in CELL]
    nodes = [tf.graph_node([(key, k) for k, key in enumerate(keys, 1)])]
    nodes += [tf.graph_node([], [(f"lstm/lstm_cell/{key.split('/')[2]}", key)]) for key in keys]
    arrays = keyed("a/cell") | {key: 2 * array for key, array in keyed("b/cell").items()}
    first, second = sorted(load(tf.written(tmp_path, arrays, graph=b"".join(nodes))).layers, key=str)
    assert (first.name, second.name) == ("b", "lstm")
    kernels = [array.read_numbers() for array in first.stored if array.name.endswith("/kernel")]
    np.testing.assert_array_equal(kernels, [2 * CELL["kernel"]])


def test_types_are_read_exactly(tmp_path):
    arrays = {
        "half": np.array([1.5, -2], np.float16),
        "flag": np.array([True, False]),
        "many": np.arange(6, dtype=np.int64).reshape(2, 3),
        "phase": np.array([1 + 2j]),
    }
    index = tf.written(tmp_path, arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read_array(index, name, dimensions=(1, 2)), array)


def test_bfloat16_and_the_order_of_bytes_are_read(tmp_path):
    halves = np.array([1.5, -3.0], ml_dtypes.bfloat16)
    described = tf.field(1, 14) + tf.field(2, tf.field(2, tf.field(1, 2))) + tf.field(5, 4)
    for order, flag in (("<", 0), (">", 1)):
        header = tf.field(1, 1) + tf.field(2, flag)
        (tmp_path / "c.index").write_bytes(tf.table({b"": header, b"w": described}))
        stored = halves.view(np.uint16).astype(f"{order}u2").tobytes()
        (tmp_path / "c.data-00000-of-00001").write_bytes(stored)
        np.testing.assert_array_equal(read_array(tmp_path / "c", dimensions=(1,)), [1.5, -3.0])


def test_many_blocks_are_read_in_order(tmp_path):
    arrays = {f"v{k:03d}": np.full((2, 2), float(k)) for k in range(200)}
    found = read_arrays(tf.written(tmp_path, arrays))
    assert list(found) == list(arrays)
    assert all((found[name].read_numbers() == arrays[name]).all() for name in arrays)


def test_checksum_is_the_one_of_the_standard():
    # RFC 3720, appendix B.4.
    assert compute_crc32c(bytes(32)) == 0x8A9136AA
    assert compute_crc32c(bytes(range(32))) == 0x46DD794E


def test_damage_is_told(tmp_path, check_refused):
    index = tf.written(tmp_path, keyed("a"))
    content, data = index.read_bytes(), tmp_path / "ckpt-1.data-00000-of-00001"
    index.write_bytes(content[:5] + b"?" + content[6:])
    check_refused(lambda: load(index), "TensorFlow", "checksum")
    index.write_bytes(content[:-1])
    check_refused(lambda: load(index), "TensorFlow", "signature")
    index.write_bytes(content)
    data.write_bytes(data.read_bytes()[:-1])
    check_refused(lambda: load(index), "data-00000", "only")
    data.unlink()
    check_refused(lambda: load(index), "data-00000-of-00001", "no such file")
    data.write_bytes(b"?")
    index.unlink()
    check_refused(lambda: load(data), "TensorFlow", "'ckpt-1.index' is not beside it")


def test_what_is_not_read_is_named(tmp_path, check_refused):
    index = tf.written(tmp_path, keyed("a"), compression=1)
    check_refused(lambda: load(index), "TensorFlow", "compressed (method 1)")
    check_refused(lambda: load(tf.written(tmp_path, {})), "TensorFlow", "no array")
    sliced = tf.field(1, 1) + tf.field(2, tf.field(2, tf.field(1, 2))) + tf.field(7, b"")
    index.write_bytes(tf.table({b"": tf.field(1, 1), b"w": sliced, b"\0w": b"?"}))
    check_refused(lambda: read_array(index), "'w'", "slices")
    (tmp_path / "graph" / "x").mkdir(parents=True)
    (tmp_path / "graph" / "saved_model.pb").write_bytes(b"\x08\x01")
    check_refused(lambda: load(tmp_path / "graph"), "SavedModel of TensorFlow without variables")
    (tmp_path / "frozen.pb").write_bytes(b"\x0a\x01x")
    check_refused(lambda: load(tmp_path / "frozen.pb"), "graph of TensorFlow")


@pytest.mark.parametrize("part", ["entry", "graph"])
def test_mutated_messages_with_right_checksums_give_cells_or_one_error(
    part, tmp_path, memory_below, monkeypatch
):
    monkeypatch.setenv("GRADFLOW_MAX_BYTES", "2000000")
    keys = [f"optimizer/_trainable_variables/{k}{SUFFIX}" for k in range(3)]
    arrays, graph = dict(zip(keys, CELL.values(), strict=True)), make_graph(keys)
    rng, outcomes = random.Random(part), {"read": 0, "refused": 0}
    stored = tf.entry
    with memory_below(10_000_000):
        for _ in range(200):
            if part == "entry":
                monkeypatch.setattr(tf, "entry", lambda *given: mutated(stored(*given), rng))
            index = tf.written(tmp_path, arrays, graph=graph if part == "entry" else mutated(graph, rng))
            found = outcome_of(index)
            outcomes["refused" if isinstance(found, str) else "read"] += 1
            assert found.isprintable() if isinstance(found, str) else all(map(is_finite, found))
    assert outcomes["refused"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("lstm/cell", ("'lstm'", "twice")),
        ("rnn/cell/cells/0", ("kernel", "()")),
        ("rnn/stacked_rnn_cells/lstm_cell", ("kernel", "()")),
    ],
)
def test_scalars_in_place_of_matrices_are_refused(path, words, tmp_path, check_refused):
    arrays = {f"{path}/{name}": np.array(1.0) for name in CELL}
    arrays |= {f"{path}_1/{name}": np.array(1.0) for name in CELL}
    check_refused(lambda: load(tf.written(tmp_path, arrays)), *words)


@pytest.mark.parametrize(
    ("length", "words"), [(300_000, "takes 300000 bytes"), (3990, "longer together than 4 times the file")]
)
def test_keys_that_repeat_each_other_are_bounded(length, words, tmp_path, check_refused, memory_below):
    entry = tf.entry(np.ones((), "float32"), 0)
    start = tf.varint(0) + tf.varint(length) + tf.varint(len(entry)) + b"a" * length + entry
    block = start + b"".join(
        tf.varint(length - 1) + tf.varint(1) + tf.varint(len(entry)) + bytes([last]) + entry
        for last in range(98, 256)
    )
    # Many blocks, each of which begins with the next letters.
    blocks = [block[:6] + bytes([97 + k]) + block[7:] for k in range(20)]
    content, handles = b"", []
    for k, one in enumerate(blocks):
        stored = tf.sealed(one)
        handles.append((bytes([97 + k]) * 2, tf.varint(len(content)) + tf.varint(len(stored) - 5)))
        content += stored
    path = tmp_path / "bomb.index"
    path.write_bytes(tf.closed(content, handles))
    (tmp_path / "bomb.data-00000-of-00001").write_bytes(bytes(4))
    with memory_below(12_000_000):
        check_refused(lambda: read_arrays(path), words)


def test_entries_are_counted_before_all_are_read(tmp_path, check_refused, monkeypatch):
    monkeypatch.setattr("gradflow.readers.contents.MAX_ARRAYS", 100)
    index = tf.written(tmp_path, {f"v{k:03d}": np.ones(1) for k in range(200)})
    content = index.read_bytes()
    place = content.index(b"v197")
    index.write_bytes(content[:place] + b"?" + content[place + 1 :])
    check_refused(lambda: read_arrays(index), "holds more than 100 arrays")
