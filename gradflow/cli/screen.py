"""What the streams at hand can show: width, colour, letters; notes and progress go to stderr."""

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from importlib import import_module
from typing import Any, TextIO

PATIENCE = 0.5  # seconds before a bar appears


def width_of(stream: TextIO) -> int | None:
    """Return the columns of a terminal (or of COLUMNS); None off a terminal: as many as needed."""
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told) > 0:
        return int(told)
    if not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


def has_color(stream: TextIO) -> bool:
    """Return whether to colour: NO_COLOR forbids, FORCE_COLOR demands, else a terminal that can."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_unicode(stream: TextIO) -> bool:
    """Return whether the stream's encoding has the marks that tables and sparklines are drawn with."""
    try:
        "─█λ".encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def watched(quiet: bool) -> Callable[..., Iterable[Any]]:
    """Return a ``map`` that shows a bar on stderr, if that is a terminal and the work is long."""
    return map if quiet or not (sys.stderr and sys.stderr.isatty()) else _with_bar


def _with_bar(function: Callable[..., Any], *iterables: Iterable[Any]) -> Iterator[Any]:
    first = iterables[0]
    bar = _LateBar(len(first) if isinstance(first, Sized) else None)
    try:
        for done, arguments in enumerate(zip(*iterables, strict=False)):
            bar.update(done)
            yield function(*arguments)
    finally:
        bar.stop()


class _LateBar:
    """A bar that appears once work takes long, also while its first piece is still being done."""

    def __init__(self, total: int | None) -> None:
        self.total, self.done = total, 0
        self.bar: Any = None
        self.ended = False
        self.lock = threading.Lock()
        self.timer = threading.Timer(PATIENCE, self._begin)
        self.timer.daemon = True
        if PATIENCE > 0:
            self.timer.start()
        else:
            self._begin()

    def _begin(self) -> None:
        with self.lock:
            if not self.ended:
                self.bar = _bar()
                self.task = self.bar.add_task("", total=self.total, completed=self.done)

    def update(self, done: int) -> None:
        """Note how many pieces are done."""
        with self.lock:
            self.done = done
            if self.bar is not None:
                self.bar.update(self.task, completed=done)

    def stop(self) -> None:
        """Take the bar away, or see that it never comes."""
        self.timer.cancel()
        with self.lock:
            self.ended = True
            if self.bar is not None:
                self.bar.stop()


def _bar() -> Any:
    # By name: rich's bar costs more than all of a short command, and is needed by long ones alone.
    progress = import_module("rich.progress")
    console = import_module("rich.console").Console(stderr=True)
    bar = progress.Progress(
        progress.BarColumn(), progress.MofNCompleteColumn(), progress.TimeElapsedColumn(),
        console=console, transient=True,
    )  # fmt: skip
    bar.start()
    return bar
