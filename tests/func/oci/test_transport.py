from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest
import trustme
from mlfunc.errors import RegistryFailed
from mlfunc.oci import pull
from mlfunc.oci.push import push
from mlfunc.oci.reference import parse
from mlfunc.oci.transport import Access, proxy

from tests.rig.registry import Registry, registry
from tests.rig.spec import Spec, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlfunc.oci.content import Image

    from tests.func.oci.conftest import Line

    MakeImage = Callable[..., Image]


@pytest.fixture
def authority() -> trustme.CA:
    """Who signs the registry's certificate."""
    return trustme.CA()


@pytest.fixture
def secured(authority: trustme.CA, tmp_path: Path) -> Iterator[Registry]:
    """A registry with TLS."""
    certificate = authority.issue_cert("127.0.0.1")
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    certificate.private_key_pem.write_to_path(key)
    certificate.cert_chain_pems[0].write_to_path(chain)
    http = {"tls": {"certificate": str(chain), "key": str(key)}}
    with registry(tmp_path / "registry", http=http) as running:
        yield running


def test_a_certificate_of_an_authority_that_is_named_is_trusted(
    secured: Registry,
    authority: trustme.CA,
    make_image: MakeImage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    push(make_image(b"one"), parse(f"https://{secured.address}/x:1"))


def test_an_authority_for_one_registry_lies_where_docker_looks_for_it(
    secured: Registry, authority: trustme.CA, make_image: MakeImage, tmp_path: Path
) -> None:
    path = tmp_path / ".docker/certs.d" / secured.address / "ca.crt"
    path.parent.mkdir(parents=True)
    authority.cert_pem.write_to_path(path)
    access = Access({"HOME": str(tmp_path)})
    push(make_image(b"one"), parse(f"https://{secured.address}/x:1"), access=access)


def test_a_certificate_that_nobody_vouches_for_is_refused_with_the_way_out(
    secured: Registry, make_image: MakeImage
) -> None:
    with pytest.raises(RegistryFailed, match="cannot be trusted") as caught:
        push(make_image(b"one"), parse(f"https://{secured.address}/x:1"))
    assert "SSL_CERT_FILE" in caught.value.hint
    assert "--insecure" in caught.value.hint


def insecure(address: str) -> Access:
    environ = {"MLFUNC_REGISTRY_USER": "ada", "MLFUNC_REGISTRY_PASSWORD": "secret"}
    return Access(environ, own=address, insecure=True, waits=(0, 0))


def test_insecure_takes_any_certificate(secured: Registry, make_image: MakeImage) -> None:
    to = parse(f"https://{secured.address}/x:1")
    push(make_image(b"one"), to, access=insecure(secured.address))


def test_insecure_is_for_one_registry_and_no_other(secured: Registry) -> None:
    other = insecure("elsewhere.example.com")
    with pytest.raises(RegistryFailed, match="cannot be trusted"):
        pull.load(parse(f"https://{secured.address}/x:1"), "linux/amd64", other)


def test_insecure_takes_plain_http_where_no_tls_is_spoken(
    plain: Registry, make_image: MakeImage
) -> None:
    to = parse(f"https://{plain.address}/x:1")
    push(make_image(b"one"), to, access=insecure(plain.address))


def test_insecure_does_not_try_plain_http_where_tls_is_cut_off(
    secured: Registry, line: Callable[..., Line], make_image: MakeImage
) -> None:
    flaky = line(secured.address, *range(1, 100))
    to = parse(f"https://{flaky.address}/x:1")
    with pytest.raises(RegistryFailed):
        push(make_image(b"one"), to, access=insecure(flaky.address))
    assert flaky.up < 3000  # a hello of TLS, and nothing after it
    assert "client sent an HTTP request" not in secured.log


def test_plain_http_is_not_spoken_unasked(plain: Registry, make_image: MakeImage) -> None:
    with pytest.raises(RegistryFailed, match="does not speak TLS") as caught:
        push(make_image(b"one"), parse(f"https://{plain.address}/x:1"))
    assert f"http://{plain.address}" in caught.value.hint


def test_a_proxy_is_asked_for_what_is_not_on_this_machine(make_image: MakeImage) -> None:
    with serve(Spec()) as through:
        environ = {"http_proxy": f"http://ada:secret@{through.address}"}
        push(make_image(b"one"), parse("http://registry.test/x:1"), access=Access(environ))
        asked = [path for _, path, _, _ in through.log]
        assert asked
        assert all(path.startswith("http://registry.test/v2/x/") for path in asked)
        assert all("proxy-authorization" in headers for _, _, headers, _ in through.log)


def test_tls_goes_through_a_proxy_unread() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        heard: list[bytes] = []

        def refuse() -> None:
            client, _ = listener.accept()
            with client:
                heard.append(client.recv(1000))
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        environ = {"HTTPS_PROXY": f"127.0.0.1:{listener.getsockname()[1]}"}
        with pytest.raises(RegistryFailed, match="403"):
            pull.load(parse("registry.test/x:1"), "linux/amd64", Access(environ))
        thread.join()
    assert heard[0].startswith(b"CONNECT registry.test:443 ")


@pytest.mark.parametrize(
    ("listed", "url", "through"),
    [
        ("", "https://host.io", "p"),
        ("host.io", "https://host.io", ""),
        (".host.io", "https://a.host.io", ""),
        ("a.io, host.io:5000", "https://host.io:5000", ""),
        ("host.io:5000", "https://host.io:5001", "p"),
        ("ost.io", "https://host.io", "p"),
        ("10.0.0.0/8", "https://10.1.2.3:5000", ""),
        ("*", "https://host.io", ""),
        ("", "https://localhost:5000", ""),
        ("", "https://127.0.0.1:5000", ""),
        ("", "http://host.io", ""),
    ],
)
def test_no_proxy_means_what_it_means_to_curl(listed: str, url: str, through: str) -> None:
    assert proxy(url, {"https_proxy": "p", "NO_PROXY": listed}) == through


def test_a_host_that_is_not_there_is_told() -> None:
    with pytest.raises(RegistryFailed, match=r"there is no host registry\.invalid"):
        pull.load(parse("registry.invalid/x:1"), "linux/amd64")
