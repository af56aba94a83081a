"""The client of a cluster against a real API server: what it reads, what it survives, what it says."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import yaml
from mlfunc.cluster import access, client, kinds, watching
from mlfunc.cluster.failures import Absent, Conflict, Forbidden, Unavailable
from mlfunc.cluster.watching import Topic
from mlfunc.errors import ClusterFailed

from tests.rig.cluster import ended, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.rig.cluster import Cluster

    Figure = Callable[[str], None]

# ssl does not close a socket that is reset before its handshake begins (SSLSocket._create, 3.11).
RESET_BEFORE_TLS = (
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
CONFIG_MAPS = Topic(kinds.CONFIG_MAP, labels="made-by=test")


def config_map(name: str, namespace: str, **data: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, "labels": {"made-by": "test"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def kubeconfig() -> dict[str, Any]:
    """That of the environment, in one piece."""
    command = ["kubectl", "config", "view", "--raw", "--minify", "--flatten", "-o", "json"]
    found: dict[str, Any] = json.loads(ended(command).ok().out)
    return found


@pytest.fixture
def account(
    shared: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., client.Cluster]:
    """Connects as a service account that may do these verbs with config maps, and nothing else."""

    def connect(name: str, *verbs: str) -> client.Cluster:
        shared.kubectl("create", "serviceaccount", name)
        if verbs:
            verb = f"--verb={','.join(verbs)}"
            shared.kubectl("create", "role", name, verb, "--resource=configmaps")
            who = f"--serviceaccount={shared.namespace}:{name}"
            shared.kubectl("create", "rolebinding", name, f"--role={name}", who)
        document = kubeconfig()
        document["users"][0]["user"] = {"token": shared.kubectl("create", "token", name).strip()}
        (tmp_path / "config").write_text(yaml.safe_dump(document))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        return client.connect(namespace=shared.namespace)

    return connect


def test_objects_are_applied_read_patched_and_deleted(shared: Cluster) -> None:
    cluster = client.connect(namespace=shared.namespace)
    wanted = config_map("kept", shared.namespace, a="1")

    assert cluster.apply(wanted, dry_run=True)["data"] == {"a": "1"}
    assert cluster.get(kinds.CONFIG_MAP, "kept") is None
    cluster.apply(wanted)
    assert cluster.patch(kinds.CONFIG_MAP, "kept", {"data": {"a": None, "b": "2"}})["data"] == {
        "b": "2"
    }
    assert [each["kind"] for each in cluster.list(kinds.CONFIG_MAP, labels="made-by=test")] == [
        "ConfigMap"
    ]
    assert cluster.delete(kinds.CONFIG_MAP, "kept")
    assert not cluster.delete(kinds.CONFIG_MAP, "kept")


def test_what_another_manages_is_named_with_who_does(shared: Cluster) -> None:
    cluster = client.connect(namespace=shared.namespace)
    cluster.apply(config_map("owned", shared.namespace, a="1"), manager="another")

    with pytest.raises(Conflict) as raised:
        cluster.apply(config_map("owned", shared.namespace, a="2"))

    assert raised.value.fields == (("data.a", "another"),)
    forced = cluster.apply(config_map("owned", shared.namespace, a="2"), force=True)
    assert forced["data"] == {"a": "2"}


def test_what_knative_refuses_is_said_in_its_words(shared: Cluster) -> None:
    cluster = client.connect(namespace=shared.namespace)
    template = {"spec": {"containers": [{"image": "a/b"}], "containerConcurrency": -4}}
    manifest = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "x", "namespace": shared.namespace},
        "spec": {"template": template},
    }

    with pytest.raises(
        ClusterFailed, match=r"refuses: expected 0 <= -4 <= 1000: spec\.template\.spec"
    ):
        cluster.apply(manifest, dry_run=True)


def test_what_is_not_there_is_said_by_what_is_missing() -> None:
    cluster = client.connect()
    unknown = kinds.Kind("serving.knative.dev", "v0", "services", "Service")

    with pytest.raises(Absent, match="there is no namespace no-such-namespace"):
        cluster.apply(config_map("x", "no-such-namespace"))
    with pytest.raises(Absent, match="Knative Serving is not installed"):
        cluster.get(unknown, "x")


def test_who_may_nothing_is_told_what(
    shared: Cluster, account: Callable[..., client.Cluster]
) -> None:
    cluster = account("nobody")
    with pytest.raises(Forbidden) as raised:
        cluster.list(kinds.SERVICE)

    who = f"system:serviceaccount:{shared.namespace}:nobody"
    kind = "services.serving.knative.dev"
    assert raised.value.message == f"{who} may not list {kind} in namespace {shared.namespace}"
    assert raised.value.hint.startswith(f"kubectl auth can-i list {kind} -n {shared.namespace};")
    with (
        watching.follow(cluster, CONFIG_MAPS) as changes,
        pytest.raises(Forbidden, match="may not list configmaps"),
    ):
        changes.next(10)


def test_a_login_that_is_not_known_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = kubeconfig()
    document["users"][0]["user"] = {"token": "expired"}
    (tmp_path / "config").write_text(yaml.safe_dump(document))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))

    with pytest.raises(ClusterFailed, match="does not know who you are"):
        client.connect().list(kinds.NODE)


def test_who_may_only_list_still_sees_what_changes(
    shared: Cluster, account: Callable[..., client.Cluster]
) -> None:
    cluster = account("lister", "list", "create", "patch")

    with watching.follow(cluster, Topic(kinds.CONFIG_MAP, labels="made-by=lister")) as changes:
        assert names(changes.next(10)) == []
        manifest = config_map("new", shared.namespace)
        manifest["metadata"]["labels"] = {"made-by": "lister"}
        cluster.apply(manifest)
        assert names(changes.next(10)) == ["new"]


def test_the_context_is_the_one_that_kubectl_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = {"cluster": "c", "user": "u"}
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    for number, (current, namespace) in enumerate([("", "one"), ("b", "two"), ("c", "three")]):
        contexts = [{"name": each, "context": {**context, "namespace": namespace}} for each in "ab"]
        document = {"contexts": contexts, "current-context": current, "clusters": [cluster]}
        (tmp_path / str(number)).write_text(
            yaml.safe_dump({**document, "users": [{"name": "u", "user": {}}]})
        )
    files = [str(tmp_path / name) for name in ("missing", "0", "1", "2")]
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(files))

    minified = json.loads(ended(["kubectl", "config", "view", "--minify", "-o", "json"]).ok().out)
    found = access.open_()

    assert found.context == minified["current-context"] == "b"
    assert found.namespace == minified["contexts"][0]["context"]["namespace"] == "one"


def test_the_end_of_watches_waits_for_nothing(shared: Cluster, figure: Figure) -> None:
    """Over TLS, where a connection that is read cannot just be closed."""
    cluster = client.connect(namespace=shared.namespace)
    topics = (CONFIG_MAPS, Topic(kinds.POD), Topic(kinds.EVENT), Topic(kinds.SERVICE))

    with watching.follow(cluster, *topics) as changes:
        assert {changes.next(10).topic for _ in topics} == set(topics)  # type: ignore[union-attr]
        assert changes.next(0.5) is None
        began = time.monotonic()
    deadline = began + 5
    while [each for each in threading.enumerate() if each.name.startswith("follow ")]:
        assert time.monotonic() < deadline, "a thread still waits for what will come"
        time.sleep(0.005)
    figure(f"4 watches ended in {1000 * (time.monotonic() - began):.0f} ms")


@pytest.mark.filterwarnings(RESET_BEFORE_TLS)
def test_a_watch_loses_nothing_where_its_connections_are_cut(
    shared: Cluster, disturb: Callable[[], object], figure: Figure
) -> None:
    cluster = client.connect(namespace=shared.namespace)
    writer = Writer(client.connect(namespace=shared.namespace))

    with watching.follow(cluster, Topic(kinds.CONFIG_MAP, labels="made-by=writer")) as changes:
        with writer:
            eventually(lambda: len(writer.written) >= 5, "five objects written")
            began = time.monotonic()
            disturb()
            count = len(writer.written)
            eventually(lambda: len(writer.written) >= count + 5, "five more, afterwards")
            seconds = time.monotonic() - began
        for seen in changes.until(time.monotonic() + 60):
            if {*names(seen)} == {*writer.written} - {*writer.deleted}:
                break

    assert {*names(seen)} == {*writer.written} - {*writer.deleted}
    figure(
        f"connections cut for {seconds:.1f} s: {len(writer.written)} objects written,"
        f" {len(writer.deleted)} deleted, {writer.refused} writes refused, none lost to the watch"
    )


def test_doctor_knows_the_cluster(shared: Cluster) -> None:
    found = shared.mlfunc("doctor", "-n", shared.namespace, "-o", "json").data
    rows = {each["name"]: each for each in found}

    told = ("cluster", "rights", "knative serving", "knative eventing", "ingress", "accelerators")
    assert {rows[name]["verdict"] for name in told} == {"ok"}
    assert f"namespace {shared.namespace}: Kubernetes v1." in rows["cluster"]["detail"]
    none = f"no broker called default in namespace {shared.namespace}"
    assert rows["broker"]["detail"].startswith(none)


def names(seen: watching.Seen | None) -> list[str]:
    assert seen is not None, "nothing was seen in time"
    return [each["metadata"]["name"] for each in seen.objects]


@dataclass
class Writer:
    """Makes objects one after the other, and deletes each third, until its block ends."""

    cluster: client.Cluster
    written: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    refused: int = 0

    def __enter__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _write(self) -> None:
        while not self._over.wait(0.05):
            name = f"w{len(self.written)}"
            manifest = config_map(name, self.cluster.namespace)
            manifest["metadata"]["labels"] = {"made-by": "writer"}
            try:
                self.cluster.apply(manifest)
                if len(self.written) % 3 == 2:
                    self.cluster.delete(kinds.CONFIG_MAP, self.written[-1])
                    self.deleted.append(self.written[-1])
            except (Unavailable, Forbidden):  # Forbidden: it starts, and knows no roles yet
                self.refused += 1
            else:
                self.written.append(name)


@pytest.fixture
def disturb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], object]]:
    """All connections to the API server are cut."""
    document = kubeconfig()
    place = document["clusters"][0]["cluster"]
    address = urlsplit(place["server"])
    with Line((str(address.hostname), address.port or 443)) as line:
        place["server"] = f"{address.scheme}://{line.address}"
        place["tls-server-name"] = address.hostname
        (tmp_path / "config").write_text(yaml.safe_dump(document))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        yield line.cut


class Line:
    """A TCP line to a server, all of whose connections can be cut at once."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Line:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Cut them."""
        while self._open:
            with contextlib.suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._open += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()
