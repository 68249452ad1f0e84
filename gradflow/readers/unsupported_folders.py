"""Checkpoints in folders that gradflow recognizes but does not read, each with advice on what to do instead.

Orbax writes an OCDBT or Zarr store. Only tensorstore reads OCDBT, and what it finds in a hostile folder can
end the process.
"""

from pathlib import Path
from typing import NamedTuple

from gradflow.errors import DataError
from gradflow.readers.contents import FileContents


class UnsupportedFolder(NamedTuple):
    """A checkpoint in a folder.

    Attributes
    ----------
    signs : tuple of str
        The names of files, one of which is in every folder of this kind.
    part_suffix : str
        The suffix of the files with the arrays. Empty if they have none.
    message : str
        What the folder is, and what to do.
    """

    signs: tuple[str, ...]
    part_suffix: str
    message: str


UNSUPPORTED_FOLDERS = (
    UnsupportedFolder(
        ("_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt"),
        "",
        "is a checkpoint of Orbax, which is not read; save its arrays in a form that is: "
        "tree = orbax.checkpoint.StandardCheckpointer().restore(FOLDER); "
        "open('model.msgpack', 'wb').write(flax.serialization.to_bytes(tree))",
    ),
    UnsupportedFolder(
        (".metadata",),
        ".distcp",
        "is a checkpoint of torch.distributed, which is not read; join its parts: "
        "torch.distributed.checkpoint.format_utils.dcp_to_torch_save(FOLDER, FILE)",
    ),
)


def locate(path: Path) -> Path | None:
    """Return the folder of a checkpoint if ``path`` is the folder itself, a sign of it or a part."""
    return None if _find_kind(path) is None else _get_folder(path)


def list_members(whole: Path) -> list[Path]:
    """Return the folder: what is inside is not told apart."""
    return [whole]


def read_files(path: Path) -> FileContents:
    """Refuse the checkpoint.

    Raises
    ------
    DataError
        Always. The message says how to save the arrays.
    """
    kind = _find_kind(path) or UNSUPPORTED_FOLDERS[0]
    raise DataError(kind.message)


def _find_kind(path: Path) -> UnsupportedFolder | None:
    for kind in UNSUPPORTED_FOLDERS:
        part = bool(kind.part_suffix) and path.name.endswith(kind.part_suffix)
        if path.is_dir() or path.name in kind.signs or part:
            folder = _get_folder(path)
            whole = any((folder / name).is_file() for name in kind.signs)
            if (whole and (not kind.part_suffix or any(folder.glob(f"*{kind.part_suffix}")))) or (
                part and path.is_file()
            ):
                return kind
    return None


def _get_folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent
