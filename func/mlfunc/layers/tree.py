"""A tree: what a layer will hold, as data. It is streamed into a tar or written to a folder.

    scan         a folder here -> Tree
    merge, part  trees -> one;  one -> two
    entry_digest an entry -> what it is known by
    write        Tree -> a folder here, for a lifecycle that makes the layer itself

No file is opened before its bytes are wanted.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlfunc.errors import MlfuncError
from mlfunc.layers import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


@dataclass(frozen=True, slots=True)
class Range:
    """Some bytes of a file here: as it was when it was last written at `written`, if that is said,
    in nanoseconds. A key that was made of it then is not to name what it is later.
    """

    path: Path
    offset: int
    length: int
    written: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class File:
    """A file in the image: its bytes are those of its pieces, one after the other."""

    path: str
    pieces: tuple[bytes | Range, ...]
    executable: bool = False

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(len(p) if isinstance(p, bytes) else p.length for p in self.pieces)


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that nothing is in; those above files need no mention."""

    path: str


Entry = File | Link | Folder


@dataclass(frozen=True)
class Tree:
    """Entries, kept in the order of their paths: `workspace/x.py`, relative to the image's root.

    Raises:
        ValueError: a path is absolute, climbs with `..`, is there twice, or leads through a file or
            a link.

    """

    entries: tuple[Entry, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "entries", _in_order(self.entries))

    @property
    def size(self) -> int:
        """Of the files, in bytes."""
        return sum(entry.size for entry in self.entries if isinstance(entry, File))


def scan(folder: Path, at: str = "", *, skip: Callable[[str], bool] = lambda _: False) -> Tree:
    """What is in a folder here, as it will lie at `at` in the image.

    `skip` gets paths relative to the folder, those of folders with a slash at the end, as patterns
    of .gitignore are matched. A folder of which all is skipped is left out, an empty one is not.

    Raises:
        MlfuncError: a pipe, socket or device is there, a name is not UTF-8, or a folder cannot be
            read.

    """
    return Tree(tuple(_walk(folder, at, skip)))


def merge(trees: Iterable[Tree]) -> Tree:
    """All of them in one; what two have alike is there once.

    Raises:
        ValueError: two have different things at one path.

    """
    return Tree(tuple(dict.fromkeys(entry for tree in trees for entry in tree.entries)))


def part(tree: Tree, wanted: Callable[[Entry], bool]) -> tuple[Tree, Tree]:
    """The entries that are wanted, and the others."""
    chosen = tuple(entry for entry in tree.entries if wanted(entry))
    rest = tuple(entry for entry in tree.entries if not wanted(entry))
    return Tree(chosen), Tree(rest)


def entry_digest(entry: Entry) -> str:
    """Of all that a layer has of it: what a file holds and whether it is a program, where a link
    leads.

    Raises:
        MlfuncError: a file cannot be read, or changed meanwhile.

    """
    match entry:
        case File(pieces=pieces, executable=executable):
            content = hashlib.sha256(b"x" if executable else b"-")
            for piece in reading.read(pieces):
                content.update(piece)
            return content.hexdigest()
        case Link(target=target):
            return f"-> {target}"
        case Folder():
            return "folder"


def parents(path: str) -> Iterator[str]:
    """The folders above, nearest first: a/b/c -> a/b, a."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def write(tree: Tree, folder: Path) -> None:
    """Write it below a folder, with the modes that a layer has.

    Raises:
        MlfuncError: a file that it reads cannot be read, or changed meanwhile.
        FileExistsError: something is there already.

    """
    for entry in tree.entries:
        path = folder / entry.path
        _make_folder(path if isinstance(entry, Folder) else path.parent, folder)
        match entry:
            case File():
                _write_file(entry, path)
            case Link():
                path.symlink_to(entry.target)
            case Folder():
                pass


def _write_file(entry: File, path: Path) -> None:
    with path.open("xb") as file:
        file.writelines(reading.read(entry.pieces))
    path.chmod(0o755 if entry.executable else 0o644)


def _make_folder(path: Path, top: Path) -> None:
    """It and those above it up to `top`, readable for all whatever the umask."""
    missing = []
    while path != top and not path.is_dir():
        missing.append(path)
        path = path.parent
    top.mkdir(parents=True, exist_ok=True)
    for each in reversed(missing):
        each.mkdir()
        each.chmod(0o755)


def _in_order(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    by_path: dict[str, Entry] = {}
    for entry in sorted(entries, key=lambda entry: entry.path):
        _check(entry)
        if entry.path in by_path:
            raise ValueError(f"{entry.path} is there twice")
        by_path[entry.path] = entry
    above = _all_parents(by_path)
    if through := next((p for p in above if not isinstance(by_path.get(p, Folder(p)), Folder)), ""):
        raise ValueError(f"{through} is no folder, and something is in it")
    return tuple(entry for path, entry in by_path.items() if path not in above)


def _all_parents(paths: Iterable[str]) -> set[str]:
    above: set[str] = set()
    for path in paths:
        for parent in parents(path):
            if parent in above:
                break
            above.add(parent)
    return above


def _check(entry: Entry) -> None:
    steps = entry.path.split("/")
    if "\0" in entry.path or any(step in {"", ".", ".."} for step in steps):
        raise ValueError(f"{entry.path!r} is no path inside an image")
    entry.path.encode()
    if isinstance(entry, Link) and (not entry.target or "\0" in entry.target):
        raise ValueError(f"{entry.path} links to nowhere: {entry.target!r}")


def _walk(folder: Path, at: str, skip: Callable[[str], bool]) -> Iterator[Entry]:
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        found = _listed(folder / inside)
        if not found and (path := f"{at}/{inside}".strip("/")):
            yield Folder(path)
        for item in found:
            relative = f"{inside}{item.name}"
            is_folder = item.is_dir(follow_symlinks=False)
            if skip(f"{relative}/" if is_folder else relative):
                continue
            if is_folder:
                waiting.append(f"{relative}/")
            else:
                yield _entry(item, f"{at}/{relative}".strip("/"))


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError as error:
        message = f"{folder} cannot be read: {error.strerror}"
        raise MlfuncError(message, "it belongs into the image: make it readable") from error


def _entry(item: os.DirEntry[str], path: str) -> Entry:
    facts = item.stat(follow_symlinks=False)
    target = _target(item) if stat.S_ISLNK(facts.st_mode) else ""
    if not _is_utf8(path + target):
        shown = os.fsencode(item.path).decode(errors="backslashreplace")
        raise MlfuncError(f"the name of {shown} is not UTF-8", "rename it, or keep it out")
    if target:
        return Link(path, target)
    if not stat.S_ISREG(facts.st_mode):
        kind = _KINDS.get(stat.S_IFMT(facts.st_mode), "a device")
        message = f"{item.path} is {kind}, which no image can hold"
        raise MlfuncError(message, "remove it, or name it in .mlfuncignore")
    whole = Range(Path(item.path), 0, facts.st_size, facts.st_mtime_ns)
    pieces = (whole,) if facts.st_size else ()
    return File(path, pieces, executable=bool(facts.st_mode & stat.S_IXUSR))


def _target(item: os.DirEntry[str]) -> str:
    # As it is written: a Path would leave out a `.` or a slash.
    return os.readlink(item)  # noqa: PTH115 - for that reason


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
