"""Who gets a request, by its host and its path."""

from __future__ import annotations

import pytest
from mlfunc.supervisor.gateway.routing import Found, Table, host_of, is_ours
from mlfunc.supervisor.parts import Key, Route, Target

ONE, TWO = Key("default", "echo-00001"), Key("default", "echo-00002")
TABLE = Table([
    Route(Key("default", "echo"), (Target(ONE, 100),), {"blue": TWO}),
    Route(Key("lab", "echo"), (Target(Key("lab", "echo-00009"), 100),)),
    Route(Key("default", "similarity"), (Target(Key("default", "similarity-00001"), 100),)),
    Route(Key("default", "new"), ()),
])  # fmt: skip


def found(host: str, target: str) -> tuple[str, str, str] | None:
    told = TABLE.find(host_of(host.encode()), target.encode())
    return None if told is None else (told.destination.name, told.target.decode(), told.prefix)


@pytest.mark.parametrize(
    ("host", "target", "expected"),
    [
        ("echo.default.localhost:8088", "/a?b", ("echo.default", "/a?b", "")),
        ("ECHO.Default.LOCALHOST.", "/", ("echo.default", "/", "")),
        ("blue-echo.default.localhost", "/", ("blue-echo.default", "/", "")),
        ("echo.lab.localhost:8088", "/echo/", ("echo.lab", "/echo/", "")),
        ("127.0.0.1:8088", "/echo/a/b?c=d", ("echo.default", "/a/b?c=d", "/echo")),
        ("127.0.0.1:8088", "/echo", ("echo.default", "/", "/echo")),
        ("127.0.0.1:8088", "/echo?a=b", ("echo.default", "/?a=b", "/echo")),
        ("[::1]:8088", "/echo.lab/", ("echo.lab", "/", "/echo.lab")),
        ("localhost", "/blue-echo/x", ("blue-echo.default", "/x", "/blue-echo")),
        ("machine.example.com", "/echo//x", ("echo.default", "//x", "/echo")),
        ("", "/echo/", ("echo.default", "/", "/echo")),
        ("green-echo.default.localhost", "/", None),
        ("nobody.default.localhost", "/echo/", None),
        ("127.0.0.1", "/nobody/", None),
        ("127.0.0.1", "/", None),
        ("127.0.0.1", "/echo.nowhere/", None),
        ("127.0.0.1", "*", None),
        ("127.0.0.1", "/%65cho/", None),
    ],
)
def test_a_request_goes_where_its_host_or_its_path_says(
    host: str, target: str, expected: tuple[str, str, str] | None
) -> None:
    assert found(host, target) == expected


def test_who_looks_in_vain_is_told_what_there_is() -> None:
    assert TABLE.near("127.0.0.1", b"/ecoh/x") == "nothing is called ecoh: did you mean echo?"
    assert (
        TABLE.near("similarty.default.localhost", b"/")
        == "nothing is called similarty: did you mean similarity?"
    )
    assert "use one of echo, echo.lab, new, similarity" in TABLE.near("127.0.0.1", b"/x")
    assert "no function is deployed" in Table().near("127.0.0.1", b"/x")


def test_a_service_has_its_name_though_a_tag_of_another_would_have_it() -> None:
    table = Table([
        Route(Key("default", "blue-echo"), (Target(ONE, 100),)),
        Route(Key("default", "echo"), (Target(TWO, 100),), {"blue": TWO}),
    ])  # fmt: skip
    destination = table.by_host("blue-echo.default.localhost")
    assert destination is not None
    assert destination.service.name == "blue-echo"


def destination(*shares: tuple[Key, int]) -> Found:
    table = Table(
        [Route(Key("default", "f"), tuple(Target(k, n) for k, n in shares), {"new": TWO})]
    )
    told = table.find("f.default.localhost", b"/")
    assert told is not None
    return told


@pytest.mark.parametrize(
    ("chance", "expected"), [(0.0, ONE), (0.79, ONE), (0.8, TWO), (0.999999, TWO)]
)
def test_chance_decides_by_the_shares(chance: float, expected: Key) -> None:
    assert destination((ONE, 80), (TWO, 20)).destination.pick(chance) == expected


def test_a_revision_with_no_share_gets_nothing_but_by_its_tag() -> None:
    found = destination((TWO, 0), (ONE, 100)).destination
    assert found.pick(0.0) == ONE
    assert found.pick(0.0, "new") == TWO
    assert found.pick(0.0, "unknown") == ONE
    assert destination().destination.pick(0.5) is None


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "[::1]", "10.1.2.3", "mlfunc.localhost", "machine"]
)
def test_a_name_of_this_machine_is_ours(host: str) -> None:
    assert is_ours(host, "machine")


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "xlocalhost"]
)
def test_a_name_that_somebody_else_may_point_here_is_not(host: str) -> None:
    assert not is_ours(host, "machine")
