"""Why an image is not pulled, of what the container runtime says. Pure."""

from __future__ import annotations

from typing import Any

from mlfunc.knative.progress import Failure

REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_ABSENT = ("not found", "NotFound", "manifest unknown", "name unknown")
_REFUSED = ("unauthorized", "401", "403", "denied", "no basic auth credentials")
_INVALID = ("InvalidImageName", "couldn't parse image")
_CERTIFICATE = ("x509", "server gave HTTP response to HTTPS client")
_FOREIGN = ("no match for platform", "exec format error")
_ALL = (*_ABSENT, *_REFUSED, *_INVALID, *_CERTIFICATE, *_FOREIGN)


def is_final(message: str) -> bool:
    """Whether trying again is in vain: not for what a network or a busy registry does."""
    return any(word in message for word in _ALL)


def failure(message: str, pod: dict[str, Any]) -> Failure:
    """In a sentence, with the next step."""
    image = pod["spec"]["containers"][0]["image"]
    where = f"the node cannot pull {image}"
    if any(word in message for word in _REFUSED):
        hint = "name a secret with the registry's credentials in `deploy.pull_secret`"
        return Failure(f"{where}: the registry refuses", hint, evidence=message)
    if any(word in message for word in _CERTIFICATE):
        hint = "have the nodes trust the registry, or push to one that they trust"
        return Failure(f"{where}: they do not speak TLS alike", hint, evidence=message)
    if any(word in message for word in _FOREIGN):
        return Failure(f"{where}: it is for other machines", "--platform", evidence=message)
    return Failure(f"{where}: it is not there", "mlfunc deploy pushes it again", evidence=message)
