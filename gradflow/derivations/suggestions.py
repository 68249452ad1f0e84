"""What a person may have meant who names a topic that there is not."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from gradflow.derivations.topics.topic import DerivationTopic

MIN_WORD_RATIO = 0.7  # of the letters of a word that may be misspelled
MAX_SUGGESTED_TOPICS = 4  # a word that more topics use says nothing


def suggest_topics(text: str, topics: Mapping[str, DerivationTopic]) -> Sequence[str]:
    """Return numbers of the sheet that are written like ``text``, or else topics that use it as a word.

    A number may lack its marks (52c for 5-2c), or its end (5 for 5-1, 5-2 and so on), or have a wrong one. A
    word may be misspelled if a title has it.
    """
    letters = re.sub(r"[\W_]", "", text.lower())
    numbers = {topic.exercise.partition(",")[0] for topic in topics.values()}
    exercises = sorted({re.sub(r"[a-z]$", "", number) for number in numbers})
    written = {number.replace("-", ""): number for number in (*numbers, *exercises)}
    if letters in written:
        return [written[letters]]
    if digits := letters.rstrip("abcdefghijklmnopqrstuvwxyz"):
        return [number for number in exercises if number.replace("-", "").startswith(digits)]
    return _find_users(letters, topics)


def _find_users(word: str, topics: Mapping[str, DerivationTopic]) -> Sequence[str]:
    """Return the topics that use a word, or the one of a title that is nearest to it."""
    title_words = {other for topic in topics.values() for other in _split_words(topic.title)}
    for other in (word, *get_close_matches(word, sorted(title_words), n=1, cutoff=MIN_WORD_RATIO)):
        users = [
            name
            for name, topic in topics.items()
            if other in _split_words(f"{topic.title} {topic.statement} {topic.answer}")
        ]
        if 0 < len(users) <= MAX_SUGGESTED_TOPICS:
            return users
    return []


def _split_words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", re.sub(r"\$.*?\$", " ", text).lower()))
