"""A small API server: it keeps objects as they are applied, and says that each is ready.

Enough for what a command asks of a cluster. What a cluster makes of it, tests/knative show.
"""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from kubernetes.config import kube_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Object = dict[str, Any]

_PLURALS = ("services", "brokers", "triggers")
_KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: small
contexts: [{{name: small, context: {{cluster: small, user: small, namespace: shop}}}}]
clusters: [{{name: small, cluster: {{server: "{server}"}}}}]
users: [{{name: small, user: {{}}}}]
"""


class ApiServer:
    """Objects by their paths; `status` is what they get."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.status: Object = {"conditions": [{"type": "Ready", "status": "True"}]}

    def keep(self, path: str, found: Object) -> Object:
        """An object as it is from now on; another spec is another generation of it."""
        before = self.objects.get(path, {"metadata": {"generation": 0}, "spec": None})
        generation = before["metadata"]["generation"] + (before["spec"] != found.get("spec"))
        meta = {"uid": path, **found["metadata"], "generation": generation}
        status = {"observedGeneration": generation, **self.status}
        self.objects[path] = {"spec": {}, "status": status, **found, "metadata": meta}
        return self.objects[path]

    def find(self, path: str) -> Object | None:
        """An object, or the list of those below a path."""
        if path.rpartition("/")[2] not in _PLURALS:
            return self.objects.get(path)
        items = [each for at, each in self.objects.items() if at.startswith(f"{path}/")]
        return {"metadata": {"resourceVersion": "1"}, "items": items}


@contextlib.contextmanager
def api_server(kubeconfig: Path) -> Iterator[ApiServer]:
    """One on a free port, and the kubeconfig of it, whose namespace is shop."""
    kept = ApiServer()
    handler = type("Bound", (_Handler,), {"kept": kept})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        kubeconfig.write_text(_KUBECONFIG.format(server=f"http://127.0.0.1:{http.server_port}"))
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield kept
        http.shutdown()
        thread.join()


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """One that kubeconfig names, with a function `echo` and the broker `default`."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    # Where the package looks is settled when it is imported, once in a run of tests.
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    with api_server(tmp_path / "kubeconfig") as kept:
        for group, kind, name in (
            ("serving", "services", "echo"),
            ("eventing", "brokers", "default"),
        ):
            path = f"/apis/{group}.knative.dev/v1/namespaces/shop/{kind}/{name}"
            kept.keep(path, {"metadata": {"name": name, "namespace": "shop"}})
        yield kept


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    kept: ApiServer

    def do_GET(self) -> None:
        self._reply(self.kept.find(urlsplit(self.path).path))

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self._reply(self.kept.keep(urlsplit(self.path).path, body))

    def do_DELETE(self) -> None:
        self._reply(self.kept.objects.pop(urlsplit(self.path).path, None))

    def _reply(self, found: Object | None) -> None:
        body = json.dumps(found or self._not_found()).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _not_found(self) -> Object:
        name = urlsplit(self.path).path.rpartition("/")[2]
        told = {"message": f"{name} not found", "details": {"name": name}}
        return {"kind": "Status", "code": 404, "reason": "NotFound", **told}

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Nothing: the test's output is the test's."""
