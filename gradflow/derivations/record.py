"""The record of the answers to the exercise sheet."""

from dataclasses import dataclass, field
from typing import ClassVar

from gradflow.record import ChapterLayout, ChapterView, Record, column, scalar, table
from gradflow.table import Table

CHAPTERS = ChapterLayout(
    table="topics",
    key="topic",
    heading=("exercise", "topic", "title"),
    before=("statement", "answer", "slip"),
    answer="answer",
    number="line",
    formula="formula",
    text="reason",
    values=("entry", "left", "right", "difference"),
    difference="difference",
    holds="holds",
)


@dataclass(frozen=True, eq=False, repr=False)
class DerivationLines(Table):
    """Every line of every topic, with the numbers of both sides on one random case."""

    topic: list[str] = column("topic of the line")
    line: list[int] = column("line number within the topic, from 1")
    formula: list[str] = column("formula in Unicode")
    latex: list[str] = column("formula in LaTeX, for math mode")
    reason: list[str] = column("why the line holds; formulas are between $ signs")
    relation: list[str] = column("= (the sides agree), ≠ (they differ), ≤ or < (in every entry)")
    entry: list[str | None] = column("the entry that left and right show, from 1; null for a number")
    left: list[float | complex] = column(
        "left side: the largest entry of an array; for ≤ and < the entry with the smallest gap"
    )
    right: list[float | complex] = column("right side, same entry")
    difference: list[float] = column(
        "largest over all entries, relative to the largest entry; for ≤ and < the smallest gap",
        bound="tolerance",
    )
    tolerance: list[float] = column("largest difference allowed for =, smallest required for the others")
    holds: list[bool] = column("whether the line holds; a line that does not is an error")


@dataclass(frozen=True, eq=False, repr=False)
class TopicList(Table):
    """The topics that can be derived."""

    topic: list[str] = column("name of the topic")
    exercise: list[str] = column("number on the exercise sheet")
    title: list[str] = column("subject")
    options: list[str] = column("options of the topic")


@dataclass(frozen=True, eq=False, repr=False)
class DerivedTopics(TopicList):
    """What was derived; formulas in texts are between $ signs."""

    statement: list[str] = column("the question")
    answer: list[str] = column("the answer")
    slip: list[str | None] = column("mistakes on the sheet, if any")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Derivation(Record):
    """Answers to the exercise sheet: statement, derivation with each line verified, answer.

    ``lines`` is the main table. The table ``topics`` has the columns ``statement``, ``answer`` and ``slip``
    (mistakes on the sheet), except where only the list was asked for.

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

    verified: int | None = scalar("number of lines that were verified")
    largest_error: float | None = scalar(
        "largest relative difference between sides that are equal to rounding"
    )
    conclusion: str = scalar("in words", prose=True)

    lines: DerivationLines | None = table(
        "the derivations, line by line",
        absent="name a topic to derive",
        chapters=CHAPTERS,
    )
    topics: TopicList | None = table("what the exercise sheet asks")

    # what people are shown: answer and lines, also the values of every line, or the answer alone
    chapter_view: ChapterView = field(default=ChapterView())
