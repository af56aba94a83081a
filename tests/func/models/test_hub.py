"""Models of a Hugging Face Hub, by its real client, from a hub on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from mlfunc import paths
from mlfunc.errors import MlfuncError, NotFound, UsageError
from mlfunc.lock import ModelFile, ModelPin
from mlfunc.models.fetching import fetch
from mlfunc.models.source import PIECE
from mlfunc.proc import Cancellation, Cancelled

from tests.rig.hub import Hub, hub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Pinned = Callable[..., ModelPin]

WEIGHTS = bytes(range(256)) * 4000
FILES = {"config.json": b'{"model_type": "bert"}', "sub/model.bin": WEIGHTS, ".gitattributes": b"x"}


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield running


def test_a_branch_is_pinned_to_its_commit_with_the_hash_of_each_file(
    there: Hub, pinned: Pinned
) -> None:
    commit = there.add("org/tiny", FILES)

    pin = pinned("hf://org/tiny@main")

    assert pin.revision == commit
    assert [(file.path, file.size) for file in pin.files] == [
        ("config.json", 22),
        ("sub/model.bin", len(WEIGHTS)),
    ]
    assert not any("model.bin" in path for _, path, _, _ in there.asked)


def test_a_pinned_model_is_not_asked_for_again(there: Hub, pinned: Pinned) -> None:
    there.add("org/tiny", FILES)
    first = pinned("hf://org/tiny")
    there.asked.clear()

    assert pinned("hf://org/tiny", first) is first
    assert there.asked == []


def test_an_upgrade_follows_the_branch_and_fetches_only_what_is_new(
    there: Hub, pinned: Pinned
) -> None:
    there.add("org/tiny", FILES)
    first = pinned("hf://org/tiny")
    fetch("default", first)
    commit = there.add("org/tiny", {**FILES, "config.json": b"{}"})
    there.asked.clear()

    second = pinned("hf://org/tiny", first, upgrade=True)
    folder = fetch("default", second)

    assert second.revision == commit
    assert (folder / "config.json").read_bytes() == b"{}"
    assert (folder / "sub/model.bin").read_bytes() == WEIGHTS
    assert not any("model.bin" in path for _, path, _, _ in there.asked)


def test_what_is_asked_for_with_other_patterns_is_pinned_anew(there: Hub, pinned: Pinned) -> None:
    there.add("org/tiny", FILES)
    first = pinned("hf://org/tiny")

    second = pinned("hf://org/tiny", first, files=["*.json"])

    assert [file.path for file in second.files] == ["config.json"]


def test_patterns_that_name_nothing_are_refused_with_what_is_there(
    there: Hub, pinned: Pinned
) -> None:
    there.add("org/tiny", FILES)

    with pytest.raises(NotFound, match=r"named by \*\.onnx") as caught:
        pinned("hf://org/tiny", files=["*.onnx"])

    assert "sub/model.bin" in caught.value.hint


def test_a_cut_transfer_goes_on_where_it_was(there: Hub, pinned: Pinned) -> None:
    there.add("org/tiny", FILES)
    pin = pinned("hf://org/tiny")
    there.asked.clear()
    there.cuts += [300_000, 400_000]

    folder = fetch("default", pin)

    ranges = [
        asked
        for _, path, asked, _ in there.asked
        if path.startswith("/org/tiny/" + (pin.revision or ""))
    ]
    assert (folder / "sub/model.bin").read_bytes() == WEIGHTS
    assert ranges == ["bytes=0-", "bytes=300000-", "bytes=700000-"]


def test_a_transfer_that_brings_nothing_ends_with_what_to_do(there: Hub, pinned: Pinned) -> None:
    there.add("org/tiny", FILES)
    pin = pinned("hf://org/tiny")
    there.cuts += [0, 0]

    with pytest.raises(MlfuncError, match=r"sub/model\.bin cannot be fetched") as caught:
        fetch("default", pin)

    assert "goes on where it was" in caught.value.hint


def test_a_killed_fetch_is_continued_by_the_next(there: Hub, pinned: Pinned) -> None:
    there.add("org/tiny", FILES)
    pin = pinned("hf://org/tiny")
    script = f"""
import os, signal
from mlfunc import lock
from mlfunc.models import fetching
import msgspec
pin = msgspec.json.decode({_encoded(pin)!r}, type=lock.ModelPin)
write = fetching.Meter.add
def add(self, count):
    write(self, count)
    os.kill(os.getpid(), signal.SIGKILL)
