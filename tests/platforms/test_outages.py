"""A function that has served and no longer starts says why: listed, described, scaled, asked."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rig.cluster import eventually

if TYPE_CHECKING:
    from typing import Any

    from tests.rig.places import Place

# What lies in the temporary folder outlives a start of the container, but not its pod.
GOES_OUT = '''
import os
import pathlib

GONE = pathlib.Path("{gone}")


class Greeter:
    """Greets; after Eve, its database is gone."""

    def load(self):
        if GONE.exists():
            raise ConnectionError("no database at db.internal")

    def predict(self, name: str) -> str:
        if name == "Eve":
            GONE.touch()
            os._exit(3)
        return f"Hello {{name}}"
'''
WHY = "the function does not start: load raised ConnectionError: no database at db.internal"


def test_a_function_that_no_longer_starts_says_so_wherever_one_looks(
    place: Place, tmp_path: Path
) -> None:
    gone = Path(tempfile.gettempdir()) / f"gone-{uuid.uuid4()}"
    code = GOES_OUT.format(gone=gone)
    project = place.project(tmp_path / "outage", code, scale={"min": 1, "max": 1})
    place.mlfunc("deploy", "--path", project)
    place.request("outage", {"name": "Eve"})
    try:
        told = eventually(lambda: _failed(place, project), "it is failed")
        assert (told["ready"], told["message"]) == (False, WHY)
        assert WHY in place.mlfunc("list").err
        assert WHY in place.mlfunc("scale", "--path", project).out
        asked = place.mlfunc("invoke", "--path", project, "-d", '{"name": "Ada"}', code=7)
        assert f"outage-00001: {WHY}" in asked.err
        assert "ConnectionError" in place.mlfunc("logs", "--path", project).out
    finally:
        gone.unlink(missing_ok=True)


def _failed(place: Place, project: Path) -> dict[str, Any]:
    """How it is described, once that is so."""
    found: dict[str, Any] = place.mlfunc("describe", "--path", project, "-o", "json").data
    return found if found["reason"] == "failed" else {}
