"""The changes of the layers that two files have in common."""

from collections.abc import Iterator

import numpy as np

from gradflow.analysis.inspect.findings import Answer, Finding
from gradflow.analysis.inspect.record import Changes
from gradflow.errors import DataError
from gradflow.linalg.norms import frobenius_norm


def change_table(before: Answer, after: Answer) -> Changes:
    """Return the changes of each layer that both files have.

    Raises
    ------
    DataError
        If the files have no layer in common.
    """
    pairs = list(_pairs(before, after))
    if not pairs:
        raise DataError(
            f"{before.file} and {after.file} have no layer in common, with the same name and shape: the "
            f"first has {_list_layers(before)}, the second {_list_layers(after)}"
        )
    first, second = [one for one, _ in pairs], [other for _, other in pairs]

    return Changes(
        layer=[one.name for one in first],
        weight_change=[_weight_change(one, other) for one, other in pairs],
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


def missing(before: Answer, after: Answer) -> Iterator[str]:
    """Yield a note for each layer that only one of the files has."""
    common = {one.name for one, _ in _pairs(before, after)}
    for answer, other in ((before, after), (after, before)):
        for finding in answer.findings:
            if finding.name not in common:
                yield f"{answer.file}: {finding.name}: {other.file} has no such layer of the same shape."


def _pairs(before: Answer, after: Answer) -> Iterator[tuple[Finding, Finding]]:
    named = {finding.name: finding for finding in after.findings}
    for finding in before.findings:
        other = named.get(finding.name)
        if other is not None and (other.cell, other.weight_hh.shape) == (
            finding.cell,
            finding.weight_hh.shape,
        ):
            yield finding, other


def _weight_change(before: Finding, after: Finding) -> float:
    # near 1 by one power of two, so that neither squares nor differences leave the range of a double
    exponent = -max(int(np.frexp(np.abs(one.weight_hh).max())[1]) for one in (before, after))
    first, second = (np.ldexp(one.weight_hh, exponent) for one in (before, after))
    size, moved = frobenius_norm(first), frobenius_norm(second - first)
    return moved / size if size else float("inf") if moved else 0.0


def _list_layers(answer: Answer) -> str:
    return ", ".join(f"{one.name} ({one.cell}, {one.hidden_size})" for one in answer.findings) or "none"
