"""One copy of a model, however many requests: counted in bytes by the kernel."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Process

    Start = Callable[..., Process]

CLIENTS = 16
ACTIVATIONS = 8 * 10**6  # bytes, of one prediction
# 500 MB of weights as a file of holes: they count in memory, and take no room on the disk.
MODEL = """
    import mmap
    import numpy as np

    SIZE = 500 * 2**20

    class P:
        def load(self, context):
            with open(context.config["weights"], "wb+") as file:
                file.truncate(SIZE)
                self.map = mmap.mmap(file.fileno(), SIZE, prot=mmap.PROT_READ)
            self.weights = np.frombuffer(self.map, np.uint8)

        def predict(self, values: list[float]) -> list[float]:
            total = int(self.weights[::4096].sum())
            activations = np.outer(values, values)  # ACTIVATIONS bytes
            return [total + float(activations[0, 0])] * 384
"""
BODY = json.dumps({"values": [0.123456] * 1000}).encode()


@pytest.mark.parametrize("slots", [1, CLIENTS])
def test_sixteen_requests_at_once_take_little_more_memory_than_one(
    start: Start, tmp_path: Path, slots: int
) -> None:
    process = start(
        MODEL, serve={"slots": slots}, config={"weights": str(tmp_path / "weights.bin")}
    )
    _requests(process, 10)
    one = _resident(process)
    assert one > 500 * 2**20
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(lambda _: _requests(process, 15), range(CLIENTS)))
    # What the last predictions at once had of their own, the allocator may keep for the next.
    assert _resident(process) <= 1.15 * one + (slots - 1) * ACTIVATIONS


def _requests(process: Process, count: int) -> None:
    for _ in range(count):
        reply = process.call(BODY, content_type="application/json")
        assert (reply.status, len(json.loads(reply.read()))) == (200, 384)


def _resident(process: Process) -> int:
    """Bytes of it in memory (proc(5), smaps_rollup)."""
    for line in Path(f"/proc/{process.child.pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Rss":
            return int(value.split()[0]) * 1024
    raise AssertionError("the kernel tells no Rss")


@pytest.mark.parametrize(
    ("environ", "slots", "shares"),
    [({}, 1, False), ({}, 2, True), ({"MALLOC_ARENA_MAX": "8"}, 2, False)],
)
def test_heaps_are_shared_where_slots_are_many_and_nobody_said_otherwise(
    environ: dict[str, str], slots: int, shares: bool
) -> None:
    told = f"from mlfunc_runtime import memory; print(memory.share_heaps({environ}, {slots}))"
    ended = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == str(shares)


def test_with_one_slot_nothing_is_imported_for_it() -> None:
    told = "import sys; from mlfunc_runtime import memory; memory.share_heaps({}, 1); print('ctypes' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"
