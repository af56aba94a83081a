"""What an image says of its own layers: the label `io.mlfunc.layers`, by key.

A later build, on any machine, reuses by digest what it finds there, without having it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from mlfunc.oci.content import Descriptor

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL = "io.mlfunc.layers"


class Record(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A layer as it was made: its content and its blob; `size` of the blob in bytes.

    `inputs` are short digests of what its key was made from, under the names that people know.
    """

    name: str
    place: str  # /layers/mlfunc_python/deps
    diff_id: str
    media_type: str
    digest: str
    size: int
    inputs: dict[str, str] = {}

    @property
    def descriptor(self) -> Descriptor:
        """What its blob is."""
        return Descriptor(self.media_type, self.digest, self.size)


def parse(text: str) -> dict[str, Record]:
    """The records of a label; none where another program, or a later version, wrote it."""
    try:
        return msgspec.json.decode(text, type=dict[str, Record])
    except msgspec.DecodeError:
        return {}


def render(records: Mapping[str, Record]) -> str:
    """The text of the label."""
    return msgspec.json.encode(records).decode()
