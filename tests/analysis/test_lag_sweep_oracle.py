"""Every part of every gradient against torch's autograd: all cells, options, losses and parameters."""

from pathlib import Path

import numpy as np
import pytest

from gradflow.analysis.bptt.losses import FINAL_LOSS, MEAN_LOSS, RANDOM_LOSS
from tests.analysis.taken_apart import swept
from tests.cells.torch_cases import CASES, ORACLE, relative_difference, restored

TORCH = np.load(Path(__file__).parents[1] / "oracles" / "torch_gradients.npz")
LOSSES = {"final": FINAL_LOSS, "mean": MEAN_LOSS, "random": RANDOM_LOSS}
STEPS = 5
LATER, EARLIER = np.tril_indices(STEPS)
WITHOUT_LAYERS = [case for case in CASES if "layers=" not in case]


def named(case, loss):
    """Torch's gradients of one loss by the name that a person gives the parameter."""
    start = f"{case}|{loss}.layer"
    found = {}
    for key in TORCH.files:
        if key.startswith(start):
            number, parameter = key.removeprefix(start).split(".")
            found[f"layer{int(number) + 1}.{parameter}"] = TORCH[key]
    return found


def apart(case, loss, parameter, pairs=False):
    cell, targets = restored(case), TORCH[f"{case}|targets"]
    wanted = np.broadcast_to(TORCH[f"{case}|readout"], targets.shape) if loss == "random" else targets
    inputs, initial = ORACLE[f"{case}|inputs"], ORACLE[f"{case}|initial"]
    return swept(cell, inputs, LOSSES[loss], wanted, parameter, initial, pairs)


@pytest.mark.parametrize("case", CASES)
def test_the_whole_and_the_sum_of_its_parts_are_the_gradient_by_autograd(case):
    for loss in LOSSES:
        check_whole(case, loss)


def check_whole(case, loss):
    expected = named(case, loss)
    assert {name.split(".")[0] for name in expected} == {f"layer{k + 1}" for k in range(layers(case))}
    for parameter, gradient in expected.items():
        found = apart(case, loss, parameter)
        assert found.value == pytest.approx(float(TORCH[f"{case}|loss.{loss}"]), rel=1e-14)
        assert found.whole.size == gradient.size
        assert relative_difference(found.whole, gradient.ravel()) < 1e-12
        assert relative_difference(found.parts.sum(axis=0), gradient.ravel()) < 1e-12
        assert found.column("error")[-1] == 0
        assert found.lags[-1].kept == pytest.approx(1, abs=1e-12)
        assert found.column("share").sum() == pytest.approx(1, abs=1e-12)


def layers(case):
    return int(case.partition("layers=")[2][:1] or 1)


@pytest.mark.parametrize("case", CASES)
def test_every_pair_and_every_lag_is_that_of_autograd(case):
    for number in sorted({1, layers(case)}):
        truth = TORCH[f"{case}|parts.layer{number - 1}.weight_hh"].reshape(STEPS, STEPS, -1)
        found = apart(case, "mean", f"layer{number}.weight_hh", pairs=True)
        norms = np.linalg.norm(truth, axis=-1)[LATER, EARLIER]
        np.testing.assert_allclose(10 ** found.pairs.log10_norms[LATER, EARLIER], norms, rtol=1e-12)
        whole = truth.sum(axis=(0, 1))
        shares = truth @ whole / (whole @ whole)
        np.testing.assert_allclose(found.pairs.shares, shares, rtol=0, atol=1e-12)
        by_lag = np.array([truth.diagonal(-lag).sum(axis=-1) for lag in range(STEPS)])
        for lag, part in enumerate(by_lag):
            assert relative_difference(found.parts[lag], part) < 1e-12
            assert 10 ** found.lags[lag].norm.log10() == pytest.approx(np.linalg.norm(part), rel=1e-12)
            assert found.lags[lag].share == pytest.approx(part @ whole / (whole @ whole), abs=1e-12)
        # a tail is a sum of its own, so that the last ones are good to as many digits as the first
        tails = np.linalg.norm(by_lag[::-1].cumsum(axis=0)[::-1][1:], axis=1) / np.linalg.norm(whole)
        np.testing.assert_allclose(found.column("error")[:-1], tails, rtol=1e-12)
        kept = by_lag.cumsum(axis=0)
        cosines = kept @ whole / np.linalg.norm(kept, axis=1) / np.linalg.norm(whole)
        np.testing.assert_allclose(found.column("cosine"), cosines, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.column("kept"), kept @ whole / (whole @ whole), rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", WITHOUT_LAYERS)
def test_the_rows_of_a_gate_are_those_of_the_whole_parameter(case):
    cell = restored(case)
    for parameter in ("weight_hh", "weight_ih", "bias"):
        whole = named(case, "mean")[f"layer1.{parameter}"]
        for gate, rows in cell.blocks.items():
            found = apart(case, "mean", f"{parameter}.{gate}")
            assert relative_difference(found.whole, whole[rows].ravel()) < 1e-12
    if "peephole" in cell.weights():
        whole = named(case, "mean")["layer1.peephole"]
        for row, gate in enumerate(name for name in cell.blocks if name != "g"):
            assert relative_difference(apart(case, "mean", f"peephole.{gate}").whole, whole[row]) < 1e-12


@pytest.mark.parametrize("case", CASES)
def test_all_is_every_parameter_of_every_layer(case):
    gradients = named(case, "mean").values()
    found = apart(case, "mean", "all", pairs=True)
    size = np.sqrt(sum(np.square(gradient).sum() for gradient in gradients))
    assert found.whole.size == sum(gradient.size for gradient in gradients)
    assert np.linalg.norm(found.whole) == pytest.approx(size, rel=1e-12)
    # a name without a layer is that of all layers
    without = apart(case, "mean", ",".join({name.partition(".")[2] for name in named(case, "mean")}))
    assert np.linalg.norm(without.whole) == pytest.approx(size, rel=1e-12)
    # and pairs add up over several parameters as over one
    by_lag = [found.pairs.shares.diagonal(-lag).sum() for lag in range(STEPS)]
    np.testing.assert_allclose(by_lag, found.column("share"), rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", [case for case in CASES if "layers=2" in case])
def test_a_layer_that_is_named_is_that_layer_alone(case):
    gradients = named(case, "final")
    for number in (1, 2):
        own = [g.ravel() for name, g in gradients.items() if name.startswith(f"layer{number}.")]
        found = apart(case, "final", f"layer{number}.all")
        assert np.linalg.norm(found.whole) == pytest.approx(np.linalg.norm(np.concatenate(own)), rel=1e-12)
    both = apart(case, "final", "layer2.bias, layer1.weight_ih")
    expected = np.concatenate([gradients["layer2.bias"].ravel(), gradients["layer1.weight_ih"].ravel()])
    assert relative_difference(both.whole, expected) < 1e-12
