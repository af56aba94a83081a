"""`mlfunc subscribe`, `unsubscribe` and `events`, on a small cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc import cli

from tests.rig.smallcluster import shop

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.smallcluster import SmallCluster

__all__ = ["shop"]

_BROKERS = "/apis/eventing.knative.dev/v1/namespaces/team/brokers"
_SERVICES = "/apis/serving.knative.dev/v1/namespaces/team/services"
_TRIGGERS = "/apis/eventing.knative.dev/v1/namespaces/team/triggers"

pytestmark = pytest.mark.usefixtures("shop")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def said(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> tuple[str, str]:
    assert cli.main(args) == code
    shown = capsys.readouterr()
    return shown.out, shown.err


def data(capsys: pytest.CaptureFixture[str], *args: str) -> Any:
    return json.loads(said(capsys, *args, "-o", "json")[0])


def test_a_type_alone_is_what_every_tool_can_show(
    shop: SmallCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = said(capsys, "subscribe", "echo", "--type", "order.created")

    ((_, found),) = shop.below(_TRIGGERS)[0]["spec"]["filter"].items()
    assert found == {"type": "order.created"}
    assert out.startswith("echo subscribed: type=order.created of broker default (echo-")


def test_all_options_together_are_one_subscription(
    shop: SmallCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.keep(f"{_BROKERS}/late", {"metadata": {"name": "late", "namespace": "team"}})
    found = data(
        capsys,
        *("subscribe", "echo", "--type", "a", "--filter", "trace=1", "--prefix", "source=/s"),
        *("--suffix", "subject=.jpg", "--cesql", "TRUE", "--retry", "2", "--backoff", "linear"),
        *("--delay", "1s", "--timeout", "2m", "--dead-letter", "broker:late"),
    )

    assert found["action"] == "created"
    assert found["filters"] == [
        {"exact": {"type": "a", "trace": "1"}},
        {"prefix": {"source": "/s"}},
        {"suffix": {"subject": ".jpg"}},
        {"cesql": "TRUE"},
    ]
    assert (found["retry"], found["backoff"]) == (2, "linear from 1s")
    assert (found["timeout"], found["dead_letter"]) == ("120s", "broker:late")


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        ((), 2, "try: name the type that it takes: --type TYPE"),
        (("--type", "a", "--filter", "type=b"), 2, "--type and --filter type=... name two types"),
        (("--filter", "type"), 2, "type is not of the form NAME=VALUE"),
        (("--type", "a", "--prefix", "source="), 2, "prefix.source: the value is empty"),
        (("--type", "a", "--timeout", "0s"), 2, "0s is no duration: 30s, 2m"),
        (("--type", "a", "--delay", "soon"), 2, "soon is no duration: 200ms, 5s"),
        (("--type", "a", "--dead-letter", "audit"), 2, "audit is no sink: ksvc:NAME,"),
        (("--type", "a", "--dead-letter", "ksvc:echo"), 2, "give echo again what it failed on"),
        (("--type", "a", "--retry", "-1"), 2, "-1 is not 0 or more"),
        (("--type", "a", "--broker", "other"), 5, "try: kn broker create other -n team"),
        (("--type", "a", "-n", "else"), 5, "there is no function echo in namespace else"),
        (("--type", "a", "-n", "7seas"), 5, "there is no function echo in namespace 7seas"),
    ],
)
def test_what_cannot_be_is_told_with_a_way_out(
    args: tuple[str, ...], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, err = said(capsys, "subscribe", "echo", *args, code=code)

    assert told in err


def test_one_that_does_not_become_ready_is_a_failure_that_says_why(
    shop: SmallCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mlfunc.commands.subscribe._READY_SECONDS", 0.01)
    shop.status = {}

    _, err = said(capsys, "subscribe", "echo", "--type", "a", code=7)

    assert "echo gets no events yet: Knative has not come to it yet" in err
    assert said(capsys, "subscribe", "echo", "--type", "a", "--no-wait")[0]


def test_the_function_of_the_folder_is_meant_where_none_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlfunc.yaml").write_text("name: echo\n")

    assert "echo subscribed" in said(capsys, "subscribe", "--type", "a")[0]
    assert "type=a" in said(capsys, "events")[0]
    assert "echo unsubscribed" in said(capsys, "unsubscribe", "--type", "a")[0]


def test_a_subscription_goes_as_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    which = ("echo", "--type", "a", "--prefix", "source=/s")
    made = data(capsys, "subscribe", *which, "--retry", "1")
    said(capsys, "subscribe", "echo", "--type", "b")

    gone = data(capsys, "unsubscribe", *which)

    assert [each["trigger"] for each in gone] == [made["trigger"]]
    assert [each["filter"] for each in data(capsys, "events", "echo")["subscriptions"]] == [
        {"type": "b"}
    ]


def test_a_subscription_goes_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    made = data(capsys, "subscribe", "echo", "--type", "a")["trigger"]

    out, _ = said(capsys, "unsubscribe", "echo", "--trigger", made)

    assert out == f"echo unsubscribed: type=a of broker default ({made})\n"


def test_all_means_those_of_the_command(
    shop: SmallCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "subscribe", "echo", "--type", "a")
    said(capsys, "subscribe", "echo", "--type", "b")
    of_file, *_ = shop.below(_TRIGGERS)
    del of_file["metadata"]["labels"]["mlfunc.dev/origin"]

    (gone,) = data(capsys, "unsubscribe", "echo", "--all")

    assert gone["filter"] == {"type": "b"}
    _, err = said(capsys, "unsubscribe", "echo", "--type", "a")
    assert "mlfunc.yaml still has it: the next deploy brings it back" in err


@pytest.mark.parametrize("args", [(), ("--all", "--type", "a"), ("--all", "--trigger", "t")])
def test_which_goes_is_said_in_one_way(
    args: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "say which" in said(capsys, "unsubscribe", "echo", *args, code=2)[1]


def test_what_is_not_there_cannot_go(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = said(capsys, "unsubscribe", "echo", "--type", "a", code=5)

    assert "echo has no such subscription" in err
    assert "mlfunc events echo" in err


def test_events_of_a_function_without_any_say_how_to_get_some(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, err = said(capsys, "events", "echo")

    assert out == "echo is subscribed to nothing\nreplies: dev.mlfunc.echo.result\n"
    assert "mlfunc subscribe echo --type TYPE" in err


def test_events_are_a_table_with_the_reason_of_what_is_not_ready(
    shop: SmallCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.keep(f"{_SERVICES}/audit", {"metadata": {"name": "audit", "namespace": "team"}})
    said(capsys, "subscribe", "echo", "--type", "a", "--dead-letter", "ksvc:audit")
    (path,) = (each for each in shop.objects if each.startswith(_TRIGGERS))
    shop.objects[path]["spec"]["broker"] = "gone"
    name = path.rpartition("/")[2]

    out, err = said(capsys, "events", "echo")

    head, row, replies = out.splitlines()
    assert head.split() == [
        "TRIGGER",
        "READY",
        "BROKER",
        "RETRIES",
        "DEAD",
        "LETTERS",
        "ORIGIN",
        "TAKES",
    ]
    assert row.startswith(f"{name}  no ")
    assert "5, exponential from 0.2s" in row
    assert "ksvc:audit" in row
    assert replies == "replies: dev.mlfunc.echo.result"
    assert f"{name}: there is no broker gone in namespace team" in err
    assert "try: kn broker create gone -n team" in err
