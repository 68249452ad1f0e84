"""What is told of checkpoints: held against the files' own numbers and the frameworks' own Jacobians."""

import math
import re
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

import gradflow
from gradflow import from_state_dict, inspect
from gradflow.analysis.shared.verdicts import judge_shares
from gradflow.errors import DataError, UsageError
from tests.layouts.test_files import CHECKPOINTS, FILES, expected

# The names of all other files say what they are.
GRUS = (
    *("keras_bidirectional", "torch_bfloat16", "torch_legacy", "reparametrized_orthogonal_householder"),
    *("reparametrized_weight_and_spectral_norm", "reparametrized_weight_norm_new"),
)
RNNS = (
    *("keras_activations", "torch_module_relu", "torch_script_relu", "torch_trace_relu"),
    *("reparametrized_orthogonal", "reparametrized_spectral_norm_new", "reparametrized_weight_norm_whole"),
)
KERAS_CHAIN = {"first": "gru", "last": "rnn"}
BACKWARD = (("keras_go_backwards", "enc"), ("onnx_lstm_reverse", "encoder/rnn"), ("keras_chain", "first"))
UNITS = {8: 4, 10: 5, 6: 4}  # of a state [h; c]: as many of each, or a projection to 2 beside 4
OTHER = r"^(.*[./])?(head|dense|Dense_0)[./]|^linear/|optimizer"  # arrays of no recurrent layer
LSTM, GRU, RNN = (FILES / f"torch_{name}.pt" for name in ("lstm", "gru", "rnn_tanh"))
RELU, STACKED, TWO = FILES / "torch_rnn_relu.pt", FILES / "torch_lstm_stacked.pt", FILES / "keras_two.keras"
HIDDEN, FEATURES = 5, 3


def case(path):
    return path.name.partition(".")[0]


def inspected(path, **options):
    """What the framework says of a file, and what is told of it along the same inputs."""
    truth = expected(path)
    told = truth["assume"] if "assume" in truth and path.suffix != ".keras" else []
    assume = dict(item.split("=") for item in told)
    return truth, inspect(path, input=truth["inputs"].astype(float), assume=assume, **options)


def rows(table):
    """The rows of a table, each by the names of its columns."""
    columns = vars(table)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def kind_of(path, name):
    words = case(path).split("_")
    if case(path) == "keras_chain":
        return KERAS_CHAIN[name]
    if "stacked" in words and "keras" in words:
        return {"l0": "gru", "l1": "lstm"}[name.rpartition(".")[2]]
    if "gru" in words or case(path) in GRUS:
        return "gru"
    return "rnn" if {"rnn", "simple"} & set(words) or case(path) in RNNS else "lstm"


def log10_norms(jacobians, outputs=None):
    """log₁₀ ‖J_T ⋯ J_{T−k+1}‖₂ for every k; or of the share ‖·‖_F / √H of the first H rows, the output."""
    product, found = np.eye(jacobians.shape[-1]), []
    for jacobian in jacobians[::-1].astype(float):
        product = product @ jacobian
        whole = (
            np.linalg.norm(product, 2)
            if outputs is None
            else math.sqrt((product[:outputs] ** 2).sum() / outputs)
        )
        found.append(math.log10(whole))
    return found


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def arrays(gates=4, gain=0.3, seed=0, hidden=HIDDEN):
    """The arrays of a torch layer at the root."""
    rows = gates * hidden
    shapes = {"weight_ih_l0": (rows, FEATURES), "weight_hh_l0": (rows, hidden), "bias_ih_l0": (rows,)}
    return {name: gain * draw(*shape, seed=[seed, k]) for k, (name, shape) in enumerate(shapes.items())}


@pytest.fixture
def saved(tmp_path):
    """Write arrays, each name under a prefix, and return the file."""

    def saved(name, prefix="", **found):
        np.savez(tmp_path / name, **{prefix + key: array for key, array in found.items()})
        return str(tmp_path / name)

    return saved


# Nodes that call a layer a second time: the reader lists their arrays too.
CALLED_AGAIN = {"onnx_if": ("no/", "/no/"), "onnx_export_if": ("LSTM_1/", "/LSTM_1/")}


@pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda path: path.name)
def test_layers_are_those_of_the_file(path):
    truth, found = inspected(path)
    names = [name.partition("/")[2] for name in truth.files if name.startswith("states/")]
    assert sorted(found.layers.layer) == sorted(names)
    assert (found.files_read, found.layers_found, found.steps) == (1, len(names), len(truth["inputs"]))
    for row in rows(found.layers):
        name, width = row["layer"], truth[f"states/{row['layer']}"].shape[1]
        backward = name.endswith("_reverse") or (case(path), name) in BACKWARD
        assert row["cell"] == kind_of(path, name)
        assert row["framework"] == truth["framework"]
        assert row["direction"] == ("backward" if backward else "forward")
        assert row["input_size"] == truth[f"fed/{name}"].shape[1]
        assert row["hidden_size"] == (UNITS[width] if row["cell"] == "lstm" else width)
    # and parameters are the numbers that the file holds of its layers
    held = gradflow.read_arrays(path)
    chosen = r"/[WRBP]$" if path.suffix == ".onnx" else rf"^(?!{OTHER})"
    again = CALLED_AGAIN.get(case(path), ())
    own = sum(
        math.prod(array.shape)
        for name, array in held.items()
        if re.search(chosen, name) and not name.startswith(again)
    )
    # Parametrizations are trained in place of the weights, which are counted; a chain has other layers.
    if not case(path).startswith(("reparametrized", "keras_chain")):
        assert sum(found.layers.parameters) == own


