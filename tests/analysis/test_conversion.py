"""Conversion to torch: what each framework computed from its file, torch computes from the new one."""

import ast
import errno
import os
import re
import shutil

import numpy as np
import pytest
import safetensors.numpy

from gradflow.analysis.compare.compare import compare
from gradflow.analysis.convert import convert
from gradflow.errors import DataError, UsageError
from gradflow.layouts.checkpoint import from_state_dict, load
from gradflow.readers.arrays import read_arrays
from tests.layouts.test_files import CHECKPOINTS, FILES, STATES, expected

# what torch cannot compute: the case, and the words for what it lacks
LACKING = {
    "haiku_gru": "gru: torch has no gru with a reset gate before",
    "keras_activations": "gelu: torch has no rnn with activation gelu",
    "keras_gru_before": "enc: torch has no gru with a reset gate before",
    "keras_gru_no_bias": "enc: torch has no gru with a reset gate before",
    "keras_hard_sigmoid": "enc: torch has no lstm with activations hard_sigmoid",
    "keras_relu_lstm": "enc: torch has no lstm with activations sigmoid, relu, relu",
    "onnx_gru_reset_before": "hidden: torch has no gru with a reset gate before",
    "onnx_lstm": "encoder/rnn: torch has no lstm with peepholes",
    "onnx_lstm_activations": "encoder/rnn: torch has no lstm with activations hard_sigmoid.*softsign, elu",
    "onnx_lstm_input_forget": "encoder/rnn: torch has no lstm with coupled gates",
}
# torch's own names for these say no more of a relu than of a tanh
RELU = (
    "haiku_vanilla_rnn",
    "keras_simple_relu",
    "keras_simple_relu_unsaid",
    "onnx_rnn_relu",
    "torch_rnn_relu",
    "torch_module_relu",
    "torch_script_relu",
    "torch_trace_relu",
)
BACKWARD = ("keras_go_backwards", "keras_chain", "onnx_lstm_reverse")
READ = {"safetensors": safetensors.numpy.load_file, "npz": lambda path: dict(np.load(path))}


def case(path):
    return path.name.partition(".")[0]


def assumed(path):
    """What has to be said of the file, since it does not itself."""
    truth = expected(path)
    told = dict(one.split("=") for one in truth["assume"]) if "assume" in truth else {}
    return told if path.suffix not in (".keras", ".onnx") else {}


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.name)


COMPUTED = [path for path in CHECKPOINTS if case(path) not in LACKING]


@each(COMPUTED)
def test_converted_layers_have_the_states_that_the_framework_computed(path, tmp_path):
    container = list(READ)[COMPUTED.index(path) % 2]
    target, truth = tmp_path / f"new.{container}", expected(path)
    result = convert(path, target, assume=assumed(path))
    names = [name.removeprefix("states/") for name in truth.files if name.startswith("states/")]
    layers = load(target, assume={"activation": "relu"} if case(path) in RELU else None).layers
    assert {layer.name for layer in layers} == {name.replace("/", ".") for name in names}
    by_name = {layer.name: layer for layer in layers}
    for name in names:
        layer = by_name[name.replace("/", ".")]
        states = layer.cell.run(truth[f"fed/{name}"].astype(float))
        np.testing.assert_allclose(states, truth[f"states/{name}"], rtol=0, atol=STATES)
        assert layer.framework == "torch"
    assert set(result.modules.framework) == {str(truth["framework"])}
    assert (result.params["target"], result.container) == (str(target), container)
    assert result.size == target.stat().st_size
    assert any("runs backward" in note for note in result.notes) == (case(path) in BACKWARD)
    check_constructor(result, READ[container](target), case(path) in RELU)


