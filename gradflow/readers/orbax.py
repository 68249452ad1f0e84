"""Orbax checkpoints, folders of an OCDBT or Zarr store. They are recognized and refused.

Only tensorstore reads OCDBT. What it finds in a hostile folder can end the process.
"""

from pathlib import Path

from gradflow.errors import DataError
from gradflow.readers.contents import FileContents

_SIGNS = ("_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt")


def locate(path: Path) -> Path | None:
    """Return the folder of a checkpoint if ``path`` is the folder itself or its description."""
    folder = path.parent if path.name in _SIGNS else path
    return folder if any((folder / name).is_file() for name in _SIGNS) else None


def read_files(path: Path) -> FileContents:
    """Refuse the checkpoint.

    Raises
    ------
    DataError
        Always. The message says how to save the arrays.
    """
    folder = locate(path) or path
    raise DataError(
        "is a checkpoint of Orbax, which is not read; save its arrays in a form that is: "
        f"tree = orbax.checkpoint.StandardCheckpointer().restore({str(folder.resolve())!r}); "
        "open('model.msgpack', 'wb').write(flax.serialization.to_bytes(tree))"
    )
