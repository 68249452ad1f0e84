"""Reparametrized weights of torch: the stored arrays → the weight that the module uses when it runs.

=================  ==========================================  ============================================
reparametrization  arrays stored for the weight X              weight in evaluation
=================  ==========================================  ============================================
weight norm        X_g, X_v; parametrizations.X.original0, 1   g v/‖v‖, with one norm for each entry of g
spectral norm      X_orig, X_u, X_v;                           W/(uᵀ W v)
                   parametrizations.X.original, .0._u, ._v
orthogonal         parametrizations.X.original, .0.base        B exp(A), or another map of the skew matrix A
pruning            X_orig, X_mask                              X_orig⊙X_mask
weight drop        X_raw                                       X_raw
=================  ==========================================  ============================================

Several of them can follow each other. The definitions are those of torch.nn.utils (weight_norm,
spectral_norm, parametrizations, prune) in torch 2.13, and of the WeightDrop module of Merity et al. 2018.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gradflow.cells.base import Array
from gradflow.errors import DataError, UsageError
from gradflow.layouts.assumptions import Assumptions
from gradflow.layouts.names import NamedArrays, normalize_name
from gradflow.layouts.network import MisfitError
from gradflow.readers.messages import quote
from gradflow.readers.stored_array import StoredArray

# The assumption that says which map makes a matrix orthogonal.
ORTHOGONAL_MAP_OPTION = "orthogonal_map"

_PARAMETRIZED_PATTERN = re.compile(
    r"(?P<start>(?:.*[./])?)parametrizations[./](?P<tensor>[^./]+)[./](?P<part>.+)", re.DOTALL
)
_SUFFIX_PATTERN = re.compile(
    r"(?P<name>(?:.*[./])?[^./]*(?:weight|bias|original)[^./]*)_(?P<part>g|v|u|orig|mask|raw)", re.DOTALL
)
_PART_SUFFIXES = ("_g", "_v", "_u", "_orig", "_mask", "_raw")
_RECURRENT_LEAF_PATTERN = re.compile(r"(?P<path>(?:.*[./])?)(?:weight|bias)_(?:ih|hh)[^./]*", re.DOTALL)
_STAGE_PATTERN = re.compile(r"(\d+)[./](.+)", re.DOTALL)


@dataclass(frozen=True)
class ComputedWeight:
    """A weight that is computed from other arrays.

    Attributes
    ----------
    array : StoredArray
        The weight. Its entries are computed in float64 when they are read; its type is that of the parts.
    parts : tuple of StoredArray
        The arrays that the file has in its place.
    remark : str
        What was computed, for people. A sentence without a period.
    left_open : frozenset of str
        The options of which the weight depends and that the file does not state.
    assumed : tuple of str
        The assumptions, as ``option=value``, that were made because the user said nothing.
    problem : str
        Why the weight cannot be computed; empty if it can.
    """

    array: StoredArray
    parts: tuple[StoredArray, ...]
    remark: str
    left_open: frozenset[str] = frozenset()
    assumed: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class _WeightPlan:
    """What to do with the parts of one weight."""

    shape: tuple[int, ...]
    compute: Callable[[], Array]
    described: str
    left_open: frozenset[str] = frozenset()
    assumed: tuple[str, ...] = ()
    problem: str = ""
    is_stored: bool = False  # The file has the weight under its own name, too.


def compute_weights(
    arrays: NamedArrays, assumptions: Assumptions
) -> tuple[dict[str, StoredArray], dict[str, ComputedWeight]]:
    """Return the arrays with every reparametrized weight in place of its parts, and these weights by name.

    Parameters
    ----------
    arrays : mapping
        The arrays by name.
    assumptions : Assumptions
        The user's assumptions, of which ``orthogonal_map`` is asked.

    Raises
    ------
    UsageError
        If the user names an unknown orthogonal map.

    Examples
    --------
    >>> import numpy as np
    >>> from gradflow.readers.in_memory import wrap_array
    >>> stored = {"weight_hh_l0_g": np.array([[2.0], [1.0]]), "weight_hh_l0_v": np.diag([3.0, 4.0])}
    >>> arrays = {name: wrap_array(array, name) for name, array in stored.items()}
    >>> effective, weights = compute_weights(arrays, Assumptions({}))
    >>> effective["weight_hh_l0"].read_numbers()
    array([[2., 0.],
           [0., 1.]])
    >>> weights["weight_hh_l0"].remark
    "'weight_hh_l0' is computed from 'weight_hh_l0_g', 'weight_hh_l0_v' (weight norm)"
    """
    effective = dict(arrays)
    weights: dict[str, ComputedWeight] = {}
    # The parts of a weight may be computed themselves, as when a direction v is pruned.
    while found := [*_find_parametrizations(effective, assumptions), *_find_suffixed(effective)]:
        places = {name: k for k, name in enumerate(effective)}
        computed: dict[str, StoredArray] = {}
        for weight in found:
            name = weight.array.name
            if any(part.name not in places for part in weight.parts):
                continue  # Another weight has taken the part.
            computed[name] = weight.array
            inner = [weights.pop(part.name) for part in weight.parts if part.name in weights]
            weights[name] = _join_computations(weight, inner)
            first = min(places.pop(part.name) for part in weight.parts)
            places[name] = min(first, places.get(name, first))
        effective = {
            name: computed[name] if name in computed else effective[name]
            for name in sorted(places, key=places.__getitem__)
        }
    return effective, weights


def _join_computations(weight: ComputedWeight, inner: list[ComputedWeight]) -> ComputedWeight:
    """Return a weight with what is known of its computed parts."""
    if not inner:
        return weight
    return ComputedWeight(
        weight.array,
        tuple(
            stored
            for part in weight.parts
            for stored in next((one.parts for one in inner if one.array.name == part.name), (part,))
        ),
        "; ".join([weight.remark, *(one.remark for one in inner)]),
        weight.left_open.union(*(one.left_open for one in inner)),
        (*weight.assumed, *(option for one in inner for option in one.assumed)),
        next((one.problem for one in (weight, *inner) if one.problem), ""),
    )


def _make_weight(
    name: str, parts: Mapping[str, StoredArray], plan: _WeightPlan, replaced: bool
) -> ComputedWeight:
    stored = tuple(parts.values())
    wide = any(part.dtype == "float64" for part in stored)
    array = StoredArray(
        stored[0].source,
        name,
        plan.shape,
        "float64" if wide else stored[0].dtype,
        plan.compute,
        metadata=stored[0].metadata,
    )
    listed = ", ".join(quote(part.name) for part in stored)
    remark = f"{quote(name)} is computed from {listed} ({plan.described})"
    if replaced:
        remark += f"; what the file has under {quote(name)} itself is a copy from training, and is not used"
    problem = f"{quote(name)} {plan.problem}" if plan.problem else ""
    return ComputedWeight(array, stored, remark, plan.left_open, plan.assumed, problem)


# ---------------------------------------------------------------------------------------------------
# Weights whose parts have suffixes: weight norm, spectral norm, pruning and weight drop


def _find_suffixed(arrays: NamedArrays) -> Iterator[ComputedWeight]:
    used: tuple[str, ...]
    plan: _WeightPlan | None
    for name, parts in _group_parts(arrays).items():
        if {"orig", "mask"} <= set(parts) and "u" not in parts:
            used, plan = ("orig", "mask"), _plan_pruning(parts["orig"], parts["mask"])
        elif {"orig", "u"} <= set(parts):
            used, plan = _plan_old_spectral_norm(parts, arrays.get(name))
        elif {"g", "v"} <= set(parts):
            used, plan = ("g", "v"), _plan_weight_norm(parts["g"], parts["v"])
        elif "raw" in parts:
            used, plan = ("raw",), _plan_weight_drop(parts["raw"])
            name = _find_dropped_weight(name, arrays)
        else:
            continue
        if plan is not None:
            own = {part: parts[part] for part in used}
            yield _make_weight(name, own, plan, name in arrays and not plan.is_stored)


def _group_parts(arrays: NamedArrays) -> dict[str, dict[str, StoredArray]]:
    """Return the parts of each weight by their suffixes, by the name of the weight."""
    groups: dict[str, dict[str, StoredArray]] = {}
    for name, array in arrays.items():
        # Few names end so, and a file may have many.
        match = name.endswith(_PART_SUFFIXES) and _SUFFIX_PATTERN.fullmatch(normalize_name(name))
        if match:
            groups.setdefault(match["name"], {})[match["part"]] = array
    return groups


def _find_dropped_weight(name: str, arrays: NamedArrays) -> str:
    """Return the name of the weight that a raw weight stands for: in its module, or in the one it wraps."""
    path, leaf = _split_leaf(name)
    paths = {
        match["path"]
        for other in arrays
        if (match := _RECURRENT_LEAF_PATTERN.fullmatch(normalize_name(other))) and not other.endswith("_raw")
    }
    if path in paths:
        return name
    wrapped = [
        one for one in paths if one.startswith(path) and len(re.findall(r"[./]", one[len(path) :])) == 1
    ]
    return wrapped[0] + leaf if len(wrapped) == 1 else name


def _split_leaf(name: str) -> tuple[str, str]:
    """Return the path of a name, with its last separator, and the rest."""
    end = max(name.rfind("."), name.rfind("/")) + 1
    return name[:end], name[end:]


def _plan_pruning(original: StoredArray, mask: StoredArray) -> _WeightPlan | None:
    if original.shape != mask.shape:
        return None
    return _WeightPlan(
        original.shape,
        partial(_multiply, original, mask),
        "pruning: the weight times its mask",
    )


def _multiply(original: StoredArray, mask: StoredArray) -> Array:
    return np.asarray(_read(original) * _read(mask))


def _plan_weight_drop(raw: StoredArray) -> _WeightPlan:
    return _WeightPlan(raw.shape, partial(_read, raw), "weight drop: the weight before dropout")


def _plan_weight_norm(magnitudes: StoredArray, directions: StoredArray) -> _WeightPlan | None:
    shape, scales = directions.shape, magnitudes.shape
    kept = [axis for axis, size in enumerate(scales) if size != 1]
    fitting = (
        len(scales) == len(shape) and len(kept) < 2 and all(scales[axis] == shape[axis] for axis in kept)
    )
    if scales and not fitting:
        return None
    return _WeightPlan(shape, partial(_normalize_weight, magnitudes, directions), "weight norm")


def _normalize_weight(magnitudes: StoredArray, directions: StoredArray) -> Array:
    """Return g v/‖v‖ (Salimans & Kingma 2016, eq. 2), where g has size 1 along the axes of the norm."""
    g, v = _read(magnitudes), _read(directions)
    axes = tuple(axis for axis in range(v.ndim) if g.ndim == 0 or g.shape[axis] == 1)
    largest = np.abs(v).max(axis=axes, keepdims=True)
    if not largest.all():
        raise DataError(
            f"{quote(directions.name)} has a direction that is 0 everywhere; expected a norm over 0, by "
            "which weight norm divides"
        )
    scaled = v / largest
    return np.asarray(g * scaled / np.sqrt(np.sum(scaled * scaled, axis=axes, keepdims=True)))


def _plan_old_spectral_norm(
    parts: Mapping[str, StoredArray], stored: StoredArray | None
) -> tuple[tuple[str, ...], _WeightPlan | None]:
    original, left, right = parts["orig"], parts["u"], parts.get("v")
    if right is None and stored is not None:  # as torch itself reads such files of its first releases
        plan = _WeightPlan(
            stored.shape, partial(_read, stored), "spectral norm, whose result is stored", is_stored=True
        )
        return ("orig", "u"), plan
    used = ("orig", "u") if right is None else ("orig", "u", "v")
    return used, _WeightPlan(original.shape, partial(_divide_by_norm, original, left, right), "spectral norm")


def _divide_by_norm(original: StoredArray, left: StoredArray, right: StoredArray | None) -> Array:
    return divide_by_spectral_norm(_read(original), left, right)


def divide_by_spectral_norm(weight: Array, left: StoredArray, right: StoredArray | None) -> Array:
    """Return W/(uᵀ W v) (Miyato et al. 2018, eqs. 8 and 19), with the stored vectors u and v.

    Without v, it is Wᵀ u/‖Wᵀ u‖, the next vector of the power iteration.

    Raises
    ------
    DataError
        If the vectors do not fit the weight, or the norm is 0.
    """
    u = _read(left)
    v = None if right is None else _read(right)
    matrices = []
    for axis in range(weight.ndim):
        matrix = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
        if u.shape == (matrix.shape[0],) and (v is None or v.shape == (matrix.shape[1],)):
            matrices.append(matrix)
    if not matrices:
        raise DataError(
            f"{quote(left.name)} has shape {u.shape}, which does not fit a weight of shape {weight.shape}; "
            "expected the singular vectors of this weight"
        )
    # Both axes of a square matrix fit. torch takes the first, except of a transposed convolution.
    matrix = matrices[0]
    norm = float(np.linalg.norm(matrix.T @ u) if v is None else u @ (matrix @ v))
    if norm == 0:
        raise DataError(f"the spectral norm along {quote(left.name)} is 0; expected one over 0")
    return np.asarray(weight / norm)


# ---------------------------------------------------------------------------------------------------
# Weights under ``parametrizations``: weight norm, spectral norm and orthogonal matrices, in any order


def _find_parametrizations(arrays: NamedArrays, assumptions: Assumptions) -> Iterator[ComputedWeight]:
    groups: dict[str, dict[str, StoredArray]] = {}
    for name, array in arrays.items():
        match = "parametrizations" in name and _PARAMETRIZED_PATTERN.fullmatch(normalize_name(name))
        if match:
            part = match["part"].replace("/", ".")
            groups.setdefault(match["start"] + match["tensor"], {})[part] = array
    suffixes = tuple(f"_{end}" for end in ("orig", "mask", "u", "v", "g"))
    for name, parts in groups.items():
        if any(part.startswith("original") and part.endswith(suffixes) for part in parts):
            continue  # A part that is itself computed in the next round.
        yield _make_weight(name, parts, _plan_parametrization(parts, assumptions), name in arrays)


def _plan_parametrization(parts: Mapping[str, StoredArray], assumptions: Assumptions) -> _WeightPlan:
    originals = {part: array for part, array in parts.items() if not _STAGE_PATTERN.fullmatch(part)}
    stages: dict[int, dict[str, StoredArray]] = {}
    for part, array in parts.items():
        match = _STAGE_PATTERN.fullmatch(part)
        if match:
            stages.setdefault(int(match[1]), {})[match[2].replace("/", ".")] = array
    start: Callable[[], Array]
    if set(originals) == {"original"}:
        start, shape, first = partial(_read, originals["original"]), originals["original"].shape, 0
        described: list[str] = []
    elif set(originals) == {"original0", "original1"} and (
        plan := _plan_weight_norm(originals["original0"], originals["original1"])
    ):
        start, shape, first, described = plan.compute, plan.shape, 1, [plan.described]
    else:
        return _refuse_parametrization(parts)
    if sorted(stages) != list(range(first, first + len(stages))):
        return _refuse_parametrization(parts)
    transforms: list[Callable[[Array], Array]] = []
    left_open, assumed = frozenset[str](), tuple[str, ...]()
    if not stages and first == 0:
        given = assumptions.given.get(ORTHOGONAL_MAP_OPTION)
        transforms.append(partial(_make_orthogonal_alone, originals["original"].name, given))
        left_open, described = frozenset({ORTHOGONAL_MAP_OPTION}), ["orthogonal"]
    for k in sorted(stages):
        if set(stages[k]) == {"_u", "_v"}:
            transforms.append(partial(divide_by_spectral_norm, left=stages[k]["_u"], right=stages[k]["_v"]))
            described.append("spectral norm")
        elif set(stages[k]) == {"base"} and len(shape) == 2:
            default = "matrix_exp" if shape[0] == shape[1] else "householder"
            chosen = assumptions.given.get(ORTHOGONAL_MAP_OPTION, default)
            _check_orthogonal_map(chosen)
            if ORTHOGONAL_MAP_OPTION not in assumptions.given:
                assumed = (f"{ORTHOGONAL_MAP_OPTION}={default}",)
            left_open |= {ORTHOGONAL_MAP_OPTION}
            transforms.append(partial(_make_orthogonal, mapping=chosen, base=stages[k]["base"]))
            described.append(f"orthogonal, by the map {chosen}")
        else:
            return _refuse_parametrization(parts)
    compute = partial(_run_transforms, start, tuple(transforms))
    return _WeightPlan(shape, compute, ", then ".join(described), left_open, assumed)


def _run_transforms(start: Callable[[], Array], transforms: tuple[Callable[[Array], Array], ...]) -> Array:
    weight = start()
    for transform in transforms:
        weight = transform(weight)
    return weight


def _refuse_parametrization(parts: Mapping[str, StoredArray]) -> _WeightPlan:
    """Return a plan that says which arrays have no known meaning."""
    listed = ", ".join(f"{quote(part.name)} {part.shape}" for part in parts.values())
    problem = (
        f"is made by a parametrization that is not known, from {listed}; expected weight norm, spectral norm "
        "or orthogonal; remove it before saving: "
        "torch.nn.utils.parametrize.remove_parametrizations(module, name)"
    )
    shape = next(iter(parts.values())).shape
    return _WeightPlan(shape, partial(_raise_problem, problem), "unknown", problem=problem)


def _raise_problem(problem: str) -> Array:
    raise MisfitError(f"it {problem}")


def _make_orthogonal_alone(name: str, given: str | None, original: Array) -> Array:
    """Return the orthogonal matrix of a parametrization that stores no base.

    Torch's Householder map writes 1 and −1 on the diagonal, which training does not change. Another diagonal
    may be that of any function.
    """
    if given is not None:
        _check_orthogonal_map(given)
    elif original.ndim != 2 or not (np.abs(np.diagonal(original)) == 1.0).all():
        raise MisfitError(
            f"{quote(name)} stands alone, without the arrays of its parametrization, so that its function is "
            "not known; expected weight norm, spectral norm or orthogonal; name the map with "
            f"{ORTHOGONAL_MAP_OPTION}={'|'.join(_ORTHOGONAL_MAPS)} in `assume` if it is orthogonal, or "
            "remove it before saving: torch.nn.utils.parametrize.remove_parametrizations(module, name)"
        )
    return _make_orthogonal(original, given or "householder", None)


def _make_orthogonal(original: Array, mapping: str, base: StoredArray | None) -> Array:
    """Return torch's orthogonal matrix B Q of a matrix X, with columns of length 1; if X is wide, its rows.

    Q is exp(A) or (1 + A/2)(1 − A/2)⁻¹ of the skew-symmetric A = tril(X) − tril(X)ᵀ, or a product of
    Householder reflections (Lezcano-Casado & Martínez-Rubio 2019; torch.nn.utils.parametrizations).
    """
    wide = original.shape[0] < original.shape[1]
    tall = original.T if wide else original
    result = _ORTHOGONAL_MAPS[mapping](tall)
    if base is not None:
        left = _read(base)
        if left.shape != (len(tall), len(tall)):
            raise DataError(
                f"{quote(base.name)} has shape {left.shape}; expected {(len(tall), len(tall))}, the longer "
                f"side of a weight of shape {original.shape}"
            )
        result = left @ result
    return np.asarray(result.T if wide else result)


def _embed_skew(tall: Array) -> Array:
    """Return A = tril(X) − tril(X)ᵀ, where X is made square by columns of 0."""
    rows, columns = tall.shape
    lower = np.zeros((rows, rows))
    lower[:, :columns] = np.tril(tall)
    return np.asarray(lower - lower.T)


def _map_exponential(tall: Array) -> Array:
    # i A is Hermitian, so that A = V (−i Λ) Vᴴ with unitary V and real Λ.
    values, vectors = np.linalg.eigh(1j * _embed_skew(tall))
    return np.asarray(((vectors * np.exp(-1j * values)) @ vectors.conj().T).real[:, : tall.shape[1]])


def _map_cayley(tall: Array) -> Array:
    half, identity = _embed_skew(tall) / 2.0, np.eye(len(tall))
    return np.asarray(np.linalg.solve(identity - half, identity + half)[:, : tall.shape[1]])


def _map_householder(tall: Array) -> Array:
    rows, columns = tall.shape
    result = np.eye(rows, columns)
    for k in reversed(range(columns)):
        vector = np.zeros(rows)
        vector[k], vector[k + 1 :] = 1.0, tall[k + 1 :, k]
        result -= np.outer(2.0 / (vector @ vector) * vector, vector @ result)
    return np.asarray(result * np.trunc(np.diagonal(tall)))


_ORTHOGONAL_MAPS: dict[str, Callable[[Array], Array]] = {
    "matrix_exp": _map_exponential,
    "cayley": _map_cayley,
    "householder": _map_householder,
}


def _check_orthogonal_map(mapping: str) -> None:
    if mapping not in _ORTHOGONAL_MAPS:
        raise UsageError(f"{ORTHOGONAL_MAP_OPTION}={mapping}: expected one of {', '.join(_ORTHOGONAL_MAPS)}")


def _read(array: StoredArray) -> Any:
    """Return the numbers of a part, which must be real."""
    numbers = array.read_numbers()
    if np.iscomplexobj(numbers):
        raise DataError(f"{quote(array.name)} is complex; expected real weights")
    return numbers
