"""An instance whose calls hang is started again by itself, and says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.rig.cluster import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.places import Place

HANGS = '''
import threading

import mlfunc_runtime.stuck

# Half a minute, else: that much has been waited for in vain.
mlfunc_runtime.stuck.LEAST = 1.0


class Greeter:
    """Greets, but for Eve."""

    example = {"name": "Ada"}

    def load(self):
        self.held = threading.Lock()
        self.held.acquire()

    def predict(self, name: str) -> str:
        if name == "Eve":
            self.held.acquire()
        return f"Hello {name}"
'''


def test_an_instance_that_hangs_is_started_again_and_says_where_it_hung(
    place: Place, tmp_path: Path
) -> None:
    serve = {"timeout": "1s", "chunk_timeout": "1s", "drain": "2s"}
    scale = {"min": 1, "max": 1}
    project = place.project(tmp_path / "hangs", HANGS, serve=serve, scale=scale)
    place.mlfunc("deploy", "--path", project)

    assert place.request("hangs", {"name": "Eve"}).status == 504
    described = ("describe", "--path", project, "-o", "json")
    # A kubelet asks six times, ten seconds apart, before it believes that something is dead.
    (restart,) = eventually(
        lambda: place.mlfunc(*described).data["restarts"], "it is started again", seconds=180
    )
    eventually(lambda: place.request("hangs", {"name": "Ada"}).status == 200, "it answers again")

    logs = place.mlfunc("logs", "--path", project, "--previous").out
    assert restart["count"] == 1
    assert "stuck" in restart["reason"]
    assert "slot-0 is stuck" in logs
    assert "self.held.acquire()" in logs
    assert "was started again (1), the last time" in place.mlfunc("describe", "--path", project).out
