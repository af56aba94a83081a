"""The page's own files. Nothing comes from elsewhere, and nothing else may run in it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mlfunc.supervisor.http.messages import Reply

_FOLDER = Path(__file__).parent / "pages"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
SAFE = [
    ("cache-control", "no-cache"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
]
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def asset(name: str) -> Reply | None:
    """A file of the page, if there is one of that name."""
    return _all().get(name)


@cache
def _all() -> dict[str, Reply]:
    return {
        path.name: Reply(
            200,
            [
                ("content-type", _TYPES[path.suffix]),
                ("content-security-policy", _POLICY),
                *SAFE,
            ],
            path.read_bytes(),
        )
        for path in _FOLDER.iterdir()
        if path.suffix in _TYPES
    }
