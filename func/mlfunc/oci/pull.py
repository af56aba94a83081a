"""Images in registries, ready to be built upon: their layers are read only by who needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlfunc.oci import platforms
from mlfunc.oci.content import Bytes, Image, Source
from mlfunc.oci.registry import Remote

if TYPE_CHECKING:
    from mlfunc.oci.content import Descriptor
    from mlfunc.oci.reference import Reference
    from mlfunc.oci.transport import Access


def load(
    reference: Reference,
    platform: str,
    access: Access | None = None,
    *,
    to: Reference | None = None,
) -> Image:
    """An image for a platform (linux/amd64) as its registry has it: manifest and config are read.

    `to`: where it will be pushed; in the same registry, its layers can be mounted from here.
    Docker's media types of layers come as those of OCI, the manifest stays as it is.

    Raises:
        RegistryFailed: the registry refused or could not be reached.
        NotFound: it is for other platforms.

    """
    remote = Remote(reference, access)
    top = remote.manifest(reference.target)
    manifest = platforms.manifest_for(
        top, platform, reference.name, lambda found: remote.manifest(found.digest)
    )
    parts = platforms.parts(manifest, reference.name)
    wanted = platforms.descriptor(parts["config"])
    config = Bytes(b"".join(remote.blob(wanted).read()), wanted.media_type)
    platforms.check(config.data, platform, reference.name)
    same = to is not None and to.registry == reference.registry
    origins = (reference.repository,) if same else ()
    layers = [_source(remote, platforms.descriptor(entry), origins) for entry in parts["layers"]]
    return Image(manifest, config, tuple(layers))


def _source(remote: Remote, found: Descriptor, origins: tuple[str, ...]) -> Source:
    return Source(found, lambda: remote.blob(found), origins)
