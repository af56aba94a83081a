"""Wheels of this checkout, as an index would have them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
UV = str(Path(sys.executable).with_name("uv"))
_FILES = ("pyproject.toml", "setup.cfg", "README.md", "LICENSE")
_LEFT_OUT = shutil.ignore_patterns("*.egg-info", "__pycache__")


def mlfunc_wheel(folder: Path) -> Path:
    """The command line's."""
    return _wheel(REPOSITORY, "func", folder)


def runtime_wheel(folder: Path) -> Path:
    """The runtime's."""
    return _wheel(REPOSITORY / "runtime", "mlfunc_runtime", folder)


def _wheel(project: Path, package: str, folder: Path) -> Path:
    """Made of a copy: setuptools leaves its work beside the sources, and finds it there again."""
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(project / package, Path(copy, package), ignore=_LEFT_OUT)
        for name in filter(lambda name: (project / name).is_file(), _FILES):
            shutil.copy(project / name, copy)
        made = Path(copy, "wheels")
        command = [UV, "build", "--quiet", "--wheel", "--out-dir", str(made), copy]
        subprocess.run(command, check=True)
        (wheel,) = made.glob("*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(wheel, folder))
