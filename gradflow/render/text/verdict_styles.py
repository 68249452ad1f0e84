"""The styles of the words of verdicts on a screen with colors."""

from collections.abc import Collection

# The worst verdict first.
VERDICT_STYLES = {
    "exploding": "red",
    "polynomial": "red",
    "unreadable": "red",
    "vanishing": "yellow",
    "nilpotent": "yellow",
    "undecided": "bold",
    "borderline": "bold",
    "stable": "green",
    "preserving": "green",
}


def choose_worst_style(verdicts: Collection[str]) -> str:
    """Return the style of the worst of some verdicts; nothing if there are none.

    Examples
    --------
    >>> choose_worst_style({"stable", "vanishing"}), choose_worst_style(())
    ('yellow', '')
    """
    return next((style for word, style in VERDICT_STYLES.items() if word in verdicts), "")
