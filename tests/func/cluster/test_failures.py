"""What an API server refuses is said in a sentence, with the next step. The texts are real ones."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.cluster import client, failures, kinds, refusals
from mlfunc.cluster.access import Access
from mlfunc.cluster.failures import Absent, Conflict, Expired, Forbidden, Unavailable
from mlfunc.errors import ClusterFailed

from tests.rig.apiserver import ApiServer, Reply, in_turn, status
from tests.rig.registry import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlfunc.cluster.client import Cluster

    from tests.func.cluster.conftest import Serve

SECURITY = (
    'pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != '
    'false (container "a" must set securityContext.allowPrivilegeEscalation=false)'
)
LABEL = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"
UNANSWERED = (
    'Internal error occurred: failed calling webhook "webhook.serving.knative.dev": failed to call '
    'webhook: Post "https://webhook.knative-serving.svc:443/defaulting?timeout=10s": dial tcp '
    "198.19.43.197:443: connect: connection refused"
)
DENIED = 'admission webhook "validation.webhook.serving.knative.dev" denied the request: '
RBAC = 'services.serving.knative.dev is forbidden: User "ada" cannot {} resource "services" in API group "serving.knative.dev" {}'

# What is said, of which class the error is, its message, and a part of its hint.
SAID = {
    "no login any more": (
        status(401, "Unauthorized", "Unauthorized"),
        ClusterFailed,
        "the cluster of context loopback does not know who you are, or not any more",
        "log in again",
    ),
    "no right in a namespace": (
        status(403, "Forbidden", RBAC.format("patch", 'in the namespace "team"'), kind="services"),
        Forbidden,
        "ada may not patch services.serving.knative.dev in namespace team",
        "kubectl auth can-i patch services.serving.knative.dev -n team",
    ),
    "no right in the cluster": (
        status(403, "Forbidden", 'nodes is forbidden: User "ada" cannot list resource "nodes" in API group "" at the cluster scope', kind="nodes"),
        Forbidden,
        "ada may not list nodes in the whole cluster",
        "kubectl auth can-i list nodes;",
    ),
    "no right in all namespaces": (
        status(403, "Forbidden", RBAC.format("list", "at the cluster scope"), kind="services"),
        Forbidden,
        "ada may not list services.serving.knative.dev in the whole cluster",
        "kubectl auth can-i list services.serving.knative.dev -A;",
    ),
    "nobody": (
        status(403, "Forbidden", 'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" in the namespace "team"', kind="pods"),
        Forbidden,
        "context loopback has no login; without, nobody may list pods",
        "log in",
    ),
    "a quota": (
        status(403, "Forbidden", 'pods "p" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0', name="p", kind="pods"),
        Forbidden,
        "the cluster of context loopback forbids it: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0",
        "",
    ),
    "the security of pods": (
        status(403, "Forbidden", SECURITY, name="p", kind="pods"),
        Forbidden,
        'the cluster of context loopback forbids it: violates PodSecurity "restricted:latest"',
        "",
    ),
    "a namespace that goes": (
        status(403, "Forbidden", 'configmaps "x" is forbidden: unable to create new content in namespace team because it is being terminated', name="x", kind="configmaps"),
        Forbidden,
        "the cluster of context loopback forbids it: unable to create new content in namespace team because it is being terminated",
        "",
    ),
    "no namespace": (
        status(404, "NotFound", 'namespaces "nosuch" not found', name="nosuch", kind="namespaces"),
        Absent,
        "there is no namespace nosuch",
        "kubectl create namespace nosuch",
    ),
    "no Knative": (
        Reply(404, b"404 page not found\n"),
        Absent,
        "Knative Serving is not installed in the cluster of context loopback",
        "https://knative.dev/docs/install/",
    ),
    "conflicts": (
        status(
            409, "Conflict", "Apply failed with 2 conflicts",
            causes=[
                {"reason": "FieldManagerConflict", "message": 'conflict with "kn" using serving.knative.dev/v1', "field": ".spec.template.metadata.annotations"},
                {"reason": "FieldManagerConflict", "message": 'conflict with "kubectl-edit"', "field": '.spec.template.spec.containers[name="a"].image'},
            ],
        ),
        Conflict,
        'kn, kubectl-edit set what would change: spec.template.metadata.annotations, spec.template.spec.containers[name="a"].image',
        "--force",
    ),
    "there already": (
        status(409, "AlreadyExists", 'configmaps "x" already exists', name="x", kind="configmaps"),
        ClusterFailed,
        'configmaps "x" already exists',
        "",
    ),
    "changed meanwhile": (
        status(409, "Conflict", 'Operation cannot be fulfilled on configmaps "x": the object has been modified; please apply your changes to the latest version and try again', name="x", kind="configmaps"),
        ClusterFailed,
        'Operation cannot be fulfilled on configmaps "x": the object has been modified',
        "run this again",
    ),
    "one field": (
        status(422, "Invalid", 'ConfigMap "x" is invalid: data[a b]: Invalid value: "a b"', name="x", kind="ConfigMap", causes=[{"reason": "FieldValueInvalid", "message": 'Invalid value: "a b"', "field": "data[a b]"}]),
        ClusterFailed,
        'the cluster of context loopback refuses: ConfigMap "x" is invalid: data[a b]: Invalid value: "a b"',
        "",
    ),
    "forgotten": (
        status(410, "Expired", "too old resource version: 1 (10687)"),
        Expired,
        "the cluster of context loopback refuses: too old resource version: 1 (10687)",
        "",
    ),
    "a complaint of Knative": (
        status(400, "BadRequest", DENIED + "validation failed: must not set the field(s): spec.template.spec.nodeSelector"),
        ClusterFailed,
        "validation.webhook.serving.knative.dev refuses: must not set the field(s): spec.template.spec.nodeSelector",
        "mlfunc doctor",
    ),
    "a webhook that is away": (
        status(500, "InternalError", UNANSWERED, causes=[{"message": UNANSWERED}]),
        Unavailable,
        "the cluster's webhook webhook.serving.knative.dev does not answer: dial tcp 198.19.43.197:443: connect: connection refused",
        "kubectl get pods -n knative-serving",
    ),
    "too much": (
        status(429, "TooManyRequests", "too many requests, please try again later."),
        Unavailable,
        "the cluster of context loopback has too many requests to answer",
        "in a moment",
    ),
    "a proxy": (
        Reply(503, b"<html>no healthy\nupstream</html>"),
        Unavailable,
        "the cluster of context loopback cannot answer now: <html>no healthy upstream</html>",
        "kubectl get --raw /readyz",
    ),
    "a field that it does not know": (
        status(500, None, "failed to create typed patch object (/x; serving.knative.dev/v1, Kind=Service): .spec.template.spec.bogus: field not declared in schema"),
        ClusterFailed,
        "the cluster of context loopback refuses: failed to create typed patch object (/x; serving.knative.dev/v1, Kind=Service): .spec.template.spec.bogus: field not declared in schema",
        "",
    ),
    "TLS where there is none": (
        Reply(400, b"Client sent an HTTP request to an HTTPS server.\n"),
        ClusterFailed,
        "the cluster of context loopback refuses: Client sent an HTTP request to an HTTPS server.",
        "https://, not http://",
    ),
}  # fmt: skip


def raised_by(cluster: Cluster) -> ClusterFailed:
    with pytest.raises(ClusterFailed) as raised:
        cluster.list(kinds.SERVICE)
    return raised.value


@pytest.mark.parametrize(("reply", "kind", "message", "hint"), SAID.values(), ids=SAID)
def test_a_refusal_is_a_sentence_with_the_next_step(
    serve: Serve, reply: Reply, kind: type, message: str, hint: str
) -> None:
    _, cluster = serve(in_turn(reply))

    error = raised_by(cluster)

    assert type(error) is kind
    assert error.message.startswith(message)
    assert hint in error.hint


def test_a_conflict_says_which_field_is_whose(serve: Serve) -> None:
    _, cluster = serve(in_turn(SAID["conflicts"][0]))

    error = raised_by(cluster)

    assert isinstance(error, Conflict)
    assert error.fields == (
        ("spec.template.metadata.annotations", "kn"),
        ('spec.template.spec.containers[name="a"].image', "kubectl-edit"),
    )


def test_what_is_not_valid_is_said_field_by_field(serve: Serve) -> None:
    causes = [
        {"reason": "FieldValueInvalid", "message": f'Invalid value: "A_": {LABEL}', "field": "spec.containers[0].name"},
        {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.containers[0].image"},
    ]  # fmt: skip
    refusal = status(422, "Invalid", "Pod is invalid: [...]", name="p", kind="Pod", causes=causes)
    _, cluster = serve(in_turn(refusal))

    error = raised_by(cluster)

    assert error.message == "the cluster refuses Pod p: 2 fields are not valid"
    assert error.evidence.splitlines() == [
        f'spec.containers[0].name: Invalid value: "A_": {LABEL}',
        "spec.containers[0].image: Required value",
    ]


def test_complaints_of_knative_are_said_line_by_line(serve: Serve) -> None:
    complaints = [
        "expected 0 <= -4 <= 1000: spec.template.spec.containerConcurrency",
        "must not set the field(s): spec.template.spec.nodeSelector",
    ]
    refusal = status(400, "BadRequest", f"{DENIED}validation failed: " + "\n".join(complaints))
    _, cluster = serve(in_turn(refusal))

    error = raised_by(cluster)

    assert error.message == "validation.webhook.serving.knative.dev refuses: 2 complaints"
    assert error.evidence.splitlines() == complaints


def test_an_object_that_is_not_there_is_none(serve: Serve) -> None:
    missing = status(404, "NotFound", 'services.serving.knative.dev "x" not found', name="x")
    _, cluster = serve(in_turn(missing))

    assert cluster.get(kinds.SERVICE, "x") is None
    assert cluster.delete(kinds.SERVICE, "x") is False


def test_an_object_of_a_kind_that_is_not_there_is_an_error(serve: Serve) -> None:
    _, cluster = serve(in_turn(Reply(404, b"404 page not found\n")))

    with pytest.raises(Absent, match="Knative Eventing is not installed"):
        cluster.get(kinds.TRIGGER, "x")


def test_a_server_that_says_when_to_ask_again_is_obeyed(serve: Serve) -> None:
    busy = status(429, "TooManyRequests", "too many requests")
    later = Reply(429, busy.body, headers={"retry-after": "0"})
    found = Reply(body={"metadata": {}, "items": []})
    server, cluster = serve(in_turn(later, later, found))

    assert cluster.list(kinds.POD) == []
    assert len(server.asked) == 3


@pytest.mark.parametrize("after", ["3600", "Thu, 26 Nov 2026 10:00:00 GMT", ""])
def test_but_not_for_long(serve: Serve, after: str) -> None:
    busy = status(429, "TooManyRequests", "too many requests")
    server, cluster = serve(in_turn(Reply(429, busy.body, headers={"retry-after": after})))

    with pytest.raises(Unavailable):
        cluster.list(kinds.POD)
    assert len(server.asked) == 1


def test_one_that_is_always_busy_is_told(serve: Serve) -> None:
    busy = status(503, "ServiceUnavailable", "starting")
    server, cluster = serve(in_turn(Reply(503, busy.body, headers={"retry-after": "0"})))

    with pytest.raises(Unavailable, match="cannot answer now: starting"):
        cluster.list(kinds.POD)
    assert len(server.asked) == 4


ACCESS: Access = Access(
    context="c",
    server="https://s",
    namespace="n",
    pool=urllib3.PoolManager(),
    headers=list,
    again=lambda: ACCESS,
)


@given(st.integers(400, 599), st.binary(max_size=200) | st.just(b'{"message": null}'))
def test_whatever_is_said_is_an_error(code: int, body: bytes) -> None:
    told = refusals.status(code, body)

    error = failures.told(told, ACCESS, path="/apis/x/v1/ys")

    assert isinstance(error, ClusterFailed)
    assert error.message


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """One that nobody has signed, with its key."""
    path = tmp_path / "server.pem"
    subject = ("-subj", "/CN=localhost", "-days", "2")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", *subject]
    subprocess.run([*command, "-keyout", path, "-out", path], check=True, capture_output=True)
    return path


@contextlib.contextmanager
def listening(serve_one: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does something wrong with each that connects; its HOST:PORT."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    serve_one(listener.accept()[0])

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[str, str]]:
    """Tries to reach a server; why that fails, and the hint."""

    def reach(url: str) -> tuple[str, str]:
        server = ApiServer(url, in_turn(Reply()))
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "config")))
        with pytest.raises(Unavailable) as raised:
            client.connect().request("GET", "/version", read_seconds=0.2)
        error = raised.value
        where, _, reason = error.message.partition(" cannot be reached: ")
        assert where == f"the cluster at {url} (context loopback)"
        return reason, error.hint

    return reach


def test_a_server_that_does_not_run_is_said(reach: Callable[[str], tuple[str, str]]) -> None:
    assert reach(f"http://127.0.0.1:{free_port()}") == (
        "connection refused",
        "does it run? kubectl cluster-info",
    )


def test_a_name_that_nobody_knows_is_said(reach: Callable[[str], tuple[str, str]]) -> None:
    assert reach("https://cluster.invalid") == (
        "nobody knows its name here",
        "is it one of a VPN?",
    )


def test_a_server_that_says_nothing_is_said(reach: Callable[[str], tuple[str, str]]) -> None:
    kept: list[socket.socket] = []
    with listening(kept.append) as address:
        reason, hint = reach(f"http://{address}")
    for each in kept:
        each.close()

    assert (reason, hint) == ("it says nothing for too long", "kubectl get --raw /readyz")


def test_a_server_that_hangs_up_is_said(reach: Callable[[str], tuple[str, str]]) -> None:
    with listening(socket.socket.close) as address:
        assert reach(f"http://{address}")[0] == "the connection broke off"


def test_a_server_without_tls_is_said(
    serve: Serve, reach: Callable[[str], tuple[str, str]]
) -> None:
    server, _ = serve(in_turn(Reply()))

    reason, hint = reach(server.url.replace("http:", "https:"))

    assert reason == "it speaks no TLS"
    assert "http://" in hint


def test_a_certificate_that_is_not_that_of_kubeconfig_is_said(
    certificate: Path, reach: Callable[[str], tuple[str, str]]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def greet(plain: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True):
            pass

    with listening(greet) as address:
        reason, hint = reach(f"https://{address}")

    assert reason.startswith("its certificate is not good: certificate verify failed: self")
    assert "fetch it anew" in hint


def test_a_proxy_that_fails_is_said(
    reach: Callable[[str], tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")

    reason, hint = reach("https://cluster.invalid")

    assert reason == "the proxy fails: connection refused"
    assert hint.startswith("HTTPS_PROXY")


def test_a_server_behind_a_firewall_is_said() -> None:
    late = urllib3.exceptions.ConnectTimeoutError()

    assert failures.unreachable(ACCESS, late).message == (
        "the cluster at https://s (context c) cannot be reached: it does not answer in time"
    )
