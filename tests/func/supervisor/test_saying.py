"""What a supervisor says to who started it arrives as it was said."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest
from mlfunc.errors import MlfuncError, NotFound, UsageError
from mlfunc.supervisor import saying
from mlfunc.supervisor.home import About

if TYPE_CHECKING:
    from pathlib import Path

ABOUT = About(7, "127.0.0.1", 8088, "0.1.0", 1.5)


def test_that_it_serves() -> None:
    assert saying.heard(saying.serves(ABOUT)) == ABOUT


@pytest.mark.parametrize("kind", [MlfuncError, UsageError, NotFound])
def test_that_it_cannot_with_class_way_out_and_evidence(kind: type[MlfuncError]) -> None:
    error = kind("no", "do this\nthen that", evidence="line\nline")

    with pytest.raises(MlfuncError) as raised:
        saying.heard(saying.fails(error))

    assert type(raised.value) is kind
    assert (raised.value.message, raised.value.hint) == (error.message, error.hint)
    assert raised.value.evidence == error.evidence


@pytest.mark.parametrize("name", ["{folder}/notify", "@{folder}"], ids=["file", "abstract"])
def test_systemd_hears_it_where_it_listens(tmp_path: Path, name: str) -> None:
    address = name.format(folder=tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address.replace("@", "\0"))
        saying.to_systemd("READY=1", {"NOTIFY_SOCKET": address})

        assert systemd.recv(100) == b"READY=1"


def test_who_is_not_started_by_systemd_tells_it_nothing_and_one_that_is_gone_is_no_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saying.to_systemd("READY=1", {})
    assert caplog.messages == []

    saying.to_systemd("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert caplog.messages == ["systemd cannot be told READY=1: No such file or directory"]


@pytest.mark.parametrize("name", ["Later", "INTERRUPTED", "annotations"])
def test_a_failure_of_a_class_that_is_not_there_is_a_plain_one(name: str) -> None:
    said = json.loads(saying.fails(MlfuncError("no")))
    said["fails"]["kind"] = name

    with pytest.raises(MlfuncError, match="no") as raised:
        saying.heard(json.dumps(said).encode())
    assert type(raised.value) is MlfuncError
