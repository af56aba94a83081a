"""loop.py PORT MAX_BATCH: no framework. One thread takes what waits, MAX_BATCH at most.

A floor for latency: asyncio and a dozen lines of HTTP, with no validation, limits, logs or metrics.
"""

import asyncio
import json
import queue
import sys
import threading

import accelerator

WAITING = queue.SimpleQueue()


class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if found and len(body) >= int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]):
            self.buffer = b""
            WAITING.put((self, json.loads(body)["number"]))

    def answer(self, result):
        body = json.dumps(result).encode()
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def work(loop, limit):
    while True:
        batch = [WAITING.get()]
        while len(batch) < limit and not WAITING.empty():
            batch.append(WAITING.get())
        results = accelerator.run([number for _, number in batch])
        loop.call_soon_threadsafe(reply, batch, results)


def reply(batch, results):
    for (connection, _), result in zip(batch, results, strict=True):
        connection.answer(result)


async def main():
    loop = asyncio.get_running_loop()
    threading.Thread(target=work, args=(loop, int(sys.argv[2])), daemon=True).start()
    server = await loop.create_server(Connection, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
