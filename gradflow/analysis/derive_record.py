"""The record of the sheet's answers, derived and verified line by line."""

from dataclasses import dataclass
from typing import ClassVar

from gradflow.drawing import CurveDrawing, DrawnColumn
from gradflow.record import ChapterLayout, Record, column, scalar, table

CHAPTERS = ChapterLayout(
    table="topics",
    key="topic",
    heading=("exercise", "topic", "title"),
    before=("statement",),
    after=("answer", "slip"),
    number="line",
    formula="formula",
    text="reason",
    values=("entry", "left", "right", "difference"),
    holds="holds",
)


@dataclass(frozen=True, eq=False)
class Lines:
    """Every line of every topic, with the numbers of both its sides on one random case."""

    topic: list[str] = column("the topic that the line belongs to")
    line: list[int] = column("number of the line, from 1")
    formula: list[str] = column("in Unicode")
    latex: list[str] = column("the same in LaTeX, for math mode")
    reason: list[str] = column("why it holds; formulas stand between $ signs")
    relation: list[str] = column("=: the sides agree; ≠: they do not; ≤, <: in every entry")
    entry: list[str | None] = column("which entry of two arrays left and right are, from 1; none of a number")
    left: list[float | complex] = column(
        "the left side: of an array its largest entry, of ≤ and < the closest"
    )
    right: list[float | complex] = column("the right side, in the same entry")
    difference: list[float] = column(
        "the largest over all entries, relative to the largest entry; of ≤ and < the gap", bound="tolerance"
    )
    tolerance: list[float] = column("the most that equal sides may differ; the least that others must")
    holds: list[bool] = column("whether the line holds: one that does not is an error")


@dataclass(frozen=True, eq=False)
class Listed:
    """What can be derived."""

    topic: list[str] = column("its name")
    exercise: list[str] = column("of the sheet")
    title: list[str] = column("what it is about")
    options: list[str] = column("the options that it takes")


@dataclass(frozen=True, eq=False)
class Topics(Listed):
    """What was derived; formulas in texts stand between $ signs."""

    statement: list[str] = column("what is asked")
    answer: list[str] = column("what follows from the lines")
    slip: list[str | None] = column("what the sheet has wrong, if anything")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Derivation(Record):
    """The sheet's answers: statement, derivation line by line, each line verified, answer.

    ``lines`` is the main table. The table ``topics`` of what was derived has three more columns, which a mere
    list has not: ``statement``, ``answer`` and ``slip``, what the sheet has wrong.

    See Also
    --------
    gradflow.derive : Computes it.

    Examples
    --------
    Every line holds, those of equality to rounding:

    >>> import gradflow
    >>> found = gradflow.derive("power", matrix="0.58 0.24; 0.24 0.72", steps=30)
    >>> found.verified == len(found.lines.formula), found.largest_error < 1e-13
    (True, True)
    """

    command: ClassVar[str] = "derive"

    verified: int | None = scalar("lines whose two sides were computed, each apart from the other")
    largest_error: float | None = scalar(
        "largest difference of two sides that are equal to rounding, relative"
    )
    conclusion: str = scalar("in words", prose=True)

    lines: Lines | None = table(
        "every line with the numbers of its sides",
        absent="name a topic to derive",
        chapters=CHAPTERS,
        drawn=[
            CurveDrawing(
                "line",
                (DrawnColumn("difference", marks=True), DrawnColumn("tolerance", marks=True, dashed=True)),
                apart=("relation",),
                panels=("topic",),
                log10=True,
                label="difference of both sides, relative; open: of = the most, of others the least",
            )
        ],
    )
    topics: Listed | None = table("what was derived, or can be")
