"""The only place that prints. Results go to standard output, all about them to standard error.

On a terminal there are colour, tables in columns and a progress line in place; in a pipe, plain
lines.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlfunc.errors import MlfuncError

Format = Literal["human", "json", "yaml"]

_COLOURS = {"red": 31, "green": 32, "yellow": 33, "cyan": 36, "dim": 2, "bold": 1}
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_CLEAR_LINE = "\r\x1b[2K"
_TICK_SECONDS = 0.1


class Ui:
    """How this command talks to its user. One is made per command and passed down."""

    def __init__(self) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # What it cannot carry (ü in ASCII, half of an emoji) is shown escaped: no failure.
            sys.stdout.reconfigure(errors="backslashreplace")
        self.format: Format = "human"
        self.verbose = False
        self.terminal = sys.stdout.isatty()
        self._err_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._lock = threading.RLock()
        self._progress: Progress | None = None

    def be_verbose(self) -> None:
        """Show tracebacks, and what the program does: each child command it starts."""
        import logging

        self.verbose = True
        note = self.note

        class Notes(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                note(record.getMessage())

        logger = logging.getLogger("mlfunc")
        logger.handlers = [Notes()]
        logger.setLevel(logging.DEBUG)

    def say(self, text: str = "") -> None:
        """A line of the result."""
        self.write(text + "\n")

    def note(self, text: str) -> None:
        """A line about the result: what is being done, what to do next."""
        self.write(text + "\n", error=True)

    def write(self, text: str, *, error: bool = False) -> None:
        """Text as it is, without a line end of ours."""
        with self._lock:
            self._hide_progress()
            stream = sys.stderr if error else sys.stdout
            stream.write(text)
            stream.flush()

    def write_bytes(self, data: bytes, *, error: bool = False) -> None:
        """What somebody else wrote, byte for byte."""
        with self._lock:
            self._hide_progress()
            stream = sys.stderr if error else sys.stdout
            stream.flush()
            stream.buffer.write(data)
            stream.buffer.flush()

    def show(self, data: object, human: Callable[[], None]) -> None:
        """The same result for people (`human` prints it) or for programs (`data`)."""
        if self.format == "human":
            human()
        elif self.format == "json":
            import json

            self.say(json.dumps(data, indent=2, ensure_ascii=False))
        else:
            import yaml

            self.write(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns as wide as their longest cell."""
        for line in columns(headers, rows):
            self.say(line)

    def error(self, error: MlfuncError) -> None:
        """A failure: evidence first, so that the sentence and the way out are what is read last.

        A traceback tells more only where the failure was somebody else's before it was ours.
        """
        if error.evidence:
            self.note(error.evidence.rstrip("\n"))
        self.note(f"{self.paint('error:', 'red', error=True)} {error.message}")
        if error.hint:
            self.note(f"{self.paint('  try:', 'cyan', error=True)} {error.hint}")
        if self.verbose and error.__cause__ is not None:
            import traceback

            self.note("".join(traceback.format_exception(error)).rstrip())

    def paint(self, text: str, colour: str, *, error: bool = False) -> str:
        """`text` in a colour, where the stream it goes to is a terminal."""
        if not (self._colour and (self._err_terminal if error else self.terminal)):
            return text
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"

    @contextlib.contextmanager
    def progress(self, phase: str) -> Iterator[Progress]:
        """Show what is being waited for, and since when, until the block ends."""
        progress = self.begin(phase)
        succeeded = False
        try:
            yield progress
            succeeded = True
        finally:
            progress.close(succeeded=succeeded)

    def begin(self, phase: str) -> Progress:
        """The same for a wait that is no block: somebody closes it."""
        self._progress = Progress(self, phase, in_place=self._err_terminal)
        return self._progress

    def end(self, progress: Progress) -> None:
        """Nothing is waited for any more."""
        if self._progress is progress:
            self._progress = None

    def _hide_progress(self) -> None:
        if self._progress is not None:
            self._progress.hide()


class Progress:
    """The phase a command is in: a line in place on a terminal, a line per phase in a pipe."""

    def __init__(self, ui: Ui, phase: str, *, in_place: bool) -> None:
        self._ui = ui
        self._in_place = in_place
        self._phase = ""
        self._detail = ""
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.phase(phase)
        if in_place:
            self._thread = threading.Thread(target=self._spin, name="progress", daemon=True)
            self._thread.start()

    def phase(self, phase: str) -> None:
        """Go on to the next phase; the one before is shown with the time it took."""
        if phase == self._phase:
            return
        self._finish_phase(succeeded=True)
        self._phase, self._detail, self._began = phase, "", time.monotonic()
        if not self._in_place:
            self._ui.note(f"{phase} ...")

    def detail(self, text: str) -> None:
        """What the phase is at, for a terminal only: no control character may move its cursor."""
        self._detail = "".join(char if char.isprintable() else " " for char in text)

    def hide(self) -> None:
        """Clear the line, so that other text can be written; the next tick draws it again."""
        if self._in_place:
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()

    def close(self, *, succeeded: bool) -> None:
        """End the last phase and leave the line to others."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self._ui.end(self)
        self._finish_phase(succeeded=succeeded)

    def _finish_phase(self, *, succeeded: bool) -> None:
        if self._phase and self._in_place:
            seconds = time.monotonic() - self._began
            mark = self._ui.paint(*(("✓", "green") if succeeded else ("✗", "red")), error=True)
            self._ui.write(f"{_CLEAR_LINE}{mark} {self._phase}  {seconds:.1f} s\n", error=True)

    def _spin(self) -> None:
        tick = 0
        while not self._ended.wait(_TICK_SECONDS):
            tick += 1
            self._ui.write(self._line(_SPINNER[tick % len(_SPINNER)]), error=True)

    def _line(self, mark: str) -> str:
        import shutil

        seconds = time.monotonic() - self._began
        line = f"{mark} {self._phase}  {seconds:.0f} s  {self._detail}"
        return _CLEAR_LINE + line[: shutil.get_terminal_size().columns - 1]


def columns(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table."""
    lines = [[header.upper() for header in headers], *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join(cells).rstrip()
