"""What a project asks for in packages, read without asking anybody: files, indexes, folders.

The files themselves are the installer's to judge. Here they are read for what they are known by,
for what cannot go into an image, and for where they say that packages are.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from mlfunc import accelerators, environment
from mlfunc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlfunc.lock import Wheel
    from mlfunc.project import Target

FILES = ("requirements.txt", "pyproject.toml")
FOLDER = "wheels"  # of a project: packages of its own

_VERSION = "1"  # of what the digest is made from
_SETTINGS = (
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_NO_INDEX",
    "UV_INDEX_STRATEGY",
    "UV_PRERELEASE",
    "UV_RESOLUTION",
    "UV_EXCLUDE_NEWER",
    accelerators.TORCH_INDEX,
)
_USER = re.compile(r"(?<=://)[^/@\s]+@")
_NAME = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?=\s*(?:$|[\[<>=!~;@ ]))", re.MULTILINE)
_EDITABLE = re.compile(r"^(?:-e|--editable)[ =].*$", re.MULTILINE)
_CHECKOUT = re.compile(r"^.*\b(?:git|hg|svn|bzr)\+\w+:.*$", re.MULTILINE)
_SOURCE = re.compile(r"^(?:\S+ *@ *file:|\.{0,2}/|\.{1,2}$|file:)(?!.*\.whl\b).*$", re.MULTILINE)
_HASHED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(.*--hash[ =].*)$", re.MULTILINE)
_HASH = re.compile(r"--hash[ =]+sha256:([0-9a-fA-F]{64})")
_OPTION = re.compile(r"^(-i|--index-url|--extra-index-url|-f|--find-links)[ =]+(\S+)", re.MULTILINE)
_ADDRESS = re.compile(r"https?://[^/@\s]+@[^\s;#]+")
_BUILD = re.compile(
    r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*={2,3}\s*([^\s;,+]+\+[^\s;,]+)", re.MULTILINE
)
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_WHEEL = re.compile(r"^(?!https?:)(?:file://)?(\S+\.whl)", re.MULTILINE)


@dataclass(frozen=True)
class Requirements:
    """All that packages are resolved from.

    `files` are the project's own and `vendored` its folder of wheels; `runtime` is what
    mlfunc_runtime adds. `folders` are where wheels may lie here, and `variables` those of uv that
    say where packages are, whether a file of the project or the user's settings said it.
    """

    files: tuple[Path, ...]
    vendored: Path
    text: str
    runtime: tuple[str, ...]
    folders: tuple[Path, ...]
    variables: Mapping[str, str]

    @property
    def names(self) -> frozenset[str]:
        """The packages that are asked for by name."""
        return frozenset(normalise(match[1]) for match in _NAME.finditer(self.text))

    @property
    def builds(self) -> Mapping[str, str]:
        """The packages of which one build is asked for, such as torch 2.13.0+cpu."""
        return {normalise(match[1]): match[2] for match in _BUILD.finditer(self.text)}

    @property
    def hashes(self) -> Mapping[str, frozenset[str]]:
        """The SHA-256 that the files of a package may have, where that is said."""
        text = self.text.replace("\\\n", " ")
        lines = ((normalise(match[1]), match[2]) for match in _HASHED.finditer(text))
        found: dict[str, frozenset[str]] = {}
        for name, line in lines:
            own = frozenset(match[1].lower() for match in _HASH.finditer(line))
            found[name] = found.get(name, frozenset()) | own
        return found

    def digest(self, target: Target, glibc: str, environ: Mapping[str, str]) -> str:
        """What it is known by, on any machine: no folder of one and no password is part of it."""
        variables = environment.uv_variables(environ)
        settings = {name: _USER.sub("", variables.get(name, "")) for name in _SETTINGS}
        vendored = [wheel.name for wheel in sorted(self.vendored.glob("*.whl"))]
        runtime = [Path(line).name if "/" in line else line for line in self.runtime]
        parts = [
            _VERSION,
            target.name,
            glibc,
            _USER.sub("", self.text),
            runtime,
            vendored,
            settings,
        ]
        return "sha256:" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def read(folder: Path, environ: Mapping[str, str] = os.environ) -> Requirements:
    """What the project in a folder asks for, with what the runtime adds.

    Raises:
        UsageError: it asks for what cannot go into an image.

    """
    files = tuple(path for name in FILES if (path := folder.absolute() / name).is_file())[:1]
    text = "\n".join(_text(path) for path in files)
    check(text)
    folders = _folders(folder, text, environ)
    return Requirements(
        files,
        folder.absolute() / FOLDER,
        text,
        _runtime(),
        folders,
        _variables(text, folders, environ),
    )


def _text(path: Path) -> str:
    """What is asked for in a file: a requirement a line, and what else an installer looks at."""
    if path.suffix != ".toml":
        return environment.requirement_text(path)
    content = path.read_text(encoding="utf-8", errors="surrogateescape")
    try:
        said = tomllib.loads(content)
    except tomllib.TOMLDecodeError:
        return content  # the installer says what is wrong in it
    project, uv = said.get("project", {}), said.get("tool", {}).get("uv", {})
    settings = [project.get("requires-python"), project.get("dynamic"), uv]
    return "\n".join([*project.get("dependencies", []), json.dumps(settings, default=str)])


def check(text: str) -> None:
    """Whether all that is asked for can be a wheel for another machine.

    Raises:
        UsageError: a folder, an archive of source or a checkout is asked for.

    """
    if found := _EDITABLE.search(text) or _CHECKOUT.search(text) or _SOURCE.search(text):
        line = _USER.sub("", found[0])
        message = f"an image is made of wheels, and requirements.txt asks for `{line}`"
        hint = (
            f"build one: pip wheel --no-deps -w {FOLDER} PACKAGE; name it in requirements.txt: "
            f"wheels in {FOLDER}/ are found"
        )
        raise UsageError(message, hint)


def locate(wheel: Wheel, folders: Iterable[Path]) -> Path | None:
    """The file of a wheel in one of these folders."""
    return next((path for folder in folders if (path := folder / wheel.file).is_file()), None)


def with_user(address: str, text: str, environ: Mapping[str, str]) -> str:
    """An address with the user and the password that it has in the text of requirements."""
    given = (_filled(found[0], environ) for found in _ADDRESS.finditer(text))
    return next((url for url in given if without_user(url) == address), address)


def normalise(name: str) -> str:
    """A package's name as indexes have it: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def without_user(url: str) -> str:
    """An address without the user and the password in it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _runtime() -> tuple[str, ...]:
    """What the runtime needs. A checkout of it is no wheel: it comes with the app."""
    asked = environment.runtime_requirement()
    if asked[0] != "-e":
        return asked
    setup = configparser.ConfigParser(inline_comment_prefixes=None)
    setup.read(Path(asked[1]) / "setup.cfg", encoding="utf-8")
    lines = setup.get("options", "install_requires", fallback="").splitlines()
    needs = (line.partition(" #")[0].strip() for line in lines)
    return tuple(line for line in needs if line)


def _folders(folder: Path, text: str, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where wheels may lie: the project's own folder first."""
    variables = environment.uv_variables(environ)
    given = [Path(where).absolute() for where in _split(variables.get("UV_FIND_LINKS", ""))]
    options = [match[2] for match in _OPTION.finditer(text) if match[1] in {"-f", "--find-links"}]
    files = [Path(match[1]).parent for match in _WHEEL.finditer(text)]
    runtime = [Path(line).parent for line in _runtime() if line.endswith(".whl")]
    listed = (*given, *(folder / where for where in (*options, *files)), *runtime)
    found = (path.absolute() for path in listed if path.is_dir())
    own = folder.absolute() / FOLDER
    return tuple(dict.fromkeys((*((own,) if own.is_dir() else ()), *found)))


