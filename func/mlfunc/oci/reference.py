"""Names of images: where one lies, and which one it is. Nothing here asks a registry.

The rules are Docker's (distribution/reference), so that a name means here what it means in a
Dockerfile; `http://` before a name says what Docker keeps in a daemon's settings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import ip_address

from mlfunc.errors import UsageError

HUB = "docker.io"
_HUB_API = "registry-1.docker.io"
_LONGEST = 255
_SCHEME = re.compile(r"(https?)://", re.IGNORECASE)
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
_PART = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PART_RULE = "small letters and digits, with single . _ or - between them"
_TAG_RULE = "up to 128 letters, digits, _ . and -, and begins with none of the last two"


@dataclass(frozen=True, slots=True)
class Reference:
    """An image by tag, by digest, or both: then the digest counts, as everywhere."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None
    plain_http: bool = False

    @property
    def name(self) -> str:
        """As Kubernetes and Docker write it: without a scheme."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    @property
    def target(self) -> str:
        """What a registry is asked for: the digest, else the tag."""
        return self.digest or self.tag or "latest"

    @property
    def url(self) -> str:
        """Where the registry's API is."""
        host = _HUB_API if self.registry == HUB else self.registry
        return f"{'http' if self.plain_http else 'https'}://{host}"

    def pinned(self, digest: str) -> Reference:
        """The same repository, by digest alone."""
        return replace(self, tag=None, digest=digest)

    def tagged(self, tag: str) -> Reference:
        """The same repository, by tag alone.

        Raises:
            UsageError: it is no tag.

        """
        if not _TAG.fullmatch(tag):
            raise _broken(f"{self.registry}/{self.repository}:{tag}", _tag_rule(tag))
        return replace(self, tag=tag, digest=None)

    def __str__(self) -> str:
        """As `parse` reads it: with a scheme where the registry's address does not tell."""
        if self.plain_http == _is_loopback(self.registry):
            return self.name
        return f"{'http' if self.plain_http else 'https'}://{self.name}"


def parse(text: str) -> Reference:
    """Read the name of an image: `python:3.11`, `host:5000/team/x@sha256:...`, `http://host/x`.

    Registries on this machine are taken to speak plain HTTP, as Docker takes them; `https://`
    says otherwise.

    Raises:
        UsageError: it breaks a rule, which the message names.

    """
    scheme = _SCHEME.match(text)
    rest = text[scheme.end() :] if scheme else text
    rest, at, digest = rest.partition("@")
    rest, tag = _part_tag(rest)
    registry, repository = _part_registry(rest)
    if scheme and "/" not in rest:
        raise _broken(text, "a registry is followed by a repository: http://host:5000/name")
    _check(text, registry, repository)
    if tag is not None and not _TAG.fullmatch(tag):
        raise _broken(text, _tag_rule(tag))
    if at and not _DIGEST.fullmatch(digest):
        raise _broken(text, "after @ stands sha256: and 64 hexadecimal digits, in small letters")
    plain = scheme[1].lower() == "http" if scheme else _is_loopback(registry)
    tag = tag if tag or digest else "latest"
    return Reference(registry, repository, tag, digest or None, plain)


def _part_tag(text: str) -> tuple[str, str | None]:
    name, colon, tag = text.rpartition(":")
    return (name, tag) if colon and "/" not in tag and not tag.endswith("]") else (text, None)


def _part_registry(text: str) -> tuple[str, str]:
    """A first part with a dot, a port or a capital letter, or `localhost`, is a registry."""
    first, slash, rest = text.partition("/")
    if not slash or not (re.search(r"[.:A-Z]", first) or first == "localhost"):
        registry, repository = HUB, text
    else:
        registry, repository = first, rest
    if registry.lower() in {HUB, "index.docker.io", _HUB_API}:
        registry = HUB
        repository = repository if "/" in repository else f"library/{repository}"
    return registry, repository


def _check(text: str, registry: str, repository: str) -> None:
    if not _HOST.fullmatch(registry):
        raise _broken(text, f"{registry!r} is no host, or host:port")
    for part in repository.split("/"):
        if not _PART.fullmatch(part):
            raise _broken(text, f"the part {part!r} of its path may only have {_PART_RULE}")
    if len(registry) + 1 + len(repository) > _LONGEST:
        raise _broken(text, f"it is longer than {_LONGEST} letters")


def _tag_rule(tag: str) -> str:
    return f"the tag {tag!r} may have {_TAG_RULE}"


def _broken(text: str, rule: str) -> UsageError:
    message = f"{text!r} names no image: {rule}"
    return UsageError(message, "write it like registry.example.com/team/name:tag")


def _is_loopback(registry: str) -> bool:
    host = registry_host(registry)
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def registry_host(registry: str) -> str:
    """The host of HOST:PORT, an address of IPv6 without its brackets."""
    if registry.startswith("["):
        return registry[1:].partition("]")[0]
    return registry.partition(":")[0].lower()
