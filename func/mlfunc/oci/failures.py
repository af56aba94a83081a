"""What a registry's refusals mean, in words that name the registry, the repository and the user."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

from mlfunc.errors import RegistryFailed

if TYPE_CHECKING:
    from mlfunc.oci.reference import Reference
    from mlfunc.oci.transport import Reply

_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
_SHOWN = 500  # letters of an answer that is no JSON: the page of some proxy


class Denied(RegistryFailed):
    """A registry, or who gives its tokens, does not let us in."""


class Unreachable(RegistryFailed):
    """No answer came at all."""


class Missing(RegistryFailed):
    """The registry has no such repository, tag or digest."""


class NoTls(Unreachable):
    """An answer came, but none in TLS: plain HTTP is spoken there."""


def refused(reference: Reference, doing: str, reply: Reply, user: str | None) -> RegistryFailed:
    """A registry's answer, as the failure of what was being done: "push to", "pull"."""
    where = f"{reference.registry}/{reference.repository}"
    evidence = said(reply)
    match reply.status:
        case 401 if user is None or not lacks_scope(reply):
            return unauthorized(reference, doing, user, evidence)
        case 401 | 403:
            message = f"{_who(user)} may not {doing} {where}"
            hint = f"have it permitted there, or log in as another user: {_login(reference)}"
        case 404:
            message = f"{reference.registry} has no {reference.name.partition('/')[2]}"
            made_first = "; some registries want a repository made first"
            hint = "look for a typing error" + (made_first if doing.startswith("push") else "")
            return Missing(message, hint, evidence=evidence)
        case 413:
            message = f"{reference.registry} takes no requests of this size: cannot {doing} {where}"
            hint = "a proxy before it limits them: raise its limit (nginx: client_max_body_size)"
        case 429:
            message = (
                f"{reference.registry} asks {_who(user)} to come back later: too many requests"
            )
            hint = f"wait, or log in, which raises the limit: {_login(reference)}"
        case status:
            message = f"cannot {doing} {where}: the registry answered {status}"
            hint = "try again" if status >= 500 else ""
    return RegistryFailed(message, hint, evidence=evidence)


def lacks_scope(reply: Reply) -> bool:
    """Whether our token is good, but not for this: RFC 6750, section 3.1."""
    return "insufficient_scope" in reply.headers.get("www-authenticate", "")


def unauthorized(reference: Reference, doing: str, user: str | None, evidence: str) -> Denied:
    """The registry does not know us."""
    where = f"{reference.registry}/{reference.repository}"
    if user is None:
        message = f"cannot {doing} {where} without logging in"
    else:
        message = f"cannot {doing} {where}: {reference.registry} does not accept {_who(user)}"
    return Denied(message, f"log in: {_login(reference)}", evidence=evidence)


def unreachable(host: str, error: Exception) -> Unreachable:
    """No answer at all: the name, the network, or what is spoken there."""
    text = _innermost(error)
    message = f"cannot reach {host}: {text}"
    hint = "is the address right, and does it run?"
    if any(sign in text for sign in _NO_TLS):
        hint = f"if it speaks plain HTTP, write http://{host}/..."
        return NoTls(f"{host} does not speak TLS", hint)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        message = f"the certificate of {host} cannot be trusted: {text.partition(': ')[2] or text}"
        hint = "name the authority that signed it: SSL_CERT_FILE=ca.pem; or build --insecure"
    elif _is(error, socket.gaierror):
        message = f"there is no host {host}"
        hint = "look for a typing error; behind a proxy, set HTTPS_PROXY"
    elif _is(error, ConnectionRefusedError):
        message = f"nothing listens at {host}"
    return Unreachable(message, hint)


def said(reply: Reply) -> str:
    """The errors in a registry's answer: distribution specification, "Error Codes"."""
    text = reply.body.decode(errors="replace").strip()
    try:
        errors = json.loads(text)["errors"]
        return "\n".join(_line(error) for error in errors)
    except (ValueError, LookupError, TypeError, AttributeError):
        return text[:_SHOWN]


def _line(error: dict[str, object]) -> str:
    detail = error.get("detail")
    more = f" ({json.dumps(detail)[:_SHOWN]})" if detail else ""
    return f"{error.get('code', '')}: {error.get('message', '')}{more}"


def _who(user: str | None) -> str:
    return "a user without a name" if user is None else f"the user {user or 'of its token'}"


def _login(reference: Reference) -> str:
    host = reference.registry
    return f"docker login {host}, or set MLFUNC_REGISTRY_USER and MLFUNC_REGISTRY_PASSWORD"


def _causes(error: BaseException | None) -> list[BaseException]:
    """What a library's error wraps, outermost first."""
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        inner = [error.__cause__, getattr(error, "reason", None), error.__context__, *error.args]
        error = next((cause for cause in inner if isinstance(cause, BaseException)), None)
    return causes


def _is(error: Exception, kind: type[BaseException]) -> bool:
    return any(isinstance(cause, kind) for cause in _causes(error))


def _innermost(error: Exception) -> str:
    return str(_causes(error)[-1]) or type(error).__name__
