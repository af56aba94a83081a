"""Debian's docker-registry on loopback, in a folder of the test's own."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_START_SECONDS = 30


@dataclass(frozen=True)
class Registry:
    """A running registry: its address, HOST:PORT, and where it keeps what it has."""

    address: str
    folder: Path

    @property
    def log(self) -> str:
        """What it has logged so far, one request a line among others."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def registry(folder: Path, **more: Any) -> Iterator[Registry]:
    """A registry that runs until the block ends; `more` are blocks of its configuration."""
    program = shutil.which("docker-registry")
    assert program, "docker-registry is not installed: apt-get install docker-registry"
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    address = f"127.0.0.1:{port}"
    storage = {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}}
    http = {"addr": address, **more.pop("http", {})}
    config = {"version": "0.1", "storage": storage, "http": http, **more}
    path = folder / "config.yml"
    path.write_text(json.dumps(config), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", str(path)], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _wait(process, port)
        yield Registry(address, folder)
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    """Until it accepts connections: there is nothing else that tells."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "docker-registry ended by itself: see its log"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError("docker-registry does not answer")
