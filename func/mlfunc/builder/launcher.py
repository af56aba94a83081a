"""`/cnb/lifecycle/launcher`: a shell script, which starts a process of the image in a millisecond.

The real launcher works out variables at each start. Here they stand in the image's configuration,
so that every process that runs in the container has them, and the script has only to call.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from mlfunc.layers.tree import File, Link, Tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.packs.layer import Process

LAUNCHER = "/cnb/lifecycle/launcher"
PROCESSES = "/cnb/process"
# `launcher` alone starts the default process. A first word that is a process type is that process
# by PATH; `--` only says that what follows is a command, as for the real one.
_SCRIPT = """\
#!/bin/sh
# By the name that it is called, a process of this image; as `launcher`, any command.
case ${{0##*/}} in
{cases}
esac
[ "$1" = -- ] && shift
[ $# -gt 0 ] || set -- {default}
exec "$@"
"""


def script(processes: Sequence[Process]) -> str:
    """The launcher of these processes."""
    cases = "\n".join(f'{each.type}) exec {shlex.join(each.command)} "$@" ;;' for each in processes)
    return _SCRIPT.format(cases=cases, default=shlex.join(default(processes).command))


def default(processes: Sequence[Process]) -> Process:
    """What starts where nothing else is said: the last that says so, else the first."""
    return next((each for each in reversed(processes) if each.default), processes[0])


def tree(processes: Sequence[Process]) -> Tree:
    """The launcher in its place."""
    content = script(processes).encode()
    return Tree((File(LAUNCHER.lstrip("/"), (content,), executable=True),))


def links(processes: Sequence[Process]) -> Tree:
    """A name for each process type."""
    paths = sorted(f"{PROCESSES}/{each.type}".lstrip("/") for each in processes)
    return Tree(tuple(Link(path, LAUNCHER) for path in paths))
