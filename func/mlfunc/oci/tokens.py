"""How a registry lets us in: Basic, or bearer tokens that are got elsewhere and soon run out.

Distribution specification, "token authentication"; OAuth2 for those who have a refresh token.
"""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin, urlsplit

from mlfunc.errors import RegistryFailed
from mlfunc.oci import credentials, failures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlfunc.oci.credentials import Credentials
    from mlfunc.oci.reference import Reference
    from mlfunc.oci.transport import Reply, Transport

    Scopes = tuple[str, ...]

_CLIENT = "mlfunc"
_DEFAULT_SECONDS = 60  # of a token that does not say how long it is good
_USED_SHARE = 0.8  # of that time: one that runs out on its way costs a body sent in vain
_SCHEME = re.compile(r"(?:^|,)\s*(Basic|Bearer)\s+", re.IGNORECASE)
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


@dataclass(frozen=True)
class Challenge:
    """What a registry wants to see: `scheme` is basic or bearer."""

    scheme: str
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class Token:
    """A header that is good until a moment of the monotonic clock."""

    header: str
    until: float


def challenge(header: str) -> Challenge | None:
    """Read WWW-Authenticate; of several ways the one with tokens."""
    _, *parts = _SCHEME.split(header)
    found = {
        scheme.lower(): {m[1].lower(): _unquoted(m) for m in _PARAMETER.finditer(text)}
        for scheme, text in zip(parts[::2], parts[1::2], strict=True)
    }
    for scheme in ("bearer", "basic"):
        if scheme in found:
            return Challenge(scheme, found[scheme])
    return None


def _unquoted(match: re.Match[str]) -> str:
    return re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]


class Authorizer:
    """Gets what one repository's registry wants to see, and keeps it while it is good."""

    def __init__(self, reference: Reference, doing: str, transport: Transport) -> None:
        self._reference = reference
        self._doing = doing
        self._transport = transport
        self._lock = threading.Lock()
        self._challenge: Challenge | None = None
        self._tokens: dict[Scopes, Token] = {}
        self._credentials: Credentials | None = None

    @property
    def user(self) -> str | None:
        """Who we are to it; None: nobody."""
        return self._credentials.user if self._credentials else None

    def header(self, scopes: Scopes) -> str | None:
        """What to send; None before the registry has said what it wants.

        Raises:
            RegistryFailed: it does not know us, or has nothing for us.

        """
        with self._lock:
            if self._challenge is None:
                return None
            token = self._tokens.get(scopes)
            if token is None or token.until < time.monotonic():
                token = self._tokens[scopes] = self._get(self._challenge, scopes)
            return token.header

    def learn(self, reply: Reply, scopes: Scopes, sent: str | None) -> bool:
        """Take up what a 401 says; False: it is no use to try again."""
        said = challenge(reply.headers.get("www-authenticate", ""))
        with self._lock:
            if said is None or (sent and (said.scheme == "basic" or failures.lacks_scope(reply))):
                return False
            if self._challenge is None:
                access = self._transport.access
                own = access.own == self._reference.registry
                self._credentials = credentials.find(self._reference, access.environ, own=own)
                if said.scheme == "basic" and self._credentials is None:
                    return False
            self._challenge = said
            if (token := self._tokens.get(scopes)) and token.header == sent:
                del self._tokens[scopes]
            return True

    def _get(self, said: Challenge, scopes: Scopes) -> Token:
        who = self._credentials
        if said.scheme == "basic" and who:
            return Token(who.basic, float("inf"))
        realm = urljoin(self._reference.url, said.parameters.get("realm", ""))
        self._check(realm)
        start = time.monotonic()
        reply = self._ask(realm, said.parameters.get("service", ""), scopes)
        if reply.status in {400, 401, 403}:
            raise failures.unauthorized(
                self._reference, self._doing, self.user, failures.said(reply)
            )
        if reply.status != 200:
            host = urlsplit(realm).netloc
            message = f"{host} gives no token for {self._reference.registry}: it answered"
            raise RegistryFailed(f"{message} {reply.status}", evidence=failures.said(reply))
        return self._read(reply, start)

    def _ask(self, realm: str, service: str, scopes: Scopes) -> Reply:
        who = self._credentials
        if who and who.refresh_token:
            form = {"grant_type": "refresh_token", "service": service, "client_id": _CLIENT}
            form |= {"scope": " ".join(scopes), "refresh_token": who.refresh_token}
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            return self._transport.ask("POST", realm, kind, urlencode(form).encode())
        asked = [("service", service), *(("scope", scope) for scope in scopes)]
        if who:
            asked.append(("account", who.user))
        headers = {"Authorization": who.basic} if who else {}
        joint = "&" if "?" in realm else "?"
        return self._transport.ask("GET", f"{realm}{joint}{urlencode(asked)}", headers)

    def _check(self, realm: str) -> None:
        parts = urlsplit(realm)
        access = self._transport.access
        insecure = access.insecure and access.own == self._reference.registry
        if parts.scheme == "https" or self._reference.plain_http or insecure:
            return
        message = f"{self._reference.registry} wants our password sent to {realm}, without TLS"
        raise RegistryFailed(message, "have its token realm corrected, or write http:// before it")

    def _read(self, reply: Reply, start: float) -> Token:
        try:
            answer: dict[str, Any] = json.loads(reply.body)
            text = answer.get("token") or answer["access_token"]
            seconds = float(answer.get("expires_in") or _DEFAULT_SECONDS)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            message = f"what {self._reference.registry} calls a token is none"
            raise RegistryFailed(message) from error
        return Token(f"Bearer {text}", start + seconds * _USED_SHARE)
