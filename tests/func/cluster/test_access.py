"""Logins as kubectl has them: tokens, plugins, certificates, proxies; renewed when they expire."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from mlfunc.cluster import access, client, kinds
from mlfunc.errors import ClusterFailed, UsageError

from tests.rig import apiserver
from tests.rig.apiserver import Reply

if TYPE_CHECKING:
    from pathlib import Path

    from tests.func.cluster.conftest import Serve
    from tests.rig.apiserver import Asked

NO_PODS = Reply(body={"metadata": {"resourceVersion": "1"}, "items": []})
# A plugin whose tokens are t1, t2, ...: one more each time it is run.
PLUGIN = """
import json, pathlib, sys
runs = pathlib.Path(sys.argv[1])
runs.write_text(runs.read_text() + "x" if runs.exists() else "x")
status = {"token": f"t{len(runs.read_text())}", "expirationTimestamp": sys.argv[2]}
print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}))
"""
FAR, PAST = "2999-01-01T00:00:00Z", "2000-01-01T00:00:00Z"


def plugin(folder: Path, expires: str) -> dict[str, Any]:
    script = folder / "plugin.py"
    script.write_text(PLUGIN)
    return {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": [str(script), str(folder / "runs"), expires],
        "interactiveMode": "Never",
    }


def unless(*accepted: str) -> Any:
    """An answer: no pods, but 401 for all but these logins."""

    def answer(asked: Asked) -> Reply:
        known = asked.headers.get("authorization") in accepted
        return NO_PODS if known else apiserver.status(401, "Unauthorized", "Unauthorized")

    return answer


def logins(server: apiserver.ApiServer) -> list[str | None]:
    return [each.headers.get("authorization") for each in server.asked]


def test_a_token_is_sent(serve: Serve) -> None:
    server, cluster = serve(unless("Bearer sesame"))

    assert cluster.list(kinds.POD) == []
    assert (cluster.access.context, cluster.namespace) == ("loopback", "team")
    assert logins(server) == ["Bearer sesame"]


def test_a_plugin_is_run_once_while_its_token_is_good(serve: Serve, tmp_path: Path) -> None:
    server, cluster = serve(unless("Bearer t1"), exec=plugin(tmp_path, FAR))

    cluster.list(kinds.POD)
    cluster.list(kinds.POD)

    assert logins(server) == ["Bearer t1", "Bearer t1"]


def test_a_plugin_is_run_again_when_its_token_expires(serve: Serve, tmp_path: Path) -> None:
    server, cluster = serve(unless("Bearer t2", "Bearer t3"), exec=plugin(tmp_path, PAST))

    cluster.list(kinds.POD)
    cluster.list(kinds.POD)

    assert logins(server) == ["Bearer t2", "Bearer t3"]


def test_a_login_that_the_server_takes_no_more_is_made_anew_once(
    serve: Serve, tmp_path: Path
) -> None:
    server, cluster = serve(unless("Bearer t2"), exec=plugin(tmp_path, FAR))

    assert cluster.list(kinds.POD) == []
    assert logins(server) == ["Bearer t1", "Bearer t2"]


def test_a_login_that_stays_wrong_is_said(serve: Serve) -> None:
    server, cluster = serve(unless("Bearer other"))

    with pytest.raises(ClusterFailed, match="context loopback does not know who you are") as raised:
        cluster.list(kinds.POD)

    assert "log in again" in raised.value.hint
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import sys; sys.exit('no session: run login')", "no session: run login"),
        ("print('{')", "failed to decode process output"),
    ],
)
def test_a_plugin_that_fails_is_evidence_and_says_nothing_itself(
    serve: Serve, capfd: pytest.CaptureFixture[str], script: str, said: str
) -> None:
    """The package of Kubernetes would log it, and go on without a login."""
    run = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", script],
    }

    with pytest.raises(UsageError, match="which logs in to context loopback, fails") as raised:
        serve(unless(), exec=run)

    assert said in raised.value.evidence
    assert capfd.readouterr() == ("", "")


def test_a_plugin_that_is_not_installed_is_named(serve: Serve) -> None:
    run = {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin"}

    with pytest.raises(UsageError, match="no-such-plugin, which logs in"):
        serve(unless(), exec=run)


def test_who_stands_for_another_says_so(serve: Serve) -> None:
    user = {"token": "sesame", "as": "ada", "as-groups": ["team"]}
    server, cluster = serve(unless("Bearer sesame"), **user)

    cluster.list(kinds.POD)

    sent = server.asked[0].headers
    assert (sent["impersonate-user"], sent["impersonate-group"]) == ("ada", "team")


def test_a_proxy_is_gone_through_unless_it_is_told_not_to(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = serve(unless("Bearer sesame"))
    with apiserver.serving(lambda _: NO_PODS) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        client.connect().list(kinds.POD)
        assert len(proxy.asked) == 1
        assert server.asked == []

        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        client.connect().list(kinds.POD)
        assert len(proxy.asked) == 1
        assert len(server.asked) == 1


def test_a_context_of_no_cluster_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = {"name": "a", "context": {"cluster": "gone", "user": "u"}}
    document = {"contexts": [context], "current-context": "a", "clusters": [], "users": []}
    (tmp_path / "config").write_text(yaml.safe_dump(document))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))

    with pytest.raises(UsageError, match=r"context a of kubeconfig: .*gone"):
        access.open_()


def test_a_certificate_that_is_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = {"server": "https://127.0.0.1:1", "certificate-authority": "gone.crt"}
    document = {
        "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "a",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(document))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))

    with pytest.raises(UsageError, match=r"File does not exist: .*gone\.crt"):
        access.open_()


def test_the_account_of_a_pod_is_used_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubernetes.config import incluster_config

    for name, text in {"token": "of-pod", "ca.crt": "x", "namespace": "inside\n"}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("KUBECONFIG", os.devnull)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "198.51.100.9")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(access, "_IN_POD", tmp_path)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))

    found = access.open_()

    assert access.is_configured()
    assert (found.context, found.namespace, found.server) == (
        "in-cluster",
        "inside",
        "https://198.51.100.9:443",
    )
    assert found.headers() == [("authorization", "bearer of-pod")]


@pytest.mark.parametrize("args", [["--help"], ["create", "--help"], ["doctor", "--help"]])
def test_who_needs_no_cluster_does_not_pay_for_it(args: list[str]) -> None:
    code = (
        "import sys; from mlfunc import cli; cli.main(sys.argv[1:]);"
        "assert not {'kubernetes', 'mlfunc.cluster.client'} & sys.modules.keys()"
    )

    subprocess.run([sys.executable, "-c", code, *args], check=True, capture_output=True)