def test_parameters_of_a_layer_are_its_own():
    _, found = inspected(FILES / "torch_lstm_bidirectional.pt")
    assert found.layers.parameters == [16 * (3 + 4 + 2)] * 2 + [16 * (8 + 4 + 2)] * 2


@pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda path: path.name)
def test_rate_norm_and_share_are_those_of_the_frameworks_own_jacobians(path):
    check_against_jacobians(path, 6)


def check_against_jacobians(path, length):
    truth, found = inspected(path, length=length)
    ways, seen = (truth["inputs"], truth["inputs"][::-1]), 0
    for row in rows(found.layers):
        name = row["layer"]
        if row["fed"] != "layer below" and not any(np.array_equal(truth[f"fed/{name}"], way) for way in ways):
            continue  # between it and the input stands what is no recurrent layer
        logs = log10_norms(truth[f"jacobians/{name}"])
        assert row["rate"] == pytest.approx((logs[5] - logs[2]) / 3 * math.log(10), abs=1e-5)
        # from every step with so many behind it
        ends = [log10_norms(truth[f"jacobians/{name}"][:end]) for end in range(length, 7)]
        norms = [one[length - 1] for one in ends]
        assert row["ends"] == len(ends)
        assert row["log10_norm"] == pytest.approx(np.median(norms), abs=1e-5)
        width = truth[f"jacobians/{name}"].shape[-1]
        outputs = width - row["hidden_size"] if row["cell"] == "lstm" else width
        shares = [log10_norms(truth[f"jacobians/{name}"][:end], outputs) for end in range(length, 7)]
        finals = [one[length - 1] for one in shares]
        assert row["log10_share_last"] == pytest.approx(finals[-1], abs=1e-5)
        assert row["log10_share"] == pytest.approx(np.median(finals), abs=1e-5)
        assert row["log10_share_low"] == pytest.approx(min(finals), abs=1e-5)
        assert row["log10_share_high"] == pytest.approx(max(finals), abs=1e-5)
        curve = [one["log10_share"] for one in rows(found.curve) if one["layer"] == name]
        assert curve == pytest.approx(np.median([one[:length] for one in shares], axis=0), abs=1e-5)
        ratios = [one[length - 1] - one[0] for one in ends]
        assert row["log10_norm_ratio"] == pytest.approx(np.median(ratios), abs=1e-5)
        assert row["verdict"] == judge_shares(finals)
        seen += 1
    assert seen


def test_an_upper_layer_named_alone_is_fed_by_those_below_it():
    truth = expected(STACKED)
    whole = inspect(STACKED, input=truth["inputs"])
    alone = inspect(f"{STACKED}::l1", input=truth["inputs"])
    assert rows(alone.layers) == rows(whole.layers)[1:]
    assert (alone.layers.layer, alone.layers.fed) == (["encoder.lstm.l1"], ["layer below"])


def test_an_input_that_no_layer_takes_is_refused_with_what_they_take():
    with pytest.raises(UsageError, match=r"5 features.*first 3, second 2"):
        inspect(TWO, input=np.ones((9, 5)))


def test_a_layer_that_takes_another_input_is_fed_unit_normal_and_the_verdict_says_so():
    # no other input than when none is given
    alone = FILES / "keras_two.weights.h5"  # without the configuration, which says what feeds the second
    found, without = inspect(alone, input=draw(200, 3, seed=5), length=100), inspect(alone)
    assert found.layers.fed == ["input", "unit normal"]
    assert without.layers.fed == ["unit normal", "unit normal"]
    assert found.layers.log10_share[1] == without.layers.log10_share[1]
    assert found.layers.log10_share[0] != without.layers.log10_share[0]
    first, second = found.conclusion.splitlines()
    assert first.startswith("first is ")
    assert second.startswith("second, fed unit normal inputs because the input has 3 features, it takes 2")


def test_a_level_that_overflows_was_fed_by_the_one_below():
    grown = {"weight_hh_l1": 1e10 * np.eye(2), **{f"weight_ih_l{k}": np.eye(2) for k in (0, 1)}}
    model = from_state_dict({"weight_hh_l0": 0.1 * np.eye(2), **grown}, assume={"activation": "relu"})
    found = inspect(model, input=np.ones((50, 2)))
    assert (found.layers.blow_up_step, found.layers.verdict[1]) == ([None, 32], "exploding")
    assert found.layers.fed == ["input", "layer below"]
    assert "because" not in found.conclusion


