"""One repository of a registry, as the OCI distribution specification has it."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from mlfunc.errors import RegistryFailed
from mlfunc.oci import content, failures
from mlfunc.oci.platforms import DOCKER_INDEX, DOCKER_MANIFEST
from mlfunc.oci.tokens import Authorizer
from mlfunc.oci.transport import BUSY, Access, Broken, Transport, asked_for, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import urllib3

    from mlfunc.oci.content import Descriptor
    from mlfunc.oci.reference import Reference
    from mlfunc.oci.tokens import Scopes
    from mlfunc.oci.transport import Body, Reply

_PIECE = 1 << 20
# Tries that are left: without a token, with one that has run out meanwhile, with a fresh one.
_LOGINS = (2, 1, 0)
_ACCEPT = ", ".join((content.MANIFEST, content.INDEX, DOCKER_MANIFEST, DOCKER_INDEX))


class Remote:
    """A repository that we pull from or, with `push`, push to. Threads may share it."""

    def __init__(
        self, reference: Reference, access: Access | None = None, *, push: bool = False
    ) -> None:
        self.reference = reference
        self.transport = Transport(reference.registry, access or Access())
        self._doing = "push to" if push else "pull"
        self._actions = "pull,push" if push else "pull"
        self._authorizer = Authorizer(reference, self._doing, self.transport)

    @cached_property
    def base(self) -> str:
        """Where its API is; with `insecure`, whatever the registry speaks."""
        reference, access = self.reference, self.transport.access
        url = reference.url
        if access.insecure and access.own == reference.registry and not reference.plain_http:
            try:
                self.transport.ask("GET", f"{url}/v2/", {}, again=False)
            except failures.NoTls:
                # On no other failure: who cuts TLS off must not be handed a password in the clear.
                url = "http" + url.removeprefix("https")
        return f"{url}/v2/{reference.repository}/"

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: Body | bytes | None = None,
        *,
        scopes: Scopes = (),
        again: bool = True,
    ) -> Reply:
        """A request of our own registry, as whom it knows; `path` may be a whole address.

        Raises:
            RegistryFailed: no answer, or it does not know us; `Broken`: it had worked before.

        """
        url = urljoin(self.base, path)
        scopes = (self._scope(self.reference.repository, self._actions), *scopes)
        for left in _LOGINS:
            sent = self._authorizer.header(scopes) if self.serves(url) else None
            given = {"Authorization": sent} if sent else {}
            reply = self.transport.ask(method, url, {**(headers or {}), **given}, body, again=again)
            if reply.status != 401 or not left or not self._authorizer.learn(reply, scopes, sent):
                return reply
        raise AssertionError("the last try returns")

    def serves(self, url: str) -> bool:
        """Whether an address is the registry's own: only that one is told who we are."""
        return urlsplit(url)[:2] == urlsplit(self.base)[:2]

    def refusal(self, reply: Reply) -> RegistryFailed:
        """An answer that ends what we do."""
        return failures.refused(self.reference, self._doing, reply, self._authorizer.user)

    def manifest(self, target: str) -> content.Bytes:
        """A manifest or index by tag or digest; one by digest is what that digest says.

        Raises:
            RegistryFailed: it is not there, or is another.

        """
        reply = self.request("GET", f"manifests/{target}", {"Accept": _ACCEPT})
        if reply.status != 200:
            raise self.refusal(reply)
        kind = reply.headers.get("content-type", "").partition(";")[0].strip()
        manifest = content.Bytes(reply.body, kind)
        if ":" in target and manifest.descriptor.digest != target:
            raise _differs(self.reference, target, manifest.descriptor.digest)
        return manifest

    def manifest_digest(self, target: str) -> str | None:
        """What a tag stands for now; None: nothing."""
        reply = self.request("HEAD", f"manifests/{target}", {"Accept": _ACCEPT})
        if reply.status == 404:
            return None
        if reply.status not in {200, 302, 307}:
            raise self.refusal(reply)
        told = reply.headers.get("docker-content-digest")
        return told or self.manifest(target).descriptor.digest

    def put_manifest(self, manifest: content.Bytes, target: str) -> None:
        """Let a tag, or its digest, stand for this manifest."""
        kind = {"Content-Type": manifest.media_type}
        reply = self.request("PUT", f"manifests/{target}", kind, manifest.data)
        if reply.status not in {200, 201, 202}:
            raise self.refusal(reply)

    def has(self, digest: str) -> bool:
        """Whether the repository has this blob."""
        reply = self.request("HEAD", f"blobs/{digest}")
        if reply.status in {200, 404}:
            return reply.status == 200
        if reply.status in {307, 302}:  # where it lies: so it is there
            return True
        raise self.refusal(reply)

    def mount(self, digest: str, origin: str) -> bool:
        """Have a blob of another repository of this registry; False: it has to be uploaded."""
        scope = (self._scope(origin, "pull"),)
        path = f"blobs/uploads/?mount={digest}&from={origin}"
        try:
            reply = self.request("POST", path, scopes=scope)
        except failures.Denied:  # some give no token at all where it would be good for less
            return False
        if reply.status == 202 and "location" in reply.headers:
            # It began an upload instead: nothing will come there.
            where = urljoin(self.base, reply.headers["location"])
            if self.serves(where):
                self.request("DELETE", where)
        return reply.status == 201

    def blob(self, descriptor: Descriptor) -> RemoteBlob:
        """A blob, not asked for until it is read."""
        return RemoteBlob(self, descriptor)

    def pieces(self, digest: str, offset: int) -> Iterator[bytes]:
        """A blob's bytes from `offset` on, as far as they come.

        Raises:
            RegistryFailed: it has none, or does not know us; `Broken`: the connection failed.

        """
        url = urljoin(self.base, f"blobs/{digest}")
        headers = {"Accept-Encoding": "identity"}
        headers |= {"Range": f"bytes={offset}-"} if offset else {}
        scopes = (self._scope(self.reference.repository, self._actions),)
        for left in _LOGINS:
            sent = self._authorizer.header(scopes)
            given = {"Authorization": sent} if sent else {}
            with self.transport.stream(url, {**headers, **given}) as response:
                if response.status in {200, 206}:
                    # A server that knows no ranges begins at the beginning.
                    yield from _after(response, offset if response.status == 200 else 0)
                    return
                reply = whole(response)
            if reply.status in BUSY:
                raise Broken(self.refusal(reply).message, after=asked_for(reply))
            if reply.status != 401 or not left or not self._authorizer.learn(reply, scopes, sent):
                raise self.refusal(reply)

    @staticmethod
    def _scope(repository: str, actions: str) -> str:
        return f"repository:{repository}:{actions}"


