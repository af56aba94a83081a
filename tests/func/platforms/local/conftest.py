"""What tests of the local platform share: a home of their own, and no supervisor left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mlfunc.platforms.local import stopping
from mlfunc.supervisor import home as homes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc.supervisor.home import Home


@pytest.fixture
def own() -> Iterator[Home]:
    """The home of the supervisor of this test, which ends with it."""
    yield (home := homes.home())
    stopping.stop(home)
