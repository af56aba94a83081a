"""A Kubernetes API server and its etcd on loopback, a test's own: it may be killed."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.rig.registry import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_START_SECONDS = 120
_TOKEN = "test"


@dataclass
class ControlPlane:
    """The two programs, in a folder; what they keep outlives the API server."""

    folder: Path
    etcd: int = field(default_factory=free_port)
    port: int = field(default_factory=free_port)
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def kubeconfig(self) -> Path:
        """Of a user who may do everything."""
        return self.folder / "kubeconfig"

    def start(self) -> None:
        """Both, until the API server is ready."""
        self._write()
        peers = f"http://127.0.0.1:{free_port()}"
        own = f"http://127.0.0.1:{self.etcd}"
        self._run(
            *("etcd", f"--data-dir={self.folder / 'etcd'}", "--unsafe-no-fsync"),
            *(f"--listen-client-urls={own}", f"--advertise-client-urls={own}"),
            *(f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}"),
            *("--name=here", f"--initial-cluster=here={peers}"),
        )
        self._serve()

    def restart(self) -> None:
        """Kill the API server, and have it ready again."""
        server = self._running.pop()
        server.kill()
        server.wait()
        self._serve()

    def stop(self) -> None:
        """End what runs."""
        for each in reversed(self._running):
            each.kill()
            each.wait()

    def _serve(self) -> None:
        key = self.folder / "key.pem"
        server = self._run(
            *("kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self.etcd}"),
            *(f"--secure-port={self.port}", "--bind-address=127.0.0.1"),
            *(f"--cert-dir={self.folder / 'certificates'}", "--endpoint-reconciler-type=none"),
            *(f"--token-auth-file={self.folder / 'tokens'}", "--authorization-mode=AlwaysAllow"),
            *(f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}"),
            *("--service-account-issuer=https://here", "--service-cluster-ip-range=10.0.0.0/24"),
            "--disable-admission-plugins=ServiceAccount",
        )
        until = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            log = self.folder / "kube-apiserver.log"
            assert server.poll() is None, log.read_text(errors="replace")[-3000:]
            assert time.monotonic() < until, f"the API server is not ready: {log}"
            time.sleep(0.2)

    def _is_ready(self) -> bool:
        asked = ["kubectl", "--kubeconfig", str(self.kubeconfig), "get", "--raw", "/readyz"]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0

    def _run(self, program: str, *args: str) -> subprocess.Popen[bytes]:
        path = shutil.which(program)
        assert path, f"{program} is not in PATH: CONTRIBUTING.md says where it comes from"
        with (self.folder / f"{program}.log").open("ab") as log:
            process = subprocess.Popen([path, *args], stdout=log, stderr=log)
        self._running.append(process)
        return process

    def _write(self) -> None:
        (self.folder / "tokens").write_text(f"{_TOKEN},test,test,system:masters\n")
        key = ["openssl", "genrsa", "-out", str(self.folder / "key.pem"), "2048"]
        subprocess.run(key, check=True, capture_output=True)
        here = {
            "server": f"https://127.0.0.1:{self.port}",
            "certificate-authority": str(self.folder / "certificates" / "apiserver.crt"),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": here}],
            "users": [{"name": "test", "user": {"token": _TOKEN}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "test"}}],
        }
        self.kubeconfig.write_text(json.dumps(config), encoding="utf-8")


@contextlib.contextmanager
def control_plane(folder: Path) -> Iterator[ControlPlane]:
    """One that runs until the block ends."""
    running = ControlPlane(folder)
    try:
        running.start()
        yield running
    finally:
        running.stop()
