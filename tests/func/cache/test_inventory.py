"""What is in the cache is found as it is, with those who use it."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from mlfunc.cache import holding, inventory, projects
from mlfunc.cache.items import Wish, goes, total
from mlfunc.environment import Environment
from mlfunc.layers import store
from mlfunc.layers.learnt import Built
from mlfunc.layers.tree import scan
from mlfunc.supervisor import home as homes
from mlfunc.supervisor import releases, weights
from mlfunc.supervisor.releases import Contents
from mlfunc.wheels import staging

from tests.func.cache.things import environment, fetched, layer

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.cache.items import Item


def of(kind: str) -> list[Item]:
    return [item for item in inventory.look() if item.kind == kind]


def test_an_empty_cache_is_left_empty(home: Path) -> None:
    assert inventory.look() == ()
    assert list(home.iterdir()) == []


def test_an_environment_has_no_files_that_others_have_too(tmp_path: Path, project: Path) -> None:
    made = environment("key", project)
    (made / "own").write_bytes(bytes(8192))
    (tmp_path / "of-uv").write_bytes(bytes(1 << 20))
    os.link(tmp_path / "of-uv", made / "linked")

    (item,) = of("environment")

    assert 8192 <= item.size < 1 << 20
    assert item.projects == (str(project.resolve()),)
    assert item.busy
    holding.let_go()
    assert not of("environment")[0].busy


def test_two_projects_share_a_model_and_two_models_a_file(tmp_path: Path, there: None) -> None:
    folders = [fetched(tmp_path / str(number), "hf://org/one") for number in range(2)]
    fetched(tmp_path / "third", "hf://org/two")

    one, two = sorted(of("model"), key=lambda item: item.name)

    assert one.projects == tuple(sorted(str(folder.resolve()) for folder in folders))
    assert (one.name, two.name) == ("hf://org/one", "hf://org/two")
    assert len(one.parts.keys() & two.parts.keys()) == 1
    assert total([one, two]) < one.size + two.size
    assert of("download") == []


def test_a_project_that_goes_over_to_another_model_does_not_use_the_first(
    tmp_path: Path, there: None
) -> None:
    fetched(tmp_path / "p", "hf://org/one")
    fetched(tmp_path / "p", "hf://org/two")
    used = {item.name: bool(item.projects) for item in of("model")}
    assert used == {"hf://org/one": False, "hf://org/two": True}


def test_layers_belong_to_what_was_built_last_or_to_nothing(project: Path) -> None:
    with store.opened() as opened:
        made = [layer(opened, name) for name in ("last", "before")]
        manifest = b'{"layers": [{"digest": "%s"}]}' % made[0].descriptor.digest.encode()
        opened.images.put("greeter:latest", Built(manifest, b"{}"))
    projects.note(project, "image", ["greeter:latest"])

    (image,), (loose,) = of("image"), of("layer")

    assert (image.name, list(image.parts)) == ("greeter:latest", [made[0].descriptor.digest])
    assert image.projects == (str(project.resolve()),)
    assert (loose.key, loose.projects) == (made[1].descriptor.digest, ())


def test_releases_share_models_and_are_left_to_the_platform(tmp_path: Path, project: Path) -> None:
    home, weights_ = homes.home(), tmp_path / "weights"
    weights_.write_bytes(bytes(9000))
    with store.opened() as opened:
        sha256 = weights.keep(home, weights_, opened.hashes).sha256
    for digit in "12":
        contents = Contents(scan(project), Environment(project), {}, {}, {"default/w": sha256})
        releases.write(home, digit * 64, contents)

    one, two = of("release")

    assert str(weights.place(home, sha256)) in one.parts.keys() & two.parts.keys()
    assert total([one, two]) < one.size + two.size
    assert not goes(one, Wish(before=math.inf, all=True))


def test_what_a_program_works_in_is_not_unfinished() -> None:
    staging._top.cache_clear()  # of a test before, which had another home
    working = staging.folder()
    killed = working.parent.parent / "killed"
    killed.mkdir()
    killed.with_suffix(".lock").touch()
    assert [item.place for item in of("unfinished")] == [killed]
    assert working.is_dir()
