"""What others make of our images: containerd pulls and unpacks them, runc runs them.

A container runs as Kubernetes' strictest profile has it: a uid that nobody knows, a root that
cannot be written to, no capabilities; /tmp alone is its own. It shares this machine's network.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

UID = 12345
_START_SECONDS = 120
_MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["mode=1777"]},
    {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]},
]
_NAMESPACES = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]


def program(name: str, package: str) -> str:
    """Where a program is that a test needs."""
    found = shutil.which(name)
    assert found, f"{name} is not installed: apt-get install {package}"
    return found


def image_config(reference: str, arch: str = "") -> dict[str, Any]:
    """An image's configuration, as skopeo reads it from a plain-HTTP registry."""
    skopeo = [program("skopeo", "skopeo"), *(["--override-arch", arch] if arch else [])]
    skopeo += ["inspect", "--tls-verify=false", "--config"]
    said = _run([*skopeo, f"docker://{reference}"])
    config: dict[str, Any] = json.loads(said)
    return config


@dataclass(frozen=True)
class Containerd:
    """A containerd of the test's own."""

    folder: Path

    def ctr(self, *args: str) -> str:
        """What its command line answers."""
        # The one beside it, not the first in PATH: they need be of one version.
        client = Path(program("containerd", "containerd")).with_name("ctr")
        return _run([str(client), "--address", str(self.folder / "sock"), *args])

    @contextlib.contextmanager
    def unpacked(self, reference: str, *platform: str) -> Iterator[Path]:
        """Pull an image from a plain-HTTP registry; the folder of its root, unpacked."""
        chosen = [word for each in platform for word in ("--platform", each)]
        self.ctr("images", "pull", "--plain-http", *chosen, reference)
        root = self.folder / f"root-{secrets.token_hex(4)}"
        root.mkdir()
        self.ctr("images", "mount", *chosen, reference, str(root))
        try:
            yield root
        finally:
            self.ctr("images", "unmount", str(root))


@contextlib.contextmanager
def containerd(folder: Path) -> Iterator[Containerd]:
    """A containerd that runs until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.toml"
    config.write_text(
        f'version = 2\nroot = "{folder}/content"\nstate = "{folder}/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\naddress = "{folder}/sock"\n',
        encoding="utf-8",
    )
    with (folder / "log").open("wb") as log:
        command = [program("containerd", "containerd"), "--config", str(config)]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        _until(lambda: (folder / "sock").exists(), process, "containerd does not start")
        yield Containerd(folder)
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True)
class Container:
    """A running container, whose function listens on `port`; `log` is what it has written."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def post(self, data: object) -> Any:
        """The reply to a prediction."""
        body = json.dumps(data).encode()
        headers = {"content-type": "application/json"}
        url = f"http://127.0.0.1:{self.port}/"
        request = urllib.request.Request(url, body, headers)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)

    def wait_ready(self) -> None:
        """Until it says that it is ready; its log is the failure where it does not."""
        _until(self._is_ready, self.process, "the function is not ready", self.log)

    def stop(self) -> int:
        """SIGTERM, as Kubernetes does it; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def _is_ready(self) -> bool:
        url = f"http://127.0.0.1:{self.port}/health/readiness"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
        return False


@contextlib.contextmanager
def running(
    root: Path, config: Mapping[str, Any], folder: Path, *, port: int, **env: str
) -> Iterator[Container]:
    """An unpacked image, run as its configuration says, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(_spec(root, config, port, env)))
    name = f"test-{secrets.token_hex(4)}"
    runc = [program("runc", "runc"), "--root", str(folder / "state")]
    log = folder / "log"
    with log.open("wb") as out:
        command = [*runc, "run", "--bundle", str(folder), name]
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield Container(process, port, log)
    finally:
        if process.poll() is None:
            subprocess.run([*runc, "kill", name, "KILL"], check=False)
            process.wait()


def _spec(
    root: Path, config: Mapping[str, Any], port: int, env: Mapping[str, str]
) -> dict[str, Any]:
    """The runtime specification's config.json."""
    image = config["config"]
    given = {"PORT": str(port), "MLFUNC_METRICS_PORT": "0", **env}
    process = {
        "user": {"uid": UID, "gid": UID},
        "args": [*(image.get("Entrypoint") or []), *(image.get("Cmd") or [])],
        "env": [*image.get("Env", []), *(f"{key}={value}" for key, value in given.items())],
        "cwd": image.get("WorkingDir") or "/",
        "noNewPrivileges": True,
    }
    return {
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": str(root), "readonly": True},
        "mounts": _MOUNTS,
        "linux": {"namespaces": _NAMESPACES},
    }


def _until(
    there: Any, process: subprocess.Popen[bytes], failure: str, log: Path | None = None
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not there():
        said = log.read_text(errors="replace")[-4000:] if log else ""
        assert process.poll() is None, f"{failure}: it ended with {process.returncode}\n{said}"
        assert time.monotonic() < deadline, f"{failure}\n{said}"
        time.sleep(0.05)


def _run(argv: list[str]) -> str:
    finished = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, f"{' '.join(argv)}\n{finished.stderr}"
    return finished.stdout