def shapes_of(constructor):
    """The parameters that torch documents for a module, by name."""
    call = ast.parse(constructor, mode="eval").body
    module, kind = ast.unparse(call.func).rsplit(".", 1)
    features, hidden = map(ast.literal_eval, call.args)
    options = {item.arg: ast.literal_eval(item.value) for item in call.keywords}
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[kind]
    shown = options.pop("proj_size", hidden)
    ways = ["", "_reverse"] if options.pop("bidirectional", False) else [""]
    found = {}
    for k in range(options.pop("num_layers", 1)):
        for way in ways:
            rows = gates * hidden
            one = {"weight_ih": (rows, features), "weight_hh": (rows, shown)}
            one |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            one |= {"weight_hr": (shown, hidden)} if shown != hidden else {}
            found |= {f"{name}_l{k}{way}": shape for name, shape in one.items()}
        features = shown * len(ways)
    assert module == "torch.nn"
    assert options in ({}, {"nonlinearity": "relu"})
    return found


def check_constructor(result, written, relu):
    """The constructor that is told makes a module of just the arrays that are written."""
    wanted, counts = {}, []
    for module, constructor in zip(result.modules.module, result.modules.constructor, strict=True):
        assert ("nonlinearity='relu'" in constructor) == relu
        shapes = shapes_of(constructor)
        wanted |= {f"{module}.{name}": shape for name, shape in shapes.items()}
        counts.append(sum(int(np.prod(shape)) for shape in shapes.values()))
    assert {name: array.shape for name, array in written.items()} == wanted
    assert {str(array.dtype) for array in written.values()} == {"float32"}
    assert result.modules.parameters == counts
    assert result.arrays.name == list(written)
    told = [tuple(map(int, shape.split("×"))) for shape in result.arrays.shape]
    assert told == [array.shape for array in written.values()]