@pytest.mark.parametrize(("kind", "data"), [("zero", np.zeros((100, 3))), ("constant", np.ones((100, 3)))])
def test_inputs_of_a_kind_are_what_they_are_called(kind, data):
    # one sequence of twice the lags
    named, fed = inspect(LSTM, input=kind), inspect(LSTM, input=np.concatenate([data, data]), length=100)
    assert named.layers.log10_share == fed.layers.log10_share
    assert named.layers.fed == [kind]


def test_of_a_batch_the_share_is_measured_along_every_sequence():
    batch = draw(3, 40, 3)
    whole, alone = inspect(LSTM, input=batch).layers, [inspect(LSTM, input=one).layers for one in batch]
    assert whole.log10_share == pytest.approx([np.median([one.log10_share[0] for one in alone])], abs=1e-9)
    assert whole.rate == pytest.approx([np.median([one.rate[0] for one in alone])], abs=1e-9)
    assert (whole.rate_low, whole.rate_high) == (
        [min(one.rate[0] for one in alone)],
        [max(one.rate[0] for one in alone)],
    )


def padded(steps=60, shut=90.0):
    """An LSTM that keeps its cell, and shuts forget and output gate on an input of 1, as for padding."""
    weights = {
        "weight_ih_l0": np.zeros((16, 1)),
        "weight_hh_l0": np.zeros((16, 4)),
        "bias_ih_l0": np.zeros(16),
    }
    weights["weight_ih_l0"][[4, 5, 6, 7, 12, 13, 14, 15]] = -shut
    weights["bias_ih_l0"][4:8] = 5.0
    return from_state_dict(weights), np.zeros((steps, 1))


def test_a_last_input_that_shuts_the_gates_makes_the_gradient_vanish_and_the_conclusion_says_from_where():
    model, inputs = padded()
    assert inspect(model, input=inputs, length=20).layers.verdict == ["stable"]
    inputs[-1] = 1.0
    found = inspect(model, input=inputs, length=20)
    keeps = 1 / (1 + math.exp(-5))
    # the forget gate σ(−85), the output gate σ(−90)
    last = 19 * math.log10(keeps) - math.log10(1 + math.exp(85)) - math.log10(1 + math.exp(90))
    (row,) = rows(found.layers)
    assert (row["verdict"], row["ends"], row["ends_stable"]) == ("vanishing", 8, 7)
    assert row["log10_share_last"] == pytest.approx(last, abs=1e-9)
    assert row["log10_share"] == pytest.approx(20 * math.log10(keeps) + math.log10(0.5), abs=1e-9)
    assert found.get_verdicts() == {"vanishing"}
    assert (
        "lstm is vanishing from the last step: 8.8e-77 of a gradient from there is left" in found.conclusion
    )
    assert "The median over all 8 ends is 0.44." in found.conclusion
    assert found.conclusion.endswith("let the loss read the step before it.")
    # of all the steps there is one end alone
    alone = inspect(model, input=inputs)
    assert (alone.layers.ends, alone.layers.verdict) == ([1], ["vanishing"])
    assert "from 1 end of 1 sequence" in alone.conclusion


