"""What uv says when it fails, as errors that say what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlfunc import environment
from mlfunc.accelerators import TORCH_INDEX
from mlfunc.errors import EnvironmentFailed, MlfuncError, UsageError
from mlfunc.wheels.requirements import without_user

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlfunc.accelerators import Accelerator, Index
    from mlfunc.lock import Wheel
    from mlfunc.project import Target

_NO_WHEEL = re.compile(r"Wheels are required for `(?P<name>[^`]+)`")
_OTHER_WHEELS = re.compile(r"(?:we only found wheels|Wheels are available) for `(?P<name>[^`]+)`")
_FETCH = re.compile(r"Failed to fetch: `?(?P<url>https?://[^\s`]+)`?")
_REFUSED = re.compile(r"An index URL \((?P<url>\S+)\) could not be queried")
_DENIED = re.compile(r"\b(?:401|403) (?:Unauthorized|Forbidden)|authentication")
_NO_BUILD = "Building source distributions is disabled"
_OFFLINE = "network was disabled"
_NOISE = re.compile(r"^(?:error: |\s*cause: |warning: .*\n)", re.MULTILINE)
_VENDOR = "put a wheel of it into wheels/: pip wheel --no-deps -w wheels"


def no_uv() -> EnvironmentFailed:
    """Without uv, nothing is resolved for another machine."""
    return EnvironmentFailed("uv is not installed, and a build needs it", "pip install uv")


def of(said: str, row: Accelerator, routed: Iterable[str] = ()) -> MlfuncError:
    """What a run of uv that failed comes down to."""
    evidence = _NOISE.sub("", said).strip()
    text = " ".join(said.split())
    if fetch := _FETCH.search(text) or _REFUSED.search(text):
        return _unreachable(fetch["url"], text, row.indexes, evidence)
    if found := _NO_WHEEL.search(text):
        return _no_wheel(found["name"], evidence)
    if found := _OTHER_WHEELS.search(text):
        return _other_wheels(found["name"], evidence, row, routed)
    if _NO_BUILD in text:
        message = "a package, or pyproject.toml itself, would have to be built to be asked"
        hint = f"{_VENDOR} FOLDER; dependencies must stand in pyproject.toml, and not be dynamic"
        return UsageError(message, hint, evidence=evidence)
    if lacking := environment.lacks_runtime(said, "uv"):
        return lacking
    message = "the function's packages cannot be resolved"
    hint = "connect to a network" if _OFFLINE in text else "correct requirements.txt"
    return UsageError(message, hint, evidence=evidence)


def of_install(said: str) -> MlfuncError:
    """What a run of uv that was to install locked wheels comes down to."""
    evidence = _NOISE.sub("", said).strip()
    if fetch := _FETCH.search(" ".join(said.split())):
        return _unreachable(fetch["url"], said, (), evidence)
    if "No space left on device" in said:
        message = "there is no room to install the packages of mlfunc.lock"
        hint = "make room there, or set MLFUNC_HOME to a folder on another disk"
        return EnvironmentFailed(message, hint, evidence=evidence)
    message = "the packages of mlfunc.lock cannot be installed"
    hint = "where an index has changed, resolve anew: mlfunc build --upgrade"
    return EnvironmentFailed(message, hint, evidence=evidence)


def foreign(packages: Iterable[Wheel], target: Target, row: Accelerator) -> UsageError:
    """Packages that have no place beside the accelerator, whatever index they came from."""
    names = [f"{package.name} {package.version}" for package in packages]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    message = f"a function with `accelerator: {target.accelerator}` cannot carry {shown}"
    indexes = [without_user(index.url) for index in row.indexes if "torch" in index.packages]
    where = f"torch was looked for in {indexes[0]}; " if indexes else ""
    hint = f"{where}remove what needs it, set {TORCH_INDEX} to an index, or change `accelerator:`"
    return UsageError(message, hint)


def other_hash(package: Wheel) -> UsageError:
    """A file that the requirements do not allow."""
    message = f"{package.file} has none of the hashes that are given for {package.name}"
    evidence = f"{package.file}: sha256:{package.sha256}"
    hint = "where it is another platform's file, give its hash too; else do not trust the index"
    return UsageError(message, hint, evidence=evidence)


def foreign_build(name: str, version: str, target: Target) -> UsageError:
    """A build that is asked for by name, and that is for something else."""
    asked = f"{name}=={version} is asked for"
    message = f"{asked}, and the function has `accelerator: {target.accelerator}`"
    plain = f"{name}=={version.partition('+')[0]}"
    return UsageError(message, f"ask for {plain}, whose build is chosen, or change `accelerator:`")


def _unreachable(url: str, text: str, indexes: Iterable[Index], evidence: str) -> EnvironmentFailed:
    address = without_user(url)
    own = next((i for i in indexes if address.startswith(without_user(i.url))), None)
    variable = TORCH_INDEX if own is not None and "torch" in own.packages else "UV_DEFAULT_INDEX"
    if _DENIED.search(text):
        message = f"the package index refused {address}"
        hint = f"give user and password in ~/.netrc, or in {variable}=https://USER:PASSWORD@..."
    else:
        message = f"the package index does not answer: {address}"
        hint = f"check the network, or name a mirror: {variable}=URL"
    return EnvironmentFailed(message, hint, evidence=evidence)


def _no_wheel(name: str, evidence: str) -> UsageError:
    message = f"{name} comes only as source, and images are made of wheels"
    return UsageError(
        message, f"ask for a version that has one, or {_VENDOR} {name}", evidence=evidence
    )


def _other_wheels(name: str, evidence: str, row: Accelerator, routed: Iterable[str]) -> UsageError:
    where = [without_user(i.url) for i in row.indexes if name in i.packages and name in routed]
    place = f" in {where[0]}" if where else ""
    message = f"{name} has no wheel for this Python and platform{place}"
    variable = f"; or name another index: {TORCH_INDEX}=URL" if where else ""
    hint = f"ask for a version that has one, or set `python:` in mlfunc.yaml{variable}"
    return UsageError(message, hint, evidence=evidence)
