"""The client of a cluster while its API server is killed, and started again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from mlfunc.cluster import client, kinds, watching
from mlfunc.cluster.watching import Topic

from tests.knative.test_cluster import RESET_BEFORE_TLS, Writer, names
from tests.rig.cluster import eventually
from tests.rig.controlplane import control_plane

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.filterwarnings(RESET_BEFORE_TLS)
def test_a_watch_loses_nothing_while_the_api_server_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None]
) -> None:
    with control_plane(tmp_path) as plane:
        monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
        writer, topic = Writer(client.connect()), Topic(kinds.CONFIG_MAP, labels="made-by=writer")
        with watching.follow(client.connect(), topic) as changes:
            with writer:
                eventually(lambda: len(writer.written) >= 5, "five objects written")
                began = time.monotonic()
                plane.restart()
                seconds, count = time.monotonic() - began, len(writer.written)
                eventually(lambda: len(writer.written) >= count + 5, "five more, afterwards")
            there = {*writer.written} - {*writer.deleted}
            for seen in changes.until(time.monotonic() + 60):
                if {*names(seen)} == there:
                    break

    assert {*names(seen)} == there
    figure(
        f"API server killed, and ready after {seconds:.1f} s: {len(writer.written)} objects"
        f" written, {writer.refused} writes refused, none lost to the watch"
    )
