"""A base image made of this machine's own Python: plausible as python:3.11-slim, no network needed.

It holds the interpreter, the standard library, every shared library that they need (and those
that wheels count on), /bin/sh, users and an empty /tmp. It is an OCI layout, whose digest is the
same as long as this machine's Python is.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_EPOCH = 315532801
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
_HOME = f"usr/local/lib/{_PYTHON}"
# Of the standard library, what no function uses and is large.
_LEFT_OUT = {"test", "idlelib", "lib2to3", "site-packages", "dist-packages", "turtledemo"}
MACHINE = os.uname().machine
_ARCHS = {"x86_64": "amd64", "aarch64": "arm64"}
# An architecture that this machine is not: as OCI calls it, and as the kernel does.
OTHER = next((arch, machine) for machine, arch in _ARCHS.items() if machine != MACHINE)
# Wheels count on these: manylinux says that every machine has them.
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_COUNTED_ON = (
    "libstdc++.so.6",
    "libgcc_s.so.1",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libutil.so.1",
)
_ETC = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nfunction:x:1000:1000::/home/function:/bin/sh\n",
    "etc/group": "root:x:0:\nfunction:x:1000:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
}


def write(folder: Path, arch: str = _ARCHS[MACHINE], note: str = "", *, bare: bool = False) -> Path:
    """Write the base image as an OCI layout, tagged `latest`. For another architecture it says
    that it is, and has the same files: to be built on, not to be run. With a `note`, which lies at
    /etc/note, it is another one. A `bare` one has no compiled modules, as official images of
    Python have none.
    """
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    layer = _layer(note, bare=bare)
    packed = gzip.compress(layer, compresslevel=1, mtime=0)
    config = _config("sha256:" + hashlib.sha256(layer).hexdigest(), arch)
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _blob(blobs, _json(config), "application/vnd.oci.image.config.v1+json"),
        "layers": [_blob(blobs, packed, "application/vnd.oci.image.layer.v1.tar+gzip")],
    }
    entry = _blob(blobs, _json(manifest), str(manifest["mediaType"]))
    entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    entry["platform"] = {"os": "linux", "architecture": arch}
    (folder / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    return folder


def _config(diff_id: str, arch: str) -> dict[str, Any]:
    version = ".".join(map(str, sys.version_info[:3]))
    path = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {
        "architecture": arch,
        "os": "linux",
        "created": "1980-01-01T00:00:01Z",
        "config": {
            "Env": [f"PATH={path}", "LANG=C.UTF-8", f"PYTHON_VERSION={version}"],
            "Cmd": ["python3"],
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": "1980-01-01T00:00:01Z", "created_by": "this machine's Python"}],
    }


def _layer(note: str, *, bare: bool) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, source in sorted({**_contents(), "etc/note": note}.items()):
            if not (bare and name.endswith(".pyc")):
                _add(archive, name, source)
    return packed.getvalue()


def _contents() -> dict[str, Path | str | None]:
    """What lies where: a file here, a text (a link, if it begins with `->`), or None: a folder."""
    binaries = [_interpreter(), Path("/bin/sh"), *_library_files(".so")]
    libraries = {_place(path): path for path in _needed(binaries)}
    standard = {f"{_HOME}/{_below(p)}": p for p in _library_files("")}
    return {
        **dict.fromkeys(("tmp", "root", "home", "home/function", "proc", "sys", "dev")),
        **dict(_ETC),
        **_certificates(),
        **standard,
        **libraries,
        f"usr/local/bin/{_PYTHON}": _interpreter(),
        "usr/local/bin/python3": f"->{_PYTHON}",
        "usr/local/bin/python": f"->{_PYTHON}",
        "bin/sh": Path("/bin/sh").resolve(),
    }


def _interpreter() -> Path:
    return Path(sys.base_prefix, "bin", _PYTHON).resolve()


def _library_files(ending: str) -> list[Path]:
    top = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    found = []
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        found += [Path(folder, name) for name in files if name.endswith(ending)]
    return [path for path in found if path.suffix != ".a" and not path.is_symlink()]


def _below(path: Path) -> Path:
    top = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    return path.relative_to(top)


def _needed(binaries: Iterable[Path]) -> Iterator[Path]:
    """The shared libraries that these need, as the loader finds them here, itself included."""
    said = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False)
    yield from {Path(found) for found in re.findall(r"(/\S+\.so\S*) \(0x", said.stdout)}
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True)
    for name in _COUNTED_ON:
        yield from {
            Path(p)
            for p in re.findall(
                rf"^\s+{re.escape(name)} .*64.* => (\S+)$", known.stdout, re.MULTILINE
            )
        }


def _place(path: Path) -> str:
    """Where the loader of the image looks: as here, or beside libpython for Pythons of a user's own."""
    if (
        path.is_relative_to("/lib")
        or path.is_relative_to("/usr/lib")
        or path.is_relative_to("/lib64")
    ):
        return str(path).lstrip("/")
    return f"usr/lib/{MACHINE}-linux-gnu/{path.name}"


def _certificates() -> dict[str, Path]:
    bundle = Path(CERTIFICATES)
    return {str(bundle).lstrip("/"): bundle} if bundle.is_file() else {}


def _add(archive: tarfile.TarFile, name: str, source: Path | str | None) -> None:
    entry = tarfile.TarInfo(name)
    entry.mtime, entry.mode = _EPOCH, 0o644
    if source is None:
        entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
        archive.addfile(entry)
    elif isinstance(source, str) and source.startswith("->"):
        entry.type, entry.linkname = tarfile.SYMTYPE, source[2:]
        archive.addfile(entry)
    else:
        data = source.encode() if isinstance(source, str) else source.read_bytes()
        entry.size = len(data)
        if isinstance(source, Path):
            # Else the bytecode beside it, which is by time, would not be believed.
            entry.mtime = int(source.stat().st_mtime)
        entry.mode = 0o755 if isinstance(source, Path) and os.access(source, os.X_OK) else 0o644
        archive.addfile(entry, io.BytesIO(data))


def _blob(blobs: Path, data: bytes, media_type: str) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
