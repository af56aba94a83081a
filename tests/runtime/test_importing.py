"""The table that transformers scans its files for is kept, and used only where it is still true."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

UTILS = """
scans = []

def create_import_structure_from_path(path):
    scans.append(str(path))
    return {"bert": {frozenset({"torch"}): {"modeling_bert": {"BertModel"}}}}
"""
ASKS = """
import os
from mlfunc_runtime import importing
importing.keep_tables(os.environ)
from transformers.utils import import_utils as utils
import transformers, pathlib
models = pathlib.Path(transformers.__file__).parent / "models"
tables = [utils.create_import_structure_from_path(p) for p in (models, str(models / "__init__.py"))]
assert tables[0] == tables[1] == {"bert": {frozenset({"torch"}): {"modeling_bert": {"BertModel"}}}}
assert tables[0] is not tables[1]
utils.create_import_structure_from_path(models / "bert")
print(len(utils.scans))
"""


@dataclass
class Site:
    """A folder of installed packages with something called transformers in it."""

    folder: Path
    cache: Path

    @property
    def kept(self) -> Path:
        return self.cache / "transformers.marshal"

    def scans(self, **env: str) -> int:
        """How often a start scans: for all models twice, and for one of them."""
        variables = os.environ | {"PYTHONPATH": str(self.folder)}
        variables |= {"MLFUNC_IMPORT_CACHE": str(self.cache)} | env
        command = [sys.executable, "-c", ASKS]
        told = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        return int(told.stdout)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    utils = tmp_path / "site" / "transformers" / "utils"
    utils.mkdir(parents=True)
    (utils / "import_utils.py").write_text(UTILS)
    for package in (utils.parent, utils):
        (package / "__init__.py").write_text("")
    record = tmp_path / "site" / "transformers-5.0.dist-info" / "RECORD"
    record.parent.mkdir()
    record.write_text("transformers/a.py,sha256=a,1\n")
    return Site(tmp_path / "site", tmp_path / "cache")


def test_the_second_start_does_not_scan_all_models_again(site: Site) -> None:
    assert [site.scans(), site.scans()] == [2, 1]
    assert [path.name for path in site.cache.iterdir()] == ["transformers.marshal"]


def test_nothing_is_kept_unless_it_is_said_where(site: Site) -> None:
    assert [site.scans(MLFUNC_IMPORT_CACHE=""), site.scans(MLFUNC_IMPORT_CACHE="")] == [3, 3]


def test_another_installation_is_scanned_anew(site: Site) -> None:
    site.scans()
    (site.folder / "transformers-5.0.dist-info" / "RECORD").write_text(
        "transformers/a.py,sha256=b,1\n"
    )
    assert [site.scans(), site.scans()] == [2, 1]


def test_the_same_release_elsewhere_uses_what_was_kept(site: Site, tmp_path: Path) -> None:
    """As in an image: other paths, other times, other scripts and bytecode."""
    site.scans()
    moved = Site(site.folder.rename(tmp_path / "moved"), site.cache)
    record = moved.folder / "transformers-5.0.dist-info" / "RECORD"
    more = ["../bin/transformers,sha256=z,9", "transformers/__pycache__/a.cpython-311.pyc,,"]
    record.write_text("\n".join([*more, record.read_text()]))
    os.utime(record, (315532801, 315532801))
    assert moved.scans() == 1


def test_what_was_kept_is_read_where_nothing_can_be_written(site: Site) -> None:
    site.scans()
    site.kept.chmod(0o444)
    site.cache.chmod(0o555)
    assert site.scans() == 1


def test_a_checkout_whose_files_change_is_scanned_at_each_start(site: Site) -> None:
    (site.folder / "transformers-5.0.dist-info" / "RECORD").unlink()
    assert [site.scans(), site.scans()] == [3, 3]


@pytest.mark.parametrize("broken", [b"", b"\xff", b"i\0\0\0\0", b"(\x02\0\0\0"])
def test_a_broken_file_is_made_anew(site: Site, broken: bytes) -> None:
    site.scans()
    site.kept.write_bytes(broken)
    assert [site.scans(), site.scans()] == [2, 1]


def test_where_nothing_can_be_written_it_starts_all_the_same(site: Site) -> None:
    site.cache.write_text("a file where the folder should be")
    assert [site.scans(), site.scans()] == [3, 3]


def test_another_transformers_without_that_function_is_left_alone(site: Site) -> None:
    (site.folder / "transformers/utils/import_utils.py").write_text("scans = []")
    code = ASKS.partition("import transformers,")[0] + "print(7)"
    variables = os.environ | {"PYTHONPATH": str(site.folder), "MLFUNC_IMPORT_CACHE": "x"}
    told = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True
    )
    assert told.stdout == "7\n"
