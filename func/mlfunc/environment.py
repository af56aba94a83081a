"""A function's own Python environment, kept and shared by what is in it.

    describe   requirements, Python and installer -> Spec; its key names the environment
    ensure     Spec -> Environment: there already, or made now; nobody removes it while we run

An environment is complete when its stamp is there: an interrupted install is made anew. A lock
keeps two commands from making the same one at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from mlfunc import __version__, paths, proc
from mlfunc.cache import holding, projects
from mlfunc.errors import EnvironmentFailed
from mlfunc.proc import Cancellation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlfunc.function import AcceleratorType, Function

_STAMP = ".mlfunc-complete"
# Where the runtime may keep what libraries work out at each import: it goes with the environment.
_IMPORT_CACHE = "MLFUNC_IMPORT_CACHE"
_INCLUDE = re.compile(r"^[ \t]*(?:-r|-c|--requirement|--constraint)[ \t=]*([^\s#]+)", re.MULTILINE)
# As pip has it: a # that begins a line or follows a blank.
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_ARCHIVES = (".whl", ".tar.gz", ".zip")
_CHECKOUT = Path(__file__).resolve().parents[2]
_RUNTIME = "mlfunc-runtime"
_GIVEN = "MLFUNC_RUNTIME"
# What uv says to nobody's use, and its word for what gets a line of ours.
_NOISE = re.compile(r"^(?:Using Python .* environment at: .*\n|error: )", re.MULTILINE)
_NO_RUNTIME = re.compile(
    rf"{_RUNTIME}\S* was not found|(?:no version of|No matching distribution found for) {_RUNTIME}"
)
_LOOK_SECONDS = 0.2
# uv reads no variable of pip's: what a user set for one is meant for the other.
_UV_NAMES = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_CONSTRAINT": "UV_CONSTRAINT",
}


@dataclass(frozen=True)
class Spec:
    """What goes into an environment."""

    tool: Literal["uv", "pip"]
    installer: str
    python: str
    folder: Path
    wanted: tuple[str, ...]
    key: str
    accelerator: AcceleratorType = "cpu"


@dataclass(frozen=True)
class Environment:
    """A folder with a Python and the function's requirements."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def complete(self) -> bool:
        """Whether all is installed, and the Python it was made from is still there."""
        return self.stamp.is_file() and self.python.exists()

    @property
    def stamp(self) -> Path:
        """The file that says that all is installed."""
        return self.folder / _STAMP

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """`environ` as if this environment were activated."""
        path = os.pathsep.join([str(self.folder / "bin"), environ.get("PATH", os.defpath)])
        kept = {key: value for key, value in environ.items() if key != "PYTHONHOME"}
        tables = {_IMPORT_CACHE: str(self.folder / "import-cache"), **kept}
        return {**tables, "VIRTUAL_ENV": str(self.folder), "PATH": path}


def describe(folder: Path, function: Function) -> Spec:
    """What the project's environment needs: its requirements, the runtime, and pytest.

    Raises:
        EnvironmentFailed: this machine lacks the Python that mlfunc.yaml asks for.

    """
    uv = find_uv()
    requirements = folder / "requirements.txt"
    text = requirement_text(requirements) if requirements.is_file() else ""
    python = _python(function.python, has_uv=uv is not None)
    wanted = (*runtime_requirement(), "pytest")
    if text:
        wanted = ("-r", str(requirements.absolute()), *wanted)
    place = str(folder.absolute()) if _is_bound_to_folder(text) else ""
    version = f"{function.python or platform.python_version()} {platform.machine()}"
    tool: Literal["uv", "pip"] = "uv" if uv else "pip"
    kind = "" if function.accelerator_type == "cpu" else function.accelerator_type
    parts = (version + kind, tool, text, place, *runtime_requirement(), _runtime_text())
    return Spec(
        tool=tool,
        installer=uv or "",
        python=python,
        folder=folder,
        wanted=wanted,
        key=hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:16],
        accelerator=function.accelerator_type,
    )


