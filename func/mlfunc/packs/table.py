"""Our buildpacks, in the order of their layers: what changes most rarely lies lowest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlfunc.packs import accelerator, app, model, python

if TYPE_CHECKING:
    from mlfunc.packs.layer import Pack

PACKS: tuple[Pack, ...] = (accelerator, model, python, app)
