"""An option that changes nothing beside others is refused, and it does change something without them."""

import json

import numpy as np
import pytest

import gradflow
from gradflow.errors import UsageError

SMALL = {
    "compare": ("--steps", 6, "--seeds", 2),
    "lyapunov": ("--steps", 20, "--transient", 2),
    "bptt": ("--steps", 6),
    "init": ("--hidden", 3, "--horizon", 4, "--seeds", 1),
    "theory": ("--hidden", 6),
}
RNN, TRAINED = "rnn", "model.npz::lstm"
ZERO, CONSTANT, DATA = ("--input", "zero"), ("--input", "constant"), ("--input", "x.npy")
TARGETS, STACK = ("--targets", "y.npy"), ("--jacobians", "j.npy")
MEASURED = ("--steps", 12, "--seeds", 2)

# command: (what is there, the option without effect beside it, what is said, where the option has one)
SILENT = {
    "compare": [
        ((TRAINED,), ("--hidden", 5), "hidden 5", (RNN,)),
        ((TRAINED,), ("--features", 4), "features 4", (RNN,)),
        ((RNN, TRAINED), ("--features", 4), "features 4", (RNN,)),
        ((RNN, *DATA), ("--features", 4), "features 4", (RNN,)),
        ((RNN, *ZERO), ("--input-scale", 2), "input scale 2", (RNN,)),
        ((TRAINED, *ZERO), ("--seed", 3), "seed 3", (TRAINED,)),
        ((TRAINED, *CONSTANT), ("--seed", 3), "seed 3", (RNN, *CONSTANT)),
        ((TRAINED, *DATA), ("--seed", 3), "seed 3", (RNN, *DATA)),
        ((RNN,), ("--paths",), "paths", ("lstm",)),
        (("gru",), ("--paths",), "paths", ("lstm:layers=2",)),
        ((RNN,), ("--gate-steps",), "gate steps", ("gru",)),
        ((RNN,), ("--key", "x"), "key 'x'", None),
        ((RNN,), ("--input-format", "cifar10-rows"), "input format", None),
    ],
    "lyapunov": [
        ((TRAINED,), ("--hidden", 5), "hidden 5", (RNN,)),
        ((TRAINED,), ("--features", 4), "features 4", (RNN,)),
        ((RNN, *DATA, "--steps", 20), ("--features", 4), "features 4", (RNN,)),
        ((RNN, *ZERO), ("--input-scale", 2), "input scale 2", (RNN,)),
        *(
            (STACK, option, says, (RNN,))
            for option, says in [
                (("--hidden", 5), "hidden 5"),
                (("--features", 4), "features 4"),
                (("--input", "zero"), "input zero"),
                (("--input-scale", 3), "input scale 3"),
                (("--seeds", 2), "seeds 2"),
            ]
        ),
        (STACK, ("--input-scale", 1), "input scale 1", None),
        (STACK, ("--seeds", 1), "seeds 1", None),
        (STACK, ("--input-format", "cifar10-rows"), "input format", None),
        ((RNN,), ("--key", "x"), "key 'x'", None),
    ],
    "bptt": [
        ((TRAINED,), ("--hidden", 5), "hidden 5", (RNN,)),
        ((TRAINED,), ("--features", 4), "features 4", (RNN,)),
        ((RNN, *DATA), ("--features", 4), "features 4", (RNN,)),
        ((RNN, *ZERO), ("--input-scale", 2), "input scale 2", (RNN,)),
        ((TRAINED, *DATA, *TARGETS), ("--seed", 3), "seed 3", (TRAINED, *DATA)),
        ((TRAINED, *ZERO, *TARGETS), ("--seed", 3), "seed 3", (TRAINED, *TARGETS)),
        ((RNN,), ("--targets-key", "y"), "targets key 'y'", None),
        ((RNN,), ("--key", "x"), "key 'x'", None),
    ],
    "inspect": [
        (("model.npz",), ("--key", "x"), "key 'x'", None),
        (("model.npz",), ("--diff",), "diff of 1", None),
        (("model.npz",), ("--match", "a=b"), "match has no effect", None),
    ],
    "init": [
        (("lstm", *DATA, "--horizon", 20), ("--features", 4), "features 4", ("lstm",)),
        (("lstm", *ZERO), ("--input-scale", 2), "input scale 2", ("lstm",)),
        (("lstm",), ("--key", "x"), "key 'x'", None),
    ],
    "theory": [
        *(
            (("ginibre",), option, says, (RNN, *MEASURED))
            for option, says in [
                (("--features", 4), "features 4"),
                (("--input", "constant"), "input constant"),
                (("--input-scale", 3), "input scale 3"),
            ]
        ),
        *(
            ((cell,), option, says, (RNN, *MEASURED))
            for cell in ("lstm", "gru")
            for option, says in [
                (("--input", "constant"), "input constant"),
                (("--input-scale", 3), "input scale 3"),
                (("--transient", 7), "transient 7"),
            ]
        ),
        (("gru",), ("--steps", 15), "steps 15", (RNN, "--seeds", 2)),
        ((RNN, *ZERO), ("--input-scale", 3), "input scale 3", (RNN, *MEASURED)),
        ((RNN, *ZERO, "--no-measure"), ("--seed", 3), "seed 3", (RNN, *ZERO, *MEASURED)),
        ((RNN, *ZERO, "--no-measure"), ("--transient", 7), "transient 7", (RNN, *ZERO, *MEASURED)),
        ((RNN, *DATA, "--no-measure"), ("--seed", 3), "seed 3", (RNN, *DATA, "--seeds", 2)),
        (("ginibre", "--no-measure"), ("--steps", 15), "steps 15", ("ginibre", "--seeds", 2)),
        (("ginibre", "--no-measure"), ("--seeds", 3), "seeds 3", ("ginibre", "--steps", 12)),
        (("lstm", "--no-measure"), ("--seed", 3), "seed 3", ("lstm", "--seeds", 2)),
    ],
    "convert": [(("model.npz", "new.npz"), ("--assume", "activation=relu"), "activation", None)],
    "derive": [
        (("--list",), ("--seed", 3), "list", ("jacobian",)),
        (("--list",), ("--steps", 4), "list", ("expand",)),
        (("regimes",), ("--key", "x"), "key 'x'", None),
        (("jacobian",), ("--steps", 3), "steps", ("power",)),
        (("power", "-m", "0.5 1; 0 0.2"), ("--hidden", 2), "hidden 2", ("power",)),
    ],
}
CASES = [(command, *case) for command, cases in SILENT.items() for case in cases]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, draw = tmp_path_factory.mktemp("silent"), np.random.default_rng(0).standard_normal
    weights = {"lstm.weight_ih_l0": draw((12, 4)), "lstm.weight_hh_l0": draw((12, 3))}
    np.savez(folder / "model.npz", **weights, **{f"lstm.bias_{way}_l0": draw(12) for way in ("ih", "hh")})
    np.save(folder / "x.npy", draw((30, 4)))
    np.save(folder / "y.npy", draw((30, 3)))
    np.save(folder / "j.npy", draw((30, 3, 3)))
    return folder


