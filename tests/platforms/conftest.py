"""The same tests on every platform: MLFUNC_TEST_PLATFORMS names them, such as `local,knative`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.rig import places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.places import Place

_PLACES = {"local": places.on_this_machine, "knative": places.on_knative}
_NAMED = os.environ.get("MLFUNC_TEST_PLATFORMS", "local").split(",")
# What only this machine claims is tested once.
collect_ignore = [] if "local" in _NAMED else ["test_local.py"]
_MLFUNC = Path(sys.executable).with_name("mlfunc")

GREETER = '''
class Greeter:
    """Greets."""

    example = {"name": "Ada"}

    def predict(self, name: str) -> str:
        return f"Hello {name}"
'''


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the command line keeps its things, the local platform among them, for all tests."""
    home = tmp_path_factory.mktemp("home")
    environ = {**os.environ, "MLFUNC_HOME": str(home)}
    if "local" in _NAMED:
        # Not at the first port that is free: when it is killed, another's would take that.
        subprocess.run([str(_MLFUNC), "platform", "start", "--port", "0"], env=environ, check=True)
    yield home
    stop = [str(_MLFUNC), "platform", "stop", "--timeout", "10"]
    subprocess.run(stop, env=environ, check=True)


@pytest.fixture(scope="module", params=_NAMED)
def place(request: pytest.FixtureRequest, machine: Path) -> Iterator[Place]:
    """A platform, with a namespace for the tests of a module."""
    with _PLACES[request.param](machine) as found:
        yield found
