"""The changes of the layers that two files have in common, and which layer is which.

A layer is matched with the layer of the same name. If the files have no such name in common, layers are
matched by kind and shapes, in the order of the files.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gradflow.analysis.inspect.findings import Answer, Finding
from gradflow.analysis.inspect.record import Changes
from gradflow.errors import DataError, UsageError
from gradflow.linalg.norms import frobenius_norm
from gradflow.registry import check_name


class LayerMatches(NamedTuple):
    """Pairs of layers, the one before and the one after, and notes about pairs and layers without one."""

    pairs: tuple[tuple[Finding, Finding], ...]
    notes: tuple[str, ...]


def match_layers(before: Answer, after: Answer, match: Mapping[str, str]) -> LayerMatches:
    """Return which layer of one file is which of the other.

    First come the pairs that ``match`` names, then layers of the same name, kind and shapes. Without any
    of the latter, the n-th layer of a kind with certain shapes is the n-th such layer of the other file, if
    both files have as many. Last come layers of the same name and kind whose recurrent matrices alone have
    the same shape.

    Raises
    ------
    UsageError
        If ``match`` names an unknown layer, or two layers that cannot be compared.
    DataError
        If no layer has a counterpart.
    """
    pairs = [_find_named_pair(before, after, *names) for names in match.items()]
    notes: list[str] = []
    named = _pair_by(before, after, pairs, lambda finding: (finding.name, *_describe_shapes(finding)))
    if named:
        pairs += named
    else:
        ordered, notes = _pair_by_order(before, after, pairs)
        pairs += ordered
    pairs += _pair_by(before, after, pairs, lambda one: (one.name, one.cell, one.weight_hh.shape))
    if not pairs:
        raise DataError(
            f"{before.file} and {after.file} have no layer in common, with the same kind and shape: the "
            f"first has {_list_layers(before)}, the second {_list_layers(after)}"
            + "".join(f" ({note})" for note in notes)
        )
    order = {finding.name: place for place, finding in enumerate(before.findings)}
    pairs.sort(key=lambda pair: order[pair[0].name])
    return LayerMatches(tuple(pairs), (*notes, *_note_missing(before, after, pairs)))


def _find_named_pair(before: Answer, after: Answer, *names: str) -> tuple[Finding, Finding]:
    """Return the two layers that a user named.

    Raises
    ------
    UsageError
        If a name is unknown, or the layers differ in kind or shape.
    """
    found = []
    for answer, name in zip((before, after), names, strict=True):
        by_name = {finding.name: finding for finding in answer.findings}
        found.append(by_name[check_name(f"layer of {answer.file}", name, by_name)])
    one, other = found
    if (one.cell, one.weight_hh.shape) != (other.cell, other.weight_hh.shape):
        raise UsageError(
            f"match {one.name!r} = {other.name!r}: the first is {_describe(one)}, the second "
            f"{_describe(other)}; expected the same kind and size"
        )
    return one, other


def _pair_by(
    before: Answer,
    after: Answer,
    taken: Sequence[tuple[Finding, Finding]],
    describe: Callable[[Finding], tuple[object, ...]],
) -> list[tuple[Finding, Finding]]:
    """Return the pairs of the layers not taken yet that have the same description."""
    first, second = _list_free(before, after, taken)
    described = {describe(finding): finding for finding in second}
    return [(finding, described[describe(finding)]) for finding in first if describe(finding) in described]


def _pair_by_order(
    before: Answer, after: Answer, taken: Sequence[tuple[Finding, Finding]]
) -> tuple[list[tuple[Finding, Finding]], list[str]]:
    """Return the pairs of the layers not taken yet of the same kind and shapes, in order, with notes."""
    first, second = _list_free(before, after, taken)
    pairs: list[tuple[Finding, Finding]] = []
    doubts = []
    for form in dict.fromkeys(map(_describe_shapes, first)):
        alike, others = ([one for one in free if _describe_shapes(one) == form] for free in (first, second))
        if len(alike) == len(others):
            pairs += zip(alike, others, strict=True)
            if len(alike) > 1:
                doubts.append(
                    f"{_list_names(alike)} have the same kind and shape, and so have {_list_names(others)}: "
                    "check that they are in the same order."
                )
        elif others:
            doubts.append(
                f"{_list_names(alike)} of {before.file} and {_list_names(others)} of {after.file} have the "
                "same kind and shape; say with `match` which is which."
            )
    joined = ", ".join(f"{one.name} = {other.name}" for one, other in pairs)
    told = [f"layers are matched by kind, shape and order, not by name: {joined} (`match` changes it)."]
    return pairs, [*(told if pairs else []), *doubts]


def _list_names(findings: Sequence[Finding]) -> str:
    return ", ".join(finding.name for finding in findings)


def _list_free(
    before: Answer, after: Answer, taken: Sequence[tuple[Finding, Finding]]
) -> tuple[list[Finding], list[Finding]]:
    """Return the layers of each file that are in no pair."""
    first, second = (
        [one for one in answer.findings if one.name not in {pair[place].name for pair in taken}]
        for place, answer in enumerate((before, after))
    )
    return first, second


def _describe_shapes(finding: Finding) -> tuple[object, ...]:
    return finding.cell, finding.direction, finding.input_size, finding.weight_hh.shape


def _note_missing(before: Answer, after: Answer, pairs: Sequence[tuple[Finding, Finding]]) -> Iterator[str]:
    """Yield a note for each layer that only one of the files has."""
    for answer, other, free in zip(
        (before, after), (after, before), _list_free(before, after, pairs), strict=True
    ):
        for finding in free:
            yield f"{answer.file}: {finding.name}: {other.file} has no such layer of the same shape."


def make_change_table(matches: LayerMatches) -> Changes:
    """Return the changes of each layer that both files have."""
    first, second = [one for one, _ in matches.pairs], [other for _, other in matches.pairs]
    return Changes(
        layer=[one.name for one in first],
        layer_after=[one.name for one in second],
        weight_change=[_weight_change(one, other) for one, other in matches.pairs],
        spectral_radius_before=[one.spectral_radius for one in first],
        spectral_radius_after=[one.spectral_radius for one in second],
        weight_norm_before=[one.norm for one in first],
        weight_norm_after=[one.norm for one in second],
        forget_bias_before=[one.forget_bias for one in first],
        forget_bias_after=[one.forget_bias for one in second],
        rate_before=[one.share.rate for one in first],
        rate_after=[one.share.rate for one in second],
        log10_share_before=[one.share.log10_share for one in first],
        log10_share_after=[one.share.log10_share for one in second],
        log10_norm_before=[one.share.log10_norm for one in first],
        log10_norm_after=[one.share.log10_norm for one in second],
        memory_before=[one.memory for one in first],
        memory_after=[one.memory for one in second],
        verdict_before=[one.verdict for one in first],
        verdict_after=[one.verdict for one in second],
    )


def _weight_change(before: Finding, after: Finding) -> float:
    # near 1 by one power of two, so that neither squares nor differences leave the range of a double
    exponent = -max(int(np.frexp(np.abs(one.weight_hh).max())[1]) for one in (before, after))
    first, second = (np.ldexp(one.weight_hh, exponent) for one in (before, after))
    size, moved = frobenius_norm(first), frobenius_norm(second - first)
    return moved / size if size else float("inf") if moved else 0.0


def _list_layers(answer: Answer) -> str:
    return ", ".join(f"{one.name} ({_describe(one)})" for one in answer.findings) or "none"


def _describe(finding: Finding) -> str:
    return f"{finding.cell}, {finding.hidden_size}"
