"""The import table of transformers, as an image brings it."""

from __future__ import annotations

import marshal
import os
from pathlib import Path

import mlfunc_runtime
import pytest
from mlfunc.wheels import tables
from mlfunc_runtime import importing

RUNTIME = Path(mlfunc_runtime.__file__).parent
# As transformers has it in what matters: scanned in the order of the file system, into sets.
UTILS = """
import os
import packaging.version
from packaging import version
from . import logging

logger = logging.get_logger(__name__)

def create_import_structure_from_path(path):
    with os.scandir(path) as entries:
        return {e.name: {frozenset({"torch", "vision"}): {e.name: {"A", "B", "C"}}} for e in entries}
"""


def make(site: Path, models: list[str], utils: str = UTILS) -> Path:
    """A folder of packages that holds something called transformers, whose root cannot be imported."""
    package = site / "transformers"
    for folder in ("models", "utils"):
        (package / folder).mkdir(parents=True)
    for name in models:
        (package / "models" / name).mkdir()
    (package / "__init__.py").write_text("import numpy.of.another.architecture")
    (package / "utils" / "__init__.py").write_text("import numpy.of.another.architecture")
    (package / "utils" / "import_utils.py").write_text(utils)
    record = site / "transformers-5.0.dist-info" / "RECORD"
    record.parent.mkdir()
    record.write_text("".join(f"transformers/models/{name}/a.py,sha256=a,1\n" for name in models))
    return site


def test_it_is_the_same_wherever_and_in_whatever_order_files_lie(tmp_path: Path) -> None:
    first = tables.bake(make(tmp_path / "a", ["bert", "gpt2", "llama"]), RUNTIME)
    second = tables.bake(make(tmp_path / "b" / "longer", ["llama", "bert", "gpt2"]), RUNTIME)
    assert first is not None
    assert first == second


def test_it_is_what_the_runtime_would_have_kept(tmp_path: Path) -> None:
    site = make(tmp_path / "site", ["bert"])
    baked = tables.bake(site, RUNTIME)
    assert baked is not None
    expected = {"bert": {frozenset({"torch", "vision"}): {"bert": {"A", "B", "C"}}}}
    assert marshal.loads(baked)[1] == expected


def test_the_runtime_reads_it_elsewhere_and_with_other_times(tmp_path: Path) -> None:
    baked = tables.bake(make(tmp_path / "staged", ["bert"]), RUNTIME)
    assert baked is not None
    image = (tmp_path / "staged").rename(tmp_path / "image")
    for path in image.rglob("*"):
        os.utime(path, (315532801, 315532801))
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / tables.FILE).write_bytes(baked)
    cache.chmod(0o555)
    module = type(importing)("import_utils")
    module.__file__ = str(image / "transformers" / "utils" / "import_utils.py")

    def scan(path: object) -> dict[str, object]:
        pytest.fail(f"{path} is scanned again")

    vars(module)["create_import_structure_from_path"] = scan
    importing.remember(module, str(cache))
    table = vars(module)["create_import_structure_from_path"](image / "transformers" / "models")
    assert list(table) == ["bert"]


def test_without_transformers_there_is_none(tmp_path: Path) -> None:
    assert tables.bake(tmp_path, RUNTIME) is None


@pytest.mark.parametrize(
    "utils", ["", "raise RuntimeError", "import never_heard_of"], ids=["other", "broken", "needs"]
)
def test_of_a_transformers_that_is_not_known_there_is_none(tmp_path: Path, utils: str) -> None:
    assert tables.bake(make(tmp_path / "site", ["bert"], utils), RUNTIME) is None


def test_a_checkout_has_none_because_its_files_may_change(tmp_path: Path) -> None:
    site = make(tmp_path / "site", ["bert"])
    (site / "transformers-5.0.dist-info" / "RECORD").unlink()
    assert tables.bake(site, RUNTIME) is None
