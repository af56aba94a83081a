"""A Hugging Face Hub, or a mirror of one: hf://org/name."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlfunc_runtime.weights.http import Refused
    from mlfunc_runtime.weights.listing import Listing

_DENIED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class Hub:
    """A model of the hub that `$HF_ENDPOINT` names, with the token in `$HF_TOKEN`."""

    def __init__(self, listing: Listing, environ: Mapping[str, str]) -> None:
        repository, _, revision = listing.uri.removeprefix("hf://").partition("@")
        self._endpoint = (environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        commit = listing.revision or revision or "main"
        self._base = f"{self._endpoint}/{repository}/resolve/{quote(commit, safe='')}"
        token = _token(environ)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def request(self, path: str) -> tuple[str, dict[str, str]]:
        """The hub leads to its store, which must not get the token."""
        return f"{self._base}/{quote(path)}", self._headers

    def hint(self, refused: Refused) -> str:
        """What to do about a refusal."""
        if refused.status in _DENIED:
            what = "has no access to it" if self._headers else "is not set"
            return f"HF_TOKEN {what}: a private or gated model needs the token of who has"
        if refused.status == HTTPStatus.NOT_FOUND:
            return "it is there no more, or private and HF_TOKEN is not set"
        return f"see what {self._endpoint} says of it"


def _token(environ: Mapping[str, str]) -> str:
    if token := environ.get("HF_TOKEN", "").strip():
        return token
    path = environ.get("HF_TOKEN_PATH")
    return Path(path).read_text(encoding="utf-8").strip() if path else ""