def check(spec: Spec, cancellation: Cancellation | None = None) -> None:
    """Whether its Python can be had: nothing is installed.

    Raises:
        EnvironmentFailed: there is none of that version, here or for download.

    """
    if spec.tool == "pip" or spec.python == sys.executable:
        return
    listed: list[str] = []
    argv = [spec.installer, "python", "list", spec.python]
    proc.run(argv, cwd=spec.folder, on_line=listed.append, cancellation=cancellation)
    if not any(line.startswith(f"cpython-{spec.python}.") for line in listed):
        message = f"mlfunc.yaml asks for Python {spec.python}, which is not here, and uv has none"
        raise EnvironmentFailed(message, "correct `python:`, or install it")


def place(spec: Spec) -> Environment:
    """Where the environment is, or will be."""
    return Environment(folder() / spec.key)


def folder() -> Path:
    """Where all environments are, each named by its key."""
    return paths.cache() / "envs"


def use(spec: Spec) -> Environment:
    """The environment, complete or not, which nobody removes until this program ends."""
    environment = place(spec)
    holding.hold(environment.folder)
    projects.note(spec.folder, "environment", [spec.key])
    return environment


def remove(environment: Environment) -> None:
    """Take it away; what is left when that is broken off counts as unfinished."""
    environment.stamp.unlink(missing_ok=True)
    shutil.rmtree(environment.folder)
    _lock_of(environment.folder).unlink(missing_ok=True)


