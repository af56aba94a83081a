"""Images of a few bytes, a real registry for them, and a line to it that breaks."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from mlfunc.oci import content
from mlfunc.oci.content import Bytes, Image

from tests.rig.registry import Registry, registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def image_of(*layers: bytes, architecture: str = "amd64") -> Image:
    """An image that nobody could start, but that registries take."""
    blobs = [Bytes(layer, content.LAYER) for layer in layers]
    digests = [blob.descriptor.digest for blob in blobs]
    settings = {
        "os": "linux",
        "architecture": architecture,
        "rootfs": {"type": "layers", "diff_ids": digests},
    }
    config = Bytes(json.dumps(settings).encode(), content.CONFIG)
    parts = {
        "schemaVersion": 2,
        "mediaType": content.MANIFEST,
        "config": config.descriptor.as_json(),
        "layers": [blob.descriptor.as_json() for blob in blobs],
    }
    manifest = Bytes(json.dumps(parts).encode(), content.MANIFEST)
    return Image(manifest, config, tuple(blob.as_source() for blob in blobs))


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that are the same at every run."""
    return random.Random(seed).randbytes(size)


@pytest.fixture
def make_image() -> Callable[..., Image]:
    """An image of these layers."""
    return image_of


@pytest.fixture
def make_noise() -> Callable[..., bytes]:
    """So many bytes."""
    return noise


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Registry]:
    """A registry that speaks plain HTTP and asks nobody who they are."""
    with registry(tmp_path / "registry") as running:
        yield running


@dataclass
class Line:
    """A line to a registry that is cut each time so many bytes have gone up (`cuts`, in order)."""

    to: str
    cuts: list[int]
    address: str = ""
    up: int = 0
    down: int = 0
    down_cuts: list[int] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, listener: socket.socket) -> None:
        """Until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                host, _, port = self.to.rpartition(":")
                server = socket.create_connection((host, int(port)))
                for way in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pump, args=way, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if self._is_cut(len(data), up):
                    break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()  # the other way closes the other one

    def _is_cut(self, count: int, up: bool) -> bool:
        with self._lock:
            if up:
                self.up += count
            else:
                self.down += count
            done, cuts = (self.up, self.cuts) if up else (self.down, self.down_cuts)
            if cuts and done >= cuts[0]:
                cuts.pop(0)
                return True
            return False


@pytest.fixture
def line() -> Iterator[Callable[..., Line]]:
    """Lines, each of them open until the test ends."""
    listeners: list[socket.socket] = []

    def lay(to: str, *cuts: int, down: tuple[int, ...] = ()) -> Line:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        laid = Line(to, list(cuts), f"127.0.0.1:{listener.getsockname()[1]}", down_cuts=list(down))
        threading.Thread(target=laid.serve, args=(listener,), daemon=True).start()
        return laid

    yield lay
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
