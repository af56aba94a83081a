"""The commands for what is deployed, on a small API server: what they ask for, say, and refuse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc import cli
from mlfunc.function import Function, Schedule
from mlfunc.knative import schedules
from mlfunc.ui import Ui

from tests.func.knative.objects import pod, revision, service
from tests.rig import apiserver
from tests.rig.apiserver import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.apiserver import Asked

_SERVICES = "/apis/serving.knative.dev/v1/namespaces/team/services"
_REVISIONS = "/apis/serving.knative.dev/v1/namespaces/team/revisions"
_TRIGGERS = "/apis/eventing.knative.dev/v1/namespaces/team/triggers"
_BROKERS = "/apis/eventing.knative.dev/v1/namespaces/team/brokers"
_PINGS = "/apis/sources.knative.dev/v1/namespaces/team/pingsources"
_PODS = "/api/v1/namespaces/team/pods"
_CLAIMS = "/api/v1/namespaces/team/persistentvolumeclaims"
_LOG = (
    "2026-01-01T00:00:01Z plain words\n"
    '2026-01-01T00:00:03Z {"time":"2026-01-01T00:00:03+00:00","level":"warning","message":"hm"}\n'
)


class Team:
    """A namespace: lists by path, logs by pod; what was deleted is gone."""

    def __init__(self) -> None:
        self.lists: dict[str, list[dict[str, Any]]] = {
            _SERVICES: [service()],
            _REVISIONS: [revision(1), revision(2)],
            _PODS: [pod(2)],
            _TRIGGERS: [],
            _BROKERS: [],
            _PINGS: [],
            _CLAIMS: [],
            "/api/v1/namespaces": [{"metadata": {"name": "team"}}],
        }
        self.logs = {pod(2)["metadata"]["name"]: _LOG}
        self.before: dict[str, str] = {}  # logs of containers that ran before
        self.changed: list[Asked] = []

    def answer(self, asked: Asked) -> Reply:
        folder, _, name = asked.path.rpartition("/")
        if name == "log":
            kept = self.before if asked.query.get("previous") else self.logs
            return Reply(body=kept[folder.rpartition("/")[2]].encode())
        if asked.path.replace("/namespaces/team", "") in {
            path.replace("/namespaces/team", "") for path in self.lists
        }:
            return self._listed(asked)
        found = next(
            (each for each in self.lists[folder] if each["metadata"]["name"] == name), None
        )
        if found is None:
            return apiserver.status(404, "NotFound", f"{name} not found", name=name)
        if asked.method != "GET":
            self.changed.append(asked)
            self._change(asked, folder, found)
        return Reply(body=found)

    def _listed(self, asked: Asked) -> Reply:
        path = (
            asked.path
            if "/namespaces/" in asked.path
            else asked.path.replace("v1/", "v1/namespaces/team/", 1)
        )
        found = [each for each in self.lists[path] if _selected(each, asked.query)]
        if asked.watches:
            return Reply(ends="hang")
        return Reply(body={"metadata": {"resourceVersion": "1"}, "items": found})

    def _change(self, asked: Asked, folder: str, found: dict[str, Any]) -> None:
        if asked.method == "DELETE":
            self.lists[folder].remove(found)
            if folder == _SERVICES:
                self.lists[_PODS].clear()
            return
        applied = json.loads(asked.body)
        if folder == _TRIGGERS:
            return
        found["spec"] |= applied["spec"]
        found["status"]["traffic"] = [
            {"revisionName": "greeter-00002", **each} for each in applied["spec"]["traffic"]
        ]
        found["status"]["conditions"].append({"type": "RoutesReady", "status": "True"})


def _selected(found: dict[str, Any], query: Any) -> bool:
    fields = query.get("fieldSelector", "")
    named = fields.removeprefix("metadata.name=")
    labels = found["metadata"].get("labels") or {}
    wanted = dict(
        each.partition("=")[::2] for each in query.get("labelSelector", "").split(",") if each
    )
    return (not fields or found["metadata"]["name"] == named) and all(
        labels.get(key) == value if value else key in labels for key, value in wanted.items()
    )


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    monkeypatch.chdir(tmp_path)
    kept = Team()
    with apiserver.serving(kept.answer) as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "kubeconfig")))
        yield kept


def said(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> tuple[str, str]:
    ended = cli.main(args)
    shown = capsys.readouterr()
    assert ended == code, shown.err
    return shown.out, shown.err


@pytest.mark.parametrize("command", ["describe", "logs", "events"])
def test_an_unknown_name_is_told_with_the_namespace_that_has_one(
    command: str, team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    team.lists["/apis/serving.knative.dev/v1/namespaces/other/services"] = []

    _, err = said(capsys, command, "greeter", "-n", "other", code=5)

    assert "there is no function greeter in namespace other" in err
    assert ": there is no such namespace" in err
    assert "there is one elsewhere: --namespace team" in err


def test_a_list_of_no_namespace_says_so(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    team.lists["/apis/serving.knative.dev/v1/namespaces/other/services"] = []
    assert ": there is no such namespace" in said(capsys, "list", "-n", "other")[1]


def test_the_list_has_the_keys_of_func_first(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    (listed,) = json.loads(said(capsys, "list", "-o", "json")[0])

    assert list(listed)[:7] == [
        "name",
        "namespace",
        "runtime",
        "url",
        "ready",
        "deployer",
        "replicas",
    ]
    assert (listed["ready"], listed["replicas"], listed["origin"]) == (True, 1, "knative")
    shown, _ = said(capsys, "list", "-A")
    assert "greeter (Knative)" in shown
    team.lists[_SERVICES].clear()
    assert "no function in namespace team" in said(capsys, "list")[1]


def test_the_list_of_a_terminal_fits_and_says_who_shares_the_requests(
    team: Team, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ui, "width", lambda _: 80)
    split = [{"revisionName": f"greeter-0000{n}", "percent": p} for n, p in ((1, 90), (2, 10))]
    team.lists[_SERVICES] = [service(traffic=split)]

    lines = said(capsys, "list")[0].splitlines()

    assert max(map(len, lines)) <= 80
    assert " ".join(lines).split()[:5] == ["NAME", "READY", "REVISION", "INSTANCES", "URL"]
    assert any("greeter-00001 90 %, +1  1" in each for each in lines)
    shown = said(capsys, "describe", "greeter")[0]
    assert "greeter-00001, which gets 90 %; what follows is of it" in shown
    wide = said(capsys, "list", "--wide", "-A")[0].split()
    assert {"NAMESPACE", "AGE", "MODELS", "ACCELERATOR", "CONCURRENCY"} < set(wide)


def test_one_that_has_just_been_started_again_shows_what_it_said_before(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    again = pod(2)
    again["status"]["containerStatuses"][0]["restartCount"] = 1
    team.lists[_PODS] = [again]
    name = again["metadata"]["name"]
    team.before[name], team.logs[name] = team.logs[name], ""

    assert said(capsys, "logs", "greeter")[0].startswith("plain words\n")


@pytest.mark.parametrize("name", ["Nope_x", "-team", "a.b", "a" * 64])
@pytest.mark.parametrize("command", ["list", "describe", "invoke", "doctor"])
@pytest.mark.usefixtures("team")
def test_a_namespace_that_cannot_be_is_no_empty_one(
    command: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, told = said(capsys, command, f"--namespace={name}", code=2)

    assert f"{name} is no namespace: lower-case letters, digits and dashes" in told


@pytest.mark.parametrize("command", ["describe", "logs", "delete", "traffic", "rollback", "invoke"])
def test_an_unknown_name_gets_the_likely_one(
    team: Team, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    _, told = said(capsys, command, "gretter", code=5)
    assert "there is no function gretter in namespace team (context loopback)" in told
    assert "did you mean greeter?" in told
    assert not team.changed


@pytest.mark.usefixtures("team")
def test_a_function_is_described_for_people_and_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = json.loads(said(capsys, "describe", "greeter", "-o", "json")[0])
    shown, _ = said(capsys, "describe", "greeter")

    assert told["url"] == told["routes"][0] == "http://greeter.team.example.com"
    assert [each["instances"] for each in told["revisions"]] == [1, 0]
    assert told["start"] is None
    assert "greeter in namespace team, not made by mlfunc" in shown
    assert "any number of requests in an instance" in shown
    assert "greeter-00001" in shown
    assert not shown.endswith("\n\n")


def test_a_description_has_the_schedules_that_events_has(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduled = Function(name="greeter", schedule=[Schedule(cron="@daily")])
    (ping,) = schedules.manifests(scheduled, "team", None)
    ping["metadata"]["generation"] = 1
    team.lists[_PINGS].append(ping)

    told = json.loads(said(capsys, "describe", "greeter", "-o", "json")[0])
    shown, _ = said(capsys, "describe", "greeter")

    listed = json.loads(said(capsys, "events", "greeter", "-o", "json")[0])["schedules"]
    assert told["schedules"] == listed
    assert [(each["cron"], each["ready"]) for each in listed] == [("@daily", False)]
    (line,) = (each for each in shown.splitlines() if each.startswith("schedule: "))
    assert line.startswith("schedule: @daily in UTC, not ready: ")


@pytest.mark.usefixtures("team")
def test_logs_are_for_people_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    shown, _ = said(capsys, "logs", "greeter")
    lines = [
        json.loads(line) for line in said(capsys, "logs", "greeter", "-o", "json")[0].splitlines()
    ]

    assert shown == "plain words\n00:00:03  warning  hm\n"
    assert lines[0]["text"] == "plain words"
    assert lines[1]["record"]["message"] == "hm"
    assert lines[1]["time"] == "2026-01-01T00:00:03Z"


def test_lines_of_several_pods_are_sorted_and_say_whose_they_are(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    other = pod(1, "fghij")
    team.lists[_PODS].append(other)
    team.logs[other["metadata"]["name"]] = "2026-01-01T00:00:02Z between\n"

    shown, _ = said(capsys, "logs", "greeter")

    assert [line.split("]")[0] for line in shown.splitlines()] == [
        "[00002-abcde",
        "[00001-fghij",
        "[00002-abcde",
    ]


def test_silence_is_explained(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    assert "has ended and started again" in said(capsys, "logs", "greeter", "--previous")[1]
    team.lists[_PODS].clear()
    assert "greeter is scaled to zero" in said(capsys, "logs", "greeter")[1]


@pytest.mark.usefixtures("team")
@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("logs", "greeter", "-f", "--previous"), 2, "nothing to --follow"),
        (("logs", "greeter", "--since", "soon"), 2, "'--since': soon is no duration"),
        (("logs", "greeter", "--container", "proxy"), 5, "has no container proxy"),
        (("logs", "greeter", "--revision", "greeter-0002"), 5, "did you mean greeter-00002?"),
        (("traffic", "greeter", "greeter-00001"), 2, "not of the form REVISION=PERCENT"),
        (("traffic", "greeter", "latest=101"), 2, "from 0 to 100"),
        (("traffic", "greeter", "latest=50"), 2, "sum up to 50, not to 100"),
        (("traffic", "greeter", "latest=100", "--promote"), 2, "name no other share"),
        (("rollback", "greeter", "--to", "greeter-3"), 5, "has no revision greeter-3"),
        (("delete", "greeter"), 2, "--yes deletes it all the same"),
        (("describe",), 5, "mlfunc list shows those there are"),
        (("invoke", "http://localhost", "--tag", "a"), 2, "is a URL"),
        (("invoke", "greeter", "--tag", "a"), 5, "no revision with the tag a"),
    ],
)
def test_what_cannot_be_done_is_told(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, told: str
) -> None:
    assert told in said(capsys, *arguments, code=code)[1]


def test_traffic_alone_is_written_by_a_manager_of_its_own(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = said(capsys, "traffic", "greeter", "greeter-00001=90", "latest=10", "-o", "json")[0]

    (applied,) = team.changed
    assert applied.query == {"fieldManager": "mlfunc-traffic", "force": "true"}
    assert set(json.loads(applied.body)["spec"]) == {"traffic"}
    assert [each["percent"] for each in json.loads(shown)["traffic"]] == [90, 10]


def test_a_rollback_tells_where_it_went(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    shown, told = said(capsys, "rollback", "greeter")

    assert "greeter-00001, made at 2026-01-01T00:00:01Z, gets all requests" in shown
    assert "greeter-00002 none any more" in shown
    assert "mlfunc deploy" in told
    assert len(team.changed) == 1


def test_deleting_takes_what_is_its_own_and_tells_what_stays(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    team.lists[_TRIGGERS] = [
        _trigger("ours", {"mlfunc.dev/function": "greeter"}),
        _trigger("other"),
    ]
    labels = {"mlfunc.dev/function": "greeter"}
    team.lists[_PINGS] = [{"metadata": {"name": "nightly", "labels": labels}, "spec": {}}]
    team.lists[_CLAIMS] = [{"metadata": {"name": "weights", "labels": labels}}]

    _, told = said(capsys, "delete", "greeter", "--yes")

    assert "- Service greeter in team (context loopback): 2 revisions, 1 instance runs" in told
    assert "- Trigger ours" in told
    assert "- PingSource nightly" in told
    assert "Trigger other, to ksvc:greeter, is somebody else's" in told
    assert "PersistentVolumeClaim weights stays" in told
    deleted = [each.path.rpartition("/")[2] for each in team.changed if each.method == "DELETE"]
    assert deleted == ["ours", "greeter"]


def test_deleting_tells_who_sends_events_and_dead_letters_to_it(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    letters = {"delivery": {"deadLetterSink": _to("greeter")}}
    worker = _trigger("work")
    worker["spec"] |= {"subscriber": _to("worker"), **letters}
    broker = {"kind": "Broker", "metadata": {"name": "main"}, "spec": letters}
    ping = {"kind": "PingSource", "metadata": {"name": "hourly"}, "spec": {"sink": _to("greeter")}}
    team.lists |= {_TRIGGERS: [worker], _BROKERS: [broker], _PINGS: [ping]}

    _, told = said(capsys, "delete", "greeter", "--yes")

    assert "PingSource hourly is somebody else's: it stays" in told
    assert "Trigger work, to ksvc:worker, sends its dead letters here" in told
    assert "Broker main sends its dead letters here: they will find nobody" in told
    assert "- Trigger" not in told


def _to(name: str) -> dict[str, Any]:
    return {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": name}}


def _trigger(name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    meta = {"name": name, "namespace": "team", "labels": labels or {}, "generation": 1}
    spec = {"broker": "default", "subscriber": _to("greeter")}
    return {"kind": "Trigger", "metadata": meta, "spec": spec}
