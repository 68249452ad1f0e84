"""The norms of the single steps of a comparison, which are measured when somebody asks for them."""

from collections.abc import Iterator, Sequence

import numpy as np

from gradflow.analysis.compare.draws import Draws, FollowedDraws, follow_draws
from gradflow.analysis.compare.measure import ComparisonQuestion
from gradflow.analysis.shared.checkpoints import Trained
from gradflow.analysis.shared.product_norms import StepNorms, View, step_norms
from gradflow.analysis.shared.subjects import Spec
from gradflow.blas_threads import use_one_blas_thread
from gradflow.cells.base import Array, Cell


def measure_step_norms(
    cells: Sequence[Cell], inputs: Sequence[Array], question: ComparisonQuestion, initial: Array | None = None
) -> list[StepNorms]:
    """Return ‖J‖₂ of the single steps of each draw by lag; arguments as for `measure`."""
    followed = follow_draws(cells, inputs, question.max_batched_state, initial)
    return [draw for part in followed for draw in _split_draws(part, question.view)]


def _split_draws(followed: FollowedDraws, view: View) -> Iterator[StepNorms]:
    norms = step_norms(followed.trajectory, view)
    for place in followed.places:
        yield norms if place is None else norms._replace(log10=norms.log10[place])


class DeferredStepNorms:
    """The norms of single steps of every draw of every cell, measured along the same trajectories, once.

    They take longer than all other norms of a large cell. Copies of the weights of trained networks and of
    given inputs are kept, so that later changes of these change nothing.

    Parameters
    ----------
    specs : sequence of Spec
        The cells of the comparison.
    draws : Draws
    question : ComparisonQuestion
    """

    def __init__(self, specs: Sequence[Spec], draws: Draws, question: ComparisonQuestion) -> None:
        self.draws, self.question = draws.copy_data(), question
        self.specs = {spec.text: spec for spec in specs}
        self.trained = {spec.text: draws.make_cell(spec, 0) for spec in specs if isinstance(spec, Trained)}
        self.measured: dict[str, list[StepNorms]] = {}

    def of_cell(self, name: str) -> list[StepNorms]:
        """Return the norms of every draw of a cell."""
        if name not in self.measured:
            self.measured[name] = self._measure(self.specs[name])
        return self.measured[name]

    @use_one_blas_thread
    def _measure(self, spec: Spec) -> list[StepNorms]:
        draws = self.draws
        found: list[StepNorms] = []
        for batch in draws.split_batches(spec, self.question.max_batched_state):
            cells = [self.trained.get(spec.text) or draws.make_cell(spec, draw) for draw in batch]
            inputs = [draws.draw_inputs(spec, draw) for draw in batch]
            with np.errstate(all="ignore"):
                found += measure_step_norms(cells, inputs, self.question)
        return found
