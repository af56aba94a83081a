"""The only place that prints. Results go to standard output, all about them to standard error.

On a terminal there are colour, tables in columns and a progress line in place; in a pipe, plain
lines.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlfunc.errors import MlfuncError

Format = Literal["human", "json", "yaml"]

_COLOURS = {"red": 31, "green": 32, "yellow": 33, "cyan": 36, "dim": 2, "bold": 1}
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_CLEAR_LINE = "\r\x1b[2K"
_TICK_SECONDS = 0.1
# A column narrower than this is no pleasure.
_READABLE = 30


def _foreign(error: BaseException) -> BaseException | None:
    """Of what led to a failure, the first that is none of ours; None: we have found it."""
    from mlfunc.errors import MlfuncError

    cause = error.__cause__
    return _foreign(cause) if isinstance(cause, MlfuncError) else cause


def printable(text: str) -> str:
    """What others wrote, for one line: no control character may move a terminal's cursor."""
    return "".join(char if char.isprintable() else " " for char in text)


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
        self._mid_line = False
        logger = logging.getLogger("mlfunc")
        logger.handlers = [_Notes(self)]
        logger.setLevel(logging.INFO)

    def be_verbose(self) -> None:
        """Show tracebacks, and what the program does: each child command it starts."""
        self.verbose = True
        logging.getLogger("mlfunc").setLevel(logging.DEBUG)

    def say(self, text: str = "") -> None:
        """A line of the result."""
        self.write(text + "\n")

    def note(self, text: str) -> None:
        """A line about the result: what is being done, what to do next."""
        self.write(text + "\n", error=True)

    def write(self, text: str, *, error: bool = False) -> None:
        """Text as it is, without a line end of ours."""
        with self._lock:
            self._make_room()
            stream = sys.stderr if error else sys.stdout
            stream.write(text)
            stream.flush()

    def write_bytes(self, data: bytes) -> None:
        """A result, byte for byte."""
        with self._lock:
            self._make_room()
            _write_bytes(sys.stdout, data)

    def pass_on(self, data: bytes) -> None:
        """What a function wrote, byte for byte; where it stops in a line, it may go on."""
        with self._lock:
            if not self._mid_line:
                self._hide_progress()
            _write_bytes(sys.stderr, data)
            self._mid_line = not data.endswith(b"\n")

    def draw(self, line: str) -> None:
        """A line in place of the one that the cursor is on, if that is ours."""
        with self._lock:
            if not self._mid_line:
                sys.stderr.write(_CLEAR_LINE + line)
                sys.stderr.flush()

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
        """Columns as wide as their longest cell, or as the terminal lets them be."""
        for line in columns(headers, rows, self.width()):
            self.say(line)

    def pair(self, name: str, text: str, *, indent: int = 14) -> None:
        """A name and what is told of it, which goes on below itself."""
        width = self.width()
        told = f"{name:<{indent}}{text}"
        line = told if width is None else _fill(told, width, " " * indent)
        self.say(self.paint(line[:indent], "cyan") + line[indent:])

    def width(self) -> int | None:
        """How wide a table may be; a pipe takes any."""
        import shutil

        return shutil.get_terminal_size().columns if self.terminal else None

    def error(self, error: MlfuncError) -> None:
        """A failure: evidence first, so that the sentence and the way out are what is read last.

        A traceback tells more only where the failure was somebody else's before it was ours.
        """
        if self.verbose and (foreign := _foreign(error)) is not None:
            import traceback

            self.note("".join(traceback.format_exception(foreign)).rstrip())
        if error.evidence:
            self.note(error.evidence.rstrip("\n"))
        self.note(f"{self.paint('error:', 'red', error=True)} {error.message}")
        if error.hint:
            self.note(f"{self.paint('  try:', 'cyan', error=True)} {error.hint}")

    def paint(self, text: str, colour: str, *, error: bool = False) -> str:
        """`text` in a colour, where the stream it goes to is a terminal."""
        if not (self._colour and (self._err_terminal if error else self.terminal)):
            return text
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"

    @contextlib.contextmanager
    def progress(self, phase: str) -> Iterator[Progress]:
        """Show what is being waited for, and since when, until the block ends."""
        progress = self.begin(phase)
        try:
            yield progress
        except BaseException:
            progress.fail()
            raise
        finally:
            progress.close()

    def begin(self, phase: str) -> Progress:
        """The same for a wait that is no block: somebody closes it."""
        self._progress = Progress(self, phase, in_place=self._err_terminal)
        return self._progress

    def end(self, progress: Progress) -> None:
        """Nothing is waited for any more."""
        if self._progress is progress:
            self._progress = None

    def _make_room(self) -> None:
        """A line for what is ours: without the progress, and after what others wrote."""
        if self._mid_line:
            sys.stderr.write("\n")
            sys.stderr.flush()
            self._mid_line = False
        self._hide_progress()

    def _hide_progress(self) -> None:
        if self._progress is not None:
            self._progress.hide()


