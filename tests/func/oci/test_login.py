from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING

import pytest
from mlfunc.errors import RegistryFailed, UsageError
from mlfunc.oci import credentials, pull
from mlfunc.oci.content import Image
from mlfunc.oci.credentials import Credentials
from mlfunc.oci.push import push
from mlfunc.oci.reference import parse
from mlfunc.oci.transport import Access

from tests.rig.registry import Registry, registry
from tests.rig.tokens import Tokens, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    MakeImage = Callable[..., Image]
    MakeNoise = Callable[..., bytes]

HTPASSWD = "ada:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n"  # secret
BASIC = "Basic " + base64.b64encode(b"ada:secret").decode()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Registry]:
    """A registry that knows ada, with the password secret."""
    path = tmp_path / "htpasswd"
    path.write_text(HTPASSWD)
    auth = {"htpasswd": {"realm": "here", "path": str(path)}}
    with registry(tmp_path / "registry", auth=auth) as running:
        yield running


def access(address: str, home: Path, **more: str) -> Access:
    environ = {"HOME": str(home), "PATH": os.environ["PATH"], **more}
    return Access(environ, own=address, waits=(0, 0, 0))


def variables(user: str, password: str) -> dict[str, str]:
    return {credentials.USER: user, credentials.PASSWORD: password}


def test_a_password_in_variables_lets_us_in(
    guarded: Registry, make_image: MakeImage, tmp_path: Path
) -> None:
    to = parse(f"{guarded.address}/x:1")
    known = access(guarded.address, tmp_path, **variables("ada", "secret"))
    pushed = push(make_image(b"one"), to, access=known)
    assert pull.load(to, "linux/amd64", known).manifest.descriptor.digest == pushed.digest


def test_a_wrong_password_is_told_with_the_user_and_without_the_password(
    guarded: Registry, make_image: MakeImage, tmp_path: Path
) -> None:
    wrong = access(guarded.address, tmp_path, **variables("ada", "hunter2"))
    with pytest.raises(RegistryFailed, match="does not accept the user ada") as caught:
        push(make_image(b"one"), parse(f"{guarded.address}/x:1"), access=wrong)
    assert f"docker login {guarded.address}" in caught.value.hint
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}{caught.value.evidence}"


def test_who_has_no_password_is_told_to_log_in(
    guarded: Registry, make_image: MakeImage, tmp_path: Path
) -> None:
    with pytest.raises(RegistryFailed, match="without logging in") as caught:
        push(
            make_image(b"one"),
            parse(f"{guarded.address}/x:1"),
            access=access(guarded.address, tmp_path),
        )
    assert credentials.USER in caught.value.hint


def test_variables_are_for_the_registry_that_is_pushed_to_and_no_other(
    guarded: Registry, tmp_path: Path
) -> None:
    other = access("elsewhere.example.com", tmp_path, **variables("ada", "secret"))
    with pytest.raises(RegistryFailed, match="without logging in"):
        pull.load(parse(f"{guarded.address}/x:1"), "linux/amd64", other)


def entry(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def find(text: str, environ: Mapping[str, str]) -> Credentials | None:
    return credentials.find(parse(text), environ, own=False)


def test_the_entry_with_the_longest_path_counts(tmp_path: Path) -> None:
    auths = {
        "https://host.io/v1/": entry("all", "a"),
        "host.io/team": entry("team", "b"),
        "https://index.docker.io/v1/": entry("hub", "c"),
    }
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"auths": auths}))
    environ = {"REGISTRY_AUTH_FILE": str(path), "HOME": str(tmp_path)}
    named = {
        text: found.user if (found := find(text, environ)) else None
        for text in ("host.io/team/x", "host.io/teams/x", "python", "other.io/x")
    }
    assert list(named.values()) == ["team", "all", "hub", None]


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("DOCKER_CONFIG", "config.json"),
        ("XDG_RUNTIME_DIR", "containers/auth.json"),
        ("XDG_CONFIG_HOME", "containers/auth.json"),
        ("HOME", ".docker/config.json"),
        ("HOME", ".config/containers/auth.json"),
    ],
)
def test_files_are_where_docker_and_podman_write_them(
    tmp_path: Path, variable: str, name: str
) -> None:
    path = tmp_path / "there" / name
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"auths": {"host.io": entry("ada", "secret")}}))
    environ = {"HOME": str(tmp_path / "empty"), variable: str(tmp_path / "there")}
    assert find("host.io/x", environ) == Credentials("ada", "secret")


@pytest.mark.parametrize("text", ["{", '{"auths": {"host.io": {"auth": "hunter2!"}}}'])
def test_a_broken_file_is_named_and_not_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match=r"config\.json") as caught:
        find("host.io/x", {"DOCKER_CONFIG": str(tmp_path), "HOME": str(tmp_path)})
    assert "hunter2" not in caught.value.message


def helper(folder: Path, script: str) -> dict[str, str]:
    """The environment of who has docker-credential-rig, which does this."""
    program = folder / "docker-credential-rig"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder)}


def configured(folder: Path, **config: object) -> None:
    (folder / ".docker").mkdir(exist_ok=True)
    (folder / ".docker/config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    "config", [{"credsStore": "rig"}, {"credHelpers": {"host.io": "rig"}, "credsStore": "no"}]
)
def test_a_helper_is_asked_for_the_registry(tmp_path: Path, config: dict[str, object]) -> None:
    script = 'read host; printf \'{"Username": "ada", "Secret": "for-%s"}\' "$host"'
    configured(tmp_path, **config)
    assert find("host.io/x", helper(tmp_path, script)) == Credentials("ada", "for-host.io")


