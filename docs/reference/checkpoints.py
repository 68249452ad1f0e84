"""The page of what is read: frameworks, containers, and formats that are named and refused."""

from collections.abc import Iterable, Sequence

from gradflow.layouts import LAYOUT_SIGNS, LayoutSigns
from gradflow.readers import CONTAINERS
from gradflow.readers.unsupported import UNSUPPORTED_FORMATS
from gradflow.readers.unsupported_folders import UNSUPPORTED_FOLDERS
from reference.page import MARKER, escaped

WRITTEN, READ = "●", "○"
# The containers that hold checkpoints, by name.
_CHECKPOINT_CONTAINERS = {name: one for name, one in CONTAINERS.items() if one.written_by}


def checkpoints_page(written: str) -> str:
    """Return the page: what is written by hand as it is, and the tables below it."""
    by_hand = written.partition(MARKER)[0] or "# What is read\n\n"
    parts = [
        "## Frameworks",
        _format_table(
            ["framework and cells", "`--layout`", "names of the arrays"],
            ([signs.framework, f"`{name}`", signs.array_names] for name, signs in LAYOUT_SIGNS.items()),
        ),
        "## Containers",
        _format_table(
            ["container", "suffixes", "written by", "extra"],
            (
                [
                    f"`{name}`" + (" (several files)" if one.several_files else ""),
                    ", ".join(f"`{suffix}`" for suffix in one.checkpoint_suffixes) or "–",
                    one.written_by,
                    f"`gradflow-rnn[{one.extra}]`" if one.extra else "–",
                ]
                for name, one in _CHECKPOINT_CONTAINERS.items()
            ),
        ),
        "## Which framework in which container",
        f"{WRITTEN}: the framework writes it itself. {READ}: read too, where the arrays were saved so.",
        _format_table(
            ["layout", *(f"`{name}`" for name in _CHECKPOINT_CONTAINERS)],
            (
                [f"`{name}`", *(_mark(signs, container) for container in _CHECKPOINT_CONTAINERS)]
                for name, signs in LAYOUT_SIGNS.items()
            ),
        ),
        "## Formats that are not read",
        "Their refusal says what helps:",
        "\n".join(f"- {escaped(message)}" for message in _list_messages()),
    ]
    return f"{by_hand}{MARKER}\n\n" + "\n\n".join(parts) + "\n"


def _mark(signs: LayoutSigns, container: str) -> str:
    if container in signs.containers:
        return WRITTEN
    closed = {name for one in LAYOUT_SIGNS.values() if _is_closed(one) for name in one.containers}
    return "" if _is_closed(signs) or container in closed else READ


def _is_closed(signs: LayoutSigns) -> bool:
    """Return whether a layout and its containers belong to each other alone."""
    return bool(signs.metadata_key) or signs.on_request


def _list_messages() -> Iterable[str]:
    """Return each message once, in the order of the tables."""
    folders = [known.message for known in UNSUPPORTED_FOLDERS]
    return dict.fromkeys([*folders, *(known.message for known in UNSUPPORTED_FORMATS)])


def _format_table(titles: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    lines: list[Iterable[str]] = [titles, ["---" for _ in titles], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
