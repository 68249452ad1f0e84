"""What the output streams can show (width, color, letters), and the progress bar on stderr."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TextIO

from gradflow.analysis.shared.progress import Progress

DEFAULT_WIDTH = 80  # columns of a terminal that does not say its width
BAR_DELAY = 0.5  # seconds before a bar appears


def measure_width(stream: TextIO) -> int | None:
    """Return the number of columns from COLUMNS or the terminal; None off a terminal, for no limit."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    if not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or DEFAULT_WIDTH
    except OSError:
        return DEFAULT_WIDTH


def wrap_message(text: str, stream: TextIO) -> str:
    """Return a message whose lines fit a terminal: wrapped at words, and indented from the second on."""
    width = measure_width(stream) or DEFAULT_WIDTH
    wrap = import_module("textwrap").wrap
    options = {"subsequent_indent": "  ", "break_long_words": False, "break_on_hyphens": False}
    return "\n".join(
        line if len(line) <= width else "\n".join(wrap(line, width, **options)) for line in text.split("\n")
    )


def has_color(stream: TextIO) -> bool:
    """Return whether to use color: not with NO_COLOR, always with FORCE_COLOR, else on a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_unicode(stream: TextIO) -> bool:
    """Return whether the encoding of a stream has the letters of tables and sparklines."""
    try:
        "─█λ".encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def show_progress(quiet: bool) -> Iterator[Progress | None]:
    """Yield a callback that shows a progress bar on stderr for long work; None off a terminal."""
    if quiet or not (sys.stderr and sys.stderr.isatty()):
        yield None
        return
    bar = _LateBar()
    try:
        yield bar.update
    finally:
        bar.stop()


class _LateBar:
    """A progress bar that appears a while after work begins, even while its first piece is not done yet."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.done = 0
        self.bar: Any = None
        self.timer: threading.Timer | None = None
        self.ended = False
        self.lock = threading.Lock()

    def update(self, done: int, total: int | None) -> None:
        """Set how many pieces of work are done, and how many there are. The first call begins the work."""
        with self.lock:
            self.done, self.total = done, total
            if self.bar is not None:
                self.bar.update(self.task, completed=done, total=total)
        if self.timer is None:
            self.timer = threading.Timer(BAR_DELAY, self._appear)
            self.timer.daemon = True
            if BAR_DELAY > 0:
                self.timer.start()
            else:
                self._appear()

    def _appear(self) -> None:
        with self.lock:
            if not self.ended:
                self.bar = _start_bar()
                self.task = self.bar.add_task("", total=self.total, completed=self.done)

    def stop(self) -> None:
        """Remove the bar, or keep it from appearing."""
        if self.timer is not None:
            self.timer.cancel()
        with self.lock:
            self.ended = True
            if self.bar is not None:
                self.bar.stop()


def _start_bar() -> Any:
    # Imported here: loading rich's progress bar takes longer than a short command.
    progress = import_module("rich.progress")
    console = import_module("rich.console").Console(stderr=True)
    bar = progress.Progress(
        progress.BarColumn(), progress.MofNCompleteColumn(), progress.TimeElapsedColumn(),
        console=console, transient=True,
    )  # fmt: skip
    bar.start()
    return bar
