from __future__ import annotations

import json
from typing import Any

import pytest
from mlfunc.builder import base, naming
from mlfunc.builder.base import Choice
from mlfunc.builder.contents import Contents
from mlfunc.builder.facts import Facts, check, facts_of
from mlfunc.errors import UsageError
from mlfunc.function import Build, Function
from mlfunc.oci.content import CONFIG, MANIFEST, Bytes, Image
from mlfunc.project import Target

TARGET = Target("linux/amd64", "3.11", "cpu")
CONFIGURATION = json.dumps({"os": "linux", "architecture": "amd64"})


def facts(**other: Any) -> Facts:
    known: dict[str, Any] = {
        "manifest": "{}",
        "media_type": MANIFEST,
        "config": CONFIGURATION,
        "pythons": {"3.11": "/usr/local/bin/python3.11"},
        "shell": True,
        "glibc": (2, 36),
        "musl": False,
        "bare": {},
    }
    return Facts(**{**known, **other})


def test_a_base_that_fits_gives_its_interpreter() -> None:
    assert check("x", facts(), TARGET) == "/usr/local/bin/python3.11"


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"pythons": {"3.9": "/usr/bin/python3.9"}}, "no Python 3.11; there is 3.9"),
        ({"pythons": {}}, "there is none"),
        ({"musl": True, "glibc": None}, "musl"),
        ({"glibc": (2, 17)}, "glibc 2.17"),
        ({"shell": False}, "no /bin/sh"),
        ({"config": json.dumps({"os": "linux", "architecture": "arm64"})}, "linux/arm64"),
    ],
    ids=["other Python", "no Python", "Alpine", "old", "no shell", "other platform"],
)
def test_a_base_that_does_not_fit_is_refused_with_another(other: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        check("x", facts(**other), TARGET)
    assert "python:3.11-slim" in refused.value.hint


def test_the_python_that_images_of_docker_put_into_local_comes_first() -> None:
    image = Image(Bytes(b"{}", MANIFEST), Bytes(CONFIGURATION.encode(), CONFIG), ())
    both = {"usr/bin/python3.11": "", "usr/local/bin/python3.11": "", "usr/bin/python3.9": ""}
    found = facts_of(image, Contents(both))
    assert found.pythons == {"3.11": "/usr/local/bin/python3.11", "3.9": "/usr/bin/python3.9"}


@pytest.mark.parametrize(
    ("written", "environ", "chosen"),
    [
        ("a/b:1", {"MLFUNC_BASE_IMAGE": "x"}, Choice("a/b:1", "a/b:1")),
        (None, {"MLFUNC_BASE_IMAGE": "x"}, Choice("x", "$MLFUNC_BASE_IMAGE")),
        (None, {}, Choice(*2 * ("docker.io/library/python:3.11-slim",))),
    ],
    ids=["mlfunc.yaml", "variable", "default"],
)
def test_what_is_written_wins_over_what_is_set(
    written: str | None, environ: dict[str, str], chosen: Choice
) -> None:
    function = Function(name="f", build=Build(base=written))
    assert base.choose(function, "3.11", environ) == chosen


@pytest.mark.parametrize(
    ("options", "written", "environ", "name"),
    [
        ({"image": "r.io/x:v1", "registry": "o.io"}, {}, {}, "r.io/x:v1"),
        ({"registry": "o.io/t/"}, {"image": "r.io/x"}, {}, "o.io/t/f:latest"),
        ({}, {"image": "r.io/x:2", "registry": "s.io"}, {}, "r.io/x:2"),
        ({}, {"registry": "s.io"}, {"MLFUNC_REGISTRY": "e.io"}, "s.io/f:latest"),
        ({}, {}, {"MLFUNC_REGISTRY": "http://e.io:5000"}, "http://e.io:5000/f:latest"),
        ({"tags": ("a", "b")}, {"image": "r.io/x:2"}, {}, "r.io/x:a"),
        ({}, {}, {}, "f:latest"),
    ],
)
def test_an_image_is_called(
    options: dict[str, Any], written: dict[str, Any], environ: dict[str, str], name: str
) -> None:
    function = Function(name="f", **written)
    assert naming.named(function, **options, environ=environ).here == name
