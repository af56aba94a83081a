from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.errors import UsageError
from mlfunc.oci.reference import Reference, parse

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("text", "name", "plain_http"),
    [
        ("python:3.11", "docker.io/library/python:3.11", False),
        ("python", "docker.io/library/python:latest", False),
        ("team/python", "docker.io/team/python:latest", False),
        ("index.docker.io/python", "docker.io/library/python:latest", False),
        ("registry.example.com/a/b/c:1", "registry.example.com/a/b/c:1", False),
        ("host:5000/x", "host:5000/x:latest", False),
        ("localhost/x", "localhost/x:latest", True),
        ("localhost:5000/x:1", "localhost:5000/x:1", True),
        ("127.0.0.1:5000/x:1", "127.0.0.1:5000/x:1", True),
        ("[::1]:5000/x:1", "[::1]:5000/x:1", True),
        ("https://localhost:5000/x:1", "localhost:5000/x:1", False),
        ("http://host:5000/x/y:tag", "host:5000/x/y:tag", True),
        (f"host.io/x@{DIGEST}", f"host.io/x@{DIGEST}", False),
        (f"host.io/x:1@{DIGEST}", f"host.io/x:1@{DIGEST}", False),
    ],
)
def test_names_mean_what_they_mean_to_docker(text: str, name: str, plain_http: bool) -> None:
    reference = parse(text)
    assert (reference.name, reference.plain_http) == (name, plain_http)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "the part ''"),
        ("Python", "'Python'"),
        ("host.io/Team/x", "'Team'"),
        ("host.io/a//b", "the part ''"),
        ("host.io/x:", "the tag ''"),
        ("host.io/x:-1", "the tag '-1'"),
        ("host.io/x:" + "a" * 129, "up to 128"),
        ("host.io/x@sha256:12", "64 hexadecimal"),
        ("host.io/x@", "64 hexadecimal"),
        ("host:port/x", "no host"),
        ("http://host.io", "followed by a repository"),
        ("host.io/x y", "'x y'"),
        ("host.io/" + "a" * 255, "longer than 255"),
        ("ftp://host.io/x", "no host"),
    ],
)
def test_a_name_that_breaks_a_rule_is_refused_with_the_rule(text: str, rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        parse(text)


parts = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}", fullmatch=True)
hosts = st.from_regex(r"[a-z0-9]{1,9}(\.[a-z]{2,4}){1,2}(:[0-9]{1,5})?", fullmatch=True)
references = st.builds(
    Reference,
    st.one_of(hosts, st.sampled_from(["localhost:5000", "127.0.0.1", "[::1]:80", "[fd00::1]"])),
    st.lists(parts, min_size=1, max_size=4).map("/".join),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    st.one_of(st.none(), st.just(DIGEST)),
    st.booleans(),
).filter(lambda r: r.registry not in {"index.docker.io", "docker.io"})


@given(references)
def test_what_is_written_is_read_again(reference: Reference) -> None:
    assert parse(str(reference)) == reference


@given(st.text(max_size=40))
def test_any_text_names_an_image_or_is_refused(text: str) -> None:
    try:
        reference = parse(text)
    except UsageError:
        return
    assert parse(str(reference)) == reference
