"""What a build does again, sends again and fetches again: as little as can be."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.rig.wire import wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.registry import Registry
    from tests.rig.wire import Wire

KEYS = {"image", "digest", "platform", "seconds", "uploaded_bytes", "layers"}
LAYER_KEYS = {"name", "digest", "size", "status", "why"}
STATUSES = {"reused", "mounted", "built", "uploaded"}
# What asking a registry costs: heads, tokens, a manifest, a config with its labels.
ASKING = 100_000


@pytest.fixture
def cable(shelf: Registry) -> Iterator[Wire]:
    with wire(shelf.address) as running:
        yield running


def change(folder: Path) -> None:
    predictor = folder / "predictor.py"
    predictor.write_text(predictor.read_text().replace("Hello", "Good evening"))


def test_a_build_tells_a_program_what_it_has_made(
    shelf: Registry, seasoned: Any, project: Path
) -> None:
    told = seasoned.build(project, "--image", f"{shelf.address}/told/greeter")

    assert told.keys() >= KEYS
    assert told["digest"].startswith("sha256:")
    assert told["image"].endswith(told["digest"])
    assert told["platform"] == "linux/amd64"
    assert all(layer.keys() >= LAYER_KEYS for layer in told["layers"])
    assert {layer["status"] for layer in told["layers"]} <= STATUSES


def test_a_build_with_no_change_uploads_nothing(cable: Wire, seasoned: Any, project: Path) -> None:
    name = f"{cable.address}/still/greeter"
    first = seasoned.build(project, "--image", name)
    cable.reset()
    second = seasoned.build(project, "--image", name)

    assert second["digest"] == first["digest"]
    assert second["uploaded_bytes"] == 0
    assert {layer["status"] for layer in second["layers"]} == {"reused"}
    assert cable.sent < ASKING


def test_a_changed_line_moves_the_app_alone(cable: Wire, seasoned: Any, project: Path) -> None:
    name = f"{cable.address}/changed/greeter"
    first = seasoned.build(project, "--image", name)
    cable.reset()
    change(project)
    second = seasoned.build(project, "--image", name)

    before = {layer["digest"] for layer in first["layers"]}
    moved = [layer for layer in second["layers"] if layer["digest"] not in before]
    content = [layer for layer in moved if layer["status"] != "reused"]
    assert second["digest"] != first["digest"]
    assert content
    assert sum(layer["size"] for layer in content) < 100_000
    assert second["uploaded_bytes"] < 1_000_000
    assert cable.sent < 1_000_000


def test_two_clean_builds_on_two_paths_have_one_digest(
    shelf: Registry, fresh: Any, project: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "a folder of" / "somebody else"
    shutil.copytree(project, elsewhere)
    one = fresh().build(project, "--image", f"{shelf.address}/twice/greeter")
    other = fresh().build(elsewhere, "--image", f"{shelf.address}/twice/greeter")

    assert other["digest"] == one["digest"]


def test_a_machine_with_no_cache_takes_dependencies_from_the_image_before(
    cable: Wire, fresh: Any, write_project: Any, tmp_path: Path
) -> None:
    """It is cut off from the index of packages, and does not fetch the layer that has them."""
    folder = write_project(tmp_path / "numbers", "numbers", needs="numpy==2.4.6\n")
    name = f"{cable.address}/moved/numbers"
    fresh().build(folder, "--image", name)
    change(folder)
    cable.reset()
    cut_off = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "empty")}
    second = fresh().build(folder, "--image", name, **cut_off)

    assert second["uploaded_bytes"] < 1_000_000
    # The base may be looked through again; numpy and the server are larger than the rest by far.
    reused = [layer for layer in second["layers"] if layer["status"] == "reused"]
    assert cable.received < max(layer["size"] for layer in reused)


def test_a_plan_does_nothing(shelf: Registry, fresh: Any, project: Path) -> None:
    before = sorted(path.name for path in project.iterdir())
    planned = fresh().build(project, "--plan", "--image", f"{shelf.address}/planned/greeter")

    assert {layer["status"] for layer in planned["layers"]} <= {"reused", "built"}
    assert all(layer["why"] for layer in planned["layers"])
    assert sorted(path.name for path in project.iterdir()) == before
    assert "planned/greeter" not in str(list((shelf.folder / "data").rglob("greeter")))
