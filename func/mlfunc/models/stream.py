"""The list by which a function fetches a streamed model at its start; the runtime reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mlfunc.models import s3
from mlfunc.models.schemes import scheme

if TYPE_CHECKING:
    from mlfunc.lock import ModelPin


def listed(pin: ModelPin) -> bytes:
    """Where each file is, how large, and its hash, as JSON."""
    is_s3 = scheme(pin.uri) == "s3"
    files = [
        {
            "path": file.path,
            "size": file.size,
            "sha256": file.sha256,
            **({"url": s3.url(pin.uri, file.path)} if is_s3 else {}),
        }
        for file in pin.files
    ]
    return json.dumps({"uri": pin.uri, "revision": pin.revision, "files": files}).encode() + b"\n"