def small(command, arguments):
    """Return the arguments of a quick run, with none of them twice, and none without effect."""
    options = SMALL.get(command, ())
    pairs = zip(options[::2], options[1::2], strict=True)
    return [word for pair in pairs if pair[0] not in arguments for word in pair]


@pytest.mark.parametrize(("command", "beside", "option", "says", "_"), CASES)
def test_an_option_without_effect_is_refused_with_its_value(
    check_refused, files, monkeypatch, command, beside, option, says, _
):
    monkeypatch.chdir(files)
    line = check_refused(2, command, *beside, *option, says=[says])
    assert "--" not in line
    assert not (files / "new.npz").exists()


@pytest.mark.parametrize(
    ("command", "option", "beside"),
    [(command, option, beside) for command, _, option, _, beside in CASES if beside is not None],
)
def test_the_same_option_matters_elsewhere(cli, files, monkeypatch, command, option, beside):
    monkeypatch.chdir(files)
    results = []
    for more in ((), option):
        arguments = (command, *beside, *more)
        outcome = cli(*arguments, *small(command, arguments), "-f", "json", "-q")
        assert outcome.code == 0, outcome.err
        found = outcome.object
        for echo in ("steps", "seeds", "hidden", "features"):
            found["summary"].pop(echo, None)
        results.append(json.dumps([found["summary"], found["tables"]]))
    assert results[0] != results[1]


