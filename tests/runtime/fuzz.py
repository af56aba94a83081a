"""Mutations of the corpus, driven into the real connection: no crash, no hang, no 5xx but 501.

`python -m tests.runtime.fuzz CASES [SEED]` runs as many as one likes.
"""

from __future__ import annotations

import random
import re
import sys
import time
from typing import TYPE_CHECKING

from .corpus import BAD, GOOD, TRUNCATED
from .wire import Echo, talk

if TYPE_CHECKING:
    from collections.abc import Iterator

# Without those that are only long: they would be most of the time.
_USABLE = [sent for sent, _ in GOOD.values() if len(sent) < 2000]
_REST = [sent for sent, _ in (BAD | TRUNCATED).values() if len(sent) < 2000]
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\x00", b" ", b"\t", b":", b";", b",", b"0", b"0\r\n\r\n", b"HTTP/1.1", b"HTTP/1.0",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"\xff", b"%", b"ffffffff", b"\r\n\r\n",
]  # fmt: skip
_SERVER_ERROR = re.compile(rb"HTTP/1\.1 5(?!01 )\d\d ")


def mutated(random: random.Random) -> bytes:
    """One or two seeds with a few bytes changed, dropped, doubled or put in."""
    data = bytearray(random.choice(_USABLE if random.random() < 0.6 else _REST))
    if random.random() < 0.2:
        data += random.choice(_USABLE)
    for _ in range(random.choice((0, 1, 1, 1, 2, 3, 5))):
        at = random.randrange(len(data) + 1)
        upto = min(len(data), at + random.choice((1, 1, 2, 8, 40)))
        match random.randrange(5):
            case 0:
                data[at:upto] = b""
            case 1:
                data[at:at] = data[at:upto]
            case 2:
                data[at:at] = random.choice(TOKENS)
            case 3:
                data[at:upto] = random.choice(TOKENS)
            case _:
                data[at : at + 1] = bytes([random.randrange(256)])
    return bytes(data)


def pieces(data: bytes, random: random.Random) -> Iterator[bytes]:
    """The same bytes, in up to four parts."""
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.choice((0, 0, 1, 3))))
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        if begin < end:
            yield data[begin:end]


def run(cases: int, seed: int) -> int:
    """Drive so many cases; return how many requests were answered.

    Raises:
        AssertionError: one was answered with a server error, or not answered to its end.

    """
    routes, answered = Echo(), 0
    for number in range(cases):
        chance = random.Random(f"{seed}.{number}")
        data = mutated(chance)
        received = talk(routes, pieces(data, chance))
        assert not _SERVER_ERROR.search(received), (data, received)
        assert len(routes.requests) == len(routes.statuses), data
        answered += len(routes.requests)
        routes.requests.clear()
        routes.statuses.clear()
    return answered


def main() -> None:
    """Tell the count and the rate."""
    cases, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    started = time.monotonic()
    for part in range(0, cases, 10_000):
        size = min(10_000, cases - part)
        answered = run(size, seed + part)
        rate = (part + size) / (time.monotonic() - started)
        sys.stdout.write(f"{part + size} cases, {rate:.0f}/s; of the last {size}, {answered} requests were answered\n")  # fmt: skip
        sys.stdout.flush()


if __name__ == "__main__":
    main()
