"""A package index on loopback (PEP 503), perhaps with a password, and small wheels for it."""

from __future__ import annotations

import base64
import contextlib
import functools
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class _Handler(SimpleHTTPRequestHandler):
    """Folders as pages of links, which is what a simple index is."""

    def __init__(self, *args: Any, user: str, **kwargs: Any) -> None:
        self._user = user
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(self._user.encode()).decode()
        if self._user and self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic realm=index")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextlib.contextmanager
def index(folder: Path, user: str = "") -> Iterator[str]:
    """Serve NAME/*.whl of a folder; gives HOST:PORT. `user`, as NAME:PASSWORD, is asked for."""
    handler = functools.partial(_Handler, directory=str(folder), user=user)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    requires: tuple[str, ...] = (),
    tag: str = "py3-none-any",
    files: Mapping[str, bytes] | None = None,
    scripts: str = "",
) -> Path:
    """Write a wheel; without `files` it has one module."""
    folder.mkdir(parents=True, exist_ok=True)
    base = f"{name.replace('-', '_')}-{version}"
    needs = "".join(f"Requires-Dist: {need}\n" for need in requires)
    info = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        "WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        **({"entry_points.txt": f"[console_scripts]\n{scripts}\n"} if scripts else {}),
    }
    content = dict(files or {f"{name.replace('-', '_')}.py": b"VALUE = 1\n"})
    content |= {f"{base}.dist-info/{path}": text.encode() for path, text in info.items()}
    record = "".join(f"{path},,\n" for path in [*content, f"{base}.dist-info/RECORD"])
    path = folder / f"{base}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, data in {**content, f"{base}.dist-info/RECORD": record.encode()}.items():
            archive.writestr(inside, data)
    return path
