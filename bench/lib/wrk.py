"""wrk, a closed loop in C: many requests for little CPU."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lib.processes import pinned
from lib.servers import CLIENT_CORES


@dataclass(frozen=True)
class Result:
    """What wrk counted. Errors: replies that were not 2xx or 3xx, and failures of sockets."""

    requests: int
    per_second: float
    errors: int


def post(port: int, path: str, body: str, *, connections: int, seconds: float) -> Result:
    """POST JSON over keep-alive connections for some (whole) seconds.

    Raises:
        RuntimeError: wrk is not installed.

    """
    if shutil.which("wrk") is None:
        raise RuntimeError("wrk is not installed: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder, pinned(CLIENT_CORES):
        script = Path(folder, "post.lua")
        headers = '{["Content-Type"] = "application/json"}'
        script.write_text(f"wrk.method = 'POST'\nwrk.body = '{body}'\nwrk.headers = {headers}\n")
        count = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(script)]
        command = ["wrk", *count, f"http://127.0.0.1:{port}{path}"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return parse(said)


def parse(said: str) -> Result:
    """Read what wrk prints."""
    sockets = re.search(r"Socket errors: (.*)", said)
    failures = [int(n) for n in re.findall(r"\d+", sockets[1])] if sockets else []
    return Result(
        int(_number(r"(\d+) requests in", said)),
        _number(r"Requests/sec:\s+([\d.]+)", said),
        sum(failures) + int(_number(r"Non-2xx or 3xx responses: (\d+)", said)),
    )


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found[1]) if found else 0.0
