"""`mlfunc emit` and `mlfunc events --watch`, on a small cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc import cli
from mlfunc.commands import events
from mlfunc.ui import Ui

from tests.rig import apiserver
from tests.rig.apiserver import Asked, Reply
from tests.rig.smallcluster import SmallCluster, shop

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["shop"]

_INGRESS = "/api/v1/namespaces/knative-eventing/services/http:broker-ingress:80/proxy"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _said(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> tuple[str, str]:
    assert cli.main(args) == code
    shown = capsys.readouterr()
    return shown.out, shown.err


def _event(asked: Asked) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(asked.body)
    return found


def test_an_event_goes_to_the_ingress_in_structured_mode(
    shop: SmallCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = _said(
        capsys,
        *("emit", "--type", "order", "--data", '{"n": 1}', "--id", "7", "--subject", "a"),
        *("--source", "/shop", "--ext", "tier=gold"),
    )

    (asked,) = shop.passed_on
    assert (asked.method, asked.path) == ("POST", f"{_INGRESS}/team/default")
    assert asked.headers["content-type"] == "application/cloudevents+json"
    event = _event(asked)
    assert event.pop("time").endswith("Z")
    assert event == {
        "specversion": "1.0",
        "id": "7",
        "source": "/shop",
        "type": "order",
        "subject": "a",
        "tier": "gold",
        "datacontenttype": "application/json",
        "data": {"n": 1},
    }
    assert out.startswith("broker default in namespace team (context ")
    assert out.endswith("has event 7 of type order\n")


@pytest.mark.usefixtures("shop")
def test_who_takes_it_on_a_cluster_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nobody takes it" not in _said(capsys, "emit", "--type", "order")[1]


def test_many_have_ids_of_their_own(shop: SmallCluster, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = _said(capsys, "emit", "--type", "t", "--id", "a", "--count", "3", "-o", "json")

    assert json.loads(out)["ids"] == ["a", "a-1", "a-2"]
    assert [_event(each)["id"] for each in shop.passed_on] == ["a", "a-1", "a-2"]


def test_data_that_are_no_json_travel_as_they_are(
    shop: SmallCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89\x00")
    _said(capsys, "emit", "--type", "t", "--file", "a.png")
    _said(capsys, "emit", "--type", "t")

    picture, nothing = map(_event, shop.passed_on)
    assert (picture["datacontenttype"], picture["data_base64"]) == ("image/png", "iQA=")
    assert not {"data", "data_base64", "datacontenttype"} & nothing.keys()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--data", "{n: 1}"), "the event's data are no JSON"),
        (("--data", "1", "--file", "x"), "--data and --file are two bodies"),
        (("--ext", "my-ext=1"), "an event's attribute cannot be called my-ext"),
        (("--source", ""), "the event's source is empty"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_what_cannot_be_sent_is_told(
    args: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in _said(capsys, "emit", "--type", "t", *args, code=2)[1]


@pytest.mark.usefixtures("shop")
def test_a_broker_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = _said(capsys, "emit", "--type", "t", "--broker", "absent", code=5)
    assert "there is no broker absent in namespace team" in err


_FORBIDDEN = apiserver.status(
    403,
    "Forbidden",
    'services "http:broker-ingress:80" is forbidden: User "ada" cannot create resource'
    ' "services/proxy" in API group "" in the namespace "knative-eventing"',
)


@pytest.mark.parametrize(
    ("reply", "code", "said"),
    [
        (_FORBIDDEN, 7, "the right to create services/proxy in namespace knative-eventing"),
        (apiserver.status(404, "NotFound", "no", name="x"), 7, "no class that takes events at"),
        (Reply(status=400, body={"detail": "id: is missing"}), 2, "no such event: id: is missing"),
        (Reply(status=507, body={"detail": "disk full"}), 7, "has not taken the event (507): disk"),
        (Reply(status=502), 7, "has not taken the event (502)"),
        (Reply(status=500), 7, "has not taken the event (500)"),
    ],
)
def test_a_refusal_is_told(
    reply: Reply,
    code: int,
    said: str,
    shop: SmallCluster,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shop.proxied = reply
    assert said in _said(capsys, "emit", "--type", "t", code=code)[1]


def test_a_function_that_refuses_an_event_is_named(
    shop: SmallCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """Knative's channel answers for all who get it."""
    for kind in ("order", "other"):
        assert cli.main(("subscribe", "echo", "--type", kind)) == 0
    shop.proxied = Reply(status=500)

    _, err = _said(capsys, "emit", "--type", "order", code=7)

    assert "of ksvc:echo, one has refused the event or does not answer" in err
    assert "try: mlfunc logs echo\n" in err


@pytest.mark.usefixtures("shop")
def test_a_cluster_tells_nobody_what_passes(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = _said(capsys, "events", "--watch", code=2)
    assert "Knative's brokers tell nobody" in err


def test_an_event_that_passes_cannot_write_to_the_terminal_of_who_looks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = {"type": "\x1b[2Jorder", "id": "1\n2", "source": "/x"}
    events._tell(Ui(), {"time": 0, "step": "accepted", "event": told, "to": []})

    said = capsys.readouterr().out
    assert said.endswith(" [2Jorder  1 2  from /x to nobody\n")
    assert "\x1b" not in said
