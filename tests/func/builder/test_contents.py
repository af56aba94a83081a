from __future__ import annotations

import gzip
import io
import tarfile

import pytest
import zstandard
from mlfunc.builder import contents
from mlfunc.builder.contents import Contents, over, read
from mlfunc.errors import MlfuncError
from mlfunc.oci.content import LAYER, LAYER_GZIP, LAYER_ZSTD

LIBC = b"\x7fELF ... GNU C Library (Debian GLIBC 2.36-9+deb12u10) stable release version 2.36.\n"


def archive(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    stored = io.BytesIO()
    with tarfile.open(fileobj=stored, mode="w") as tar:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for path, target in (links or {}).items():
            info = tarfile.TarInfo(path)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return stored.getvalue()


TAR = archive({"usr/bin/python3.11": b"", "lib/libc.so.6": LIBC}, {"bin": "usr/bin"})


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (TAR, LAYER),
        (gzip.compress(TAR), LAYER_GZIP),
        (gzip.compress(TAR[:1000]) + gzip.compress(TAR[1000:]), LAYER_GZIP),
        (gzip.compress(TAR), "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        (zstandard.compress(TAR), LAYER_ZSTD),
    ],
    ids=["plain", "gzip", "gzip of two members", "of Docker", "zstd"],
)
def test_a_layer_is_read_however_it_is_compressed(data: bytes, media_type: str) -> None:
    found = read([data[start : start + 700] for start in range(0, len(data), 700)], media_type)
    assert found.find("/bin/python3.11") == "/usr/bin/python3.11"
    assert found.glibc == (2, 36)


@pytest.mark.parametrize("data", [b"no tar at all", gzip.compress(TAR)[:100]], ids=["junk", "cut"])
def test_a_broken_layer_is_told(data: bytes) -> None:
    with pytest.raises(MlfuncError, match="cannot be read"):
        read([data], LAYER_GZIP)


def test_links_are_followed_through_folders() -> None:
    found = Contents({"bin": "usr/bin", "usr/bin/sh": "dash", "usr/bin/dash": "", "usr/bin": ""})
    assert found.find("/bin/sh") == "/usr/bin/dash"


def test_a_circle_of_links_leads_nowhere() -> None:
    assert Contents({"a": "b", "b": "a"}).find("/a") is None


def test_a_link_to_nothing_leads_nowhere() -> None:
    assert Contents({"bin/sh": "/nothing"}).find("/bin/sh") is None


def test_a_whiteout_hides_a_file_below() -> None:
    below = Contents({"usr/bin/python3.9": "", "usr/bin/python3.11": ""})
    merged = over([below, Contents({"usr/bin/.wh.python3.9": ""})])
    assert list(merged.paths) == ["usr/bin/python3.11"]


def test_an_opaque_folder_hides_all_that_was_in_it_but_not_what_comes_with_it() -> None:
    below = Contents({"opt": "", "opt/old": ""})
    merged = over([below, Contents({"opt/.wh..wh..opq": "", "opt/new": ""})])
    assert sorted(merged.paths) == ["opt", "opt/new"]


def test_memory_stays_small_whatever_a_layer_holds() -> None:
    stream = contents._Stream(iter([b"x" * 10, b"y" * 10]))
    assert stream.read(15) + stream.read(15) == b"x" * 10 + b"y" * 10
