"""Pushing an image: what the registry has stays, what it has elsewhere is mounted, the rest goes.

Blobs travel at once, five of them; the config after the layers, the manifest last, so that a
manifest never stands for what is not there.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mlfunc import abreast
from mlfunc.oci.registry import Remote
from mlfunc.oci.sessions import Unkept
from mlfunc.oci.upload import Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mlfunc.oci.content import Image, Source
    from mlfunc.oci.reference import Reference
    from mlfunc.oci.sessions import Sessions
    from mlfunc.oci.transport import Access

    Status = Literal["reused", "mounted", "uploaded"]
    Progress = Callable[[str, int, int], None]

_AT_ONCE = 5


@dataclass(frozen=True)
class Pushed:
    """What pushing came to: by blob, how it got there, and all bytes of blobs that were sent."""

    digest: str
    blobs: Mapping[str, Status]
    uploaded_bytes: int


def push(
    image: Image,
    to: Reference,
    *,
    tags: Sequence[str] = (),
    access: Access | None = None,
    sessions: Sessions | None = None,
    report: Progress = lambda _digest, _done, _size: None,
) -> Pushed:
    """Push under the tag of `to` and further `tags`; `report`: digest, bytes done, size.

    It is called from several threads. What is already there, under these tags, costs one request
    for each of them.

    Raises:
        RegistryFailed: the registry refused, could not be reached, or broke off.

    """
    remote = Remote(to, access, push=True)
    digest = image.manifest.descriptor.digest
    sources = {
        source.descriptor.digest: source for source in (*image.layers, image.config.as_source())
    }
    names = [to.tag or digest, *tags]
    missing = [name for name in names if remote.manifest_digest(name) != digest]
    if not missing:
        return Pushed(digest, dict.fromkeys(sources, "reused"), 0)
    delivery = _Delivery(remote, sessions or Unkept(), report)
    config = sources.pop(image.config.descriptor.digest)
    delivery.deliver_all(sources.values())
    delivery.deliver(config)
    for name in missing:
        remote.put_manifest(image.manifest, name)
    return Pushed(digest, delivery.statuses, delivery.sent)


@dataclass
class _Delivery:
    """All blobs of one push."""

    remote: Remote
    sessions: Sessions
    report: Progress
    statuses: dict[str, Status] = field(default_factory=dict)
    sent: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def deliver_all(self, sources: Iterable[Source]) -> None:
        """Some at once, biggest first; the first failure ends the others."""
        ordered = sorted(sources, key=lambda source: -source.descriptor.size)
        abreast.each(self.deliver, ordered, at_once=_AT_ONCE, stop=self.stop.set)

    def deliver(self, source: Source) -> None:
        """See that the registry has a blob, in the cheapest way there is."""
        status = self._found(source) or self._upload(source)
        size = source.descriptor.size
        with self._lock:
            self.statuses[source.descriptor.digest] = status
        self.report(source.descriptor.digest, size, size)

    def _found(self, source: Source) -> Status | None:
        digest = source.descriptor.digest
        if self.remote.has(digest):
            return "reused"
        own = self.remote.reference.repository
        origins = (origin for origin in source.origins if origin != own)
        return "mounted" if any(self.remote.mount(digest, o) for o in origins) else None

    def _upload(self, source: Source) -> Status:
        descriptor = source.descriptor

        def report(done: int) -> None:
            self.report(descriptor.digest, done, descriptor.size)

        upload = Upload(self.remote, source.open(), self.sessions, report, self.stop)
        try:
            upload.run()
        finally:
            with self._lock:
                self.sent += upload.sent
        return "uploaded"
