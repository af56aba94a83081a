"""METADATA is had without the wheel: from the index, out of the wheel's end, or not at all."""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING

import pytest
import urllib3
from mlfunc.lock import Wheel
from mlfunc.wheels import metadata, requirements

from tests.rig.index import wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.func.conftest import Handler, Server

MIT = b"Metadata-Version: 2.4\nName: x\nVersion: 1\nLicense-Expression: MIT\n"


@pytest.fixture
def large(tmp_path: Path) -> bytes:
    """A wheel whose METADATA is far from its end, as if a careless tool had made it."""
    path = tmp_path / "large.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x-1.dist-info/METADATA", MIT)
        archive.writestr("weights.bin", bytes(range(256)) * 2000)
    return path.read_bytes()


def licensed(
    url: str | None, tmp_path: Path, *known: Wheel, said: list[str] | None = None
) -> Wheel:
    asked = requirements.read(tmp_path, {})
    package = Wheel("x", "1", "x-1-py3-none-any.whl", "aa", url=url)
    told = [] if said is None else said
    (found,) = metadata.with_licenses([package], known, asked, {}, told.append)
    return found


def serves(files: dict[str, bytes], *, ranges: bool) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        if handler.path not in files:
            handler.reply(404)
            return
        content = files[handler.path]
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", handler.headers.get("Range", ""))
        if not (asked and ranges):
            handler.reply(200, content)
            return
        first = int(asked[1]) if asked[1] else max(0, len(content) - int(asked[2]))
        last = int(asked[2]) if asked[1] else len(content) - 1
        told = f"bytes {first}-{last}/{len(content)}"
        handler.reply(206, content[first : last + 1], Content_Range=told)

    return answer


def test_an_index_that_serves_it_is_asked_for_nothing_else(server: Server, tmp_path: Path) -> None:
    server.answers["GET"] = serves({"/x.whl.metadata": MIT}, ranges=True)
    assert licensed(f"{server.url}/x.whl#sha256=aa", tmp_path).license == "MIT"
    assert [path for path, *_ in server.requests] == ["/x.whl.metadata"]


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "whole files"])
def test_else_it_is_read_out_of_the_wheel(
    server: Server, tmp_path: Path, large: bytes, *, ranges: bool
) -> None:
    server.answers["GET"] = serves({"/x.whl": large}, ranges=ranges)
    assert licensed(f"{server.url}/x.whl", tmp_path).license == "MIT"
    assert len(server.requests) <= 5


@pytest.mark.parametrize(
    "content", [b"", b"no zip", b"PK\5\6" + bytes(18)], ids=["none", "text", "empty"]
)
def test_a_wheel_that_says_nothing_has_no_licence(
    server: Server, tmp_path: Path, content: bytes
) -> None:
    server.answers["GET"] = serves({"/x.whl": content}, ranges=False)
    found = licensed(f"{server.url}/x.whl", tmp_path)
    assert (found.license, found.license_names) == (None, [])


def test_what_cannot_be_reached_is_told_and_is_no_reason_not_to_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "_PATIENCE", urllib3.Retry(1))
    said: list[str] = []
    assert licensed("http://127.0.0.1:1/x.whl", tmp_path, said=said).license is None
    assert said[0].startswith("the licence of x cannot be asked for: ")


def test_an_index_that_is_busy_is_asked_again(server: Server, tmp_path: Path) -> None:
    replies = iter([503, 429, 200])
    server.answers["GET"] = lambda handler: handler.reply(next(replies), MIT)
    assert licensed(f"{server.url}/x.whl", tmp_path).license == "MIT"


def test_what_is_known_is_not_asked_for_again(tmp_path: Path) -> None:
    said: list[str] = []
    before = Wheel("x", "1", "x.whl", "aa", license_names=["BSD License"])
    assert licensed("http://127.0.0.1:1/x.whl", tmp_path, before, said=said).license_names == [
        "BSD License"
    ]
    assert said == []


def test_a_wheel_here_is_looked_into(tmp_path: Path) -> None:
    file = wheel(tmp_path / "wheels", "x", "1")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x-1.dist-info/METADATA", MIT)
    assert licensed(None, tmp_path).license == "MIT"


def test_passwords_go_to_the_index_and_not_where_it_sends_us(
    server: Server, tmp_path: Path, large: bytes
) -> None:
    def elsewhere(handler: Handler) -> None:
        if handler.path == "/x.whl.metadata":
            there = server.url.replace("127.0.0.1", "localhost")
            handler.reply(302, Location=f"{there}/there")
        else:
            handler.reply(200, MIT)

    server.answers["GET"] = elsewhere
    own = server.url.replace("://", "://me:pass%20word@")
    (tmp_path / "requirements.txt").write_text(f"x @ {own}/x.whl\n")

    assert licensed(f"{server.url}/x.whl", tmp_path).license == "MIT"

    sent = [headers.get("authorization") for _, headers, _ in server.requests]
    assert sent == ["Basic bWU6cGFzcyB3b3Jk", None]
