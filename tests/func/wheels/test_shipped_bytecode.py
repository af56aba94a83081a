from __future__ import annotations

import hashlib
import os
import zipfile
from typing import TYPE_CHECKING

from mlfunc.lock import Wheel
from mlfunc.wheels import install
from mlfunc.wheels.install import Place

if TYPE_CHECKING:
    from pathlib import Path

_FILE = "careless-1.0-py3-none-any.whl"
_CONTENT = {
    "careless/__init__.py": "VALUE = 1\n",
    "careless/__pycache__/__init__.cpython-311.pyc": "compiled where it was built",
    "careless/__pycache__/gone.cpython-310.pyc": "by another Python, of a source that is gone",
    "careless-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: careless\nVersion: 1.0\n",
    "careless-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}


def test_a_wheel_that_brings_compiled_modules_gets_ours_instead(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "requirements.txt").write_text("careless\n", encoding="utf-8")
    (tmp_path / "scratch").mkdir()
    wheel = _wheel(tmp_path / "wheels" / _FILE)
    place = Place("deps", "/deps/bin/python", "3.11", "amd64")

    tree = install.tree([wheel], place, tmp_path, tmp_path / "scratch", os.environ)

    site = "deps/lib/python3.11/site-packages/careless"
    modules = [entry.path for entry in tree.entries if entry.path.startswith(f"{site}/")]
    assert modules == [f"{site}/__init__.py", f"{site}/__pycache__/__init__.cpython-311.pyc"]


def _wheel(path: Path) -> Wheel:
    listed = "".join(f"{name},,\n" for name in [*_CONTENT, "careless-1.0.dist-info/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**_CONTENT, "careless-1.0.dist-info/RECORD": listed}.items():
            archive.writestr(name, text)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Wheel("careless", "1.0", _FILE, digest)
