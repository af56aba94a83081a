"""Weights of any size: little memory, and read once."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_GB = 1024**3
_MEASURE = """
import json, resource, subprocess, sys
ended = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
read = {line.split(':')[0]: int(line.split(':')[1]) for line in open('/proc/self/io')}
print(json.dumps([ended.returncode, usage.ru_maxrss * 1024, read['rchar'], ended.stdout]))
"""


def sparse(folder: Path, count: int, size: int) -> None:
    """A safetensors file of `count` tensors of `size` bytes, which takes no room on the disk."""
    tensors = {
        f"layer.{number}": {
            "dtype": "U8",
            "shape": [size],
            "data_offsets": [number * size, (number + 1) * size],
        }
        for number in range(count)
    }
    text = json.dumps(tensors).encode()
    folder.mkdir()
    # What its loader, transformers, knows it by: that one takes a file in parts, too.
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + count * size)


def measured(builder: Any, *args: str) -> tuple[int, int, dict[str, Any]]:
    """Peak memory of any process of a build, and how much all of them read, in bytes."""
    command = [sys.executable, "-m", "mlfunc", "build", "-o", "json", *args]
    said = subprocess.run(
        [sys.executable, "-c", _MEASURE, *command],
        env=builder.env,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    code, peak, read, out = json.loads(said.stdout)
    assert code == 0
    return peak, read, json.loads(out)


def test_twelve_gigabytes_take_little_memory_and_are_not_read_again(
    fresh: Any, write_project: Any, tmp_path: Path
) -> None:
    folder = write_project(tmp_path / "vast", "vast", more="models: {default: ./weights}\n")
    sparse(folder / "weights", 48, _GB // 4)
    builder = fresh()
    args = ("--path", str(folder), "--no-push")
    peak, first_read, first = measured(builder, *args)
    again_peak, second_read, second = measured(builder, *args)

    assert max(peak, again_peak) < 500 * 1024**2
    assert first_read > 12 * _GB
    assert second_read < first_read / 100
    assert second["digest"] == first["digest"]
    sizes = [layer["size"] for layer in first["layers"]]
    assert sum(sizes) > 12 * _GB
    assert max(sizes) < 2 * _GB
