"""pylock.toml (PEP 751): what uv and we hand each other. What is kept is mlfunc.lock."""

from __future__ import annotations

import tomllib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from mlfunc.errors import UsageError
from mlfunc.lock import Wheel
from mlfunc.wheels.requirements import without_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_HEAD = 'lock-version = "1.0"\ncreated-by = "mlfunc"\n'
_PYPI, _PYPI_FILES = "https://pypi.org/simple", "files.pythonhosted.org"


def read(text: str) -> list[Wheel]:
    """The wheels in it, by name.

    Raises:
        UsageError: a package is no wheel.

    """
    packages = tomllib.loads(text).get("packages", [])
    return sorted((_wheel(package) for package in packages), key=lambda wheel: wheel.name)


def write(wheels: Iterable[Wheel], where: Callable[[Wheel], str]) -> str:
    """A file that installs these; `where` says the URL of each, or its path."""
    return "\n".join([_HEAD, *(_entry(wheel, where(wheel)) for wheel in wheels)])


def preferences(wheels: Iterable[Wheel]) -> str:
    """A file that tells a resolver which versions to keep where it can."""
    entries = (
        f"[[packages]]\nname = {_quoted(w.name)}\nversion = {_quoted(w.version)}\n" for w in wheels
    )
    return "\n".join([_HEAD, *entries])


def _wheel(package: dict[str, Any]) -> Wheel:
    name = package["name"]
    files = package.get("wheels") or [package.get("archive") or {}]
    file: dict[str, Any] = files[0]
    address: str = file.get("url") or file.get("path") or ""
    if not _file(address).endswith(".whl"):
        message = f"{name} is no wheel, and an image is made of wheels"
        raise UsageError(message, f"pip wheel --no-deps -w wheels {name}: wheels/ is looked into")
    return Wheel(
        name=name,
        version=package.get("version") or _version(address),
        file=_file(address),
        sha256=file["hashes"]["sha256"],
        size=file.get("size"),
        url=without_user(address) if address.startswith(("http://", "https://")) else None,
    )


def _file(address: str) -> str:
    """The name at the end of an address, or of a path: in that, nothing is special."""
    path = unquote(urlsplit(address).path) if "://" in address else address
    return PurePosixPath(path).name


def _version(address: str) -> str:
    return _file(address).split("-")[1]


def _entry(wheel: Wheel, where: str) -> str:
    kind = "url" if "://" in where else "path"
    source = f"{{ {kind} = {_quoted(where)}, hashes = {{ sha256 = {_quoted(wheel.sha256)} }} }}"
    lines = ["[[packages]]", f"name = {_quoted(wheel.name)}", f"version = {_quoted(wheel.version)}"]
    index = [f"index = {_quoted(_index(wheel.url))}"] if wheel.url else []
    return "\n".join([*lines, *index, f"wheels = [{source}]\n"])


def _index(url: str) -> str:
    """What uv keeps a wheel under. It asks no index: without one it asks the server of the wheel
    again, and many say of none that it has not changed; then it is fetched and unpacked anew.
    """
    parts = urlsplit(url)
    return _PYPI if parts.hostname == _PYPI_FILES else f"{parts.scheme}://{parts.netloc}/"


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    escaped = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return '"' + "".join(escaped) + '"'