# what the modules were, by the script that wrote the files
CONSTRUCTORS = {
    "torch_lstm": ("LSTM", {}),
    "torch_gru_cell": ("GRU", {}),
    "torch_rnn_relu": ("RNN", {"nonlinearity": "relu"}),
    "torch_lstm_stacked": ("LSTM", {"num_layers": 2}),
    "torch_gru_bidirectional": ("GRU", {"bidirectional": True}),
    "torch_lstm_projection_bidirectional": (
        "LSTM", {"num_layers": 2, "proj_size": 2, "bidirectional": True},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_the_constructor_is_the_one_that_the_module_was_made_by(name, tmp_path):
    path, (kind, options) = FILES / f"{name}.pt", CONSTRUCTORS[name]
    (told,) = convert(path, tmp_path / "new.npz", assume=assumed(path)).modules.constructor
    call = ast.parse(told, mode="eval").body
    assert ast.unparse(call.func) == f"torch.nn.{kind}"
    assert [ast.literal_eval(argument) for argument in call.args] == [3, 4]
    assert {item.arg: ast.literal_eval(item.value) for item in call.keywords} == options


RECURRENT = re.compile(r"(?:.*\.)?((?:weight|bias)_(?:ih|hh|hr))(_l\d(?:_reverse)?)?")


@each([path for path in CHECKPOINTS if case(path).startswith("torch_")])
def test_a_torch_file_comes_back_under_the_names_that_torch_wrote(path, tmp_path):
    old = {}
    for name, stored in read_arrays(path).items():
        match = RECURRENT.fullmatch(name)
        if match:  # a cell is a module of one layer
            old[match[1], match[2] or "_l0"] = stored.read_numbers()
    (network,) = load(path, assume=assumed(path)).networks
    convert(f"{path}::{network.name}", tmp_path / "new.npz", assume=assumed(path))
    new = dict(np.load(tmp_path / "new.npz"))
    for (kind, end), weight in list(old.items()):
        if kind.startswith("weight"):  # bit for bit: float32 holds whatever was narrower
            np.testing.assert_array_equal(new[kind + end].astype(float), weight)
        if kind == "weight_hh":
            # what torch left out was none
            outer, inner = (
                old.setdefault((one, end), np.zeros(len(weight))) for one in ("bias_ih", "bias_hh")
            )
            # in a GRU's candidate each bias is on its own side of the reset gate
            joined = 8 if len(weight) == 12 else len(weight)
            total = new[f"bias_ih{end}"].astype(float) + new[f"bias_hh{end}"]
            np.testing.assert_array_equal(total[:joined], (outer + inner).astype(np.float32)[:joined])
            np.testing.assert_array_equal(new[f"bias_ih{end}"][joined:], outer[joined:])
            np.testing.assert_array_equal(new[f"bias_hh{end}"][joined:], inner[joined:])
    assert {name: array.shape for name, array in new.items()} == {
        kind + end: array.shape for (kind, end), array in old.items()
    }


def lstm(path="", dtype=np.float64, seed=0):
    draw = np.random.default_rng(seed)
    shapes = {"weight_ih_l0": (16, 3), "weight_hh_l0": (16, 4), "bias_ih_l0": (16,), "bias_hh_l0": (16,)}
    return {f"{path}{name}": draw.uniform(-1, 1, shape).astype(dtype) for name, shape in shapes.items()}


PEEPHOLES = {"tf/lstm_cell/kernel": np.ones((7, 16))} | {
    f"tf/lstm_cell/w_{gate}_diag": np.ones(4) for gate in "ifo"
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("container", READ)
def test_numbers_stay_what_they_were_or_become_float32(dtype, container, tmp_path):
    arrays = lstm("a.", dtype)
    result = convert(from_state_dict(arrays), tmp_path / f"new.{container}")
    written = READ[container](tmp_path / f"new.{container}")
    wanted = np.float64 if dtype == np.float64 else np.float32
    assert result.arrays.dtype == [np.dtype(wanted).name] * 4
    for name in ("a.weight_ih_l0", "a.weight_hh_l0"):
        assert written[name].dtype == wanted
        np.testing.assert_array_equal(written[name], arrays[name])


def test_what_does_not_fit_float32_is_refused(tmp_path):
    arrays = lstm("a.", np.float32) | {
        f"a.bias_{end}_l0": np.full(16, 3e38, np.float32) for end in ("ih", "hh")
    }
    with pytest.raises(DataError, match=r"'a.bias_ih_l0' does not fit into float32"):
        convert(from_state_dict(arrays), tmp_path / "new.npz")
    assert not list(tmp_path.iterdir())


@each([path for path in CHECKPOINTS if case(path) in LACKING])
def test_what_torch_cannot_compute_is_refused_by_name(path, tmp_path):
    with pytest.raises(DataError, match=f"nothing to write: left out: {LACKING[case(path)]}"):
        convert(path, tmp_path / "new.safetensors", assume=assumed(path))
    assert not list(tmp_path.iterdir())


def test_what_torch_cannot_compute_is_left_out_with_a_note_beside_something_else(tmp_path):
    result = convert(from_state_dict(PEEPHOLES | lstm("a.")), tmp_path / "new.npz")
    assert result.modules.module == ["a"]
    assert result.notes == ("left out: tf: torch has no lstm with peepholes.",)
    assert set(np.load(tmp_path / "new.npz")) == set(lstm("a."))


def test_what_was_no_layer_is_noted_too(tmp_path):
    result = convert(from_state_dict({"b.weight_hh": np.ones((3, 3))} | lstm("a.")), tmp_path / "new.npz")
    assert [note.partition(":")[0] for note in result.notes] == ["left out"]
    assert "b.weight_hh" in result.notes[0]


@pytest.mark.parametrize("asked", ["b", "a.lstm", "lstm"])
def test_a_layer_asked_for_by_name_stands_alone_without_prefix(asked, tmp_path):
    np.savez(tmp_path / "old.npz", **lstm("a.lstm."), **lstm("b.", seed=1))
    result = convert(f"{tmp_path / 'old.npz'}::{asked}", tmp_path / "new.npz")
    written = np.load(tmp_path / "new.npz")
    np.testing.assert_array_equal(written["weight_hh_l0"], lstm(seed=int(asked == "b"))["weight_hh_l0"])
    assert set(written) == set(lstm())
    assert result.modules.module == ["-"]
    assert result.modules.layer == ["b" if asked == "b" else "a.lstm"]


def test_the_half_of_two_kinds_that_runs_backward_is_noted(tmp_path):
    shapes = {"kernel": (3, 12), "recurrent_kernel": (4, 12), "bias": (2, 12)}
    halves = {f"bi/backward_gru/gru_cell/{name}": np.ones(shape) for name, shape in shapes.items()}
    shapes = {"kernel": (3, 16), "recurrent_kernel": (4, 16), "bias": (16,)}
    halves |= {f"bi/forward_lstm/lstm_cell/{name}": np.ones(shape) for name, shape in shapes.items()}
    result = convert(from_state_dict(halves), tmp_path / "new.npz")
    assert result.modules.constructor == ["torch.nn.LSTM(3, 4)", "torch.nn.GRU(3, 4)"]
    backward, *assumed = result.notes
    assert backward.startswith("bi.l0_reverse: runs backward")
    # nor does such a file say which activations there are
    assert [note.partition(":")[0] for note in assumed] == ["bi.l0", "bi.l0_reverse"]


def test_no_layer_is_written_over_another(tmp_path):
    # in torch's names a slash becomes a dot
    two = from_state_dict(lstm("a/b/") | lstm("a.b.", seed=1))
    try:
        result = convert(two, tmp_path / "new.npz")
    except DataError:
        return
    assert len(set(result.arrays.name)) == 8


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "old.npz"
    np.savez(path, **lstm("a."), head=np.eye(2))
    return path


def test_the_source_is_never_written_over(source, tmp_path, monkeypatch):
    before = source.read_bytes()
    (tmp_path / "link.npz").symlink_to(source)
    (tmp_path / "folder").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    targets = [source, "old.npz", "link.npz", "folder/old.npz", f"{tmp_path}/./old.npz"]
    for given in (source, f"{source}::a", "old.npz", load("old.npz")):
        for target in targets:
            with pytest.raises(UsageError, match="is the source file"):
                convert(given, target)
    assert source.read_bytes() == before


@pytest.mark.parametrize("name", ["new.pt", "new.h5", "new", "npz", "new.npz.gz"])
def test_a_container_that_cannot_be_written_is_refused(name, source, tmp_path):
    with pytest.raises(UsageError, match=rf"{name}'.* ends with \.safetensors, \.npz or \.weights\.h5"):
        convert(source, tmp_path / name)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("name", ["absent/new.npz", "old.npz/new.npz", "taken.npz"])
def test_what_cannot_be_written_leaves_nothing_behind(name, source, tmp_path):
    (tmp_path / "taken.npz").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=f"cannot write .*{name}"):
        convert(source, tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


def full(*arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("fails", [None, "fsync", "replace"])
def test_a_target_that_was_there_survives_what_fails(fails, source, tmp_path, monkeypatch):
    target = tmp_path / "new.npz"
    shutil.copy(source, target)
    given, words = (source, "No space left") if fails else (from_state_dict(PEEPHOLES), "nothing to write")
    if fails:
        monkeypatch.setattr(os, fails, full)
    with pytest.raises(DataError, match=words):
        convert(given, target)
    assert target.read_bytes() == source.read_bytes()
    assert sorted(tmp_path.iterdir()) == [target, source]


def test_what_was_assumed_is_told_by_convert_and_by_compare(tmp_path):
    haiku = from_state_dict({"lstm/linear/w": np.ones((7, 16)), "lstm/linear/b": np.ones(16)})
    (note,) = convert(haiku, tmp_path / "new.npz").notes
    assert note.startswith("lstm: ")
    assert "forget_bias=1" in note
    assert any("forget_bias=1" in note for note in compare("rnn", haiku["lstm"], steps=5, seeds=1).notes)


@pytest.mark.parametrize("name", ["x\0y", "x\ny", "n" * 70000, "\ud800"])
def test_names_that_a_zip_does_not_carry_whole_are_refused_before_anything_is_written(name, tmp_path):
    model = from_state_dict(lstm(f"{name}."))
    with pytest.raises(DataError, match="cannot name an array"):
        convert(model, tmp_path / "new.npz")
    assert not list(tmp_path.iterdir())


def test_a_projection_that_torch_refuses_is_refused(tmp_path):
    arrays = lstm("a.") | {"a.weight_hr_l0": np.ones((4, 4))}
    with pytest.raises(DataError, match="projection"):
        convert(from_state_dict(arrays), tmp_path / "new.npz")