fetching.Meter.add = add
fetching.fetch("default", pin, only=["sub/model.bin"])
"""
    there.cuts.append(300_000)
    killed = subprocess.run([sys.executable, "-c", script], env=dict(os.environ), check=False)
    there.asked.clear()

    folder = fetch("default", pin, only=["sub/model.bin"])

    assert killed.returncode == -signal.SIGKILL
    assert (folder / "sub/model.bin").read_bytes() == WEIGHTS
    assert not list((paths.cache() / "models" / "blobs").glob("*.part"))


def _encoded(pin: ModelPin) -> bytes:
    import msgspec

    return msgspec.json.encode(pin)


def test_a_token_is_shown_to_the_hub_and_not_to_the_store(
    there: Hub, pinned: Pinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.add("org/gated", FILES, token="hf_mine")
    monkeypatch.setenv("HF_TOKEN", "hf_mine")

    folder = fetch("default", pinned("hf://org/gated"))

    shown = [(path.startswith("/org/gated/resolve"), token) for _, path, _, token in there.asked]
    assert (folder / "sub/model.bin").read_bytes() == WEIGHTS
    assert (True, True) in shown
    assert shown[-1] == (False, False)


@pytest.mark.parametrize("token", [None, "hf_other"], ids=["no token", "one of another"])
def test_a_gated_model_is_refused_with_where_to_ask_for_it(
    there: Hub, pinned: Pinned, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    there.add("org/gated", FILES, token="hf_mine")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)

    with pytest.raises(MlfuncError, match="refuses hf://org/gated") as caught:
        pinned("hf://org/gated")

    assert f"{there.endpoint}/org/gated" in caught.value.hint
    assert "HF_TOKEN" in caught.value.hint


def test_a_model_that_is_not_there_reads_as_one_that_may_be_private(
    there: Hub, pinned: Pinned
) -> None:
    with pytest.raises(MlfuncError, match="private, gated or not there"):
        pinned("hf://org/none")


def test_a_revision_that_is_not_there_is_told_by_its_name(there: Hub, pinned: Pinned) -> None:
    there.add("org/tiny", FILES)

    with pytest.raises(NotFound, match="org/tiny has no revision v9"):
        pinned("hf://org/tiny@v9")


def test_a_hub_that_does_not_answer_is_told_by_its_address(
    pinned: Pinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub() as gone:
        endpoint = gone.endpoint
    monkeypatch.setenv("HF_ENDPOINT", endpoint)

    with pytest.raises(MlfuncError, match=f"{endpoint} cannot be reached"):
        pinned("hf://org/tiny")


def test_without_the_hubs_client_it_says_what_to_install(
    pinned: Pinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)

    with pytest.raises(MlfuncError) as caught:
        pinned("hf://org/tiny")

    assert caught.value.hint == "pip install 'mlfunc[hf]'"


def test_other_bytes_than_were_pinned_are_refused_and_not_kept(there: Hub, pinned: Pinned) -> None:
    commit = there.add("org/tiny", FILES)
    pin = pinned("hf://org/tiny")
    files = there.repositories["org/tiny"].commits[commit]
    files["sub/model.bin"] = bytes(len(WEIGHTS))

    with pytest.raises(MlfuncError, match="not what was pinned"):
        fetch("default", pin)

    files["sub/model.bin"] = WEIGHTS
    assert (fetch("default", pin) / "sub/model.bin").read_bytes() == WEIGHTS


def test_two_commands_fetch_a_file_once(there: Hub, pinned: Pinned) -> None:
    there.add("org/tiny", FILES)
    pin = pinned("hf://org/tiny")
    there.asked.clear()

    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: fetch("default", pin), range(4)))

    assert (folders[0] / "sub/model.bin").read_bytes() == WEIGHTS
    assert len({*folders}) == 1
    assert len([path for _, path, _, _ in there.asked if "/resolve/" in path]) == 1
    assert not list((paths.cache() / "models" / "blobs").glob("*.part"))


def test_a_cancelled_fetch_ends_with_the_next_piece(there: Hub, pinned: Pinned) -> None:
    # More than one piece, so that there is a next one.
    there.add("org/tiny", {"model.bin": bytes(8 * PIECE)})
    pin = pinned("hf://org/tiny")
    stop = Cancellation()
    said: list[str] = []

    def report(text: str) -> None:
        said.append(text)
        stop.cancel()

    with pytest.raises(Cancelled):
        fetch("default", pin, cancellation=stop, report=report)

    assert 0 < len(said) <= 2


def test_a_file_that_would_lie_elsewhere_is_refused(there: Hub, pinned: Pinned) -> None:
    there.add("org/evil", {"../../x": b"x" * 2000})
    files = [ModelFile("../../x", 2000, "0" * 64)]

    with pytest.raises(UsageError, match="may not be called"):
        pinned("hf://org/evil", files=["*x"])
    with pytest.raises(UsageError, match="may not be called"):
        fetch("default", ModelPin("hf://org/evil", "main", files))
