"""Reparametrized weights are those of their definitions. (test_files.py compares those of torch itself.)"""

import numpy as np
import pytest

from gradflow import from_state_dict
from gradflow.errors import DataError, UsageError

INPUT, HIDDEN = 3, 4
EXACT = 1e-14


def uniform(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(-0.8, 0.8, shape)


def lstm(path="a.", suffix="_l0", features=INPUT):
    rows = 4 * HIDDEN
    shapes = {
        "weight_ih": (rows, features),
        "weight_hh": (rows, HIDDEN),
        "bias_ih": (rows,),
        "bias_hh": (rows,),
    }
    return {
        f"{path}{name}{suffix}": uniform(*shape, seed=k) for k, (name, shape) in enumerate(shapes.items())
    }


def split_weight_norm(axes):
    """Return g and v whose weight g v/‖v‖ is known: a direction of norm 1 times g."""
    v = uniform(4 * HIDDEN, HIDDEN, seed=7)
    norms = np.sqrt(np.sum(v * v, axis=axes, keepdims=True))
    g = np.abs(uniform(*norms.shape, seed=8)) + 0.1
    return g, v, v / norms * g


def split_spectral_norm(shape=(4 * HIDDEN, HIDDEN)):
    """Return W, its first singular vectors, and W over its largest singular value."""
    weight = uniform(*shape, seed=9)
    left, values, right = np.linalg.svd(weight)
    return weight, left[:, 0], right[0], weight / values[0]


G, V, NORMED = split_weight_norm((1,))
G_COLUMN, V_COLUMN, NORMED_COLUMN = split_weight_norm((0,))
G_WHOLE, V_WHOLE, NORMED_WHOLE = split_weight_norm((0, 1))
W, U, RIGHT, SPECTRAL = split_spectral_norm()
MASK = (uniform(4 * HIDDEN, HIDDEN, seed=3) > 0).astype(np.uint8)
NEW = "parametrizations.weight_hh_l0."

# The arrays that stand for weight_hh_l0, and the weight.
PARTS = {
    "weight norm": ({"weight_hh_l0_g": G, "weight_hh_l0_v": V}, NORMED),
    "weight norm of columns": ({"weight_hh_l0_g": G_COLUMN, "weight_hh_l0_v": V_COLUMN}, NORMED_COLUMN),
    "weight norm of the whole": (
        {"weight_hh_l0_g": G_WHOLE.reshape(()), "weight_hh_l0_v": V_WHOLE},
        NORMED_WHOLE,
    ),
    "new weight norm": ({f"{NEW}original0": G, f"{NEW}original1": V}, NORMED),
    "spectral norm": ({"weight_hh_l0_orig": W, "weight_hh_l0_u": U, "weight_hh_l0_v": RIGHT}, SPECTRAL),
    "spectral norm without v": ({"weight_hh_l0_orig": W, "weight_hh_l0_u": U}, SPECTRAL),
    "spectral norm of columns": (
        {"weight_hh_l0_orig": W, "weight_hh_l0_u": RIGHT, "weight_hh_l0_v": U},
        SPECTRAL,
    ),
    "new spectral norm": ({f"{NEW}original": W, f"{NEW}0._u": U, f"{NEW}0._v": RIGHT}, SPECTRAL),
    "pruning": ({"weight_hh_l0_orig": W, "weight_hh_l0_mask": MASK}, W * MASK),
    "weight drop": ({"weight_hh_l0_raw": W}, W),
    "a copy from training": ({"weight_hh_l0": W * MASK, "weight_hh_l0_raw": W}, W),
    "a pruned direction": (
        {"weight_hh_l0_g": G, "weight_hh_l0_v_orig": V + 1 - MASK, "weight_hh_l0_v_mask": np.ones_like(V)},
        G * (V + 1 - MASK) / np.sqrt(np.sum((V + 1 - MASK) ** 2, axis=1, keepdims=True)),
    ),
    "a spectral norm after a weight norm": (
        {
            f"{NEW}original0": G,
            f"{NEW}original1": V,
            f"{NEW}1._u": np.linalg.svd(NORMED)[0][:, 0],
            f"{NEW}1._v": np.linalg.svd(NORMED)[2][0],
        },
        NORMED / np.linalg.norm(NORMED, 2),
    ),
}


@pytest.mark.parametrize("path", ["", "net.rnn."])
@pytest.mark.parametrize("case", PARTS)
def test_weight_is_that_of_the_definition(case, path):
    parts, weight = PARTS[case]
    plain = {name: array for name, array in lstm(path).items() if not name.endswith("weight_hh_l0")}
    checkpoint = from_state_dict(plain | {path + name: array for name, array in parts.items()})
    (layer,) = checkpoint.layers
    np.testing.assert_allclose(layer.cell.weight_hh, weight, rtol=0, atol=EXACT)
    (remark,) = checkpoint.remarks
    assert all(repr(path + name) in remark for name in parts if name != "weight_hh_l0")
    assert f"'{path}weight_hh_l0' is computed from" in remark


def test_spectral_norm_of_a_square_weight_is_along_its_rows_before_its_vectors_converge():
    draw = np.random.default_rng(2).standard_normal
    weight, u, v = draw((HIDDEN, HIDDEN)), *(one / np.linalg.norm(one) for one in draw((2, HIDDEN)))
    parts = {"weight_hh_orig": weight, "weight_hh_u": u, "weight_hh_v": v}
    (layer,) = from_state_dict({"weight_ih": draw((HIDDEN, 3))} | parts).layers
    np.testing.assert_allclose(layer.cell.weight_hh, weight / (u @ weight @ v), rtol=1e-12)


def test_weight_drop_of_a_wrapped_module_is_found():
    inner = lstm("rnn.module.") | {"rnn.weight_hh_l0_raw": W}
    for arrays in (inner, {name: a for name, a in inner.items() if name != "rnn.module.weight_hh_l0"}):
        (layer,) = from_state_dict(arrays).layers
        np.testing.assert_array_equal(layer.cell.weight_hh, W)


def test_weight_of_any_role_may_be_computed():
    arrays = lstm(suffix="") | lstm("b.", "_l0") | lstm("b.", "_l0_reverse")
    expected = {name: array * MASK[: len(array), : array.shape[-1]] if array.ndim > 1 else 2 * array
                for name, array in arrays.items()}  # fmt: skip
    stored = {}
    for name, array in arrays.items():
        mask = MASK[: len(array), : array.shape[-1]] if array.ndim > 1 else np.full(len(array), 2.0)
        stored |= {f"{name}_orig": array, f"{name}_mask": mask}
    found, plain = from_state_dict(stored), from_state_dict(expected)
    assert [layer.name for layer in found.layers] == [layer.name for layer in plain.layers]
    for one, other in zip(found.layers, plain.layers, strict=True):
        for name in ("weight_ih", "weight_hh", "bias"):
            np.testing.assert_array_equal(getattr(one.cell, name), getattr(other.cell, name))


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def rnn_with(parts):
    arrays = {"weight_ih": uniform(2, INPUT), "bias_ih": uniform(2), "bias_hh": uniform(2)}
    return arrays | {f"parametrizations.weight_hh.{name}": array for name, array in parts.items()}


# With X = ((−1, 0), (t, −1)), exp(A) is the rotation by t, Cayley's map is that by 2 atan(t/2), and the
# vectors of Householder's reflections are (1, t) and (0, 1).
T = 0.7
LOWER = np.array([[-1.0, 0.0], [T, -1.0]])
REFLECTION = np.eye(2) - 2 / (1 + T * T) * np.outer([1, T], [1, T])
ROTATIONS = {
    "matrix_exp": rotation(T),
    "cayley": rotation(2 * np.arctan(T / 2)),
    "householder": REFLECTION @ np.diag([1.0, -1.0]) * -1.0,
}


@pytest.mark.parametrize("mapping", ROTATIONS)
def test_orthogonal_weight_is_a_rotation_of_the_base(mapping):
    base = rotation(0.3)
    arrays = rnn_with({"original": LOWER, "0.base": base})
    (layer,) = from_state_dict(arrays, assume={"orthogonal_map": mapping}).layers
    np.testing.assert_allclose(layer.cell.weight_hh, base @ ROTATIONS[mapping], rtol=0, atol=EXACT)
    assert layer.assumed == ("activation=tanh",)


def test_default_map_is_assumed_and_said():
    checkpoint = from_state_dict(rnn_with({"original": LOWER, "0.base": np.eye(2)}))
    (layer,) = checkpoint.layers
    np.testing.assert_allclose(layer.cell.weight_hh, ROTATIONS["matrix_exp"], rtol=0, atol=EXACT)
    assert layer.assumed == ("activation=tanh", "orthogonal_map=matrix_exp")
    assert checkpoint.left_open == {"activation", "orthogonal_map"}


def test_householder_without_base_is_known_by_its_diagonal():
    (layer,) = from_state_dict(rnn_with({"original": LOWER})).layers
    np.testing.assert_allclose(layer.cell.weight_hh, ROTATIONS["householder"], rtol=0, atol=EXACT)


@pytest.mark.parametrize("shape", [(16, 4), (2, 3)])
@pytest.mark.parametrize("mapping", ROTATIONS)
def test_columns_of_a_tall_weight_and_rows_of_a_wide_one_are_orthonormal(mapping, shape):
    base = np.linalg.qr(uniform(max(shape), max(shape)))[0]
    original = uniform(*shape)
    np.fill_diagonal(original, -1.0)
    arrays = {"parametrizations.weight_ih.original": original, "parametrizations.weight_ih.0.base": base}
    size = shape[0] // 4 if shape[0] == 16 else shape[0]
    arrays["weight_hh"] = uniform(shape[0], size)
    (layer,) = from_state_dict(arrays, assume={"orthogonal_map": mapping}).layers
    weight = layer.cell.weight_ih if shape[0] > shape[1] else layer.cell.weight_ih.T
    np.testing.assert_allclose(weight.T @ weight, np.eye(min(shape)), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"original": LOWER, "0.scale": np.ones(1)}, "a parametrization that is not known, from .*0.scale"),
        ({"original": LOWER, "1._u": np.ones(2), "1._v": np.ones(2)}, "not known"),  # 0 is invisible
        ({"original0": LOWER, "original1": np.eye(2)}, "not known"),
        ({"original": np.eye(2) * 0.5}, "original' stands alone.*orthogonal_map=matrix_exp"),
        ({"original": LOWER, "0._u": np.ones(3), "0._v": np.ones(2)}, "does not fit a weight"),
        ({"original": LOWER, "0._u": np.zeros(2), "0._v": np.ones(2)}, "spectral norm along .* is 0"),
        ({"original": LOWER, "0.base": np.eye(3)}, r"0.base' has shape \(3, 3\); expected \(2, 2\)"),
        ({"original0": np.ones((2, 1)), "original1": np.diag([1.0, 0.0])}, "a direction that is 0"),
    ],
)
def test_unknown_parametrization_is_named_alone_and_beside_a_layer(parts, words):
    arrays = rnn_with(parts)
    with pytest.raises(DataError, match=words):
        from_state_dict({f"a.{name}": array for name, array in arrays.items()})
    checkpoint = from_state_dict({f"a.{name}": a for name, a in arrays.items()} | lstm("fine."))
    assert [layer.name for layer in checkpoint.layers] == ["fine"]
    (remark,) = checkpoint.remarks
    assert remark.startswith("left out: ")
    assert "a.weight_hh" in remark


def test_unknown_map_is_refused():
    arrays = rnn_with({"original": LOWER, "0.base": np.eye(2)})
    with pytest.raises(UsageError, match="orthogonal_map=expm: expected one of matrix_exp, cayley"):
        from_state_dict(arrays, assume={"orthogonal_map": "expm"})
