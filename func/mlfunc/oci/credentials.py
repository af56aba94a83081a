"""Who we are to a registry: variables, the files of Docker and Podman, and credential helpers.

A password is read when a registry asks for it, handed on once, and never printed or logged.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlfunc import proc
from mlfunc.errors import RegistryFailed, UsageError
from mlfunc.oci.reference import HUB

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlfunc.oci.reference import Reference

USER = "MLFUNC_REGISTRY_USER"
PASSWORD = "MLFUNC_REGISTRY_PASSWORD"  # noqa: S105 - the name of a variable
_HUB_KEY = "https://index.docker.io/v1/"  # what docker login writes for the hub, to this day
_IDENTITY = "<token>"  # the user of a secret that is a refresh token


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user with a password, or a refresh token that tokens are got for (OAuth2)."""

    user: str
    password: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The header of HTTP Basic."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def find(reference: Reference, environ: Mapping[str, str], *, own: bool) -> Credentials | None:
    """What a user has for this repository; None: nothing, so we come without a name.

    `own`: it is the registry that the variables are for. Another never sees them.

    Raises:
        UsageError: a file of credentials is broken.
        RegistryFailed: a credential helper failed.

    """
    if own and environ.get(USER):
        return Credentials(environ[USER], environ.get(PASSWORD, ""))
    found = (_in_file(path, reference, environ) for path in files(environ) if path.is_file())
    return next((credentials for credentials in found if credentials), None)


def files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Where credentials may be, in order."""
    home = Path(environ.get("HOME") or Path.home())
    yield Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
    if environ.get("REGISTRY_AUTH_FILE"):
        yield Path(environ["REGISTRY_AUTH_FILE"])
    if environ.get("XDG_RUNTIME_DIR"):
        yield Path(environ["XDG_RUNTIME_DIR"]) / "containers/auth.json"
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "containers/auth.json"


def _in_file(path: Path, reference: Reference, environ: Mapping[str, str]) -> Credentials | None:
    config = _read(path)
    helpers = _by_name(config.get("credHelpers"))
    names = list(_names(reference))
    helper = next((helpers[n] for n in names if n in helpers), config.get("credsStore"))
    if helper and (credentials := _ask(str(helper), reference, environ)):
        return credentials
    entries = _by_name(config.get("auths"))
    found = (_decoded(path, entries[name]) for name in names if name in entries)
    return next((credentials for credentials in found if credentials), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        # What stands there is not shown: it may be half a password.
        raise UsageError(f"{path} is no valid JSON", "log in again: docker login") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    return config if isinstance(config, dict) else {}


def _names(reference: Reference) -> Iterator[str]:
    """host/a/b, host/a, host: the longest that is there counts, as Podman has it."""
    name = f"{reference.registry}/{reference.repository}"
    while name:
        yield name
        name = name.rpartition("/")[0]


def _by_name(table: Any) -> dict[str, Any]:
    """Keys as they have been written over the years: with schemes, and /v1/ behind."""
    entries = table if isinstance(table, dict) else {}
    return {_plain(key): value for key, value in entries.items()}


def _plain(key: str) -> str:
    name = key.partition("://")[2] or key
    for version in ("/v1", "/v2"):
        name = name.rstrip("/").removesuffix(version)
    host, slash, path = name.partition("/")
    return (HUB if host in {"index.docker.io", "registry-1.docker.io"} else host) + slash + path


def _decoded(path: Path, entry: Any) -> Credentials | None:
    if not isinstance(entry, dict):
        return None
    user, password = entry.get("username", ""), entry.get("password", "")
    if entry.get("auth"):
        user, password = _decode(path, entry["auth"])
    token = entry.get("identitytoken", "")
    return Credentials(user, password, token) if user or token else None


def _decode(path: Path, auth: str) -> tuple[str, str]:
    try:
        user, _, password = base64.b64decode(auth).decode().partition(":")
    except (binascii.Error, ValueError, TypeError):
        message = f"{path} has an `auth` that is not base64"
        raise UsageError(message, "log in again: docker login") from None
    # Docker once wrote passwords with zeros behind.
    return user, password.rstrip("\0")


def _ask(helper: str, reference: Reference, environ: Mapping[str, str]) -> Credentials | None:
    """The protocol of docker-credential-helpers: a name in, JSON out."""
    program = f"docker-credential-{helper}"
    server = _HUB_KEY if reference.registry == HUB else reference.registry
    try:
        code, output = proc.ask([program, "get"], server.encode(), env=environ)
    except FileNotFoundError as error:
        message = f"{program}, which has the credentials for {reference.registry}, is not installed"
        hint = f"install it, or set {USER} and {PASSWORD}"
        raise RegistryFailed(message, hint) from error
    if code != 0:
        _check_nothing(program, reference, output.decode(errors="replace").strip())
        return None
    try:
        answer = json.loads(output)
        user, secret = answer["Username"], answer["Secret"]
    except (ValueError, LookupError, TypeError) as error:
        # What it said is not shown: it may be half a password.
        message = f"{program} has answered with something that is no user and secret"
        raise RegistryFailed(message, "see whether it is up to date") from error
    if not secret:
        return None
    return Credentials("", "", secret) if user == _IDENTITY else Credentials(user, secret)


def _check_nothing(program: str, reference: Reference, said: str) -> None:
    """A helper says that it has nothing by failing, with these words."""
    if "not found" in said:
        return
    message = f"{program} has failed to give the credentials for {reference.registry}"
    raise RegistryFailed(message, f"log in again: docker login {reference.registry}", evidence=said)
