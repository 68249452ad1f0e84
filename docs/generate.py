"""Make the reference of commands, functions and checkpoints, and manuals: ``python docs/generate.py``.

With ``--check`` nothing is written: stale files are named, and the exit code is 1 where there are any.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from reference.checkpoints import checkpoints_page
from reference.completion import completions
from reference.manual import manual, manual_title
from reference.page import page, python_page

from gradflow.cli import COMMANDS

HOME = Path(__file__).parent


def made() -> dict[Path, str]:
    """Return every file that is made, with its text."""
    pages = {HOME / "commands" / f"{name}.md": name for name in COMMANDS}
    return (
        {path: page(name, _text(path)) for path, name in pages.items()}
        | {HOME / "python.md": python_page(_text(HOME / "python.md"))}
        | {HOME / "checkpoints.md": checkpoints_page(_text(HOME / "checkpoints.md"))}
        | {HOME / "man" / f"{manual_title(name)}.1": manual(name) for name in ("", *COMMANDS)}
        | {HOME / "completions" / name: text for name, text in completions().items()}
    )


def stale(files: Mapping[Path, str]) -> list[Path]:
    """Return those of the files that are not as they would be made, and manuals of what there is no more."""
    left = [path for path in (HOME / "man").glob("*.1") if path not in files]
    return [path for path, text in files.items() if _text(path) != text] + left


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main(arguments: list[str]) -> int:
    """Write what is stale, or with ``--check`` name it; return the exit code."""
    parser = argparse.ArgumentParser(description="Make the reference, the manuals and the completions.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is stale")
    check = parser.parse_args(arguments).check
    files = made()
    found = stale(files)
    for path in found:
        if check:
            print(f"{path.relative_to(HOME.parent)} is stale: run make docs")
        elif path in files:
            path.parent.mkdir(exist_ok=True)
            path.write_text(files[path], encoding="utf-8")
        else:
            path.unlink()
    return 1 if check and found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
