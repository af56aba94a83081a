"""Where functions are deployed in tests that hold for every platform: a cluster, or this machine.

Both are used by the real command line, and by requests to the addresses that it tells.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import urllib3
import yaml
from mlfunc.cluster import client

from tests.rig import cluster as rig
from tests.rig.cluster import Cluster, Ended, ended, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MLFUNC = Path(sys.executable).with_name("mlfunc")
_ACCEPTED = 202


class Place(Protocol):
    """A namespace of a platform, which is this test's own."""

    @property
    def name(self) -> str:
        """Of the platform."""
        ...

    @property
    def environ(self) -> Mapping[str, str]:
        """What of the environment says that it is this one."""
        ...

    def mlfunc(self, *args: str | Path, code: int | None = 0) -> Ended:
        """The real command line; `code` is how it has to end, None: anyhow."""
        ...

    def project(self, folder: Path, predictor: str, **keys: Any) -> Path:
        """A project of the last class of `predictor`; `keys` are of mlfunc.yaml, beside ours."""
        ...

    def request(self, name: str, body: Any = None, *, tag: str = "") -> urllib3.BaseHTTPResponse:
        """A request to a function: POST of JSON, or GET without a body."""
        ...

    def send(self, type_: str, data: Any, **attributes: str) -> None:
        """An event to the broker called default; it has been taken then."""
        ...

    def make_broker(self) -> None:
        """Have that broker, where it is not there of itself."""
        ...


@dataclass(frozen=True)
class OnKnative:
    """A namespace of the cluster that the environment names."""

    cluster: Cluster
    name: str = "knative"

    @property
    def environ(self) -> Mapping[str, str]:
        """KUBECONFIG is there already."""
        return {"MLFUNC_HOME": str(self.cluster.home), "MLFUNC_PLATFORM": "knative"}

    def mlfunc(self, *args: str | Path, code: int | None = 0) -> Ended:
        """In the namespace that mlfunc.yaml names, or -n."""
        return self.cluster.mlfunc(*_in(self.cluster.namespace, args), code=code)

    def project(self, folder: Path, predictor: str, **keys: Any) -> Path:
        """With registry and base image of the cluster's."""
        return self.cluster.project(folder, predictor, **keys)

    def request(self, name: str, body: Any = None, *, tag: str = "") -> urllib3.BaseHTTPResponse:
        """Through the ingress, by Host."""
        host = self.cluster.host(name)
        return rig.ask(self.cluster.ingress, f"{tag}-{host}" if tag else host, body)

    def send(self, type_: str, data: Any, **attributes: str) -> None:
        """By way of the API server. What it does not take is sent again, as senders do."""
        event = _event(type_, data, attributes)
        eventually(lambda: self._takes(event), f"the broker takes {type_}")

    def make_broker(self) -> None:
        """By kn."""
        ended(["kn", "broker", "create", "default", "-n", self.cluster.namespace]).ok()

    def _takes(self, event: dict[str, Any]) -> bool:
        reply = client.connect(namespace=self.cluster.namespace).request(
            "POST",
            self._ingress(),
            body=event,
            content_type="application/cloudevents+json",
            read_seconds=120,
        )
        return reply.status == _ACCEPTED

    def _ingress(self) -> str:
        address = urlsplit(self.cluster.get("broker", "default")["status"]["address"]["url"])
        service, namespace, *_ = str(address.hostname).split(".")
        root = f"/api/v1/namespaces/{namespace}/services/http:{service}:{address.port or 80}/proxy"
        return f"{root}{address.path}"


@dataclass(frozen=True)
class OnThisMachine:
    """A namespace of a supervisor of its own."""

    namespace: str
    home: Path
    name: str = "local"
    variables: dict[str, str] = field(default_factory=dict)
    through: tuple[str, ...] = ()  # what each command is started by

    def mlfunc(self, *args: str | Path, code: int | None = 0) -> Ended:
        """As somebody who has no cluster, in the namespace that mlfunc.yaml names, or -n."""
        given = [str(each) for each in (*self.through, _MLFUNC, *_in(self.namespace, args))]
        found = ended(given, **self.environ)
        if code is not None:
            assert found.code == code, f"{found.code}, not {code}\n{found.out}{found.err}"
        return found

    @property
    def environ(self) -> Mapping[str, str]:
        """No cluster is there."""
        told = {"MLFUNC_HOME": str(self.home), "MLFUNC_PLATFORM": "local", "NO_COLOR": "1"}
        return {**told, "KUBECONFIG": os.devnull, **self.variables}

    def project(self, folder: Path, predictor: str, **keys: Any) -> Path:
        """Of which nothing says where it runs."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "predictor.py").write_text(predictor, encoding="utf-8")
        given = {
            "name": folder.name,
            "predictor": f"predictor.py:{rig.last_class(predictor)}",
            "namespace": self.namespace,
            **keys,
        }
        (folder / "mlfunc.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")
        return folder

    def request(self, name: str, body: Any = None, *, tag: str = "") -> urllib3.BaseHTTPResponse:
        """Through the gateway, by Host."""
        told = self.mlfunc("describe", name, "-n", self.namespace, "-o", "json").data["routes"]
        host = next(each for each in (urlsplit(url).netloc for url in told) if name in each)
        return rig.ask(self.gateway, f"{tag}-{host}" if tag else host, body)

    def send(self, type_: str, data: Any, **attributes: str) -> None:
        """To the broker's own address."""
        with urllib3.PoolManager(retries=False, timeout=60) as pool:
            reply = pool.request(
                "POST",
                f"{self.gateway}/-/broker/{self.namespace}/default",
                body=json.dumps(_event(type_, data, attributes)).encode(),
                headers={"content-type": "application/cloudevents+json"},
            )
        assert reply.status == _ACCEPTED, reply.data

    def make_broker(self) -> None:
        """There is one of itself."""

    @property
    def gateway(self) -> str:
        """Its URL."""
        url: str = self.mlfunc("platform", "status", "-o", "json").data["gateway"]
        return url


@contextlib.contextmanager
def started(place: Place, *args: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on; what it prints, to both, is in its `stdout`."""
    command = subprocess.Popen(
        [_MLFUNC, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **place.environ},
    )
    # A test that waits in vain ends all the same.
    killer = threading.Timer(180, command.kill)
    killer.start()
    try:
        yield command
    finally:
        killer.cancel()
        command.kill()
        command.communicate()


def expect(command: subprocess.Popen[str], *wanted: str) -> None:
    """That it prints all these, in this order, among other lines."""
    assert command.stdout is not None
    for each in wanted:
        assert any(each in line for line in command.stdout), f"it ended without: {each}"


@contextlib.contextmanager
def on_knative(home: Path) -> Iterator[Place]:
    """A fresh namespace of the cluster."""
    with rig.fresh(home) as cluster:
        yield OnKnative(cluster)


@contextlib.contextmanager
def on_this_machine(home: Path) -> Iterator[OnThisMachine]:
    """A fresh namespace of the supervisor of that home, which is started when it is needed."""
    yield OnThisMachine(f"test-{uuid.uuid4().hex[:8]}", home)


def _in(namespace: str, args: tuple[str | Path, ...]) -> tuple[str | Path, ...]:
    """A project names its namespace; for all others but those of no function, the option does."""
    of_none = args[0] in {"platform", "cache"}
    return args if of_none or "--path" in args else (*args, "--namespace", namespace)


def _event(type_: str, data: Any, attributes: dict[str, str]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "type": type_,
        "source": "/tests",
        "id": str(uuid.uuid4()),
        "datacontenttype": "application/json",
        "data": data,
        **attributes,
    }