class _Notes(logging.Handler):
    """What happens far from any command, and its user should know."""

    def __init__(self, ui: Ui) -> None:
        super().__init__()
        self._ui = ui

    def emit(self, record: logging.LogRecord) -> None:
        self._ui.note(record.getMessage())


class Progress:
    """The phase a command is in: a line in place on a terminal, a line per phase in a pipe."""

    def __init__(self, ui: Ui, phase: str, *, in_place: bool) -> None:
        self._ui = ui
        self._in_place = in_place
        self._phase = ""
        self._detail = ""
        self._began = time.monotonic()
        self._failed = False
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
        self._finish_phase()
        self._phase, self._detail, self._began = phase, "", time.monotonic()
        if not self._in_place:
            self._ui.note(f"{phase} ...")

    def detail(self, text: str) -> None:
        """What the phase is at, for a terminal only."""
        self._detail = printable(text)

    def hide(self) -> None:
        """Clear the line, so that other text can be written; the next tick draws it again."""
        if self._in_place:
            self._ui.draw("")

    def fail(self) -> None:
        """The phase does not come to its end."""
        self._failed = True

    def close(self) -> None:
        """End the last phase and leave the line to others."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self.hide()
        self._ui.end(self)
        self._finish_phase()

    def _finish_phase(self) -> None:
        if self._phase and self._in_place:
            seconds = time.monotonic() - self._began
            mark = self._ui.paint(*(("✗", "red") if self._failed else ("✓", "green")), error=True)
            phase = self._phase if self._failed else _done(self._phase)
            self._ui.note(f"{mark} {phase}  {seconds:.1f} s")

    def _spin(self) -> None:
        tick = 0
        while not self._ended.wait(_TICK_SECONDS):
            tick += 1
            self._ui.draw(self._line(_SPINNER[tick % len(_SPINNER)]))

    def _line(self, mark: str) -> str:
        import shutil

        seconds = time.monotonic() - self._began
        line = f"{mark} {self._phase}  {seconds:.0f} s  {self._detail}"
        return line[: shutil.get_terminal_size().columns - 1]


def columns(
    headers: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None
) -> Iterator[str]:
    """The rows of a table; in a narrow place, its last column has lines of its own."""
    lines = [[header.upper() for header in headers], *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers))]
    room = None if width is None else width - sum(widths[:-1]) - 2 * (len(widths) - 1)
    for line in lines:
        cells = [cell.ljust(size) for cell, size in zip(line, widths, strict=True)]
        if room is None or room >= min(widths[-1], _READABLE):
            yield _hang("  ".join(cells).rstrip(), width, widths[-1], room)
        else:
            yield "  ".join(cells[:-1]).rstrip() + _indented(line[-1], width or 0)


def _hang(line: str, width: int | None, longest: int, room: int | None) -> str:
    """A line whose last cell goes on below itself."""
    if width is None or room is None or longest <= room:
        return line
    return _fill(line, width, " " * (width - room))


def _indented(text: str, width: int) -> str:
    indent = "    "
    return "\n" + _fill(indent + text, width, indent) if text else ""


def _fill(text: str, width: int, indent: str) -> str:
    """Lines of at most `width`, save that what is to be copied, such as a path, stays whole."""
    import textwrap

    return textwrap.fill(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _done(phase: str) -> str:
    """`installing` as what is over: `installed`."""
    first, blank, rest = phase.partition(" ")
    return first.removesuffix("ing") + "ed" + blank + rest


def _write_bytes(stream: TextIO, data: bytes) -> None:
    stream.flush()
    stream.buffer.write(data)
    stream.buffer.flush()
