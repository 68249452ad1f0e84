"""What the output streams can show (width, color, letters), and the progress bar on stderr."""

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from importlib import import_module
from typing import Any, TextIO

BAR_DELAY = 0.5  # seconds before a bar appears


def measure_width(stream: TextIO) -> int | None:
    """Return the number of columns from COLUMNS or the terminal; None off a terminal, for no limit."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    if not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


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


def make_progress_map(quiet: bool) -> Callable[..., Iterable[Any]]:
    """Return a ``map`` that shows a progress bar on stderr for long work, if stderr is a terminal."""
    return map if quiet or not (sys.stderr and sys.stderr.isatty()) else _map_with_bar


def _map_with_bar(function: Callable[..., Any], *iterables: Iterable[Any]) -> Iterator[Any]:
    first = iterables[0]
    bar = _LateBar(len(first) if isinstance(first, Sized) else None)
    try:
        for done, arguments in enumerate(zip(*iterables, strict=False)):
            bar.update(done)
            yield function(*arguments)
    finally:
        bar.stop()


class _LateBar:
    """A progress bar that appears after a delay, even while the first item is still being worked on."""

    def __init__(self, total: int | None) -> None:
        self.total, self.done = total, 0
        self.bar: Any = None
        self.ended = False
        self.lock = threading.Lock()
        self.timer = threading.Timer(BAR_DELAY, self._begin)
        self.timer.daemon = True
        if BAR_DELAY > 0:
            self.timer.start()
        else:
            self._begin()

    def _begin(self) -> None:
        with self.lock:
            if not self.ended:
                self.bar = _start_bar()
                self.task = self.bar.add_task("", total=self.total, completed=self.done)

    def update(self, done: int) -> None:
        """Set how many items are done."""
        with self.lock:
            self.done = done
            if self.bar is not None:
                self.bar.update(self.task, completed=done)

    def stop(self) -> None:
        """Remove the bar, or keep it from appearing."""
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
