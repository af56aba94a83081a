"""Why the cluster lets no pod of a revision in: quotas, limits, security, webhooks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlfunc.knative.progress import Failure, Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.knative.progress import Snapshot

Object = dict[str, Any]

_FORBIDDEN = re.compile(r'^.*?pods "[^"]*" is forbidden: ')
# A webhook that does not answer may answer the next time; a new namespace gets its account late; of
# two pods that are counted at once, one is counted later.
_MAY_PASS = (
    "failed calling webhook",
    'serviceaccount "default" not found',
    "please apply your changes to the latest version",
)
_MEANINGS = (
    (
        "exceeded quota",
        "the namespace's quota has no room for it",
        "ask for less in `resources`, or make room: kubectl describe resourcequota -n {namespace}",
    ),
    (
        "failed quota",
        "the namespace's quota wants limits of each container, Knative's own too",
        "a LimitRange with defaults in namespace {namespace} gives them",
    ),
    (
        "violates PodSecurity",
        "the namespace's Pod Security Standard forbids it",
        "kubectl get namespace {namespace} --show-labels; Knative's secure-pod-defaults helps",
    ),
    (
        "error looking up service account",
        "there is no such service account",
        "kubectl get serviceaccounts -n {namespace}; `deploy.service_account` names it",
    ),
    (
        "usage per Container",
        "the namespace's limit range forbids it",
        "change `resources`: kubectl describe limitrange -n {namespace}",
    ),
    (
        "admission webhook",
        "a webhook of the cluster forbids it",
        "what it says is a rule of this cluster: ask who runs it",
    ),
)


def refused(snapshot: Snapshot) -> Progress | None:
    """Why there is no pod; None where none was refused."""
    message = _told(snapshot)
    if not message:
        return None
    short = _FORBIDDEN.sub("", message)
    if any(words in message for words in _MAY_PASS):
        return Progress("creating", short)
    return Progress("creating", short, failure=_failure(short, _namespace(snapshot)))


def _told(snapshot: Snapshot) -> str:
    """What stopped the ReplicaSet, of the revision's conditions or of the latest events."""
    conditions: Sequence[Object] = (snapshot.revision or {}).get("status", {}).get(
        "conditions"
    ) or ()
    told = [each for each in conditions if each.get("reason") == "FailedCreate"]
    told += [each for each in snapshot.events if each["reason"] == "FailedCreate"]
    return told[-1].get("message", "") if told else ""


def _failure(message: str, namespace: str) -> Failure:
    for words, meaning, hint in _MEANINGS:
        if words in message:
            return Failure(
                f"no pod may be made, {meaning}: {message}", hint.format(namespace=namespace)
            )
    return Failure(f"no pod may be made: {message}", f"kubectl get events -n {namespace}")


def _namespace(snapshot: Snapshot) -> str:
    found: str = snapshot.service["metadata"]["namespace"]
    return found
