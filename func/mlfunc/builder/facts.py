"""What is found in a base image: its Pythons, a shell, a C library. And whether that fits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlfunc.builder import contents
from mlfunc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlfunc.oci.content import Image
    from mlfunc.project import Target

# What the wheels are built for that are asked for: manylinux_2_28.
_GLIBC = (2, 28)
_INTERPRETERS = ("/usr/local/bin/python{}", "/usr/bin/python{}", "/opt/venv/bin/python{}")


@dataclass(frozen=True)
class Facts:
    """What was found in a base image, once: it depends on the digest alone, but for `names`: those
    that stood for it when they were asked.
    """

    manifest: str
    media_type: str
    config: str
    pythons: Mapping[str, str]  # version -> path of the interpreter: {"3.11": "/usr/local/bin/..."}
    shell: bool
    glibc: tuple[int, int] | None
    musl: bool
    bare: Mapping[str, str]  # version -> folder of its library, where that has no compiled modules
    names: tuple[str, ...] = ()


def look(image: Image, report: Callable[[str], None] = lambda _: None) -> Facts:
    """Look through an image's layers: all of them are read, none is kept."""
    found = []
    for number, source in enumerate(image.layers, 1):
        report(f"looking for Python in layer {number} of {len(image.layers)} of the base image")
        found.append(contents.read(source.open().read(), source.descriptor.media_type))
    return facts_of(image, contents.over(found))


def facts_of(image: Image, found: contents.Contents) -> Facts:
    """What matters of an image's contents."""
    versions = {_version(path) for path in found.paths}
    paths = {
        version: path.format(version)
        for version in sorted(filter(None, versions))
        for path in reversed(_INTERPRETERS)
        if found.find(path.format(version))
    }
    return Facts(
        manifest=image.manifest.data.decode(),
        media_type=image.manifest.media_type,
        config=image.config.data.decode(),
        pythons=paths,
        shell=found.find("/bin/sh") is not None,
        glibc=found.glibc,
        musl=any(path.startswith("lib/ld-musl-") for path in found.paths),
        bare={version: lib for version, path in paths.items() if (lib := _bare(path, found))},
    )


def _bare(interpreter: str, found: contents.Contents) -> str | None:
    """The library beside an interpreter, where it has sources alone."""
    prefix, _, name = interpreter.strip("/").rpartition("/bin/")
    library = f"{prefix}/lib/{name}"
    compiled = any(path.startswith(f"{library}/__pycache__/") for path in found.paths)
    return library if f"{library}/os.py" in found.paths and not compiled else None


def _version(path: str) -> str | None:
    _, slash, version = path.rpartition("bin/python3.")
    return f"3.{version}" if slash and version.isdigit() else None


def decoded(known: Mapping[str, Any]) -> Facts:
    """What was found before, as it is kept."""
    glibc, names = known["glibc"], tuple(known.get("names", ()))
    return Facts(**{**known, "glibc": tuple(glibc) if glibc else None, "names": names})


def check(name: str, facts: Facts, target: Target) -> str:
    """The path of its interpreter.

    Raises:
        UsageError: it cannot be the base.

    """
    if misfit := _misfit(facts, target):
        raise UsageError(f"base image {name} {misfit}", _another(target))
    if target.python not in facts.pythons:
        there = ", ".join(sorted(facts.pythons)) or "none"
        message = f"base image {name} has no Python {target.python}; there is {there}"
        raise UsageError(message, f"set `python:` in mlfunc.yaml, or {_another(target)}")
    return facts.pythons[target.python]


def _misfit(facts: Facts, target: Target) -> str | None:
    """What is wrong with it for any Python."""
    config = json.loads(facts.config)
    platform = f"{config.get('os')}/{config.get('architecture')}"
    if platform != target.platform:
        return f"is for {platform}, not {target.platform}"
    if facts.musl and facts.glibc is None:
        return "has musl (Alpine), and wheels of Python need glibc"
    if facts.glibc and facts.glibc < _GLIBC:
        return f"has glibc {_dotted(facts.glibc)}; wheels need {_dotted(_GLIBC)}"
    return None if facts.shell else "has no /bin/sh, which starts it"


def _another(target: Target) -> str:
    return f"name another in `build: {{base: ...}}`: docker.io/library/python:{target.python}-slim"


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
