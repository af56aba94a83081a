"""Objects of a cluster: got, listed, applied, deleted, watched; and the logs of its pods."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from mlfunc.cluster import access, failures, kinds
from mlfunc.cluster.connection import Connection, Lines, Request
from mlfunc.cluster.mirror import whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    import urllib3

    from mlfunc.cluster.access import Access
    from mlfunc.cluster.kinds import Kind

Object = dict[str, Any]  # as the API server writes it

# Who we are in `metadata.managedFields`.
MANAGER = "mlfunc"
_READ_SECONDS = 60


class Cluster:
    """A cluster, and the namespace that is meant where none is named."""

    def __init__(self, access: Access, namespace: str | None = None) -> None:
        self._connection = Connection(access)
        self.namespace = namespace or access.namespace

    @property
    def access(self) -> Access:
        """The way into it, as it was last renewed."""
        return self._connection.access

    @property
    def place(self) -> str:
        """The namespace, and in which cluster."""
        return f"namespace {self.namespace} ({self.access.where})"

    def get(self, kind: Kind, name: str, *, namespace: str | None = None) -> Object | None:
        """An object, or None if there is none.

        Raises:
            MlfuncError: the API server refuses, or cannot be reached; so do all others here.

        """
        response = self.request("GET", kind.path(namespace or self.namespace, name))
        if failures.is_missing(response):
            return None
        return self._object(response)

    def list(
        self,
        kind: Kind,
        *,
        labels: str = "",
        fields: str = "",
        namespace: str | None = None,
        everywhere: bool = False,
    ) -> list[Object]:
        """Objects of a namespace, or of all; `labels` and `fields` select as kubectl's do."""
        query = {"labelSelector": labels, "fieldSelector": fields}
        where = None if everywhere else namespace or self.namespace
        found = self.fetch(kind.path(where), query)
        return [whole(each, kind) for each in found["items"]]

    def apply(
        self,
        manifest: Object,
        *,
        manager: str = MANAGER,
        dry_run: bool = False,
        force: bool = False,
    ) -> Object:
        """Server-side apply; what comes back is the object as it is, or would be.

        Raises:
            Conflict: another manager owns a field that differs, and `force` is not given.

        """
        kind, meta = kinds.of(manifest), manifest["metadata"]
        query = {"fieldManager": manager, "dryRun": "All" if dry_run else ""}
        return self._object(
            self.request(
                "PATCH",
                kind.path(meta.get("namespace"), meta["name"]),
                query={**query, "force": "true" if force else ""},
                body=manifest,
                content_type="application/apply-patch+yaml",
            )
        )

    def patch(
        self, kind: Kind, name: str, change: Object, *, namespace: str | None = None
    ) -> Object:
        """A merge patch (RFC 7386): what is null in `change` is taken away."""
        response = self.request(
            "PATCH",
            kind.path(namespace or self.namespace, name),
            query={"fieldManager": MANAGER},
            body=change,
            content_type="application/merge-patch+json",
        )
        return self._object(response)

    def delete(self, kind: Kind, name: str, *, namespace: str | None = None) -> bool:
        """Have an object deleted, with what it owns; whether it was there."""
        query = {"propagationPolicy": "Background"}
        path = kind.path(namespace or self.namespace, name)
        response = self.request("DELETE", path, query=query)
        if failures.is_missing(response):
            return False
        self._object(response)
        return True

    def post(self, path: str, body: Object) -> Object:
        """What the API server answers to a question that it keeps nothing of, such as a review."""
        return self._object(self.request("POST", path, body=body))

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
        stream: bool = False,
        read_seconds: float | None = _READ_SECONDS,
    ) -> urllib3.BaseHTTPResponse:
        """A request to the API server; the reply whatever its status, its body unread if streamed.

        Raises:
            MlfuncError: it cannot be reached.

        """
        given = {name: value for name, value in (query or {}).items() if value}
        return self._connection.send(
            Request(
                method,
                f"{path}?{urlencode(given)}" if given else path,
                body=None if body is None else json.dumps(body).encode(),
                content_type=content_type,
                stream=stream,
                read_seconds=read_seconds,
            )
        )

    def pass_on(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        read_seconds: float | None,
    ) -> urllib3.BaseHTTPResponse:
        """A request to what the API server is a proxy of, sent once; the body is still unread.

        Raises:
            Unavailable: the API server cannot be reached, or nothing comes for so long.

        """
        sent = Request(method, path, body, stream=True, read_seconds=read_seconds, headers=headers)
        return self._connection.pass_on(sent)

    def fetch(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        """What the API server has at a path, such as a list or its version."""
        return self._object(self.request("GET", path, query=query))

    def lines(self, path: str, query: Mapping[str, str], *, silence: float | None = None) -> Lines:
        """The lines of a reply that goes on, such as a pod's log, while they come.

        After `silence`, in seconds, the connection counts as broken; None: it may say nothing.
        """
        response = self.request("GET", path, query=query, stream=True, read_seconds=silence)
        failures.check(response, self.access)
        return Lines(response, self.access)

    def _object(self, response: urllib3.BaseHTTPResponse) -> Object:
        failures.check(response, self.access)
        try:
            found: Object = json.loads(response.data)
        except ValueError as error:
            raise failures.no_api_server(self.access, response.data) from error
        return found


def connect(context: str | None = None, namespace: str | None = None) -> Cluster:
    """The cluster of a context of kubeconfig, else of the current one.

    Raises:
        UsageError: there is no such context, or no cluster is configured.

    """
    return Cluster(access.open_(context), namespace)
