"""A topic of the exercise sheet, read from its text: what is asked, the derivation, the answer."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import dedent

from gradflow.derivations.topics.line import DerivationLine
from gradflow.notation.evaluate import Symbols

_CHECK = re.compile(r"(left|right) = (.+)")


@dataclass(frozen=True)
class DerivationTopic:
    """What is asked, the lines that lead to it, the answer, and where the sheet has a slip.

    ``symbols`` has the values of the symbols in the formulas: see `evaluate`.
    """

    exercise: str
    title: str
    statement: str
    symbols: Symbols
    lines: list[DerivationLine]
    answer: str
    slip: str | None = None


def read_topic(
    text: str,
    symbols: Symbols,
    cases: Mapping[str, Symbols] | None = None,
    lines: Sequence[DerivationLine] = (),
) -> DerivationTopic:
    """Read a topic from a text of paragraphs: ``EXERCISE: TITLE``, statement, derivation, answer and slip.

    The paragraphs between the statement and ``Answer:`` hold the lines of the derivation, in the form that
    `read_lines` reads. ``lines`` are added after them. A paragraph ``Slip:`` may follow the answer.
    """
    heading, statement, *derivation = re.split(r"\n\n", dedent(text).strip())
    ends = {
        word: " ".join(derivation.pop().removeprefix(f"{word}: ").split())
        for word in ("Slip", "Answer")
        if derivation and derivation[-1].startswith(f"{word}: ")
    }
    exercise, _, title = heading.partition(": ")
    return DerivationTopic(
        exercise,
        title,
        " ".join(statement.split()),
        symbols,
        [*read_lines("\n".join(derivation), cases), *lines],
        ends["Answer"],
        ends.get("Slip"),
    )


def read_lines(text: str, cases: Mapping[str, Symbols] | None = None) -> list[DerivationLine]:
    r"""Read the lines of a derivation: each is a formula, with its reason indented below it.

    A row that begins with + continues the row before it. A formula may end with two blanks and ``for CASE``,
    which adds the symbols of that case. Rows ``left = …`` and ``right = …`` below a formula with ≠ are its
    ``checks``: see `DerivationLine`.

    Examples
    --------
    >>> text = "x ≠ y²  for y = 2\n  right = y y\n  squares\n  differ"
    >>> (line,) = read_lines(text, {"y = 2": {"y": 2}})
    >>> line.formula, line.reason, line.symbols, line.checks
    ('x ≠ y²', 'squares differ', {'y': 2}, {'right': 'y y'})
    """
    text = re.sub(r"\n +\+ ", " + ", dedent(text).strip())
    lines = []
    for formula, *rest in (entry.split("\n") for entry in re.split(r"\n(?=\S)", text) if entry):
        checks = {found[1]: found[2] for row in rest if (found := _CHECK.fullmatch(row.strip()))}
        reason = " ".join(row.strip() for row in rest if not _CHECK.fullmatch(row.strip()))
        formula, _, case = formula.partition("  for ")
        lines.append(DerivationLine(formula, reason, (cases or {})[case] if case else {}, checks))
    return lines