@dataclass(frozen=True)
class RemoteBlob:
    """A blob that lies in a registry; a broken connection is taken up where it broke."""

    remote: Remote
    descriptor: Descriptor

    def read(self, offset: int = 0) -> Iterator[bytes]:
        """Its bytes from `offset` on; read from the beginning, they are checked at the end.

        Raises:
            RegistryFailed: they do not come, or are others.

        """
        found = hashlib.sha256()
        at, waits = offset, iter(self.remote.transport.access.waits)
        while at < self.descriptor.size:
            try:
                for piece in self.remote.pieces(self.descriptor.digest, at):
                    at += len(piece)
                    found.update(piece)
                    waits = iter(self.remote.transport.access.waits)
                    yield piece
                if at < self.descriptor.size:
                    raise Broken(f"{self.remote.reference.registry} sent too little of a blob")
            except Broken as broken:
                wait = next(waits, None)
                if wait is None:
                    raise
                time.sleep(max(wait, broken.after))
        digest = f"sha256:{found.hexdigest()}"
        if offset == 0 and digest != self.descriptor.digest:
            raise _differs(self.remote.reference, self.descriptor.digest, digest)


def _after(response: urllib3.BaseHTTPResponse, skip: int) -> Iterator[bytes]:
    for piece in response.stream(_PIECE, decode_content=False):
        if len(piece) > skip:
            yield piece[skip:]
        skip = max(0, skip - len(piece))


def _differs(reference: Reference, wanted: str, got: str) -> RegistryFailed:
    message = f"{reference.registry} sent other bytes for {wanted} of {reference.repository}"
    return RegistryFailed(f"{message}: {got}", "its storage or a proxy before it is broken")
