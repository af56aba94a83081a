"""What uv is handed says exactly what was locked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.errors import UsageError
from mlfunc.lock import Wheel
from mlfunc.wheels import pylock

_NAMES = st.from_regex(r"[a-z][a-z0-9]{0,6}(-[a-z0-9]{1,4})?", fullmatch=True)
_VERSIONS = st.from_regex(r"[0-9]{1,2}\.[0-9]{1,3}(\+[a-z]{2}[0-9]{1,3})?", fullmatch=True)
_FOLDERS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)


@st.composite
def wheels(draw: st.DrawFn) -> Wheel:
    name, version = draw(_NAMES), draw(_VERSIONS)
    file = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    sha256 = draw(st.from_regex(r"[0-9a-f]{64}", fullmatch=True))
    return Wheel(name, version, file, sha256)


@given(st.lists(wheels(), unique_by=lambda wheel: wheel.name), _FOLDERS)
def test_what_is_written_is_read_again(given_: list[Wheel], folder: str) -> None:
    text = pylock.write(given_, lambda wheel: f"/{folder}/{wheel.file}")

    assert pylock.read(text) == sorted(given_, key=lambda wheel: wheel.name)


def test_an_address_is_kept_without_its_password() -> None:
    text = pylock.write(
        [Wheel("x", "1", "x-1-py3-none-any.whl", "aa")],
        lambda wheel: f"https://ada:lovelace@index.example.com/{wheel.file}",
    )

    (wheel,) = pylock.read(text)

    assert wheel.url == "https://index.example.com/x-1-py3-none-any.whl"


def test_what_is_no_wheel_is_refused_with_the_way_to_one() -> None:
    text = '[[packages]]\nname = "x"\narchive = { url = "https://x.example/x-1.tar.gz" }\n'

    with pytest.raises(UsageError, match="x is no wheel") as refused:
        pylock.read(text)

    assert "pip wheel --no-deps -w wheels x" in refused.value.hint


def test_an_address_may_have_more_behind_the_file() -> None:
    wheel = Wheel("x", "1", "x-1-py3-none-any.whl", "aa")
    text = pylock.write([wheel], lambda _: "https://x.example/x-1-py3-none-any.whl?signed=b#c")

    assert pylock.read(text)[0].file == wheel.file
