"""A function's project and what it is built for: what every step of a build starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.function import AcceleratorType, Function, Platform
    from mlfunc.lock import Lock


@dataclass(frozen=True)
class Target:
    """What an image is for."""

    platform: Platform
    python: str  # 3.11
    accelerator: AcceleratorType

    @property
    def arch(self) -> str:
        """As Go and OCI call it: amd64, arm64."""
        return self.platform.partition("/")[2]

    @property
    def name(self) -> str:
        """How the lock file calls it."""
        return f"{self.platform} python{self.python} {self.accelerator}"


@dataclass(frozen=True)
class Project:
    """A folder with a function, all it depends on settled, and the target it is built for."""

    folder: Path
    function: Function
    lock: Lock
    target: Target
    interpreter: str  # path of Python in the image: /usr/local/bin/python3.11
