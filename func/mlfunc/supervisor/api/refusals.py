"""What an API server refuses, as it says it: a Status. `mlfunc.cluster.refusals` reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlfunc.cluster.kinds import Kind

Object = dict[str, Any]


class Refused(Exception):
    """Told to the client: nothing was changed."""

    def __init__(self, status: Object) -> None:
        super().__init__(status["message"])
        self.status = status


def refused(code: int, reason: str, message: str, **details: Any) -> Refused:
    """Any."""
    told = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        **({"details": details} if details else {}),
        "code": code,
    }
    return Refused(told)


def success(kind: Kind, found: Object) -> Object:
    """What a deletion is answered with."""
    meta = found["metadata"]
    details = {"name": meta["name"], "kind": kind.plural, "uid": meta["uid"]}
    if kind.group:
        details["group"] = kind.group
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }


def unknown_path() -> Refused:
    """There is no such kind."""
    return refused(404, "NotFound", "the server could not find the requested resource")


def absent(kind: Kind, name: str) -> Refused:
    """There is no such object."""
    message = f'{_resource(kind)} "{name}" not found'
    return refused(404, "NotFound", message, **_of(kind, name))


def there_already(kind: Kind, name: str) -> Refused:
    """One was to be made."""
    message = f'{_resource(kind)} "{name}" already exists'
    return refused(409, "AlreadyExists", message, **_of(kind, name))


def changed_meanwhile(kind: Kind, name: str, why: str) -> Refused:
    """It is not the one, or not the version, that was meant."""
    message = f'Operation cannot be fulfilled on {_resource(kind)} "{name}": {why}'
    return refused(409, "Conflict", message, **_of(kind, name))


def no_method(method: str) -> Refused:
    """Nobody may do that here."""
    message = f"the local platform does not serve {method} for this resource"
    return refused(405, "MethodNotAllowed", message)


def bad_request(message: str) -> Refused:
    """It cannot be understood."""
    return refused(400, "BadRequest", message)


def no_media_type(given: str) -> Refused:
    """A patch that is of another sort."""
    message = (
        f"the body of the request was in an unknown format: {given or 'none is named'};"
        " application/apply-patch+yaml and application/merge-patch+json are known"
    )
    return refused(415, "UnsupportedMediaType", message)


def invalid(kind: Kind, name: str, problems: Sequence[tuple[str, str]]) -> Refused:
    """Fields that Kubernetes would not take: each as its path and what is wrong."""
    causes = [
        {"reason": "FieldValueInvalid", "message": told, "field": path} for path, told in problems
    ]
    listed = [f"{path}: {told}" for path, told in problems]
    said = listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"
    message = f'{kind.name} "{name}" is invalid: {said}'
    return refused(422, "Invalid", message, name=name, kind=kind.name, causes=causes)


def denied(webhook: str, problems: Iterable[str]) -> Refused:
    """What a webhook of Knative would not take."""
    said = "\n".join(problems)
    message = f'admission webhook "{webhook}" denied the request: validation failed: {said}'
    return bad_request(message)


def expired(version: int, known: int) -> Refused:
    """A watch would go on from what is forgotten."""
    return refused(410, "Expired", f"too old resource version: {version} ({known})")


def conflicts(found: Sequence[tuple[str, str]]) -> Refused:
    """Fields of others: each as its path and who manages it, as text."""
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": path}
        for path, who in found
    ]
    many = "conflict" if len(found) == 1 else "conflicts"
    listed = "\n".join(f"- {path}: {many} with {who}" for path, who in found)
    message = f"Apply failed with {len(found)} {many}:\n{listed}"
    return refused(409, "Conflict", message, causes=causes)


def not_kept(message: str) -> Refused:
    """The disk does not take it."""
    return refused(507, "InsufficientStorage", message)


def _resource(kind: Kind) -> str:
    return f"{kind.plural}.{kind.group}" if kind.group else kind.plural


def _of(kind: Kind, name: str) -> dict[str, str]:
    return {"name": name, "kind": kind.plural, **({"group": kind.group} if kind.group else {})}
