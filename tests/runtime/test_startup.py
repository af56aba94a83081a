"""What a start costs, in modules: counts do not depend on the machine as seconds do."""

from __future__ import annotations

import compileall
import os
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import mlfunc_runtime
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Process

    Start = Callable[..., Process]

# Modules when the first request of a plain function is answered. Whoever needs more has to say why.
OURS = 68
OTHERS = 333
PACKAGES = {
    "gevent",
    "greenlet",
    "gunicorn",
    "httptools",
    "mlfunc_runtime",
    "msgspec",
    "orjson",
    "packaging",
    "predictor",
    "typing_extensions",  # msgspec asks it for what it adds, where it is installed
    "yaml",
    "zope",
}
ABSENT = {
    "asyncio",  # 60 ms: until a hook is `async def`
    "click",
    "cloudevents",  # 15 ms: until an event arrives
    "concurrent",
    "ctypes",
    "flask",  # 135 ms: until a page is asked for
    "http.server",
    "jinja2",
    "kubernetes",
    "multiprocessing",
    "numpy",
    "pydoc",
    "requests",
    "sqlite3",
    "torch",
    "unittest",
    "urllib.request",
    "werkzeug",
    "xml",
}
# Python's own, Cython's and setuptools' in an editable install; none of them is a file that we import.
MADE_UP = ("__", "_cython", "cython_runtime", "_distutils_hack")
PLAIN = """
    import sys

    class P:
        example = {"text": "a"}

        def predict(self, text: str) -> list[str]:
            return sorted(sys.modules)
"""

ENDS = """
    class P:
        example = {"text": "a"}

        def load(self): pass

        def predict(self, text: str) -> str:
            import never_compiled
            raise SystemExit
"""


@pytest.fixture
def modules(start: Start) -> list[str]:
    """Those of a process that has answered its first request."""
    status, names = start(PLAIN).json(b'{"text": "a"}')
    assert status == 200
    return list(names)


def test_a_start_imports_no_other_packages(modules: list[str]) -> None:
    known = PACKAGES | sys.stdlib_module_names
    packages = {name.partition(".")[0] for name in modules} - known
    assert {name for name in packages if not name.startswith(MADE_UP)} == set()


def test_a_start_leaves_out_what_it_does_not_need_yet(modules: list[str]) -> None:
    assert ABSENT & set(modules) == set()


def test_a_start_imports_no_more_modules_than_its_budget(modules: list[str]) -> None:
    ours = sum(name.startswith("mlfunc_runtime") for name in modules)
    counts = {"ours": ours, "others": len(modules) - ours}
    assert (ours <= OURS, counts["others"] <= OTHERS) == (True, True), counts


def test_the_collector_rests_until_ready_and_never_looks_at_what_the_import_made(
    start: Start,
) -> None:
    process = start("""
        import gc

        made_by_import = [[] for _ in range(5000)]

        class P:
            def load(self):
                self.at_load = [gc.isenabled(), gc.get_freeze_count() > 5000]
                cycle = Cycle()
                cycle.self = cycle

            def predict(self) -> list:
                return [*self.at_load, gc.isenabled(), Cycle.left]

        class Cycle:
            left = 0

            def __init__(self): Cycle.left += 1

            def __del__(self): Cycle.left -= 1
    """)
    assert process.json(b"{}") == (200, [False, True, True, 0])


def test_nothing_of_ours_is_compiled_at_start_where_bytecode_is_there(
    tmp_path: Path, write: Callable[..., Path]
) -> None:
    """As in an image: read-only for its user, sources dated 1980, bytecode that nobody checks."""
    image = tmp_path / "image"
    shutil.copytree(Path(mlfunc_runtime.__file__).parent, image / "mlfunc_runtime")
    folder = write(ENDS)
    (image / "sitecustomize.py").write_text(TELLS_WHAT_IS_COMPILED)
    for part in (image, folder):
        _compile(part)
    told = _start_and_fail(folder, image)
    compiled = [line for line in told if line.startswith("compiled ")]
    assert any("never_compiled.py" in line for line in compiled)  # else it tells nothing
    assert [line for line in compiled if str(tmp_path) in line] == [compiled[-1]]


TELLS_WHAT_IS_COMPILED = """
import sys

def tell(event, arguments):
    if event == "compile" and str(arguments[1]).endswith(".py"):
        print("compiled", arguments[1], file=sys.stderr)

sys.addaudithook(tell)
"""


def _compile(folder: Path) -> None:
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    assert compileall.compile_dir(folder, quiet=1, invalidation_mode=mode)
    for source in folder.rglob("*.py"):
        os.utime(source, (315532800, 315532800))
    (folder / "never_compiled.py").write_text("")


def _start_and_fail(folder: Path, image: Path) -> list[str]:
    """Its log until it ends, which it does when `load` has imported a module without bytecode."""
    variables = os.environ | {
        "PYTHONPATH": str(image),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PORT": "0",
        "MLFUNC_METRICS_PORT": "0",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "mlfunc_runtime"],
        cwd=folder,
        env=variables,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.stderr.splitlines()
