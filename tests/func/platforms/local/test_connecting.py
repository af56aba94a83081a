"""The API of a supervisor is reached by its socket, and what is wrong is said in its own name."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from mlfunc.cluster import kinds
from mlfunc.cluster.failures import Unavailable
from mlfunc.platforms.local import connecting
from mlfunc.supervisor.home import Home

from tests.rig import localapi

if TYPE_CHECKING:
    from pathlib import Path


def test_it_asks_the_one_of_this_home(tmp_path: Path) -> None:
    homes = [tmp_path / "a", tmp_path / "b"]
    for each in homes:
        each.mkdir()
    with localapi.serving(homes[0]) as first, localapi.serving(homes[1]) as second:
        secret = {"apiVersion": "v1", "kind": "Secret"}
        first.cluster("shop").apply(
            {**secret, "metadata": {"name": "x", "namespace": "shop"}, "data": {}}
        )

        assert first.cluster("shop").get(kinds.SECRET, "x") is not None
        assert second.cluster("shop").get(kinds.SECRET, "x") is None
        assert first.cluster().namespace == "default"


def test_threads_share_it(tmp_path: Path) -> None:
    with localapi.serving(tmp_path) as running:
        cluster = running.cluster()
        versions: list[str] = []

        def ask() -> None:
            versions.extend(cluster.fetch("/version")["gitVersion"] for _ in range(20))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    assert len(versions) == 160


def test_where_nobody_is_it_says_so_in_its_own_name(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(Unavailable, match="the local platform cannot be reached: no such file"):
        connecting.connect(home).list(kinds.SERVICE)

    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(home.socket))

    with pytest.raises(Unavailable, match=r"the local platform .* connection refused") as raised:
        connecting.connect(home).list(kinds.SERVICE)
    assert raised.value.hint.startswith("mlfunc platform status")


def test_one_that_ends_meanwhile_is_told(tmp_path: Path) -> None:
    with localapi.serving(tmp_path) as running:
        cluster = running.cluster()
        cluster.list(kinds.SERVICE)

    with pytest.raises(Unavailable, match="the local platform cannot be reached"):
        cluster.list(kinds.SERVICE)


def test_it_needs_no_kubernetes_package(tmp_path: Path) -> None:
    """Which costs more than all else that a command does here."""
    with localapi.serving(tmp_path) as running:
        code = (
            "import pathlib, sys\n"
            "from mlfunc.platforms.local import connecting\n"
            "from mlfunc.supervisor.home import Home\n"
            "connecting.connect(Home(pathlib.Path(sys.argv[1]))).fetch('/version')\n"
            "print(*sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(running.home.folder)],
            capture_output=True,
            check=True,
            text=True,
        )

    modules = done.stdout.split()
    heavy = {"kubernetes", "httptools", "asyncio", "sqlite3", "msgspec", "yaml", "click"}
    assert heavy & {each.partition(".")[0] for each in modules} == set()
    assert len([each for each in modules if each.startswith("mlfunc")]) < 25
