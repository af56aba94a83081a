"""Who gives tokens for docker-registry's `auth: token`: signed as it wants them, soon run out."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVICE, ISSUER = "registry", "issuer"


@dataclass
class Tokens:
    """What is granted, to whom, and what was asked. `basic`: the header of who may all."""

    basic: str = ""
    anonymous: tuple[str, ...] = ()  # actions of who comes without a name
    seconds: float = 60
    refused: str = ""  # a repository for which no token is given at all
    url: str = ""
    asked: list[list[str]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    forms: list[dict[str, list[str]]] = field(default_factory=list)

    def answer(self, scopes: list[str], who: str) -> tuple[int, dict[str, Any]]:
        """A token for these scopes, of all actions that are granted of them."""
        self.asked.append(scopes)
        self.headers.append(who)
        if any(self.refused and f":{self.refused}:" in scope for scope in scopes):
            return 403, {"errors": [{"code": "DENIED", "message": "not this one"}]}
        if who and who != self.basic:
            return 401, {"errors": [{"code": "UNAUTHORIZED", "message": "wrong password"}]}
        return 200, {"token": self._signed(scopes, bool(who)), "expires_in": self.seconds}

    def _signed(self, scopes: list[str], known: bool) -> str:
        now = int(time.time())
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            granted = [a for a in actions.split(",") if known or a in self.anonymous]
            access.append({"type": kind, "name": name, "actions": granted})
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": SERVICE,
            "sub": "",
            "access": access,
            "jti": str(now),
        }
        # docker-registry allows a minute beyond the end.
        claims |= {"iat": now, "nbf": now - 60, "exp": now - 60 + int(self.seconds)}
        return self.sign(claims)

    def sign(self, claims: dict[str, Any]) -> str:
        """A JSON web token of ES256, with its certificate in the header."""
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(self._der).decode()]}
        text = ".".join(_plain(json.dumps(part).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_plain(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def prepare(self, bundle: Path) -> None:
        """Make a key, and write the authority that it is of."""
        authority = trustme.CA()
        leaf = authority.issue_cert("issuer.test")
        authority.cert_pem.write_to_path(bundle)
        key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        chain = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
        self._der = chain.public_bytes(serialization.Encoding.DER)


def _plain(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextlib.contextmanager
def tokens(given: Tokens, bundle: Path) -> Iterator[dict[str, Any]]:
    """Give them until the block ends: the `auth` block of a registry that trusts them."""
    given.prepare(bundle)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            who = self.headers.get("Authorization", "")
            self._reply(*given.answer(asked.get("scope", []), who))

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            given.forms.append(form)
            self._reply(*given.answer(form["scope"][0].split(), given.basic))

        def _reply(self, status: int, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        realm = f"http://127.0.0.1:{server.server_port}/token"
        given.url = realm
        about = {"realm": realm, "service": SERVICE, "issuer": ISSUER}
        yield {"token": {**about, "rootcertbundle": str(bundle)}}
        server.shutdown()
