"""A Status of the API server, read: what it refuses, why, and what to do next. Pure.

Texts and fields are those of Kubernetes 1.34 and Knative 1.23; the tests hold samples of them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mlfunc.cluster import kinds

Status = dict[str, Any]
Sentence = tuple[str, str]  # and the next step


@dataclass(frozen=True)
class Asked:
    """Which cluster was asked, by its context and as people call it, and for what."""

    context: str
    title: str
    path: str = ""


# Groups that are not Kubernetes' own, by their ends.
_PRODUCTS = {
    "serving.knative.dev": "Knative Serving",
    "internal.knative.dev": "Knative Serving",
    "eventing.knative.dev": "Knative Eventing",
}
_INSTALL = "https://knative.dev/docs/install/ says how; mlfunc doctor checks it"
_MAY_NOT = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)"'
    r'( in API group "(?P<group>[^"]*)")?( in the namespace "(?P<namespace>[^"]*)")?'
)
_FORBIDDEN = re.compile(r'^\S+( "[^"]*")? is forbidden: ')
_MANAGER = re.compile(r'^conflict with "((?:[^"\\]|\\.)*)"')
_DENIED = re.compile(
    r'admission webhook "(?P<webhook>[^"]+)" denied the request:? ?(?P<why>.*)', re.DOTALL
)
_UNANSWERED = re.compile(
    r'failed calling webhook "(?P<webhook>[^"]+)": (failed to call webhook: )?(?P<why>.*)',
    re.DOTALL,
)
_IN_NAMESPACE = re.compile(r"https://[\w-]+\.([\w-]+)\.svc[:/]")


def status(code: int, body: bytes) -> Status:
    """The Status of a reply, made from its text if it has none: proxies answer in plain text."""
    try:
        found = json.loads(body)
    except ValueError:
        found = {"message": " ".join(body.decode(errors="replace").split())[:500]}
    return complete(found, code)


def complete(found: Any, code: int | None = None) -> Status:
    """A Status with what has to be there, whatever was found."""
    known = found if isinstance(found, dict) else {}
    number = code or int(known.get("code") or 0)
    return {**known, "message": str(known.get("message") or f"HTTP {number}"), "code": number}


def conflicts(told: Status) -> tuple[tuple[str, str], ...]:
    """The fields of a conflict of server-side apply: each as its path and who manages it."""
    found = (
        (each.get("field", ""), _MANAGER.match(each.get("message", "")))
        for each in _causes(told)
        if each.get("reason") == "FieldManagerConflict"
    )
    return tuple((path.lstrip("."), manager[1]) for path, manager in found if manager)


def evidence(told: Status) -> str:
    """What is wrong with an object, a field a line."""
    lines = [
        f"{each['field']}: {each.get('message', '')}"
        for each in _causes(told)
        if each.get("field") and each.get("reason") != "FieldManagerConflict"
    ]
    if denied := _DENIED.search(told["message"]):
        lines = _complaints(denied["why"])
    return "\n".join(lines) if len(lines) > 1 else ""


def sentence(told: Status, asked: Asked) -> Sentence:
    """What happened, and what to do next."""
    if denied := _DENIED.search(told["message"]):
        return _denied(denied)
    if unanswered := _UNANSWERED.search(told["message"]):
        return _unanswered(unanswered)
    return _SENTENCES.get(told["code"], _refused)(told, asked)


def _refused(told: Status, asked: Asked) -> Sentence:
    speaks_tls = "HTTP request to an HTTPS server" in told["message"]
    hint = "its server in kubeconfig is https://, not http://" if speaks_tls else ""
    return f"{asked.title} refuses: {told['message']}", hint


def _busy(_: Status, asked: Asked) -> Sentence:
    said = f"{asked.title} has too many requests to answer"
    return said, "again, in a moment"


def _down(told: Status, asked: Asked) -> Sentence:
    said = f"{asked.title} cannot answer now: {told['message']}"
    return said, "kubectl get --raw /readyz"


def _not_known(_: Status, asked: Asked) -> Sentence:
    hint = "log in again with your provider's command line; kubectl auth whoami shows who you are"
    said = f"{asked.title} does not know who you are, or not any more"
    return said, hint


def _forbidden(told: Status, asked: Asked) -> Sentence:
    message = told["message"]
    found = _MAY_NOT.search(message)
    if found is None:  # of a quota, of the security of pods, of a namespace that goes
        why = _FORBIDDEN.sub("", message)
        return f"{asked.title} forbids it: {why}", ""
    kind = ".".join(each for each in (found["resource"], found["group"]) if each)
    where = f"in namespace {found['namespace']}" if found["namespace"] else "in the whole cluster"
    if found["user"] == "system:anonymous":
        said = f"context {asked.context} has no login; without, nobody may {found['verb']} {kind}"
        return said, "log in; kubectl auth whoami shows who you are"
    option = f" -n {found['namespace']}" if found["namespace"] else _everywhere(kind)
    hint = f"kubectl auth can-i {found['verb']} {kind}{option}; ask who manages the cluster"
    return f"{found['user']} may not {found['verb']} {kind} {where}", hint


def _everywhere(kind: str) -> str:
    """The option for what lies in namespaces, where all of them were asked for."""
    known = (f"{each.plural}.{each.group}".rstrip(".") for each in kinds.ALL if each.namespaced)
    return " -A" if kind in known else ""


def _absent(told: Status, asked: Asked) -> Sentence:
    details = told.get("details") or {}
    if details.get("kind") == "namespaces":
        name = details.get("name", "")
        return f"there is no namespace {name}", f"kubectl create namespace {name}, or --namespace"
    if "name" in details:
        return told["message"], ""
    group = _group(asked.path)
    product = next((name for end, name in _PRODUCTS.items() if group.endswith(end)), None)
    if product:
        return f"{product} is not installed in {asked.title}", _INSTALL
    said = f"{asked.title} does not know {urlsplit(asked.path).path}"
    return said, "kubectl api-resources shows what it knows"


def _group(path: str) -> str:
    parts = urlsplit(path).path.split("/apis/", 1)
    return parts[1].split("/", 1)[0] if len(parts) > 1 else ""


def _conflict(told: Status, _: Asked) -> Sentence:
    if fields := conflicts(told):
        managers = ", ".join(sorted({manager for _, manager in fields}))
        paths = ", ".join(path for path, _ in fields)
        return f"{managers} set what would change: {paths}", ""
    if told.get("reason") == "AlreadyExists":
        return told["message"], ""
    said = told["message"].partition(";")[0]
    return said, "somebody else changed it meanwhile: run this again"


def _invalid(told: Status, asked: Asked) -> Sentence:
    details, causes = told.get("details") or {}, _causes(told)
    if len(causes) <= 1:
        return _refused(told, asked)
    what = f"{details.get('kind', 'object')} {details.get('name', '')}".strip()
    return f"the cluster refuses {what}: {len(causes)} fields are not valid", ""


def _denied(found: re.Match[str]) -> Sentence:
    complaints = _complaints(found["why"])
    why = complaints[0] if len(complaints) == 1 else f"{len(complaints)} complaints"
    hint = ""
    if "must not set the field(s)" in found["why"]:
        hint = "mlfunc doctor says which features of Knative are off, and how to turn them on"
    return f"{found['webhook']} refuses: {why}", hint


def _complaints(why: str) -> list[str]:
    lines = why.removeprefix("validation failed: ").splitlines()
    return [line.strip() for line in lines if line.strip()] or ["it gives no reason"]


def _unanswered(found: re.Match[str]) -> Sentence:
    where = _IN_NAMESPACE.search(found["why"])
    hint = f"kubectl get pods -n {where[1]}" if where else "kubectl get pods -A"
    why = found["why"].rpartition('": ')[2] or found["why"]
    return f"the cluster's webhook {found['webhook']} does not answer: {why}", hint


def _causes(told: Status) -> list[dict[str, str]]:
    return (told.get("details") or {}).get("causes") or []


_SENTENCES = {
    401: _not_known,
    403: _forbidden,
    404: _absent,
    409: _conflict,
    422: _invalid,
    429: _busy,
    502: _down,
    503: _down,
    504: _down,
}
