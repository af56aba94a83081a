"""What no revision needs any more is removed, when a supervisor begins and when a revision goes."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kinds
from mlfunc.environment import Environment
from mlfunc.layers.tree import scan
from mlfunc.supervisor import pruning, releases
from mlfunc.supervisor.fleet.logs import Logs
from mlfunc.supervisor.fleet.processes import Processes
from mlfunc.supervisor.home import Home
from mlfunc.supervisor.parts import Key
from mlfunc.supervisor.pruning import Pruning
from mlfunc.supervisor.releases import Contents
from mlfunc.supervisor.state.objects import Objects

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def revision(digit: str) -> dict[str, Any]:
    return {
        "apiVersion": kinds.REVISION.api_version,
        "kind": "Revision",
        "metadata": {"namespace": "default", "name": f"x-0000{digit}"},
        "spec": {"containers": [{"image": releases.image("x", digit * 64)}]},
    }


def test_releases_and_logs_go_with_their_revisions(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_SOON_SECONDS", 0.0)
    home, objects, logs = Home(tmp_path / "platform"), Objects(), Logs(tmp_path / "logs")
    for digit in "123":
        releases.write(home, digit * 64, Contents(scan(project), Environment(project), {}))
        os.utime(home.releases / (digit * 64), (1, 1))

    def left() -> tuple[list[str], list[str]]:
        kept = sorted(path.name[0] for path in home.releases.iterdir())
        return kept, sorted(path.name for path in tmp_path.glob("logs/*/*"))

    async def live() -> None:
        for digit in "123":
            logs.begin(Key("default", f"x-0000{digit}"), f"x-{digit}").close()
            logs.end(Key("default", f"x-0000{digit}"), f"x-{digit}")
        objects.write(revision("1"))
        objects.write(revision("2"))
        fleet = Processes(logs)
        work = Pruning(home, objects, fleet, logs)
        work.start()
        while left() != (["1", "2"], ["x-00001", "x-00002"]):
            await asyncio.sleep(0)
        objects.remove(kinds.REVISION, "default", "x-00001")
        while left() != (["2"], ["x-00002"]):
            await asyncio.sleep(0)
        await work.close()
        await fleet.close()

    asyncio.run(asyncio.wait_for(live(), 60))
