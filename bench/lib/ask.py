"""One request at a time, on a connection of its own."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any

OK = 200
_PATIENCE = 60.0


def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of a GET."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def post(port: int, body: Any, path: str = "/") -> tuple[int, bytes]:
    """Status and body of a POST of JSON."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        data = json.dumps(body).encode()
        connection.request("POST", path, data, {"content-type": "application/json"})
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()
