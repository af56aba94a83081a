"""Which machine a shared object is for: a look at its first bytes, as elf(5) has them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from mlfunc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_HEAD = 20
_MAGIC = b"\x7fELF"
_BYTE_ORDERS = {1: "<", 2: ">"}
_MACHINES = {
    62: "amd64",
    183: "arm64",
    3: "386",
    40: "arm",
    243: "riscv64",
    21: "ppc64le",
    22: "s390x",
}


def machine(head: bytes) -> str | None:
    """The architecture in the first bytes of a file, as OCI calls it; None: it is no ELF file."""
    if len(head) < _HEAD or not head.startswith(_MAGIC) or head[5] not in _BYTE_ORDERS:
        return None
    (number,) = struct.unpack_from(_BYTE_ORDERS[head[5]] + "H", head, 18)
    return _MACHINES.get(number, f"machine {number}")


def check(folder: Path, files: Iterable[str], arch: str, package: str) -> None:
    """Whether all shared objects among a package's files are for an architecture.

    Raises:
        UsageError: one is for another.

    """
    for name in files:
        if _is_object(name):
            with (folder / name).open("rb") as file:
                found = machine(file.read(_HEAD))
            if found not in {None, arch}:
                message = f"{package} has {name} for {found}, and the image is for {arch}"
                raise UsageError(message, f"ask for a version of {package} with a right wheel")


def _is_object(name: str) -> bool:
    """libx.so, libx.so.1.2"""
    base = name.rpartition("/")[2]
    return base.endswith(".so") or ".so." in base
