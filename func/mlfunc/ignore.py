"""Which files of a project go into its image: all but what .mlfuncignore and these rules leave out.

The rules are gitignore's. Those of .mlfuncignore come last, so `!README.md` brings a file back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pathspec import GitIgnoreSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

FILE = ".mlfuncignore"
# Left out of every image: what a function does not read when it serves, so that a change of it
# changes no image, and what a machine or a person keeps beside the code.
DEFAULTS = (
    "*.py[cod]",
    "*.log",
    "*.swp",
    "*~",
    ".*_cache/",
    ".DS_Store",
    ".coverage",
    ".dockerignore",
    ".env",
    ".env.*",
    ".git",
    ".gitattributes",
    ".gitignore",
    ".hg/",
    ".hypothesis/",
    ".idea/",
    ".ipynb_checkpoints/",
    ".mlfuncignore",
    ".svn/",
    ".venv/",
    ".vscode/",
    "/*.tar",
    "/README.md",
    "/mlfunc.lock",
    "/mlfunc.lock.unfinished*",
    "/pyproject.toml",
    "/requirements*.txt",
    "/test_*.py",
    "/tests/",
    "/uv.lock",
    "/venv/",
    "/wheels/",
    "__pycache__/",
    "node_modules/",
)


def rules(folder: Path, models: Iterable[str] = ()) -> Callable[[str], bool]:
    """Whether a path of the project is left out; a folder's ends with a slash.

    `models` are paths of models: they have layers of their own, and no rule brings them back. Nor
    does one bring back images, such as `mlfunc build --output` writes.
    """
    own = folder / FILE
    lines = own.read_text(encoding="utf-8").splitlines() if own.is_file() else []
    spec = GitIgnoreSpec.from_lines([*DEFAULTS, *lines, *_paths(folder, models)])
    return lambda path: spec.match_file(path) or (folder / path / "oci-layout").is_file()


def left_out_with(folder: Path, path: str, models: Iterable[str] = ()) -> str | None:
    """What is left out of a project with this path: itself, or a folder above, as `tests/`."""
    skip = rules(folder, models)
    steps = path.split("/")
    above = ("/".join(steps[:depth]) + "/" for depth in range(1, len(steps)))
    return next((each for each in (*above, path) if skip(each)), None)


def left_out(folder: Path) -> Iterator[Path]:
    """What of the project is left out: files, and folders whole."""
    skip = rules(folder)
    waiting = [folder]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            is_folder = path.is_dir() and not path.is_symlink()
            relative = path.relative_to(folder).as_posix()
            if skip(f"{relative}/" if is_folder else relative):
                yield path
            elif is_folder:
                waiting.append(path)


def _paths(folder: Path, models: Iterable[str]) -> Iterable[str]:
    """Those within the project, as rules."""
    top = folder.resolve()
    for model in models:
        path = (folder / model).resolve()
        if path != top and path.is_relative_to(top):
            yield "/" + _literally(path.relative_to(top).as_posix())


def _literally(path: str) -> str:
    """What is special in a rule stands for itself."""
    return "".join(f"\\{char}" if char in "\\*?[]!# " else char for char in path)
