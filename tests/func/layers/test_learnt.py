"""What a store keeps of registries, base images and images, from one program to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mlfunc.layers import store
from mlfunc.layers.learnt import Built

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlfunc.layers.store import Store


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Store]:
    with store.opened(tmp_path) as opened:
        yield opened


def test_an_upload_goes_on_where_it_broke_off(opened: Store) -> None:
    sessions = opened.sessions
    assert sessions.get("r.example", "a/b", "sha256:1") is None
    sessions.put("r.example", "a/b", "sha256:1", "/v2/a/b/blobs/uploads/7")
    sessions.put("r.example", "a/b", "sha256:1", "/v2/a/b/blobs/uploads/8")
    assert sessions.get("r.example", "a/b", "sha256:1") == "/v2/a/b/blobs/uploads/8"
    assert sessions.get("r.example", "a/b", "sha256:2") is None
    sessions.forget("r.example", "a/b", "sha256:1")
    assert sessions.get("r.example", "a/b", "sha256:1") is None


def test_repositories_that_have_a_blob_are_known_per_registry(opened: Store) -> None:
    origins = opened.origins
    origins.add("r.example", "a/b", "sha256:1", "sha256:2")
    origins.add("r.example", "c", "sha256:1", "sha256:1")
    assert sorted(origins.of("r.example", "sha256:1")) == ["a/b", "c"]
    assert origins.of("other.example", "sha256:1") == ()
    origins.remove("r.example", "c", "sha256:1")
    assert origins.of("r.example", "sha256:1") == ("a/b",)


def test_facts_of_a_base_image_are_kept_by_its_digest(opened: Store) -> None:
    assert opened.bases.get("sha256:1") is None
    opened.bases.put("sha256:1", {"python": "/usr/local/bin/python3.11", "libc": ["2", "36"]})
    assert opened.bases.get("sha256:1") == {
        "python": "/usr/local/bin/python3.11",
        "libc": ["2", "36"],
    }


def test_the_image_built_last_is_there_by_name(opened: Store) -> None:
    assert opened.images.get("greeter") is None
    opened.images.put("greeter", Built(b"{}", b"{1}"))
    opened.images.put("other", Built(b"", b""))
    opened.images.put("greeter", Built(b"{2}", b"{3}"))
    assert opened.images.get("greeter") == Built(b"{2}", b"{3}")
    assert opened.images.names() == ("greeter", "other")