def ensure(
    spec: Spec,
    report: Callable[[str], None],
    cancellation: Cancellation | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Environment:
    """The environment, made now if it is not there; `report` gets what the installer says.

    Raises:
        EnvironmentFailed: the installer failed; the evidence is what it said last.
        Cancelled: it was broken off.

    """
    environment = use(spec)
    if environment.complete:
        return environment
    stop = cancellation or Cancellation()
    with _locked(environment.folder, report, stop):
        if not environment.complete:
            _make(spec, environment, report, stop, environ)
    return environment


def find_uv() -> str | None:
    """uv as it was installed with this program, else as the shell finds it."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.is_file() else shutil.which("uv")


def runtime_requirement() -> tuple[str, ...]:
    """The runtime: the one that `$MLFUNC_RUNTIME` names, else that of the checkout which this
    program runs from, else the release that fits it.
    """
    if given := os.environ.get(_GIVEN):
        return _as_requirement(given)
    if (_CHECKOUT / "runtime" / "setup.cfg").is_file():
        return ("-e", str(_CHECKOUT / "runtime"))
    return (f"{_RUNTIME}=={__version__}",)


def runtime_checkout() -> Path | None:
    """Where the runtime's source is, if it is installed from that; None: it is a package."""
    option, *source = runtime_requirement()
    return Path(source[0]) if option == "-e" else None


def _as_requirement(given: str) -> tuple[str, ...]:
    path = Path(given)
    if not path.exists():
        return (given,)
    return ("-e", str(path.absolute())) if path.is_dir() else (str(path.absolute()),)


def commands(spec: Spec, environment: Environment, environ: Mapping[str, str]) -> list[list[str]]:
    """What makes the environment, in order."""
    target = str(environment.folder)
    if spec.tool == "pip":
        pip = [str(environment.python), "-m", "pip", "install", "--disable-pip-version-check"]
        return [[spec.python, "-m", "venv", target], [*pip, *spec.wanted]]
    install = [spec.installer, "pip", "install", "--python", str(environment.python), *spec.wanted]
    if environ.get("PYTHONDONTWRITEBYTECODE"):
        # Python would compile every module anew at each start; pip compiles of itself.
        install.insert(3, "--compile-bytecode")
    return [[spec.installer, "venv", "--quiet", "--python", spec.python, target], install]


def uv_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with pip's settings under the names that uv reads; its own ones win."""
    given = {uv: environ[pip] for pip, uv in _UV_NAMES.items() if environ.get(pip)}
    if "UV_FIND_LINKS" in given:
        # pip separates by spaces, uv by commas.
        given["UV_FIND_LINKS"] = ",".join(given["UV_FIND_LINKS"].split())
    return {**given, **environ}


def _make(
    spec: Spec,
    environment: Environment,
    report: Callable[[str], None],
    cancellation: Cancellation,
    environ: Mapping[str, str],
) -> None:
    check(spec, cancellation)
    shutil.rmtree(environment.folder, ignore_errors=True)
    variables = uv_variables(environ) if spec.tool == "uv" else dict(environ)
    for argv in commands(spec, environment, environ):
        if _has_foreign(spec, argv, cancellation, variables):
            # PyTorch's own index, for its packages alone.
            argv += ["--torch-backend", "cpu"]
        finished = proc.run(
            argv, cwd=spec.folder, env=variables, on_line=report, cancellation=cancellation
        )
        if finished.code != 0:
            raise _failure(spec, finished.tail)
    environment.stamp.touch()


def _has_foreign(
    spec: Spec, argv: list[str], cancellation: Cancellation, variables: Mapping[str, str]
) -> bool:
    """Whether uv would install what has no place here: CUDA, several gigabytes, for a CPU."""
    from mlfunc import accelerators

    if spec.accelerator != "cpu" or argv[1:3] != ["pip", "install"]:
        return False
    would: list[str] = []
    dry = [*argv, "--dry-run"]
    proc.run(dry, cwd=spec.folder, env=variables, on_line=would.append, cancellation=cancellation)
    packages = (line.strip().removeprefix("+ ") for line in would)
    return accelerators.find(spec.accelerator).has_foreign(packages)


def lacks_runtime(said: str, tool: str) -> EnvironmentFailed | None:
    """The failure that an installer tells of, where it is the runtime that it did not find."""
    if not _NO_RUNTIME.search(" ".join(said.split())):
        return None
    message = f"no package index that {tool} asks has {runtime_requirement()[-1]}"
    hint = f"name another: {_GIVEN}= a wheel, a folder or a requirement of {_RUNTIME}"
    return EnvironmentFailed(message, hint, evidence=_NOISE.sub("", said))


def _failure(spec: Spec, said: str) -> EnvironmentFailed:
    if lacking := lacks_runtime(said, spec.tool):
        return lacking
    evidence = _NOISE.sub("", said)
    message = f"{spec.tool} could not make the function's environment"
    hint = "correct requirements.txt or `python:` in mlfunc.yaml; -v shows the commands"
    return EnvironmentFailed(message, hint, evidence=evidence)


@contextlib.contextmanager
def _locked(
    folder: Path, report: Callable[[str], None], cancellation: Cancellation
) -> Iterator[None]:
    # The file stays: removing it while another command waits for it would let two in.
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock_of(folder).open("w") as lock:
        while not _try_lock(lock):
            report("another mlfunc is making this environment")
            cancellation.check(wait=_LOOK_SECONDS)
        yield


def _lock_of(folder: Path) -> Path:
    return folder.with_suffix(".lock")


def _try_lock(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _python(wanted: str | None, *, has_uv: bool) -> str:
    if wanted is None or wanted == ".".join(platform.python_version_tuple()[:2]):
        return sys.executable
    if has_uv:
        return wanted
    found = shutil.which(f"python{wanted}")
    if found is None:
        message = f"mlfunc.yaml asks for Python {wanted}, which is not on PATH"
        raise EnvironmentFailed(message, f"install Python {wanted}, or uv, which brings it")
    return found


def requirement_text(path: Path, above: tuple[Path, ...] = ()) -> str:
    """What a requirements file says with those it includes, one after the other: no comments."""
    # Whatever encoding it is in, it is the installer's to judge.
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    included = (path.parent / match[1] for match in _INCLUDE.finditer(text))
    seen = (*above, path.resolve())
    files = (file for file in included if file.is_file() and file.resolve() not in seen)
    lines = (_COMMENT.sub("", line).strip() for line in text.splitlines())
    own = "\n".join(line for line in lines if line)
    return "\n".join([own, *(requirement_text(file, seen) for file in files)])


def _is_bound_to_folder(text: str) -> bool:
    """Whether a relative path makes these requirements mean something else in another folder."""
    return any(_is_bound(line.strip()) for line in text.splitlines())


def _is_bound(line: str) -> bool:
    word = line.partition(" ")[0]
    is_path = "/" in word and "://" not in word and not word.startswith(("-", "#"))
    options = (".", "-e", "--editable", "-f", "--find-links")
    return is_path or line.startswith(options) or word.endswith(_ARCHIVES) or "file:" in line


def _runtime_text() -> str:
    """What the runtime is, or requires, where that may change while its path stays."""
    path = Path(runtime_requirement()[-1])
    if path.is_file():
        return str(path.stat().st_mtime_ns)
    setup = path / "setup.cfg"
    return setup.read_text(encoding="utf-8") if setup.is_file() else ""
