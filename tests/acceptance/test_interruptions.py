"""Builds that are killed, and builds at once: nothing is left half done."""

from __future__ import annotations

import json
import random
import signal
from typing import TYPE_CHECKING, Any

from tests.rig.containers import image_config
from tests.rig.wire import wire

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.rig.registry import Registry
    from tests.rig.wire import Wire

_MB = 1_000_000


def until_pinched(cable: Wire, process: subprocess.Popen[str]) -> None:
    """Until nothing gets through any more; the build must still be at it."""
    while not cable.is_pinched.wait(0.1):
        assert process.poll() is None, process.communicate()[1]


def weights(folder: Path, count: int, size: int) -> None:
    """Files that no compression makes smaller, and no two of which are the same."""
    (folder / "weights").mkdir()
    for number in range(count):
        data = random.Random(number).randbytes(size)
        (folder / "weights" / f"part-{number}.bin").write_bytes(data)


def held(shelf: Registry, repository: str) -> int:
    """The bytes of the layers that a repository has whole, in the registry's own folder."""
    top = shelf.folder / "data" / "docker" / "registry" / "v2"
    names = [path.name for path in (top / f"repositories/{repository}/_layers/sha256").iterdir()]
    return sum((top / f"blobs/sha256/{n[:2]}/{n}/data").stat().st_size for n in names)


def test_a_killed_push_sends_no_layer_again_that_the_registry_has(
    shelf: Registry, fresh: Any, write_project: Any, tmp_path: Path
) -> None:
    folder = write_project(tmp_path / "heavy", "heavy", more="models: {default: ./weights}\n")
    weights(folder, 6, 20 * _MB)
    builder = fresh()
    with wire(shelf.address, pinched_at=130 * _MB) as cable:
        name = f"{cable.address}/killed/heavy"
        with builder.start(folder, "--image", name) as process:
            until_pinched(cable, process)
            process.kill()
        kept = held(shelf, "killed/heavy")
        cable.reset()
        told = builder.build(folder, "--image", name)
        again = cable.sent

    whole = sum(layer["size"] for layer in told["layers"])
    assert kept > 5 * _MB
    # What the killed one had written lies in buffers still, and is counted with the second.
    assert again < whole - kept / 2
    assert told["uploaded_bytes"] < whole - kept + _MB
    assert image_config(f"{shelf.address}/killed/heavy:latest")["os"] == "linux"


def test_a_killed_build_leaves_no_half_state(
    shelf: Registry, fresh: Any, write_project: Any, tmp_path: Path
) -> None:
    """Killed in each part of its work, it then builds what a build that nobody killed builds."""
    folder = write_project(tmp_path / "numbers", "numbers", needs="numpy==2.4.6\n")
    builder = fresh()
    for phase in ("resolving", "packing", "pushing"):
        with builder.start(folder, "--image", f"{shelf.address}/half/numbers") as process:
            assert process.stderr is not None
            for line in process.stderr:
                if phase in line:
                    break
            process.send_signal(signal.SIGKILL)
    survived = builder.build(folder, "--image", f"{shelf.address}/half/numbers")
    untouched = fresh().build(folder, "--image", f"{shelf.address}/whole/numbers")

    assert [layer["digest"] for layer in survived["layers"]] == [
        layer["digest"] for layer in untouched["layers"]
    ]
    json.loads((folder / "mlfunc.lock").read_text())


def test_an_interrupted_build_says_so_and_ends_at_once(
    shelf: Registry, fresh: Any, project: Path
) -> None:
    with (
        wire(shelf.address, pinched_at=_MB) as cable,
        fresh().start(project, "--image", f"{cable.address}/broken/greeter") as process,
    ):
        until_pinched(cable, process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)

    assert process.returncode == 130


def test_builds_at_once_do_not_disturb_each_other(
    shelf: Registry, fresh: Any, write_project: Any, tmp_path: Path
) -> None:
    """Two of one project and one of another, which share dependencies, with one cache."""
    one = write_project(tmp_path / "one", "one", needs="numpy==2.4.6\n")
    other = write_project(tmp_path / "other", "other", needs="numpy==2.4.6\n")
    builder = fresh()
    started = [
        builder.start(folder, "-o", "json", "--image", f"{shelf.address}/{where}")
        for folder, where in ((one, "at-once/one"), (one, "at-once/same"), (other, "at-once/other"))
    ]
    ended = [process.communicate() for process in started]
    told = [json.loads(out) for (out, _), process in zip(ended, started, strict=True)]
    alone = fresh().build(one, "--image", f"{shelf.address}/alone/one")

    assert [process.returncode for process in started] == [0, 0, 0]
    layers = [[layer["digest"] for layer in each["layers"]] for each in (*told, alone)]
    assert layers[0] == layers[1] == layers[3]
