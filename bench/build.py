"""What `mlfunc build` costs: the first build of samples/similarity, one without a change, one line
of predictor.py, and 12 GB of weights; against tar with gzip and skopeo on the same files.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lib import report
from lib.commands import Run, run
from lib.report import Claim
from lib.servers import REPOSITORY

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from tests.rig.registry import Registry

MLFUNC = REPOSITORY / ".venv" / "bin" / "mlfunc"
SAMPLE = REPOSITORY / "samples" / "similarity"
WEIGHTS = 12 * 10**9
MB = 1e6


@dataclass(frozen=True)
class Place:
    """Where builds of one cache go: a registry, a base image, a home."""

    shelf: Registry
    base: Path
    home: Path

    def build(self, project: Path, *more: str) -> Run:
        """Build and push."""
        env = {"MLFUNC_HOME": str(self.home), "MLFUNC_BASE_IMAGE": f"oci:{self.base}"}
        argv = [str(MLFUNC), "build", "--registry", self.shelf.address, "-o", "json", *more]
        return run(argv, project, **env)


def main() -> None:
    options = report.arguments(__doc__, seconds=0, rounds=5)
    report.title("build", options, registry="docker-registry on loopback", uv_cache="warm")
    with tempfile.TemporaryDirectory() as folder, registry(Path(folder) / "registry") as shelf:
        top = Path(folder)
        place = Place(shelf, base_image(top / "base"), top / "home")
        warm(top, place)
        sample(top, place, options)
        large(top, place)


def registry(folder: Path) -> AbstractContextManager[Registry]:
    """As the tests have it: their folder is beside this one."""
    sys.path.insert(0, str(REPOSITORY))
    from tests.rig.registry import registry

    return registry(folder)


def base_image(folder: Path) -> Path:
    """Made by another process: this one's peak would count as its children's."""
    code = (
        f"from tests.rig import base; from pathlib import Path; base.write(Path({str(folder)!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
    return folder


def warm(top: Path, place: Place) -> None:
    """Wheels are downloaded once, which is the network's time."""
    project = copy(top / "warm")
    Place(place.shelf, place.base, top / "warm-home").build(project, "--no-push")


def sample(top: Path, place: Place, options: Namespace) -> None:
    """The first build, then those that have little or nothing to do."""
    project = copy(top / "one")
    first = place.build(project)
    same = best(place.build(project) for _ in range(options.rounds))
    changed = best(change(place, project, number) for number in range(options.rounds))
    start = best(run([str(MLFUNC), "--version"], project) for _ in range(options.rounds))
    with elsewhere(top, place) as other:
        again = other.build(copy(top / "two"))
    rows = [
        ("first build", *figures(first)),
        ("nothing changed", *figures(same)),
        ("a line of predictor.py", *figures(changed)),
        ("`mlfunc --version`", start.wall, start.cpu, start.rss / MB, 0.0),
    ]
    report.table(["samples/similarity", "seconds", "CPU s", "RSS MB", "MB sent"], rows)
    work, sent = changed.wall - start.wall, changed.image["uploaded_bytes"]
    equal = again.image["digest"] == first.image["digest"]
    report.claims(
        Claim(
            "nothing changed: < 1 s, 0 bytes",
            f"{same.wall:.2f} s, {same.image['uploaded_bytes']} bytes",
            same.wall < 1 and same.image["uploaded_bytes"] == 0,
        ),
        Claim(
            "a changed line: < 1 s beside Python's start, < 1 MB",
            f"{work:.2f} s, {sent} bytes",
            work < 1 and sent < MB,
        ),
        Claim("two caches, two paths: one digest", "equal" if equal else "different", equal),
    )
    peers(top, place, first)


