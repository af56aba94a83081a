"""The gateway of the local platform, alone: one function, whose instance runs already.

gate.py PORT INSTANCE_PORT [LOOP]
"""

import asyncio
import importlib
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "func"))

from mlfunc.supervisor.gateway.gateway import Gateway
from mlfunc.supervisor.parts import Key, Route, Target

SERVICE, REVISION = Key("default", "sum"), Key("default", "sum-00001")


async def main(port, instance):
    gateway = Gateway()
    gateway.serve(REVISION, 0, 60.0)
    gateway.route([Route(SERVICE, (Target(REVISION, 100),))])
    await gateway.take(socket.create_server(("127.0.0.1", port), backlog=1024), "127.0.0.1")
    gateway.join(REVISION, "instance", instance)
    await asyncio.Event().wait()


loop = importlib.import_module(sys.argv[3]).new_event_loop if sys.argv[3:] else None
with asyncio.Runner(loop_factory=loop) as runner:
    runner.run(main(int(sys.argv[1]), int(sys.argv[2])))
