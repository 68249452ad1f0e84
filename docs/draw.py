"""Draw the pictures of README and docs, each with the command beside it: ``python docs/draw.py``."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HOME = Path(__file__).parents[1]
PICTURES = HOME / "docs" / "pictures"
IMAGE = re.compile(r"!\[[^\]]*\]\([^)\s]*?pictures/([\w-]+\.svg)\)")
COMMAND = re.compile(r"^\$ ((?:[^\n]*\\\n)*[^\n]*--plot ([\w-]+\.svg)[^\n]*)$", re.MULTILINE)


def documents() -> list[Path]:
    """Return every document, of which some show pictures."""
    return [HOME / "README.md", *sorted((HOME / "docs").rglob("*.md"))]


def drawing_commands(text: str) -> dict[str, str]:
    r"""Return, of a document, the command that draws each picture that it shows.

    Raises
    ------
    LookupError
        For a picture that no command of the document draws.

    Examples
    --------
    >>> drawing_commands("![a line](pictures/line.svg)\n\n$ gradflow power -m 0.5 --plot line.svg\n")
    {'line.svg': 'gradflow power -m 0.5 --plot line.svg'}
    >>> list(drawing_commands("![](pictures/a.svg)\n\n$ gradflow power \\\n  -m 0.5 --plot a.svg\n"))
    ['a.svg']
    """
    commands = {name: command for command, name in COMMAND.findall(text)}
    shown = IMAGE.findall(text)
    missing = [name for name in shown if name not in commands]
    if missing:
        raise LookupError(
            f"no command with --plot draws {', '.join(missing)}; expected one beside the picture"
        )
    return {name: commands[name] for name in shown}


def drawn(name: str, command: str) -> bytes:
    """Return a picture drawn anew, in a folder in which the checkout's tests stand."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tests").symlink_to(HOME / "tests")
        environment = {**os.environ, "PATH": path}
        subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL
        )
        return (Path(folder) / name).read_bytes()


def main() -> None:
    """Draw every picture that a document shows."""
    for document in documents():
        for name, command in drawing_commands(document.read_text(encoding="utf-8")).items():
            (PICTURES / name).write_bytes(drawn(name, command))


if __name__ == "__main__":
    main()
