"""Where events go to, in kn's words (ksvc:audit, broker:failed, an URL) and in Knative's."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

_KINDS = {
    "ksvc": ("serving.knative.dev/v1", "Service"),
    "broker": ("eventing.knative.dev/v1", "Broker"),
    "channel": ("messaging.knative.dev/v1", "Channel"),
    "svc": ("v1", "Service"),
}
_WORDS = {kind: word for word, kind in _KINDS.items()}


def destination(sink: str, namespace: str) -> Object:
    """As a Trigger has it. Knative fills in a namespace that is left out: it is not left out."""
    word, _, name = sink.partition(":")
    if word not in _KINDS:
        return {"uri": sink}
    version, kind = _KINDS[word]
    return {"ref": {"apiVersion": version, "kind": kind, "name": name, "namespace": namespace}}


def written(destination: Object) -> str:
    """As kn writes it; a kind that kn has no word for by its own name."""
    ref = destination.get("ref")
    if ref is None:
        return str(destination.get("uri", ""))
    word = _WORDS.get((ref.get("apiVersion"), ref.get("kind")), ref.get("kind"))
    return f"{word}:{ref.get('name')}"
