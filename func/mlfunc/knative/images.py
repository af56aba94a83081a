"""Why an image is not pulled, of what the container runtime says."""

from __future__ import annotations

import re
from typing import Any

from mlfunc.knative.progress import Failure

Object = dict[str, Any]

REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_NAMED = re.compile(r'image "([^"]+)"')
# What trying again does not mend, unlike a network that fails or a registry that is busy: the
# runtime's words, what they mean, and what to do.
_FINAL = (
    (
        ("unauthorized", "401 ", "403 ", "denied", "no basic auth", "authorization failed"),
        "the registry refuses the cluster's credentials, or wants some",
        "`deploy.pull_secret` names a secret with them: kubectl create secret docker-registry",
    ),
    (
        ("no match for platform", "no matching manifest"),
        "it is not for the node's architecture",
        "`build.platform` is what it is built for; `placement.nodeSelector` chooses nodes",
    ),
    (
        ("HTTP response to HTTPS client",),
        "the registry speaks plain HTTP, and the node does not expect that",
        "have the nodes' container runtime trust it, or push to a registry with TLS",
    ),
    (
        ("x509", "certificate"),
        "the node does not trust the registry's certificate",
        "give the nodes its authority's certificate, or push to a registry that they trust",
    ),
    (
        ("not found", "NotFound", "manifest unknown", "name unknown", "repository does not exist"),
        "it is not there",
        "mlfunc deploy pushes it again; did somebody delete it from the registry?",
    ),
    (
        ("InvalidImageName", "couldn't parse image"),
        "that is no name of an image",
        "`image` and `registry` in mlfunc.yaml",
    ),
    (
        ("ErrImageNeverPull",),
        "it is not on the node, and may not be pulled",
        "imagePullPolicy Never is for images that were loaded into the node",
    ),
)


def failure(container: Object) -> Failure | None:
    """Why that of a container can never be pulled; None where another try may do."""
    waiting = container.get("state", {}).get("waiting") or {}
    told = f"{waiting.get('reason', '')} {waiting.get('message', '')}"
    if waiting.get("reason") not in REASONS:
        return None
    named = _NAMED.search(told)
    image = named[1] if named else container["image"]
    for words, meaning, hint in _FINAL:
        # The name itself may hold such a word.
        if any(word in told.replace(image, "") for word in words):
            said = _registry_said(waiting.get("message", ""))
            return Failure(f"the node cannot pull {image}: {meaning}", hint, evidence=said)
    return None


def _registry_said(message: str) -> str:
    """The runtime's message from where it stops repeating the image's name."""
    return message.rpartition("desc = ")[2]
