"""What a user says about which layer before is which layer after: ``encoder.lstm=lstm``."""

from collections.abc import Mapping, Sequence

from gradflow.errors import UsageError
from gradflow.printable import describe_argument


def parse_matches(items: Sequence[str]) -> dict[str, str]:
    """Return items ``before=after``, each of which may hold several with commas between, as one mapping.

    Raises
    ------
    UsageError
        If an item has no ``=``, or names a layer twice.

    Examples
    --------
    >>> parse_matches(["rnn=encoder/lstm,head=decoder"])
    {'rnn': 'encoder/lstm', 'head': 'decoder'}
    """
    matches: dict[str, str] = {}
    for item in filter(None, ",".join(items).split(",")):
        before, equals, after = (part.strip() for part in item.partition("="))
        if not (before and equals and after):
            raise UsageError(f"match {item!r}: expected BEFORE=AFTER, the names of a layer in the two files")
        if before in matches:
            raise UsageError(f"match: layer {before!r} is given twice; give it once")
        matches[before] = after
    return matches


def check_matches(match: Mapping[str, str] | None) -> dict[str, str]:
    """Return the matches of a user after a check of their types.

    Raises
    ------
    UsageError
        If they are not names of layers, or name a layer of the second file twice.
    """
    if match is None:
        return {}
    names = [name for pair in match.items() for name in pair] if isinstance(match, Mapping) else [None]
    if not all(isinstance(name, str) for name in names):
        raise UsageError(
            f"{describe_argument('match', match)}: expected a mapping of the names of layers before to those "
            "after, such as {'encoder.lstm': 'lstm'}"
        )
    after = list(match.values())
    twice = next((name for name in after if after.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"match: layer {twice!r} of the second file is given twice; give it once")
    return dict(match)
