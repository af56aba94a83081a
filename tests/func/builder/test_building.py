"""The story of a build, in this process: who is told what while it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlfunc.builder import building
from mlfunc.builder.assembly import Workshop
from mlfunc.builder.deciding import Request
from mlfunc.layers import store

from tests.rig import base
from tests.rig.registry import registry

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


@dataclass
class Watching:
    """Keeps what it is told."""

    phases: list[str] = field(default_factory=list)
    ended: dict[str, int] = field(default_factory=dict)

    def phase(self, name: str) -> None:
        self.phases.append(name)

    def said(self, text: str) -> None:
        pass

    def moved(self, name: str, done: int, total: int | None) -> None:
        if done == total:
            self.ended[name] = done


def test_what_is_sent_is_told_by_the_names_of_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = base.write(tmp_path / "base")
    monkeypatch.setenv("MLFUNC_BASE_IMAGE", f"oci:{layout}")
    folder = tmp_path / "hello"
    folder.mkdir()
    (folder / "mlfunc.yaml").write_text("name: hello\n")
    (folder / "predictor.py").write_text("class Predictor:\n    def predict(self, n: int): ...\n")
    watching = Watching()

    with registry(tmp_path / "registry") as shelf, store.opened() as opened:
        request = Request(folder, registry=shelf.address)
        outcome = building.build(request, Workshop(opened, watching))

    assert watching.phases == ["resolving", "packing layers", "pushing"]
    sizes = {each.descriptor.size for each in outcome.main.image.layers}
    assert {"base", "dependencies", "runtime", "app", "configuration"} <= watching.ended.keys()
    assert watching.ended["app"] in sizes
