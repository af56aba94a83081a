"""How Kubernetes lets things be called. Asked here, where the key of mlfunc.yaml is still known."""

from __future__ import annotations

import re

_PART = r"[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?"
_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LONGEST_PART = 63
_LONGEST_SUBDOMAIN = 253


def is_label(text: str) -> bool:
    """Whether it can be the value of a label."""
    return not text or (len(text) <= _LONGEST_PART and _is(_PART, text))


def is_key(text: str) -> bool:
    """Whether it can be the key of a label or an annotation: `name`, `prefix.example.com/name`."""
    prefix, slash, name = text.rpartition("/")
    return bool(name) and is_label(name) and (not slash or is_name(prefix))


def is_name(text: str) -> bool:
    """Whether a Secret, a ConfigMap, a claim or an account can be called so."""
    return len(text) <= _LONGEST_SUBDOMAIN and _is(_SUBDOMAIN, text)


def is_data_key(text: str) -> bool:
    """Whether it can be a key in a Secret or a ConfigMap."""
    return len(text) <= _LONGEST_SUBDOMAIN and _is(r"(?!\.\.)[-._A-Za-z0-9]+", text) and text != "."


def _is(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text) is not None