def test_a_helper_that_has_nothing_is_no_failure(tmp_path: Path) -> None:
    configured(tmp_path, credsStore="rig", auths={"host.io": entry("ada", "secret")})
    script = "echo credentials not found in native keychain; exit 1"
    assert find("host.io/x", helper(tmp_path, script)) == Credentials("ada", "secret")


@pytest.mark.parametrize(
    ("script", "says"),
    [("echo locked; exit 1", "has failed"), ("echo hunter2", "no user and secret")],
)
def test_a_helper_that_fails_is_named(tmp_path: Path, script: str, says: str) -> None:
    configured(tmp_path, credsStore="rig")
    with pytest.raises(RegistryFailed, match=f"docker-credential-rig .*{says}"):
        find("host.io/x", helper(tmp_path, script))


def test_a_helper_that_is_missing_is_named(tmp_path: Path) -> None:
    configured(tmp_path, credsStore="nowhere")
    with pytest.raises(RegistryFailed, match=r"docker-credential-nowhere.* is not installed"):
        find("host.io/x", {"HOME": str(tmp_path), "PATH": os.environ["PATH"]})


@pytest.fixture
def given() -> Tokens:
    """Tokens for ada, and for nobody else."""
    return Tokens(basic=BASIC)


@pytest.fixture
def tokened(given: Tokens, tmp_path: Path) -> Iterator[Registry]:
    """A registry that wants tokens."""
    with (
        tokens(given, tmp_path / "bundle.pem") as auth,
        registry(tmp_path / "registry", auth=auth) as running,
    ):
        yield running


def ada(running: Registry, home: Path) -> Access:
    return access(running.address, home, **variables("ada", "secret"))


def test_a_push_and_a_mount_ask_for_tokens_of_just_these_repositories(
    tokened: Registry, given: Tokens, make_image: MakeImage, tmp_path: Path
) -> None:
    known, base = ada(tokened, tmp_path), parse(f"{tokened.address}/base:1")
    to = parse(f"{tokened.address}/team/x:1")
    push(make_image(b"one"), base, access=known)
    image = pull.load(base, "linux/amd64", known, to=to)
    pushed = push(image, to, access=known)
    assert pushed.blobs[image.layers[0].descriptor.digest] == "mounted"
    assert given.asked == [
        ["repository:base:pull,push"],
        ["repository:base:pull"],
        ["repository:team/x:pull,push"],
        ["repository:team/x:pull,push", "repository:base:pull"],
    ]


def test_a_mount_that_no_token_is_given_for_becomes_an_upload(
    tokened: Registry, given: Tokens, make_image: MakeImage, tmp_path: Path
) -> None:
    known, base = ada(tokened, tmp_path), parse(f"{tokened.address}/base:1")
    to = parse(f"{tokened.address}/x:1")
    push(make_image(b"one"), base, access=known)
    image = pull.load(base, "linux/amd64", known, to=to)
    given.refused = "base"
    (layer,) = make_image(b"one").layers
    origin = type(layer)(layer.descriptor, layer.open, ("base",))
    pushed = push(Image(image.manifest, image.config, (origin,)), to, access=known)
    assert pushed.blobs[layer.descriptor.digest] == "uploaded"


def test_who_has_no_name_pulls_where_all_may_and_cannot_push(
    tokened: Registry, given: Tokens, make_image: MakeImage, tmp_path: Path
) -> None:
    to = parse(f"{tokened.address}/x:1")
    push(make_image(b"one"), to, access=ada(tokened, tmp_path))
    given.anonymous = ("pull",)
    nobody = access(tokened.address, tmp_path)
    assert pull.load(to, "linux/amd64", nobody).layers
    with pytest.raises(RegistryFailed, match="without logging in"):
        push(make_image(b"two"), to, access=nobody)
    assert len(given.asked) < 5


def test_a_wrong_password_is_told_by_who_gives_tokens(
    tokened: Registry, make_image: MakeImage, tmp_path: Path
) -> None:
    wrong = access(tokened.address, tmp_path, **variables("ada", "hunter2"))
    with pytest.raises(RegistryFailed, match="does not accept the user ada") as caught:
        push(make_image(b"one"), parse(f"{tokened.address}/x:1"), access=wrong)
    assert "wrong password" in caught.value.evidence


def test_a_refresh_token_gets_tokens_by_oauth2(
    tokened: Registry, given: Tokens, make_image: MakeImage, tmp_path: Path
) -> None:
    configured(tmp_path, credsStore="rig")
    environ = helper(tmp_path, 'echo \'{"Username": "<token>", "Secret": "refresh"}\'')
    with_token = Access(environ, own=tokened.address)
    push(make_image(b"one"), parse(f"{tokened.address}/x:1"), access=with_token)
    assert given.forms[0]["refresh_token"] == ["refresh"]
    assert given.forms[0]["grant_type"] == ["refresh_token"]


def test_tokens_that_run_out_during_an_upload_are_got_anew(
    tokened: Registry, given: Tokens, make_image: MakeImage, make_noise: MakeNoise, tmp_path: Path
) -> None:
    given.seconds = 1
    big = make_noise(150 << 20)
    pushed = push(make_image(big), parse(f"{tokened.address}/x:1"), access=ada(tokened, tmp_path))
    assert len(pushed.blobs) == 2
    assert len(given.asked) > 1
