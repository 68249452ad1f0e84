"""The Jacobian of one step of a cell as a factor that acts, forward and back, without being formed."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import UsageError
from gradflow.linalg.products import Factor, transpose_matrices

Array = NDArray[Any]
ALL_POINTS = slice(None)
MIN_DENSE_COLUMNS = 5  # a block with fewer columns is multiplied gate by gate: forming the matrix costs more


class Pull(NamedTuple):
    """The adjoint of one step: what a change of the new state means for the terms that made it."""

    signals: tuple[Array, ...]  # layer by layer, the lowest first: (..., rows, m) of ∂L/∂z
    state: Array  # (..., n, m) of ∂L/∂(state before)


class StepFactor(Factor):
    """∂(next state)/∂(state) of a step, and ∂(next state)/∂(input), which a layer above another needs.

    A factor is a dataclass of arrays. Those named in ``per_point`` have shape (..., points, n) along a
    trajectory. The factor acts once these are columns: (..., n, 1) when `at` has picked a point, and
    (..., n, points) after `each`.
    """

    per_point: ClassVar[tuple[str, ...]]

    def at(self, point: int) -> Self:
        """Return the factor at one point of a trajectory."""
        return self.with_arrays(lambda values: values[..., point, :, None])

    def each(self, points: slice | NDArray[np.intp] = ALL_POINTS) -> Self:
        """Return a factor that acts on each column of a block by its own point: J_p x_p for all p."""
        return self.with_arrays(lambda values: values[..., points, :].swapaxes(-1, -2))

    def lay_side_by_side(self, axis: int = -3) -> Self:
        """Return the factor of several sequences, which lie along ``axis``, as one of T·B points."""
        return self.with_arrays(lambda values: lay_side_by_side(values, axis))

    def above(self, lowest: int) -> Self:  # noqa: ARG002 - a single cell is its own lowest layer
        """Return the factor of the layers from ``lowest`` (from 0) up."""
        return self

    def with_arrays(self, change: Callable[[Array], Array]) -> Self:
        """Return the factor with every array that has an axis of points changed, always in the same order."""
        # dataclasses.replace is too slow: a long chain needs the factor of every step many times.
        chosen = object.__new__(type(self))
        vars(chosen).update(vars(self))
        vars(chosen).update({name: change(getattr(self, name)) for name in self.per_point})
        return chosen

    def log_abs_dets(self) -> Array:
        """Return ln |det J| at every point of a trajectory, shape (..., points)."""
        points = getattr(self, self.per_point[0]).shape[-2]
        return np.stack([self.at(point).log_abs_det() for point in range(points)], axis=-1)

    def pull(self, block: Array) -> Pull:  # noqa: ARG002
        """Return the signals ∂L/∂z and ∂L/∂(state before), given ∂L/∂(new state), (..., n, m).

        The columns are treated one by one, as `rmatmat` does for few columns. It also works after `each`.
        Only `bptt` and `derive` need it.

        Raises
        ------
        UsageError
            If the factor does not define it. Neither `input_matmat` nor `input_rmatmat` need be defined.
        """
        raise UsageError(f"{type(self).__name__} gives no error signals: define its method `pull`")

    def input_matmat(self, block: Array) -> Array:  # noqa: ARG002
        """Return J_x X for a block X of shape (..., input_size, m). A layer above another needs it."""
        raise UsageError(self._describe_missing_input())

    def apply_input_graded(self, block: Array) -> Array:
        """Return what an input adds to the rows of `apply_graded`: L⁻¹ J_x X."""
        return self.input_matmat(block)

    def input_rmatmat(self, block: Array) -> Array:  # noqa: ARG002
        """Return J_xᵀ Y for a block Y of shape (..., n, m). A layer above another needs it."""
        raise UsageError(self._describe_missing_input())

    def _describe_missing_input(self) -> str:
        return (
            f"{type(self).__name__} does not say how its input changes the state, which a layer above "
            "another needs: define its methods `input_matmat` and `input_rmatmat`"
        )


class LayerFactor(StepFactor):
    """The factor of a cell with its own weights. Its state is its output unless a subclass says otherwise.

    Its size and its type are those of the field ``weight_hh``.

    Raises
    ------
    UsageError
        If a subclass lacks what every factor must have.
    """

    weight_hh: Array  # (..., rows, output_size)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        there = {
            "per_point": hasattr(cls, "per_point"),
            "matmat": cls.matmat is not Factor.matmat,
            "rmatmat": cls.rmatmat is not Factor.rmatmat,  # that of Factor cannot act after `each`
        }
        missing = [name for name, defined in there.items() if not defined]
        if missing:
            raise UsageError(
                f"the class {cls.__name__} is no complete factor: define {', '.join(missing)} "
                "(docs/guides/add-a-cell.md lists what a factor must have)"
            )

    @property
    def size(self) -> int:
        """The size of the output."""
        return int(get_layer_field(self, "weight_hh").shape[-1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the weights."""
        return get_layer_field(self, "weight_hh").dtype


def get_layer_field(layer: object, name: str) -> Array:
    """Return an array of a layer or of its factor by the name that every layer gives it.

    Raises
    ------
    UsageError
        If the class has no such field.
    """
    try:
        array: Array = getattr(layer, name)
    except AttributeError:
        raise UsageError(
            f"{type(layer).__name__} has no field {name}: expected the weights of a layer under this name "
            "(docs/guides/add-a-cell.md lists the fields)"
        ) from None
    return array


def carry_back(signal: Array, weight: Array) -> Array:
    """Return Wᵀ δ. Each column is contiguous, like the columns of `StepFactor.each`."""
    return transpose_matrices(transpose_matrices(signal) @ weight)


def lay_side_by_side(values: Array, axis: int = -3) -> Array:
    """Return (..., B, T, n), B sequences of T points, as (..., T·B, n): all sequences of each step in turn.

    ``axis`` is the axis of the sequences.
    """
    *leading, points, sequences, size = np.moveaxis(values, axis, -2).shape
    return np.moveaxis(values, axis, -2).reshape(*leading, points * sequences, size)


def log_abs_product(values: Array) -> Array:
    """Return ln |∏ v_i| over the last axis, −inf if a factor is 0.

    Examples
    --------
    >>> log_abs_product(np.array([[1e-200, -1e-200], [0.0, 1.0]])).round(4).tolist()
    [-921.034, -inf]
    """
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.abs(values)).sum(axis=-1))
