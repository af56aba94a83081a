"""A disk that gets full while functions run: they go on, and what was taken is not lost."""

from __future__ import annotations

import contextlib
import os
import subprocess
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlfunc.errors import MlfuncError
from mlfunc.platforms.local import starting, stopping
from mlfunc.supervisor import home as homes
from mlfunc.supervisor.home import Home

from tests.rig.places import OnThisMachine

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")

GREETER = '''
class Greeter:
    """Greets."""

    def predict(self, name: str) -> str:
        print("Hello", name)
        return f"Hello {name}"
'''


class Small(OnThisMachine):
    """A platform whose state is on a small disk, and nothing else of it."""

    @property
    def own(self) -> Home:
        return Home(Path(self.variables["XDG_STATE_HOME"], "mlfunc", "platform"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """With a function, of which there is always an instance."""
    folder = tmp_path_factory.mktemp("machine")
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=True)
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    uv = {"UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or f"{cache}/uv"}
    told = {"MLFUNC_HOME": "", "XDG_STATE_HOME": str(disk), "XDG_CACHE_HOME": str(folder)}
    place = Small("default", folder, variables={**told, **uv})
    try:
        project = place.project(folder / "greeter", GREETER, scale={"min": 1})
        place.mlfunc("deploy", "--path", project)
        yield place
    finally:
        stopping.stop(place.own)
        subprocess.run(["umount", str(disk)], check=True)


@contextlib.contextmanager
def full(home: Home) -> Iterator[None]:
    filler = home.folder.with_name("filler")
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 1024)
    yield
    filler.unlink()


def asked(home: Home) -> str:
    about = homes.found(home)
    assert about is not None
    connection = HTTPConnection("127.0.0.1", about.port, timeout=60)
    with contextlib.closing(connection):
        head = {"content-type": "application/json"}
        connection.request("POST", "/greeter", '{"name": "Ada"}', head)
        return connection.getresponse().read().decode()


def test_functions_go_on_and_what_cannot_be_kept_is_refused_in_words(place: Small) -> None:
    emit = ("emit", "--type", "com.example.text", "--data", "{}")
    deploy = ("deploy", "--path", place.home / "greeter")
    (place.home / "greeter" / "notes.txt").write_text("another release" * 1000)
    with full(place.own):
        assert asked(place.own) == '"Hello Ada"'
        refused = [place.mlfunc(*command, code=None) for command in (deploy, emit)]
        assert asked(place.own) == '"Hello Ada"'
    for each in refused:
        assert each.code in {1, 7}, each.err
        assert "space" in each.err.lower()
        assert "Traceback" not in each.err

    place.mlfunc(*emit)
    place.mlfunc(*deploy)
    assert asked(place.own) == '"Hello Ada"'


def test_what_was_deployed_before_comes_back_once_there_is_room(place: Small) -> None:
    stopping.stop(place.own)
    with full(place.own), pytest.raises(MlfuncError, match=r"space|disk I/O") as refused:
        starting.ensure_running(place.own)
    assert "df" in refused.value.hint or "make room" in refused.value.hint

    starting.ensure_running(place.own)
    assert asked(place.own) == '"Hello Ada"'
