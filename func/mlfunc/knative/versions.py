"""Versions of Knative, as the label of a controller has them. Pure."""

from __future__ import annotations

import re


def is_before(version: str, least: tuple[int, int]) -> bool:
    """Whether it is known to be older; a build of one's own, which is called devel, is not."""
    told = re.match(r"v?(\d+)\.(\d+)", version)
    return told is not None and (int(told[1]), int(told[2])) < least
