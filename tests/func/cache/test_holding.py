"""What a program uses is there until it ends, and who wants what is being removed waits."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from mlfunc.cache import holding

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def thing(tmp_path: Path) -> Path:
    folder = tmp_path / "thing"
    folder.mkdir()
    return folder


def test_nobody_is_alone_with_what_another_program_holds_until_that_is_killed(thing: Path) -> None:
    code = (
        f"from pathlib import Path; from mlfunc.cache import holding; "
        f"holding.hold(Path({str(thing)!r})); print('holds', flush=True); input()"
    )
    argv = [sys.executable, "-c", code]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"holds\n"
        assert holding.is_held(thing)
        with holding.alone(thing) as nobody:
            assert not nobody
        process.kill()
    assert not holding.is_held(thing)


def test_who_wants_what_is_being_removed_waits_and_then_has_it(thing: Path) -> None:
    began, has = threading.Event(), threading.Event()

    def want() -> None:
        began.set()
        holding.hold(thing)
        has.set()

    waiting = threading.Thread(target=want)
    with holding.alone(thing) as nobody:
        assert nobody
        waiting.start()
        began.wait()
        shutil.rmtree(thing)
        assert not has.is_set()
    waiting.join()
    assert holding.is_held(thing)  # by a mark that is there, not by the one that went


def test_the_mark_goes_with_the_thing(thing: Path) -> None:
    holding.hold(thing)
    holding.let_go()
    with holding.alone(thing):
        shutil.rmtree(thing)
    assert list(thing.parent.iterdir()) == []


def test_it_tells_when_a_thing_was_used_and_what_it_is_called(thing: Path) -> None:
    before = holding.last(thing)
    holding.hold(thing, "hf://org/model")
    holding.hold(thing)
    assert holding.last(thing) >= before
    assert holding.name(thing) == "hf://org/model"