def _variables(text: str, folders: tuple[Path, ...], environ: Mapping[str, str]) -> dict[str, str]:
    """Where packages are, as variables of uv: arguments can be read by others."""
    given = environment.uv_variables(environ)
    options = [(match[1], _filled(match[2], environ)) for match in _OPTION.finditer(text)]
    default = [url for option, url in options if option in {"-i", "--index-url"}]
    more = [url for option, url in options if option == "--extra-index-url"]
    pages = (link for link in _split(given.get("UV_FIND_LINKS", "")) if "://" in link)
    # uv reads a folder as an address too: what is special in one must not be it here.
    links = [*(folder.as_uri() for folder in folders), *pages]
    found = {
        "UV_DEFAULT_INDEX": default[-1] if default else "",
        "UV_INDEX": " ".join([*more, *given.get("UV_INDEX", "").split()]),
        "UV_FIND_LINKS": ",".join(links),
    }
    return {name: value for name, value in found.items() if value}


def _filled(text: str, environ: Mapping[str, str]) -> str:
    """With the variables that stand in it, as pip and uv have it."""
    return _VARIABLE.sub(lambda match: environ.get(match[1], match[0]), text)


def _split(value: str) -> list[str]:
    """Folders and pages."""
    here = "file://"
    parts = (part for part in value.split(",") if part)
    return [unquote(p.removeprefix(here)) if p.startswith(here) else p for p in parts]
