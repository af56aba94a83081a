"""The runtime as an image has it: a root that cannot be written to, a user that nobody knows, files
of 1980 with bytecode that nobody checks, and /tmp.
"""

from __future__ import annotations

import compileall
import contextlib
import importlib.metadata
import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlfunc_runtime
import pytest

from .conftest import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = Callable[..., Process]

UID = 12345
DEPS = "layers/mlfunc_python/deps"
RUNTIME = "layers/mlfunc_app/runtime"
SITE = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
IN_1980 = (315532801, 315532801)
# What the image sets for whoever asks for a home or a name.
NAMED = {"HOME": "/tmp", "USER": "function", "LOGNAME": "function"}
TELLS_WHAT_IS_COMPILED = """
import sys

compiled = []

def tell(event, arguments):
    if event == "compile" and str(arguments[1]).endswith(".py"):
        compiled.append(str(arguments[1]))

sys.addaudithook(tell)
"""
PREDICTOR = """
    import os
    import sitecustomize
    import tempfile

    class P:
        example = {"path": "/tmp/a"}

        def load(self): pass

        def predict(self, path: str) -> dict:
            try:
                with open(path, "w"): pass
                os.unlink(path)
                wrote = ""
            except OSError as error:
                wrote = error.strerror
            return {
                "uid": os.getuid(),
                "wrote": wrote,
                "compiled": sitecustomize.compiled,
                "temporary": tempfile.gettempdir(),
                "left": os.listdir("/tmp"),
            }

        def after_response(self, result): pass
"""


def installed(name: str, found: set[str]) -> set[str]:
    """A distribution and all that it needs; what is not here is for another Python or system."""
    normal = re.sub(r"[-_.]+", "-", name).lower()
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        needs = importlib.metadata.requires(normal) or []
        if normal not in found:
            found.add(normal)
            for text in (each for each in needs if "extra ==" not in each):
                installed(re.split(r"[^\w.-]", text)[0], found)
    return found


def copy(name: str, site: Path) -> None:
    """The files of a distribution, without its tests."""
    for file in importlib.metadata.files(name) or ():
        if ".." in file.parts or "tests" in file.parts or file.suffix == ".pyc":
            continue
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(file.locate()), site / file)


def compile_as_in_an_image(folder: Path) -> None:
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(folder, quiet=2, invalidation_mode=mode, workers=2)
    for path in (*folder.rglob("*"), folder):
        os.utime(path, IN_1980, follow_symlinks=False)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the builder puts into an image, but for the function."""
    image = tmp_path_factory.mktemp("image")
    deps, runtime = image / DEPS / SITE, image / RUNTIME / SITE
    deps.mkdir(parents=True)
    for name in sorted(installed("mlfunc-runtime", set()) - {"mlfunc-runtime"}):
        copy(name, deps)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(
        Path(mlfunc_runtime.__file__).parent, runtime / "mlfunc_runtime", ignore=ignored
    )
    (deps / "_mlfunc.pth").write_text(f"/{RUNTIME}/{SITE}\n")
    (deps / "sitecustomize.py").write_text(TELLS_WHAT_IS_COMPILED)
    base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info[1]}"
    (image / DEPS / "pyvenv.cfg").write_text(
        f"home = {base.parent}\ninclude-system-site-packages = false\n"
    )
    (image / DEPS / "bin").mkdir()
    (image / DEPS / "bin/python").symlink_to(base)
    compile_as_in_an_image(image / "layers")
    return image


@pytest.fixture
def run(image: Path, write: Callable[..., Path]) -> Iterator[Run]:
    """The function in a container: Bubblewrap's, which needs no daemon and no rights."""
    running: list[Process] = []

    def run(source: str, env: dict[str, str], **document: Any) -> Process:
        folder = write(source, **document)
        compile_as_in_an_image(folder)
        told = {"MLFUNC_FUNCTION": "/workspace/mlfunc.yaml", "PORT": "0"}
        told |= {"MLFUNC_METRICS_PORT": "0", "MLFUNC_HOST": "127.0.0.1", **env}
        python = f"/{DEPS}/bin/python"
        child = subprocess.Popen(
            [*contained(image, folder), python, "-m", "mlfunc_runtime"],
            env=told,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(Process(child))
        running[-1].until("ready")
        return running[-1]

    yield run
    for process in running:
        with process:
            pass


def contained(image: Path, workspace: Path) -> list[str]:
    bubblewrap = shutil.which("bwrap")
    assert bubblewrap, "bwrap is not installed: apt-get install bubblewrap"
    shown = ["/usr", "/etc/ld.so.cache", sys.base_prefix]
    links = [path for path in map(Path, ("/lib", "/lib64", "/bin")) if path.is_symlink()]
    return [
        *(bubblewrap, "--unshare-user", "--uid", str(UID), "--gid", str(UID), "--die-with-parent"),
        *(word for path in shown for word in ("--ro-bind", path, path)),
        *(word for path in links for word in ("--symlink", str(path.readlink()), str(path))),
        *("--ro-bind", str(image / "layers"), "/layers", "--ro-bind", str(workspace), "/workspace"),
        *("--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--remount-ro", "/"),
        *("--chdir", "/workspace", "--"),
    ]


@pytest.mark.parametrize("env", [NAMED, {}], ids=["as the image says", "without a home or a name"])
@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_it_serves_as_nobody_known_and_compiles_and_leaves_nothing(
    run: Run, env: dict[str, str], isolation: str
) -> None:
    process = run(PREDICTOR, env, serve={"isolation": isolation})
    told = {"uid": UID, "wrote": "", "compiled": [], "temporary": "/tmp", "left": []}
    assert process.json(b'{"path": "/tmp/a"}') == (200, told)
    for path in ("/a", "/workspace/a", "/layers/a", f"/{DEPS}/a"):
        refused = {**told, "wrote": "Read-only file system"}
        assert process.json(json.dumps({"path": path}).encode()) == (200, refused)
    # Pages and documents are served by what is imported then.
    assert process.call(path="/openapi.json", method="GET").status == 200
    assert process.json(b'{"path": "/tmp/a"}') == (200, told)


def test_what_is_compiled_would_have_been_seen(run: Run) -> None:
    process = run(PREDICTOR + "\n    compile('1', 'seen.py', 'eval')\n", NAMED)
    assert process.json(b'{"path": "/tmp/a"}')[1]["compiled"] == ["seen.py"]
