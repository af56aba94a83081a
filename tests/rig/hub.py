"""A Hugging Face Hub on loopback, as far as finding and fetching models goes.

As the real one it lists a revision with sizes and, for large files, hashes; redirects those to a
store on another address; and answers 401 for what one may not see. Transfers can be cut.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGE = 1000


@dataclass
class Repository:
    """A model there: files by revision, and who may see them."""

    commits: dict[str, dict[str, bytes]]
    branches: dict[str, str] = field(default_factory=dict)
    token: str | None = None


@dataclass
class Hub:
    """What there is, and what was asked for."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    endpoint: str = ""
    store: str = ""
    # The next transfers from the store end after so many bytes.
    cuts: list[int] = field(default_factory=list)
    # Method, path, Range, and whether a token came along.
    asked: list[tuple[str, str, str | None, bool]] = field(default_factory=list)

    def add(self, name: str, files: dict[str, bytes], *, token: str | None = None) -> str:
        """A new commit on main; its hash."""
        repository = self.repositories.setdefault(name, Repository({}, token=token))
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        repository.commits[commit] = files
        repository.branches["main"] = commit
        return commit


@contextlib.contextmanager
def hub() -> Iterator[Hub]:
    """A hub that runs until the block ends."""
    running = Hub()
    with _serving(_Front, running) as running.endpoint, _serving(_Store, running) as running.store:
        yield running


@contextlib.contextmanager
def _serving(handler: type[_Handler], running: Hub) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (handler,), {"hub": running}))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""

    def do_GET(self) -> None:
        token = self.headers.get("Authorization")
        self.hub.asked.append((self.command, self.path, self.headers.get("Range"), bool(token)))
        self.answer(unquote(urlsplit(self.path).path), (token or "").removeprefix("Bearer "))

    def answer(self, path: str, token: str) -> None:
        raise NotImplementedError

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def reply_with_range(self, body: bytes) -> None:
        start = int((self.headers.get("Range") or "bytes=0-")[len("bytes=") :].partition("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        cut = self.hub.cuts.pop(0) if self.hub.cuts else None
        self.wfile.write(body[start:][:cut])
        # Fewer bytes than were promised, and then the end of the connection.
        self.close_connection = cut is not None


class _Front(_Handler):
    def answer(self, path: str, token: str) -> None:
        words = path.lstrip("/").split("/")
        if words[:2] == ["api", "models"]:
            self._found("/".join(words[2:4]), words[5] if len(words) > 5 else "main", token)
        elif words[2:3] == ["resolve"]:
            self._file("/".join(words[:2]), words[3], "/".join(words[4:]), token)
        else:
            self.reply(404)

    def _found(self, name: str, revision: str, token: str) -> None:
        if (commit := self._commit(name, revision, token)) is not None:
            files = self.hub.repositories[name].commits[commit]
            siblings = [_sibling(path, data) for path, data in files.items()]
            info = {"_id": "1", "id": name, "sha": commit, "siblings": siblings}
            self.reply(200, json.dumps(info).encode(), Content_Type="application/json")

    def _file(self, name: str, revision: str, path: str, token: str) -> None:
        commit = self._commit(name, revision, token)
        if commit is None:
            return
        data = self.hub.repositories[name].commits[commit].get(path)
        if data is None:
            self.reply(404, X_Error_Code="EntryNotFound")
        elif len(data) >= _LARGE:
            self.reply(302, Location=f"{self.hub.store}/{name}/{commit}/{path}")
        else:
            self.reply_with_range(data)

    def _commit(self, name: str, revision: str, token: str) -> str | None:
        """The commit; None where the answer is out already."""
        repository = self.hub.repositories.get(name)
        if repository is None:
            self.reply(401, X_Error_Code="RepoNotFound")
        elif repository.token not in {None, token}:
            self.reply(403 if token else 401, X_Error_Code="GatedRepo")
        else:
            commit = repository.branches.get(revision, revision)
            if commit in repository.commits:
                return commit
            self.reply(404, X_Error_Code="RevisionNotFound")
        return None


class _Store(_Handler):
    def answer(self, path: str, token: str) -> None:
        if token:
            # As a store that signs its addresses does with a second proof of identity.
            self.reply(400)
            return
        owner, name, commit, *rest = path.lstrip("/").split("/")
        files = self.hub.repositories[f"{owner}/{name}"].commits[commit]
        self.reply_with_range(files["/".join(rest)])


def _sibling(path: str, data: bytes) -> dict[str, Any]:
    plain = {"rfilename": path, "size": len(data), "blobId": hashlib.sha1(data).hexdigest()}
    if len(data) < _LARGE:
        return plain
    sha256 = hashlib.sha256(data).hexdigest()
    return {**plain, "lfs": {"sha256": sha256, "size": len(data), "pointerSize": 134}}
