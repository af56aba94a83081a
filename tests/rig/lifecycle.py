"""A build image for the real lifecycle: a base image's root, with mlfunc and our buildpacks in it.

The lifecycle runs in it as it would in a container: its own root, the user 1000, this machine's
network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.rig import base, checkout
from tests.rig.containers import program

_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
_OPT = Path("opt/mlfunc")
_API = "0.14"
_USER = 1000
_BOX = "the CNB lifecycle is not in PATH: CONTRIBUTING.md says where it comes from"


@dataclass(frozen=True)
class BuildImage:
    """The root of a build image, with folders of a build beside it."""

    root: Path
    folder: Path
    run_image: str

    def create(self, image: str, app: Path) -> str:
        """`creator`, on a copy of the app; what it said."""
        workspace = self._fresh("workspace")
        shutil.copytree(app, workspace, dirs_exist_ok=True)
        for path in (workspace, *workspace.rglob("*")):
            os.chown(path, _USER, _USER)
        self._fresh("layers")
        host = image.partition("/")[0]
        more = [f"-insecure-registry={host}", "-run=/cnb/run.toml", "-cache-dir=/cache"]
        user = [f"-uid={_USER}", f"-gid={_USER}"]
        return self.call("creator", "-app=/workspace", "-process-type=web", *user, *more, image)

    def call(self, phase: str, *arguments: str) -> str:
        """A phase of the lifecycle by its name."""
        argv = [*self._sandbox(), f"/cnb/lifecycle/{phase}", *arguments]
        finished = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        assert finished.returncode == 0, (
            f"{phase} ended with {finished.returncode}\n{finished.stdout}"
        )
        return finished.stdout

    def _fresh(self, name: str) -> Path:
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def _sandbox(self) -> list[str]:
        bound = ("workspace", "layers", "cache", "platform", "home/function")
        for name in bound:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        os.chown(self.folder / "home/function", _USER, _USER)
        binds = [part for name in bound for part in ("--bind", str(self.folder / name), f"/{name}")]
        env = {
            "PATH": f"/{_OPT}/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": "/home/function",
            "CNB_PLATFORM_API": _API,
        }
        sets = [part for key, value in env.items() for part in ("--setenv", key, value)]
        return [
            program("bwrap", "bubblewrap"),
            *("--ro-bind", str(self.root), "/"),
            *binds,
            *("--perms", "1777", "--tmpfs", "/tmp", "--proc", "/proc", "--dev", "/dev"),
            *("--ro-bind", "/etc/resolv.conf", "/etc/resolv.conf"),
            *("--ro-bind", "/etc/hosts", "/etc/hosts"),
            *("--unshare-pid", "--clearenv", *sets),
        ]


def build_image(layout: Path, folder: Path, run_image: str) -> BuildImage:
    """Make one of an OCI layout of a base image."""
    root = folder / "root" / "rootfs"
    umoci = [program("umoci", "umoci"), "unpack", "--rootless", "--image", f"{layout}:latest"]
    subprocess.run([*umoci, str(root.parent)], check=True, capture_output=True)
    _install_mlfunc(root)
    _install_lifecycle(root, run_image)
    for name in ("workspace", "layers", "cache", "platform", "etc"):
        (root / name).mkdir(exist_ok=True)
    (root / "etc/resolv.conf").touch()
    # A lifecycle hands buildpacks no variables but those that its user gives as files.
    given = folder / "platform" / "env"
    given.mkdir(parents=True)
    (given / "SSL_CERT_FILE").write_text(base.CERTIFICATES)
    runtime = checkout.runtime_wheel(root / _OPT / "wheels")
    (given / "MLFUNC_RUNTIME").write_text(f"/{_OPT}/wheels/{runtime.name}")
    return BuildImage(root, folder, run_image)


def _install_mlfunc(root: Path) -> None:
    """As `pip install mlfunc` does it, in a virtual environment of the root's own Python."""
    site = root / _OPT / "lib" / _PYTHON / "site-packages"
    binaries = root / _OPT / "bin"
    binaries.mkdir(parents=True)
    (root / _OPT / "pyvenv.cfg").write_text("home = /usr/local/bin\n")
    (binaries / "python3").symlink_to(f"/usr/local/bin/{_PYTHON}")
    command = [checkout.UV, "pip", "install", "--quiet", "--target", str(site)]
    subprocess.run([*command, str(checkout.mlfunc_wheel(root / _OPT / "wheels"))], check=True)
    shutil.copy(checkout.UV, binaries / "uv")


def _install_lifecycle(root: Path, run_image: str) -> None:
    found, launcher = shutil.which("lifecycle"), shutil.which("launcher")
    assert found, _BOX
    assert launcher, _BOX
    cnb = root / "cnb"
    lifecycle = cnb / "lifecycle"
    lifecycle.mkdir(parents=True)
    shutil.copy(found, lifecycle / "lifecycle")
    shutil.copy(launcher, lifecycle / "launcher")
    for phase in ("creator", "analyzer", "detector", "restorer", "builder", "exporter", "rebaser"):
        (lifecycle / phase).symlink_to("lifecycle")
    buildpacks = checkout.REPOSITORY / "buildpacks"
    for name in ("accelerator", "model", "python", "app"):
        shutil.copytree(buildpacks / name, cnb / "buildpacks" / f"mlfunc_{name}" / "0.1.0")
    shutil.copy(buildpacks / "order.toml", cnb / "order.toml")
    (cnb / "run.toml").write_text(f'[[images]]\nimage = "{run_image}"\n')