@pytest.mark.parametrize(
    ("command", "arguments", "absent"),
    [
        ("compare", (TRAINED, *DATA), ("hidden", "features", "seed")),
        ("compare", (RNN, *ZERO), ("input_scale",)),
        ("lyapunov", STACK, ("hidden", "features", "input", "input_format", "input_scale", "seeds")),
        ("lyapunov", (TRAINED,), ("hidden", "features")),
        ("bptt", (TRAINED, *DATA, *TARGETS), ("hidden", "features", "seed")),
        ("init", ("lstm", *DATA, "--horizon", 20), ("features",)),
        ("theory", ("ginibre", "--no-measure"), ("features", "steps", "transient", "seed", "seeds")),
        ("theory", ("gru", "--seeds", 2), ("steps", "transient")),
        ("derive", ("--list",), ("seed", "steps", "hidden")),
    ],
)
def test_params_tell_what_does_not_apply_as_null(cli, files, monkeypatch, command, arguments, absent):
    monkeypatch.chdir(files)
    unfit = ("--steps",) if "--no-measure" in arguments or "gru" in arguments else ()
    outcome = cli(command, *arguments, *small(command, (*arguments, *unfit)), "-f", "json", "-q")
    params = outcome.object["params"]
    assert {name: params[name] for name in absent} == dict.fromkeys(absent)


ARRAY = np.eye(4)[:3]


@pytest.mark.parametrize(
    "call",
    [
        lambda: gradflow.power(np.eye(2), key="w"),
        lambda: gradflow.derive("regimes", matrix=np.eye(2), key="w"),
        lambda: gradflow.compare("rnn", input=ARRAY, key="w"),
        lambda: gradflow.lyapunov(jacobians=np.ones((3, 2, 2)), key="w"),
        lambda: gradflow.bptt("rnn", targets=np.ones((100, 32)), targets_key="w"),
        lambda: gradflow.theory("rnn", input=np.ones((1200, 4)), key="w"),
        lambda: gradflow.init("lstm", input=np.ones((100, 4)), key="w"),
    ],
)
def test_a_key_beside_an_array_is_refused(call):
    with pytest.raises(UsageError, match="key w has no effect on an array"):
        call()


def test_a_checkpoint_that_is_read_takes_no_layout_any_more(tmp_path):
    model = gradflow.from_state_dict({"weight_ih_l0": np.ones((8, 3)), "weight_hh_l0": np.ones((8, 2))})
    for option in ({"layout": "torch"}, {"assume": {"activation": "relu"}}):
        for call in (gradflow.convert, lambda checkpoint, _, **given: gradflow.inspect(checkpoint, **given)):
            with pytest.raises(UsageError, match="on a checkpoint that was already read"):
                call(model, tmp_path / "new.npz", **option)


@pytest.mark.parametrize("seed", ["", [], 0.0, False])
@pytest.mark.parametrize("command", ["compare", "bptt", "theory"])
def test_a_seed_that_is_no_integer_is_refused(command, seed):
    with pytest.raises(UsageError, match="expected an integer"):
        getattr(gradflow, command)("rnn", hidden=2, seed=seed)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_theory_of_gates_reads_features_only_where_it_measures(cell):
    with pytest.raises(UsageError, match="features 7 has no effect"):
        gradflow.theory(cell, features=7, measure=False)
    assert gradflow.theory(cell, measure=False).params["features"] is None
    few, many = (gradflow.theory(cell, hidden=3, features=size, seeds=2) for size in (2, 7))
    assert not np.array_equal(few.predictions.measured, many.predictions.measured)