def peers(top: Path, place: Place, first: Run) -> None:
    """The size of its layers beside tar and gzip; the same image into empty registries."""
    layout, gzipped, root = top / "layout", top / "gzip", top / "root"
    place.build(copy(top / "three"), "--output", str(layout))
    gzip = place.build(copy(top / "four"), "--compression", "gzip", "--output", str(gzipped))
    run(["umoci", "unpack", "--rootless", "--image", f"{gzipped}:latest", str(root)], top)
    packed = run(["sh", "-c", f"tar -C {root}/rootfs/layers -cf - . | gzip -1 | wc -c"], top)
    sizes = [
        ("layers in zstd", own(first)),
        ("layers in gzip", own(gzip)),
        ("`tar \\| gzip -1` of the same files", int(packed.said) / MB),
    ]
    report.table(["what is on the base", "MB"], sizes)
    project = copy(top / "five")
    with registry(top / "empty-1") as shelf:
        pushed = Place(shelf, place.base, place.home).build(project)
    with registry(top / "empty-2") as shelf:
        target = f"docker://{shelf.address}/similarity:latest"
        source = f"oci:{layout}:latest"
        skopeo = run(["skopeo", "copy", "--dest-tls-verify=false", source, target], top)
    blobs = sum(path.stat().st_size for path in (layout / "blobs" / "sha256").iterdir())
    rows = [
        ("mlfunc build, all made before", pushed.cpu, pushed.image["uploaded_bytes"] / MB),
        ("skopeo copy", skopeo.cpu, blobs / MB),
    ]
    report.table(["into an empty registry", "CPU s", "MB"], rows)


def own(each: Run) -> float:
    """Megabytes of the layers that are not the base's."""
    return float(sum(layer["size"] for layer in each.image["layers"][1:])) / MB


def large(top: Path, place: Place) -> None:
    """Weights of 12 GB, sparse, in a file that transformers would load."""
    project = top / "large"
    (project / "weights").mkdir(parents=True)
    (project / "mlfunc.yaml").write_text(
        "name: large\npredictor: predictor.py:P\nmodels:\n"
        "  default: {uri: ./weights, delivery: baked}\n"
    )
    (project / "predictor.py").write_text("class P:\n    def predict(self, n: int) -> int: ...\n")
    (project / "weights" / "config.json").write_text('{"model_type": "bert"}')
    safetensors(project / "weights" / "model.safetensors", tensors=24)
    first = place.build(project, "--no-push")
    second = place.build(project, "--no-push")
    rows = [
        (name, each.wall, each.cpu, each.rss / MB, each.read / MB)
        for name, each in (("first build", first), ("nothing changed", second))
    ]
    report.table(["12 GB of weights", "seconds", "CPU s", "RSS MB", "MB read"], rows)
    rss = max(first.rss, second.rss) / MB
    read = second.read / first.read
    report.claims(
        Claim("RSS < 500 MB", f"{rss:.0f} MB", rss < 500),
        Claim("not read again", f"{read:.4f} of the first build's bytes", read < 0.01),
    )


def safetensors(path: Path, tensors: int) -> None:
    """Zeros that take no room on the disk."""
    each = WEIGHTS // tensors // 2 * 2
    header = {
        f"layer.{n}": {
            "dtype": "BF16",
            "shape": [each // 2],
            "data_offsets": [n * each, (n + 1) * each],
        }
        for n in range(tensors)
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(file.tell() + tensors * each)


def change(place: Place, project: Path, number: int) -> Run:
    """A build after one more line of code."""
    with (project / "predictor.py").open("a") as file:
        file.write(f"# {number}\n")
    return place.build(project)


def copy(to: Path) -> Path:
    """The sample, in a folder of its own."""
    shutil.copytree(SAMPLE, to)
    return to


@contextmanager
def elsewhere(top: Path, place: Place) -> Iterator[Place]:
    """Another machine: its own cache, and a registry that has nothing."""
    with registry(top / "other-registry") as shelf:
        yield Place(shelf, place.base, top / "other-home")


def figures(each: Run) -> tuple[float, float, float, float]:
    """What a row shows."""
    return each.wall, each.cpu, each.rss / MB, each.image["uploaded_bytes"] / MB


def best(runs: Iterator[Run]) -> Run:
    """The quickest: all else is other people's work."""
    return min(runs, key=lambda each: each.wall)


if __name__ == "__main__":
    main()
