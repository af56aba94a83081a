"""What goes is gone, and nothing that somebody uses by then."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

from mlfunc import environment as environments
from mlfunc.cache import holding, inventory, projects
from mlfunc.cache.items import Wish, plan
from mlfunc.cache.removing import Removed, remove
from mlfunc.layers import store
from mlfunc.layers.learnt import Built
from mlfunc.layers.tree import File, Tree
from mlfunc.models import fetching

from tests.func.cache.things import environment, fetched, layer

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.cache.items import Item


def pruned(found: tuple[Item, ...] | None = None, *, everything: bool = False) -> Removed:
    """Prune what was found, as a program of its own would."""
    items = inventory.look() if found is None else found
    wish = Wish(time.time() + 1, everything)
    return remove(items, plan(items, wish), wish)


def test_the_environment_of_a_project_that_is_gone_goes_and_is_forgotten(project: Path) -> None:
    made = environment("key", project)
    holding.let_go()
    assert pruned().gone == ()
    (project / "mlfunc.yaml").unlink()

    removed = pruned()

    assert [item.key for item in removed.gone] == ["key"]
    assert removed.size > 0
    assert list(made.parent.iterdir()) == []
    assert projects.noted() == ()


def test_what_comes_into_use_after_it_was_found_stays(project: Path, tmp_path: Path) -> None:
    made = environment("key", project)
    holding.let_go()
    (project / "mlfunc.yaml").rename(tmp_path / "elsewhere")
    found = inventory.look()
    assert plan(found, Wish(time.time() + 1)).gone

    holding.hold(made)
    held = pruned(found)
    holding.let_go()
    (tmp_path / "elsewhere").rename(project / "mlfunc.yaml")
    environment("key", project)
    holding.let_go()
    wanted = pruned(found)

    for removed in (held, wanted):
        assert (removed.gone, removed.size) == ((), 0)
        assert [item.key for item in removed.kept] == ["key"]
    assert environments.Environment(made).complete


def test_a_model_leaves_what_another_one_shares(tmp_path: Path, there: None) -> None:
    fetched(tmp_path / "p", "hf://org/one")
    kept = fetched(tmp_path / "q", "hf://org/two")
    holding.let_go()
    shutil.rmtree(tmp_path / "p")

    removed = pruned()

    assert [item.name for item in removed.gone] == ["hf://org/one"]
    assert removed.size < 50_000
    (model,) = [item for item in inventory.look() if item.kind == "model"]
    assert sorted(path.stat().st_size for path in model.place.rglob("*")) == [9000, 50_000]
    shutil.rmtree(kept)
    assert pruned().size > 50_000
    assert [path.suffix for path in fetching.blobs().iterdir()] == []


def test_two_projects_keep_one_model_until_both_are_gone(tmp_path: Path, there: None) -> None:
    folders = [fetched(tmp_path / str(number), "hf://org/one") for number in range(2)]
    holding.let_go()
    shutil.rmtree(folders[0])
    assert pruned().gone == ()
    shutil.rmtree(folders[1])
    assert len(pruned().gone) == 1


def test_files_of_models_stay_while_a_program_fetches_some(tmp_path: Path, there: None) -> None:
    """Those that no model has yet may be of one that is on its way."""
    shutil.rmtree(fetched(tmp_path / "p", "hf://org/one"))
    holding.let_go()
    holding.hold(fetching.blobs())

    removed = pruned()
    assert [item.kind for item in removed.gone] == ["model"]
    assert removed.size == 0

    holding.let_go()
    assert pruned().size > 50_000


def test_layers_go_unless_a_build_has_them() -> None:
    with store.opened() as opened:
        one, two = (layer(opened, name) for name in ("one", "two"))
    with store.opened() as building:
        assert building.blobs.find(one.descriptor)
        assert [item.key for item in pruned().gone] == [two.descriptor.digest]
        assert building.blobs.find(two.descriptor) is None
        assert building.blobs.find(one.descriptor)
    assert pruned().size > 0
    assert inventory.look() == ()


def test_an_image_whose_project_is_there_is_made_again_under_its_name(project: Path) -> None:
    with store.opened() as opened:
        made = opened.obtain("key", lambda: Tree((File("x", (b"x",)),)), "zstd")
        manifest = b'{"layers": [{"digest": "%s"}]}' % made.descriptor.digest.encode()
        opened.images.put("greeter:latest", Built(manifest, b"{}"))
    projects.note(project, "image", ["greeter:latest"])
    assert pruned().gone == ()
    assert [item.kind for item in pruned(everything=True).gone] == ["image"]
    with store.opened() as opened:
        assert opened.images.get("greeter:latest")
