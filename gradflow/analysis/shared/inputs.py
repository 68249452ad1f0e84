"""The inputs that every cell of a comparison is fed: normal draws, zeros, ones, or somebody's data."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from gradflow.analysis import INPUTS
from gradflow.analysis.shared.arguments import check_count, refuse_without_effect
from gradflow.errors import DataError, UsageError
from gradflow.readers import INPUT_FORMATS
from gradflow.readers.arrays import read_array
from gradflow.readers.in_memory import convert_array
from gradflow.registry import lookup

DEFAULT_INPUT_STEPS, DEFAULT_FEATURES = 100, 32
TOKENS_NOTE = (
    "the input holds whole numbers only. If they are tokens, give the output of the embedding instead."
)


def kind_of(source: object) -> str | None:
    """Return which kind of drawn or constant inputs is meant, None where data are given.

    Examples
    --------
    >>> kind_of(None), kind_of("zero"), kind_of("speech.npy")
    ('normal', 'zero', None)
    """
    if source is None:
        return INPUTS[0]
    return source if isinstance(source, str) and source in INPUTS else None


def _is_finite(number: float) -> bool:
    """Return whether a number is finite and, if it is an integer, no larger than the largest double."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def looks_like_tokens(data: NDArray[np.float64]) -> bool:
    """Return whether inputs are whole numbers from 0, beyond 0 and 1: perhaps tokens instead of features.

    Examples
    --------
    >>> looks_like_tokens(np.array([[3.0, 17.0]])), looks_like_tokens(np.eye(3))
    (True, False)
    """
    whole = (data >= 0).all() and (data == np.floor(data)).all()
    return bool(whole and data.max(initial=0.0) > 1)


@dataclass(frozen=True, eq=False)
class Inputs:
    """Inputs of ``steps`` × ``features``; ``data`` (batch, steps, features) is None where ``kind`` tells."""

    steps: int
    features: int
    scale: float
    seed: int
    kind: str
    data: NDArray[np.float64] | None

    @classmethod
    def of(
        cls,
        source: str | Path | ArrayLike | None,
        *,
        key: str | None,
        format: str | None,
        steps: int | None,
        features: int | None,
        scale: float | None,
        seed: int,
        count: int,
        length_name: str = "steps",
    ) -> "Inputs":
        """Read what was given and check it against the number of steps and features asked for.

        ``count`` sequences are needed at most. ``scale`` is 1 unless given. Messages call
        the steps ``length_name``.

        Raises
        ------
        UsageError
            For a number under 1, more steps than the data have, or an option without effect on them.
        DataError
            For data that cannot be read or are complex.
        """
        for name, value in ((length_name, steps), ("features", features)):
            if value is not None:
                check_count(name, value)
        check_count("seed", seed, least=0)
        if scale is not None and not _is_finite(scale):
            raise UsageError(f"input scale {scale}: expected a finite number")
        kind = kind_of(source)
        if kind == "zero":
            refuse_without_effect({"input_scale": scale}, "on an input of zeros")
        factor = 1.0 if scale is None else scale
        if source is None or kind is not None:
            for name, chosen in (("key", key), ("input format", format)):
                if chosen is not None:
                    raise UsageError(f"{name} {chosen!r} is for an input file, but none was given")
            return cls(
                steps or DEFAULT_INPUT_STEPS,
                features or DEFAULT_FEATURES,
                factor,
                seed,
                kind or INPUTS[0],
                None,
            )
        data = _batch(source, key, format, count)
        _, length, width = data.shape
        if steps is not None and steps > length:
            raise UsageError(
                f"{length_name} {steps}: the input has {length} steps; expected at most {length}"
            )
        refuse_without_effect({"features": features}, f"with an input, which has {width} features")
        return cls(steps or length, width, factor, seed, "data", data[:, : steps or length])

    @property
    def used_scale(self) -> float | None:
        """The scale, None where nothing is left of it to see: of zeros."""
        return None if self.kind == "zero" else self.scale

    def copy_first(self, count: int) -> "Inputs":
        """Return the same inputs with a copy of the first ``count`` sequences of their data, if any."""
        return self if self.data is None else replace(self, data=self.data[:count].copy())

    def mean_square(self) -> float:
        """Return the mean over steps of |x|²: of drawn inputs the expected one."""
        if self.data is not None:
            return float(self.scale**2 * np.square(self.data).sum(axis=-1).mean())
        return 0.0 if self.kind == "zero" else self.scale**2 * self.features

    def mean_square_change(self) -> float:
        """Return the mean over steps of |x − its mean over steps|²: of drawn inputs the expected one."""
        if self.data is not None:
            return float(self.scale**2 * np.var(self.data, axis=1).sum(axis=-1).mean())
        return self.mean_square() if self.kind == "normal" else 0.0

    def draw(self, draw: int, dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """Return the inputs of one draw, shape (steps, features): a batch is gone through in turn.

        Raises
        ------
        UsageError
            Where the scale takes an entry out of the range of ``dtype``.
        """
        return next(self.stream(draw, self.steps, dtype))

    def stream(self, draw: int, length: int, dtype: DTypeLike = np.float64) -> Iterator[NDArray[Any]]:
        """Yield the inputs of one draw, ``length`` steps at a time: without end, save for data.

        Raises
        ------
        UsageError
            As `draw` does.
        """
        first = 0
        for piece in self._draw_unscaled(draw, length):
            with np.errstate(over="ignore"):
                scaled = np.asarray(self.scale * piece).astype(dtype)
            if not np.isfinite(scaled).all():
                step, feature = (int(k) + 1 for k in np.argwhere(~np.isfinite(scaled))[0])
                raise UsageError(
                    f"input scale {self.scale:g}: feature {feature} of step {first + step} leaves the range "
                    f"of {np.dtype(dtype)}; expected a smaller scale"
                )
            yield scaled
            first += length

    def _draw_unscaled(self, draw: int, length: int) -> Iterator[NDArray[np.float64]]:
        if self.data is not None:
            data = self.data[draw % len(self.data)]
            yield from (np.asarray(data[first : first + length]) for first in range(0, self.steps, length))
        elif self.kind == "normal":
            generator = np.random.default_rng([self.seed, draw, 0])
            while True:
                yield generator.standard_normal((length, self.features))
        else:
            while True:
                yield np.full((length, self.features), 1.0 if self.kind == "constant" else 0.0)


def _batch(
    source: str | Path | ArrayLike, key: str | None, format: str | None, count: int
) -> NDArray[np.float64]:
    """Return data as (batch, steps, features)."""
    if format is not None:
        read = lookup(INPUT_FORMATS, format, "input format")
        if not isinstance(source, str | Path) or key is not None:
            raise UsageError(f"input format {format!r}: expected a file as the input, and no key")
        images: NDArray[np.float64] = read(source, count)
        return images
    if isinstance(source, str | Path):
        data = read_array(source, key, dimensions=(2, 3))
    else:
        refuse_without_effect({"key": key}, "on an array, because it names an array of a file")
        data = convert_array(source, "input", (2, 3))
    if np.iscomplexobj(data):
        raise DataError("the input is complex; expected real numbers, one row per step")
    batch: NDArray[np.float64] = data[None] if data.ndim == 2 else data
    return batch