def test_over_l_steps_are_l_jacobians():
    zeros = from_state_dict({"weight_ih_l0": np.zeros((16, 1)), "weight_hh_l0": np.zeros((16, 4))})
    found = inspect(zeros, length=50)
    # ∂c'/∂c = ½⁵⁰, ∂h'/∂c half of that
    assert found.layers.share == pytest.approx([0.5**51], rel=1e-9)
    assert found.layers.log10_norm == pytest.approx([math.log10(0.5**50 * math.sqrt(1.25))], rel=1e-9)
    assert "4.4e-16 of a gradient is left after 50 steps" in found.conclusion
    # every lag in turn, and what the last one is beside their mean
    np.testing.assert_allclose(found.curve.log10_share, math.log10(0.5) * np.arange(2, 52), rtol=1e-12)
    assert found.curve.lag == list(range(1, 51))
    mean = sum(0.5**k for k in range(2, 52)) / 50
    assert found.layers.log10_relative_share == pytest.approx([math.log10(0.5**51 / mean)], rel=1e-9)
    assert found.layers.stable_rank == pytest.approx([4.0], rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_advised_is_stable_along_inputs_that_were_not_looked_at(seed):
    weights = arrays(gates=1, gain=1.2, seed=seed, hidden=12)
    found = inspect(from_state_dict(weights), length=60)
    for advice in rows(found.advice) if found.advice else []:
        if advice["advised"] and advice["change"] == "gain":
            weights["weight_hh_l0"] = advice["value"] * weights["weight_hh_l0"]
            fresh = inspect(from_state_dict(weights), length=60, seed=seed + 100)
            assert fresh.layers.verdict == ["stable"]
        assert not advice["advised"] or advice["ends_stable"] == 16


def test_a_length_is_at_most_that_of_the_input_and_lengthens_drawn_ones():
    inputs = draw(9, 3)
    assert (inspect(LSTM, input=inputs).length, inspect(LSTM, input=inputs, length=4).length) == (9, 4)
    for length in (10, 0, -1):
        with pytest.raises(UsageError, match=f"length {length}"):
            inspect(LSTM, input=inputs, length=length)
    long = inspect(GRU, length=130)
    assert (long.steps, long.lags, long.length) == (260, 130, 130)
    short = inspect(GRU, length=30)
    assert (short.steps, short.lags, short.length) == (200, 100, 30)


def test_what_is_assumed_stands_in_a_column_and_a_note_until_it_is_said():
    silent, said = inspect(RELU), inspect(RELU, assume={"activation": "relu"})
    assert silent.layers.assumed == ["activation=tanh"]
    assert [note for note in silent.notes if note.startswith("rnn: ") and "activation=tanh" in note]
    assert "activation" not in str(said.layers.assumed)
    assert not [note for note in said.notes if "assume" in note]
    np.testing.assert_equal(rows(inspect(f"{RELU}::rnn:activation=relu").layers), rows(said.layers))
    assert inspect(FILES / "haiku_lstm.npz").layers.assumed == ["forget_bias=1"]


@pytest.mark.parametrize(
    ("file", "assume"),
    [(LSTM, {"activation": "relu"}), (RELU, {"reset": "after"}), (RELU, {"activaton": "relu"})],
)
def test_an_assumption_that_nothing_needs_is_refused(file, assume):
    ((option, value),) = assume.items()
    with pytest.raises(UsageError, match=option):
        inspect(file, assume=assume)
    with pytest.raises(UsageError, match=option):
        inspect(f"{file}::{'lstm' if file == LSTM else 'rnn'}:{option}={value}")


def test_units_that_are_dead_are_listed_where_that_is_asked_for():
    found = arrays()
    for gate, unit, bias in [(0, 3, -30), (1, 0, 30), (1, 2, -30), (3, 4, 30)]:
        found["bias_ih_l0"][gate * HIDDEN + unit] = bias
    record = inspect(from_state_dict(found), units=True)
    told = {(row["gate"], row["unit"], row["state"], round(row["mean"], 9)) for row in rows(record.units)}
    assert told == {
        ("i", 3, "shut", 0.0),
        ("f", 0, "open", 1.0),
        ("f", 2, "shut", 0.0),
        ("o", 4, "open", 1.0),
    }
    assert (record.gates.shut_units, record.gates.open_units) == ([1, 1, 0, 0], [0, 1, 0, 1])
    (note,) = [note for note in record.notes if "of 5 units" in note]
    assert "i: 1 shut; f: 1 shut, 1 open; o: 1 open" in note
    assert inspect(from_state_dict(found)).units is None


def test_units_that_never_forget_leave_the_time_constants_of_others_as_they_are():
    zeros = {"weight_ih_l0": np.zeros((12, 1)), "weight_hh_l0": np.zeros((12, 3))}
    bias = np.repeat([0.0, 0.0, 0.0, 0.0], 3)
    bias[3:6] = 0.0, 1.0, 800.0  # σ(800) is 1 in doubles
    found = inspect(from_state_dict({**zeros, "bias_ih_l0": bias}))
    (row,) = [row for row in rows(found.gates) if row["gate"] == "f"]
    middle = 1 / math.log1p(math.exp(-1.0))
    assert row["time_constant"] == pytest.approx(middle, rel=1e-12)
    assert row["time_constant_high"] == math.inf
    assert row["time_constant_low"] == pytest.approx(0.9 / math.log(2) + 0.1 * middle, rel=1e-12)


def test_several_files_have_names_of_file_and_layer_and_a_row_each():
    found = inspect(LSTM, GRU, TWO)
    # without the folder that they share
    last = [f"{LSTM.name}::lstm", f"{GRU.name}::gru", f"{TWO.name}::first", f"{TWO.name}::second"]
    assert found.layers.layer == last
    assert set(found.gates.layer) == set(found.layers.layer)
    alone = [row for file in (LSTM, GRU, TWO) for row in rows(inspect(file).layers)]
    assert [row["rate"] for row in rows(found.layers)] == [row["rate"] for row in alone]
    files = rows(found.files)
    assert [row["file"] for row in files] == [LSTM.name, GRU.name, TWO.name]
    assert [row["layers"] for row in files] == [1, 1, 2]
    assert files[2]["parameters"] == sum(row["parameters"] for row in alone[2:])
    rates = [row["rate"] for row in alone[2:]]
    assert (files[2]["rate_low"], files[2]["rate_high"]) == (min(rates), max(rates))
    assert inspect(LSTM).files is None


def test_the_verdict_of_a_file_is_the_worst_of_its_layers(saved):
    def plain(factor):
        return {"weight_ih_l0": np.zeros((2, 1)), "weight_hh_l0": factor * np.eye(2)}

    def file(*factors):
        layers = {
            f"l{k}.{name}": array for k, factor in enumerate(factors) for name, array in plain(factor).items()
        }
        return saved(f"{'-'.join(map(str, factors))}.npz", **layers)

    # tanh at rest: a gradient is multiplied by the factor at each of 100 steps
    files = [file(1.0), file(1.0, 0.93), file(0.93, 0.5, 1.0), file(0.5, 2.0, 1.0)]
    found = inspect(*files, input="zero").files
    assert found.verdict == ["stable", "borderline", "vanishing", "exploding"]


def test_one_file_of_a_directory_that_cannot_be_read_is_a_row_of_its_own(tmp_path):
    for file in (LSTM, GRU):
        shutil.copy(file, tmp_path)
    broken = tmp_path / "torch_half.pt"
    broken.write_bytes(b"PK\x03\x04 and no more")
    found = inspect(tmp_path)
    last, bad, good = rows(found.files)
    assert (bad["layers"], bad["parameters"], bad["verdict"]) == (0, 0, "unreadable")
    assert (bad["rate_low"], bad["rate_high"]) == (None, None)
    assert str(broken) in bad["problem"]
    assert [note for note in found.notes if str(broken) in note]
    assert str(broken) not in good["problem"] + last["problem"]
    assert (found.files_read, found.layers.layer) == (2, [f"{GRU.name}::gru", f"{LSTM.name}::lstm"])
    assert found.get_verdicts() == {"vanishing", "unreadable"}
    with pytest.raises(DataError, match="torch_half"):
        inspect(LSTM, broken)


def test_a_directory_of_one_checkpoint_is_told_as_one_of_many(tmp_path):
    shutil.copy(LSTM, tmp_path)
    found = inspect(tmp_path)
    assert (found.files.file, found.layers.layer) == ([LSTM.name], [f"{LSTM.name}::lstm"])


def test_where_no_file_can_be_read_it_is_an_error(tmp_path):
    for name in ("a.pt", "b.npz"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.pt.*1 more"):
        inspect(tmp_path)
    with pytest.raises(DataError, match=r"a\.pt"):
        inspect(tmp_path / "a.pt")
    with pytest.raises(UsageError, match="no file"):
        inspect()


def test_of_a_directory_every_checkpoint_is_looked_at_however_deep(tmp_path):
    for name in ("z.pt", "one/two/b.PT", "one/a.pt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(LSTM, tmp_path / name)
    (tmp_path / "one" / "log.txt").write_text("1 2 3")
    (tmp_path / "readme").write_text("no checkpoint")
    found = inspect(tmp_path)
    assert found.files.file == ["one/a.pt", "one/two/b.PT", "z.pt"]
    assert found.layers.layer == [f"{name}::lstm" for name in found.files.file]
    with pytest.raises(UsageError, match="twice"):
        inspect(tmp_path, tmp_path / "z.pt")


def test_a_directory_without_a_checkpoint_is_refused(tmp_path):
    (tmp_path / "log.txt").write_text("1 2 3")
    with pytest.raises(DataError, match=r"no checkpoint.*\.safetensors"):
        inspect(tmp_path)


def test_diff_tells_what_became_of_each_layer(saved):
    before, tenth = arrays(), arrays()
    tenth["weight_hh_l0"] = 1.1 * tenth["weight_hh_l0"]
    tenth["bias_ih_l0"][HIDDEN : 2 * HIDDEN] += 0.25
    files = saved("a.npz", **before), saved("b.npz", **tenth)
    (row,) = rows(inspect(*files, diff=True).changes)
    assert row["layer"] == "lstm"
    assert row["weight_change"] == pytest.approx(0.1, rel=1e-12)
    for name in ("spectral_radius", "weight_norm"):
        assert row[f"{name}_after"] == pytest.approx(1.1 * row[f"{name}_before"], rel=1e-12)
    assert row["forget_bias_after"] == pytest.approx(row["forget_bias_before"] + 0.25, rel=1e-12)
    for when, file in zip(("before", "after"), files, strict=True):
        (alone,) = rows(inspect(file).layers)
        for name in (
            "rate",
            "log10_share",
            "log10_norm",
            "memory",
            "verdict",
            "weight_norm",
            "spectral_radius",
            "forget_bias",
        ):
            assert row[f"{name}_{when}"] == alone[name]
    assert inspect(*files).changes is None


@pytest.mark.parametrize("scale", [1e-200, 1e299])
def test_a_change_of_weights_is_relative_at_any_size(saved, scale):
    before, after = arrays(), arrays()
    before["weight_hh_l0"] = scale * before["weight_hh_l0"].astype(np.float64)
    after["weight_hh_l0"] = 1.1 * before["weight_hh_l0"]
    (row,) = rows(inspect(saved("a.npz", **before), saved("b.npz", **after), diff=True).changes)
    assert row["weight_change"] == pytest.approx(0.1, rel=1e-12)


def test_diff_of_a_file_and_its_copy_is_no_change(saved):
    (row,) = rows(inspect(saved("a.npz", **arrays()), saved("b.npz", **arrays()), diff=True).changes)
    assert row["weight_change"] == 0.0


def test_diff_notes_layers_that_one_file_alone_has(saved):
    a = saved("a.npz", **{f"{name}.{key}": array for name in ("x", "y") for key, array in arrays().items()})
    b = saved("b.npz", **{f"{name}.{key}": array for name in ("y", "z") for key, array in arrays().items()})
    found = inspect(a, b, diff=True)
    assert found.changes.layer == ["y"]
    alone = [note for note in found.notes if "has no such layer" in note]
    assert [": ".join(note.split(": ")[:2]) for note in alone] == [f"{a}: x", f"{b}: z"]


def named(**layers):
    """Return the arrays of layers by name."""
    return {f"{name}.{key}": array for name, layer in layers.items() for key, array in layer.items()}


def scaled(factor, **options):
    """Return `arrays` with a multiple of the recurrent weights."""
    layer = arrays(**options)
    return layer | {"weight_hh_l0": factor * layer["weight_hh_l0"]}


def test_diff_takes_other_names_by_kind_and_shape(saved):
    before = saved("a.npz", **named(x=arrays(), y=arrays(gates=3), z=arrays(hidden=4)))
    after = saved("b.npz", **named(c=scaled(1.5, hidden=4), b=scaled(1.25, gates=3), a=scaled(1.125)))
    found = inspect(before, after, diff=True)
    told = found.changes
    assert (told.layer, told.layer_after) == (["x", "y", "z"], ["a", "b", "c"])
    assert told.weight_change == pytest.approx([0.125, 0.25, 0.5], rel=1e-6)
    (note,) = [note for note in found.notes if "matched" in note]
    assert "by kind, shape and order, not by name: x = a, y = b, z = c" in note
    assert not any("same kind and shape" in note for note in found.notes)


def test_diff_takes_alike_layers_in_order_and_says_that_they_are_alike(saved):
    before = saved("a.npz", **named(x=arrays(), y=scaled(2.0)))
    after = saved("b.npz", **named(u=scaled(1.5), v=scaled(2.5)))
    found = inspect(before, after, diff=True)
    assert (found.changes.layer, found.changes.layer_after) == (["x", "y"], ["u", "v"])
    assert found.changes.weight_change == pytest.approx([0.5, 0.25], rel=1e-6)
    assert any(
        "x, y have the same kind and shape, and so have u, v: check that" in note for note in found.notes
    )


def test_match_says_which_layer_is_which(saved):
    before = saved("a.npz", **named(x=arrays(), y=scaled(2.0)))
    after = saved("b.npz", **named(u=scaled(1.5), v=scaled(2.5)))
    found = inspect(before, after, diff=True, match={"x": "v"})
    assert (found.changes.layer, found.changes.layer_after) == (["x", "y"], ["v", "u"])
    assert found.changes.weight_change == pytest.approx([1.5, 0.25], rel=1e-6)
    assert found.params["match"] == {"x": "v"}
    (note,) = [note for note in found.notes if "matched" in note]
    assert "y = u" in note
    assert "x = v" not in note


def test_match_comes_before_equal_names(saved):
    before, after = (saved(f"{file}.npz", **named(x=arrays(), y=scaled(2.0))) for file in "ab")
    found = inspect(before, after, diff=True, match={"x": "y", "y": "x"})
    assert found.changes.layer_after == ["y", "x"]
    assert found.changes.weight_change == pytest.approx([1.0, 0.5], rel=1e-6)


def test_layers_that_could_be_one_or_another_are_not_matched(saved):
    before = saved("a.npz", **named(x=arrays(), g=arrays(gates=3)))
    after = saved("b.npz", **named(u=arrays(), v=scaled(2.0), h=arrays(gates=3)))
    found = inspect(before, after, diff=True)
    assert found.changes.layer == ["g"]
    assert any(f"x of {before} and u, v of {after} have the same kind" in note for note in found.notes)
    assert inspect(before, after, diff=True, match={"x": "v"}).changes.layer_after == ["v", "h"]


def test_equal_names_come_after_equal_shapes(saved):
    # Keras numbers layers on: lstm and lstm_1 of the first model are lstm_1 and lstm_2 of the second.
    first, second = arrays(), arrays()
    second["weight_ih_l0"] = draw(4 * HIDDEN, HIDDEN, seed=7)
    before = saved("a.npz", **named(lstm=first, lstm_1=second))
    after = saved("b.npz", **named(lstm_1=first, lstm_2=second))
    assert inspect(before, after, diff=True).changes.layer_after == ["lstm_1", "lstm_2"]
    # A layer that reads other features than before is still the same layer.
    files = saved("c.npz", **named(lstm=first)), saved("d.npz", **named(lstm=second))
    assert inspect(*files, diff=True).changes.layer_after == ["lstm"]


@pytest.mark.parametrize(
    ("match", "words"),
    [
        ({"w": "u"}, r"unknown layer of .*a\.npz 'w'.* Valid: x, y"),
        ({"x": "uu"}, r"unknown layer of .*b\.npz 'uu'; did you mean 'u'\? Valid: u, v"),
        ({"x": "v"}, r"match 'x' = 'v': the first is lstm, \d+, the second gru, \d+"),
        ({"x": "u", "y": "u"}, "layer 'u' of the second file is given twice"),
        ({"x": 3}, "expected a mapping of the names"),
    ],
)
def test_a_match_that_cannot_be_is_refused(saved, match, words):
    before = saved("a.npz", **named(x=arrays(), y=arrays(gates=3)))
    after = saved("b.npz", **named(u=arrays(), v=arrays(gates=3)))
    with pytest.raises(UsageError, match=words):
        inspect(before, after, diff=True, match=match)


def test_match_without_diff_is_refused():
    with pytest.raises(UsageError, match="match has no effect without diff"):
        inspect(LSTM, match={"x": "y"})


@pytest.mark.parametrize("other", [arrays(gates=3), arrays(hidden=4)])
def test_diff_of_files_with_nothing_in_common_is_refused(saved, other):
    with pytest.raises(DataError, match=r"in common.*lstm"):
        inspect(saved("a.npz", **arrays()), saved("b.npz", **other), diff=True)


def test_diff_is_of_two_files():
    for files in ((LSTM,), (LSTM, GRU, TWO)):
        with pytest.raises(UsageError, match=f"diff of {len(files)} files"):
            inspect(*files, diff=True)


@pytest.mark.parametrize("place", [0, 1])
def test_diff_with_a_file_that_cannot_be_read_says_why(tmp_path, place):
    (tmp_path / "empty.pt").write_bytes(b"")
    files = [LSTM, LSTM]
    files[place] = tmp_path / "empty.pt"
    with pytest.raises(DataError, match=r"empty\.pt: is empty"):
        inspect(*files, diff=True)


def test_arrays_and_what_was_loaded_are_taken_as_the_file():
    path = FILES / "torch_orig_mod.safetensors"
    wanted = rows(inspect(path).layers)
    assert rows(inspect(from_state_dict(load_file(path))).layers) == wanted
    assert rows(inspect(gradflow.load(path)).layers) == wanted
    assert rows(inspect(load_file(path)).layers) == wanted


def told(record, name):
    """The conclusion on a layer, and its row."""
    (text,) = [text for text in record.conclusion.splitlines() if text.startswith(f"{name} ")]
    (row,) = [row for row in rows(record.layers) if row["layer"] == name]
    return text, row


def number(pattern, text):
    (found,) = re.findall(pattern.replace("#", r"([-+.\de]*\d)"), text)
    return float(found)


@pytest.mark.parametrize(
    ("path", "gate"), [(LSTM, "forget gate"), (GRU, "update gate"), (STACKED, "forget gate")]
)
def test_the_conclusion_names_the_gate_and_the_change_with_the_numbers_of_the_tables(path, gate):
    record = inspect(path)
    advised = [row for row in rows(record.advice) if row["advised"]]
    assert advised
    for advice in advised:
        text, row = told(record, advice["layer"])
        (keeps,) = [
            one for one in rows(record.gates) if one["layer"] == row["layer"] and one["time_constant"]
        ]
        assert f"{advice['layer']} is vanishing: " in text
        assert number(f"# of a gradient is left after {record.length} steps", text) == pytest.approx(
            row["share"], rel=0.05
        )
        alone = len(record.layers) == 1
        if alone:
            assert f"The {gate} limits it: its time constant is " in text
            constant = number("time constant is # steps", text)
            assert constant == pytest.approx(keeps["time_constant"], rel=0.006)
        assert advice["log10_share_before"] == row["log10_share"]
        if advice["change"] == "chrono":
            assert f"bias of the {gate} by chrono initialization up to {advice['value']:g} steps" in text
        else:
            assert f"set the bias of the {gate} to {advice['value']:g}; " in text
        assert number("then # is left", text) == pytest.approx(10 ** advice["log10_share"], rel=0.05)
        assert ("(measured on unit normal inputs; give yours as `input`): " in text) == alone
        assert text.endswith(f" Code: {advice['code']}") == alone
        assert any("unit normal inputs" in note for note in record.notes) == (not alone)


@pytest.mark.parametrize("path", [LSTM, GRU, RNN, STACKED])
def test_the_change_that_is_advised_is_stable_and_the_nearest_to_1_that_is(path):
    advice = rows(inspect(path).advice)
    for layer in {row["layer"] for row in advice}:
        own = [row for row in advice if row["layer"] == layer]
        for row in own:
            ends = [abs(row[f"log10_share{end}"]) for end in ("_low", "_high")]
            assert (row["ends_stable"] == 16) == (max(ends) <= 2)
        stable = [row for row in own if row["ends_stable"] == 16]
        advised = [row for row in own if row["advised"]]
        assert len(advised) == bool(stable)
        farthest = [
            max(abs(row["log10_share_low"]), abs(row["log10_share_high"])) for row in (*advised, *stable)
        ]
        assert not advised or farthest[0] == min(farthest)


def only_gates(forget_bias):
    """An LSTM without weights: its forget gate alone decides."""
    bias = np.repeat([0.0, forget_bias, 0.0, 0.0], 4)
    return from_state_dict(
        {"weight_ih_l0": np.zeros((16, 1)), "weight_hh_l0": np.zeros((16, 4)), "bias_ih_l0": bias}
    )


def test_a_stable_layer_has_advice_for_a_new_training_only_if_a_change_keeps_twice_as_much():
    kept = 20 * math.log10(1 / (1 + math.exp(-1.75))) + math.log10(0.5)  # 0.02
    found = inspect(only_gates(1.75), length=20)
    (advised,) = [one for one in rows(found.advice) if one["advised"]]
    assert found.layers.log10_share == pytest.approx([kept], abs=1e-9)
    assert kept + math.log10(2) < advised["log10_share"] < 0
    assert "For a new training (measured on unit normal inputs" in found.conclusion
    assert f": set the bias of the forget gate to {advised['value']:g}; then " in found.conclusion


def test_a_stable_layer_without_advice_says_what_the_best_change_leaves():
    found = inspect(only_gates(6.0), length=20)
    assert not any(found.advice.advised)
    best = max(found.advice.log10_share)
    assert best < found.layers.log10_share[0]
    assert number("Nothing to change: .* leaves #", found.conclusion) == pytest.approx(10**best, rel=0.05)


@pytest.mark.parametrize("path", [LSTM, STACKED, RNN])
def test_without_advice_no_change_is_tried_and_all_else_is_the_same(path, monkeypatch):
    whole = inspect(path, length=30)
    monkeypatch.setattr("gradflow.analysis.inspect.findings.trials", None)
    found = inspect(path, length=30, advice="none")
    assert found.advice is None
    for table in ("layers", "curve", "gates"):
        np.testing.assert_equal(rows(getattr(found, table)), rows(getattr(whole, table)))
    for line, longer in zip(found.conclusion.splitlines(), whole.conclusion.splitlines(), strict=True):
        assert longer.startswith(line)
        assert "dvice" not in line
    assert [*found.notes] == [note for note in whole.notes if not note.startswith(("advice", "each change"))]
    assert found.params == {**whole.params, "advice": "none"}


def test_an_unknown_framework_of_advice_is_refused():
    with pytest.raises(UsageError, match=r"'troch'.*'torch'"):
        inspect(LSTM, advice="troch")


def test_where_no_change_is_enough_all_that_came_out_is_told():
    # driven far into the tails of tanh, a step has no slope whatever its matrix is
    found = inspect(from_state_dict({"weight_ih_l0": 40 * np.ones((4, 1)), "weight_hh_l0": 0.5 * np.eye(4)}))
    assert found.advice.advised == [False, False]
    assert found.advice.ends_stable == [0, 0]
    nearest = max(found.advice.log10_share)
    assert nearest > found.layers.log10_share[0]
    assert "The best change that was tried" in found.conclusion
    assert f"e{math.floor(nearest):+03d} is left" in found.conclusion
    assert found.conclusion.endswith("Combine changes or use a cell with gates.")


def test_where_no_change_brings_the_share_nearer_to_1_none_is_called_the_best():
    # relu units that are shut at every step leave nothing whatever their weights are
    dead = {"weight_ih_l0": np.zeros((4, 1)), "weight_hh_l0": np.eye(4), "bias_ih_l0": -np.ones(4)}
    found = inspect(from_state_dict(dead, assume={"activation": "relu"}))
    assert found.layers.log10_share == [-math.inf]
    assert found.conclusion.endswith("No tried change helps: use a cell with gates.")


def test_a_state_that_overflows_is_told_with_its_step():
    weights = {"weight_ih_l0": np.ones((1, 1)), "weight_hh_l0": np.full((1, 1), 10.0)}
    found = inspect(from_state_dict(weights, assume={"activation": "relu"}), input=np.ones((400, 1)))
    # (10ᵏ − 1)/9 is no double from k = 310
    assert (found.layers.blow_up_step, found.layers.verdict) == ([310], ["exploding"])
    assert "overflows at step 310. The recurrent matrix has norm 10." in found.conclusion


def test_advice_about_a_gate_that_haiku_inverts_is_in_haikus_terms():
    draw = np.random.default_rng(0).standard_normal
    weights = {"gru/w_i": 0.3 * draw((FEATURES, 3 * HIDDEN)), "gru/w_h": 0.3 * draw((HIDDEN, 3 * HIDDEN))}
    found = inspect(from_state_dict({**weights, "gru/b": np.zeros(3 * HIDDEN)}), length=60)
    advice = next(row for row in rows(found.advice) if row["change"] == "update_bias")
    assert advice["value"] < 0
    advised = f"set the bias of the update gate to {advice['value']:g} (haiku computes 1 minus this gate)"
    assert advised in found.conclusion
    # Haiku stacks z, r, a: what the advice says, done to Haiku's own bias
    bias = np.zeros(3 * HIDDEN)
    bias[:HIDDEN] = advice["value"]
    done = inspect(from_state_dict({**weights, "gru/b": bias}), length=60)
    assert done.layers.log10_share == pytest.approx([advice["log10_share"]], abs=1e-9)
    assert done.layers.verdict == ["stable"]
    # the code is torch's, whose gate is not inverted
    assert advice["code"] == (
        f"layer.bias_hh_l0.data[5:10] = {-advice['value']:g}; layer.bias_ih_l0.data[5:10] = 0"
    )


def test_a_share_is_a_number_where_a_double_holds_it_and_an_exact_zero_is_one():
    nothing = {"weight_ih": np.ones((2, 1)), "weight_hh": np.eye(2, k=1)}
    found = inspect(from_state_dict(nothing), length=5)
    assert (found.layers.share, found.layers.log10_share) == ([0.0], [-math.inf])
    assert found.layers.verdict == ["vanishing"]
    found = inspect(LSTM)
    assert found.layers.share == pytest.approx([10 ** found.layers.log10_share[0]])
