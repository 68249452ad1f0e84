"""Shards: one model in several files, such as ``model-00001-of-00002.safetensors``.

An index beside them, such as ``model.safetensors.index.json``, has a ``weight_map``: the name of each array →
the name of the shard that holds it. Without an index, the names of the shards say how many there are. The
shards themselves may have any format of a checkpoint: tables and logs may have such names too.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from gradflow.errors import DataError, GradflowError
from gradflow.readers.arrays import read_single_file
from gradflow.readers.checkpoint_files import is_checkpoint, open_quietly
from gradflow.readers.contents import MAX_ARRAYS, FileContents
from gradflow.readers.json_text import collect_unique_members
from gradflow.readers.messages import prefix_errors, quote, report_damage
from gradflow.readers.source import open_source
from gradflow.readers.stored_array import StoredArray

MAX_INDEX_BYTES = 20_000_000  # twice what a model of `MAX_ARRAYS` arrays takes
# The members of an index, of which the first stands near its beginning.
_INDEX_MEMBERS = (b'"weight_map"', b'"metadata"')
MAX_LISTED_SHARDS = 4
_INDEX_PATTERN = re.compile(r".+\.index(\.\w+)?\.json", re.DOTALL)
_SHARD_PATTERN = re.compile(
    r"(?P<stem>.+)[-_.](?P<number>\d{1,6})-of-(?P<total>\d{1,6})(?P<suffix>(?:\.\w+)+)", re.ASCII | re.DOTALL
)


class _ShardName(NamedTuple):
    """The name of a shard: number ``number`` of ``total``."""

    stem: str
    number: int
    total: int
    suffix: str


def locate(path: Path) -> Path | None:
    """Return the index of the shards to which ``path`` belongs, or the first shard if there is no index."""
    if _INDEX_PATTERN.fullmatch(path.name):
        return path if _is_index(path) else None
    shard = _parse_shard_name(path.name)
    if shard is None or not path.is_file():
        return None
    index = _find_index(path, shard)
    if index is not None:
        return index
    if not is_checkpoint(path, open_quietly(path)):
        return None
    return next((sibling for _, sibling in _list_siblings(path, shard)), path)


def list_members(whole: Path) -> list[Path]:
    """Return the index and the shards that it names, or the shards beside the first one."""
    shard = _parse_shard_name(whole.name)
    if shard is not None:
        return [sibling for _, sibling in _list_siblings(whole, shard)]
    try:
        return [whole, *(whole.parent / name for name in set(_read_weight_map(whole).values()))]
    except DataError:
        return [whole]


def read_files(path: Path) -> FileContents:
    """Return the arrays of all shards by name.

    Raises
    ------
    DataError
        If a shard is missing or damaged, if two have one number, if the index names files outside its folder,
        if it places an array in a shard that does not hold it, or if two shards hold arrays of one name.
    """
    whole = locate(path)
    if whole is not None and _INDEX_PATTERN.fullmatch(whole.name):
        with prefix_errors(str(whole)):
            weight_map = _read_weight_map(whole)
            shards = [whole.parent / name for name in dict.fromkeys(weight_map.values())]
            _check_present(shards)
            contents, places = _join_shards(shards)
            _check_places(weight_map, places)
        if path == whole:
            return contents
        remark = (
            f"is one of {len(shards)} shards, which were read together, as the index {quote(whole.name)} says"
        )
        return contents._replace(remarks=(f"{quote(path.name)} {remark}", *contents.remarks))
    shard = _parse_shard_name(path.name)
    if shard is None:
        raise DataError(
            f"{path}: is not the name of a shard; expected one such as model-00001-of-00002.safetensors"
        )
    siblings = _list_siblings(path, shard)
    numbered = dict(siblings)
    for number, sibling in siblings:
        if numbered[number] != sibling:
            raise DataError(
                f"{quote(sibling.name)} and {quote(numbered[number].name)} are both shard {number} of "
                f"{shard.total}; keep the one that belongs to the model"
            )
    first = 0 if 0 in numbered else 1
    missing = [number for number in range(first, first + shard.total) if number not in numbered]
    if missing:
        listed = ", ".join(str(number) for number in missing[:MAX_LISTED_SHARDS])
        more = " …" if len(missing) > MAX_LISTED_SHARDS else ""
        raise DataError(
            f"is shard {shard.number} of {shard.total}, and the model is incomplete without the others: "
            f"shard {listed}{more} is not beside it, nor an index; fetch all shards"
        )
    contents, _ = _join_shards(numbered.values())
    remark = (
        f"is shard {shard.number} of {shard.total}; no index names it, so the {shard.total} shards were put "
        "together by their names"
    )
    return contents._replace(remarks=(f"{quote(path.name)} {remark}", *contents.remarks))


def _parse_shard_name(name: str) -> _ShardName | None:
    match = _SHARD_PATTERN.fullmatch(name)
    if match is None:
        return None
    number, total = int(match["number"]), int(match["total"])
    # A model in one shard is whole.
    return (
        _ShardName(match["stem"], number, total, match["suffix"]) if total > 1 and number <= total else None
    )


def _find_index(path: Path, shard: _ShardName) -> Path | None:
    """Return the index beside a shard that names it."""
    for index in sorted(path.parent.glob("*.json")):
        if index.name.startswith(shard.stem) and _INDEX_PATTERN.fullmatch(index.name) and _is_index(index):
            with prefix_errors(str(index)):
                if path.name in _read_weight_map(index).values():
                    return index
    return None


def _list_siblings(path: Path, shard: _ShardName) -> list[tuple[int, Path]]:
    """Return the numbers and paths of the shards of one model in the folder of ``path``, in order."""
    siblings = []
    for other in path.parent.iterdir():
        name = _parse_shard_name(other.name)
        if name is not None and name._replace(number=shard.number) == shard and other.is_file():
            siblings.append((name.number, other))
    return sorted(siblings)


def _is_index(path: Path) -> bool:
    """Return whether a file is JSON with a ``weight_map``."""
    try:
        return path.is_file() and "weight_map" in _parse_index(path)
    except (GradflowError, OSError):
        return False


def _parse_index(path: Path) -> dict[str, object]:
    source = open_source(path)
    if source.size > MAX_INDEX_BYTES:
        raise DataError(f"an index takes {source.size} bytes; expected at most {MAX_INDEX_BYTES}")
    if not any(member in source.head for member in _INDEX_MEMBERS):
        return {}
    content = source.read()
    # Each value follows one of these characters, and a value of two bytes takes some hundred in memory.
    if sum(map(content.count, (b",", b"[", b"{"))) > 2 * MAX_ARRAYS:
        raise DataError(f"an index names more than {MAX_ARRAYS} arrays; expected a model")
    try:
        document = json.loads(content, object_pairs_hook=collect_unique_members)
    except (ValueError, RecursionError) as error:
        raise report_damage(f"the index of the shards is unreadable ({quote(str(error), 100)})") from error
    return document if isinstance(document, dict) else {}


def _read_weight_map(index: Path) -> dict[str, str]:
    """Return the name of the shard of every array."""
    weight_map = _parse_index(index)["weight_map"]
    if not isinstance(weight_map, dict) or not weight_map:
        raise report_damage(
            "the weight_map of this index of shards is not an object that names a shard for each array"
        )
    for shard in weight_map.values():
        if not isinstance(shard, str) or not _is_plain_name(shard):
            raise DataError(
                f"the index names the shard {quote(json.dumps(shard))}; expected the name of a file beside it"
            )
    return weight_map


def _is_plain_name(name: str) -> bool:
    return name not in ("", ".", "..") and set(name).isdisjoint("/\\\0")


def _check_present(shards: Iterable[Path]) -> None:
    missing = [shard for shard in shards if not shard.is_file()]
    if missing:
        listed = ", ".join(quote(shard.name) for shard in missing[:MAX_LISTED_SHARDS])
        raise DataError(
            f"the index names shards that are not beside it, {len(missing)} in all: {listed}; fetch them"
        )


def _join_shards(shards: Iterable[Path]) -> tuple[FileContents, dict[str, str]]:
    """Return the contents of all shards, and the name of the shard that holds each array."""
    arrays: dict[str, StoredArray] = {}
    places: dict[str, str] = {}
    remarks: list[str] = []
    for shard in shards:
        contents = read_single_file(open_source(shard))
        twice = next((name for name in contents.arrays if name in arrays), None)
        if twice is not None:
            raise DataError(
                f"the shards {quote(places[twice])} and {quote(shard.name)} both hold {quote(twice)}; "
                "expected each name once"
            )
        arrays |= contents.arrays
        places |= dict.fromkeys(contents.arrays, shard.name)
        remarks += [remark for remark in contents.remarks if remark not in remarks]
    return FileContents(arrays, tuple(remarks)), places


def _check_places(weight_map: dict[str, str], places: dict[str, str]) -> None:
    for name, shard in weight_map.items():
        if places.get(name) != shard:
            raise report_damage(
                f"the index places {quote(name)} in the shard {quote(shard)}, which does not hold it"
            )
