"""Tokens through server-sent events against the bare loop that makes them, in CPU; and what an item
costs that is free to make.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

from lib import bare, report, servers, stats
from lib.report import Claim

if TYPE_CHECKING:
    from lib.servers import Server

SAMPLE = servers.REPOSITORY / "samples" / "chat"
PROMPT = "Tell a long story about a happy dog and a sad cat."
OURS, BARE = "mlfunc, samples/chat by SSE", "bare loop, the same code"
ITEMS = 20_000


@dataclass(frozen=True)
class Streamed:
    """An answer: how many pieces, the CPU seconds they took, the whole text."""

    pieces: int
    cpu: float
    text: str


def main() -> None:
    options = report.arguments(__doc__, seconds=8, rounds=4)
    # On the machines known, about 16 tokens a second; the window is a number of tokens.
    question = {
        "messages": [{"role": "user", "content": PROMPT}],
        "max_new_tokens": max(8, round(16 * options.seconds)),
    }
    tokens = question["max_new_tokens"]
    report.title("streaming", options, tokens=tokens, temperature=0, torch_threads=1)
    make_weights()
    rounds = chats(question, options.rounds)
    kept = stats.quiet(rounds)
    report.noise(len(kept), len(rounds))
    medians = stats.medians(kept)
    rows = [[name, 1 / seconds, seconds * 1000] for name, seconds in sorted(medians.items())]
    report.table(["what", "tokens a CPU second", "CPU ms a token"], rows)
    report.table(["mlfunc, items that cost nothing", "CPU us an item"], [["SSE", item_cost()]])
    share = stats.ratio(kept, BARE, OURS)
    text = ">= 0.95 of the bare loop's tokens a CPU second"
    report.claims(Claim(text, f"{share:.3f}", share >= 0.95))


def make_weights() -> None:
    if not (SAMPLE / "weights").exists():
        uv = shutil.which("uv") or str(servers.REPOSITORY / ".venv" / "bin" / "uv")
        links = os.environ.get("PIP_FIND_LINKS")
        env = {**os.environ, **({"UV_FIND_LINKS": links} if links else {})}
        command = [uv, "run", "--quiet", str(SAMPLE / "prepare.py")]
        subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)


def chats(question: dict[str, Any], count: int) -> list[stats.Round]:
    """CPU seconds a piece of text, in turn."""
    rounds = []
    with (
        servers.function(SAMPLE, servers.ONE_THREAD) as server,
        bare.script("chat.py", str(SAMPLE), env=servers.ONE_THREAD) as script,
    ):
        short = {**question, "max_new_tokens": 4}
        stream(server, short)
        script.ask(short)
        for order in stats.interleaved([OURS, BARE], count):
            spin = stats.spin_on(servers.SERVER_CORES)
            done = {
                name: stream(server, question) if name == OURS else Streamed(*script.ask(question))
                for name in order
            }
            if done[OURS].text != done[BARE].text:
                raise RuntimeError(f"they wrote {done[OURS].text!r} and {done[BARE].text!r}")
            values = {name: each.cpu / each.pieces for name, each in done.items()}
            rounds.append(stats.Round(values, spin))
    return rounds


def stream(server: Server, question: Any) -> Streamed:
    """Read the events as they come; the last one is `end`."""
    before = server.cpu
    pieces = [json.loads(data) for data in events(server, question)]
    return Streamed(len(pieces), server.cpu - before, "".join(map(str, pieces)))


def events(server: Server, question: Any) -> list[bytes]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=300)
    headers = {"content-type": "application/json", "accept": "text/event-stream"}
    connection.request("POST", "/", json.dumps(question).encode(), headers)
    reply = connection.getresponse()
    lines = [line.rstrip() for line in reply]
    connection.close()
    if b"event: end" not in lines:
        raise RuntimeError(f"status {reply.status}, and no end: {lines[-3:]}")
    data = [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]
    return data[:-1]


def item_cost() -> float:
    """CPU microseconds of the server for an item."""
    with servers.function("numbers") as server:
        stream(server, {"count": 1000})
        done = stream(server, {"count": ITEMS})
    if done.pieces != ITEMS:
        raise RuntimeError(f"{done.pieces} of {ITEMS} items came")
    return done.cpu / done.pieces * 1e6


if __name__ == "__main__":
    report.main(main)
