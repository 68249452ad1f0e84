"""What a cell is: parameters, a step, and the step's Jacobian as a factor."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.products import Factor

Array = NDArray[np.float64]


class Cell(ABC):
    """A recurrent cell with its weights; its state s is one vector, whatever it is made of.

    A cell is made of given weights by its constructor, or of fresh ones by ``random(hidden_size, input_size,
    generator, **options)``, whose keyword-only parameters are what a person may give after the cell's name.
    """

    random: ClassVar[Callable[..., "Cell"]]

    @property
    @abstractmethod
    def state_size(self) -> int:
        """Numbers in the whole state."""

    @property
    @abstractmethod
    def input_size(self) -> int:
        """Features of an input."""

    @abstractmethod
    def step(self, state: Array, x: Array) -> tuple[Array, Factor]:
        """Return the next state, shape (state_size,), and ∂(next state)/∂(state) as a factor.

        Parameters
        ----------
        state : array (state_size,)
        x : array (input_size,)
        """
