"""Secrets that would be packed by accident: found in a tree before it becomes a layer.

An image is read by whoever may pull it, and a layer stays readable though a later one hides it.
What is looked for is unmistakable: a file that exists to hold a password, a private key, a token
whose issuer gave it a form of its own.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlfunc.errors import UsageError
from mlfunc.layers import reading
from mlfunc.layers.tree import File, Link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlfunc.layers.tree import Tree

# Larger files are data: nobody writes a password into them by hand.
_MOST_BYTES = 1 << 20
_SHOWN_AT_MOST = 5
# A line that has this word is meant: an example, a test's own key.
_ALLOWED = b"mlfunc: not a secret"
_NAMES = {
    ".netrc": "passwords for curl and git",
    "_netrc": "passwords for curl and git",
    ".pypirc": "passwords of package indexes",
    ".git-credentials": "passwords for git",
    ".pgpass": "passwords of databases",
    "id_rsa": "a private key",
    "id_ecdsa": "a private key",
    "id_ed25519": "a private key",
    ".env": "variables, which often are passwords",
}
_FORMS = {
    "a private key": rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s*\n[A-Za-z0-9+/=\s]{64}",
    "a token of Hugging Face": rb"\bhf_[A-Za-z]{34}\b",
    "an access key of AWS": rb"\b(?:AKIA|ASIA)(?!IOSFODNN7EXAMPLE)[A-Z2-7]{16}\b",
    "a secret key of AWS": (
        rb"(?i:aws_secret_access_key)[\"']?\s*[=:]\s*[\"']?(?!wJalrXUtnFEMI)[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])"
    ),
    "a token of GitHub": rb"\bgh[pousr]_[A-Za-z0-9]{36}\b",
    "a fine-grained token of GitHub": rb"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b",
    "a token of GitLab": rb"\bglpat-[A-Za-z0-9_-]{20,}",
    "a token of PyPI": rb"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}",
    "a token of OpenAI": rb"\bsk-[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,}",
    "a token of Anthropic": rb"\bsk-ant-[a-z0-9]+-[A-Za-z0-9_-]{80,}",
    "a token of Replicate": rb"\br8_[A-Za-z0-9]{37}\b",
    "an API key of Google": rb"\bAIza[A-Za-z0-9_-]{35}",
    "a token of Slack": rb"\bxox[abprs]-[0-9]{10,}-[A-Za-z0-9-]{20,}",
    "a service account of Google": rb'"private_key_id"\s*:\s*"[0-9a-f]{40}"',
}
# In files of settings only: elsewhere such an address is an example more often than not.
_SETTINGS = {
    "pip.conf": rb"://[^/\s:@]+:[^/\s@]+@",
    "uv.toml": rb"://[^/\s:@]+:[^/\s@]+@",
    "direct_url.json": rb"://[^/\s:@\"]+:[^/\s@\"]+@",
    ".npmrc": rb"_(?:authToken|auth|password)\s*=\s*(?!\$\{)\S",
    "kubeconfig": rb"\b(?:client-key-data|token):\s*\S",
    "application_default_credentials.json": rb'"refresh_token"\s*:\s*"[^"]',
    "config.json": rb'"auths"\s*:\s*\{[^{}]*\{[^{}]*"(?:auth|password|identitytoken)"\s*:\s*"[^"]',
}
_ANY = re.compile(b"|".join(b"(%s)" % form for form in _FORMS.values()))


@dataclass(frozen=True)
class Leak:
    """Where something lies that looks like a secret; never what it is. Line 0: the file itself."""

    path: str
    line: int
    kind: str

    def __str__(self) -> str:
        return f"{self.path}{f', line {self.line}' if self.line else ''}: {self.kind}"


def check(
    tree: Tree,
    *,
    published: bool = False,
    shown: Callable[[str], str] = lambda path: path,
    what: str = "the image",
    step: str = "name the file in .mlfuncignore",
) -> None:
    """Whether a tree may become part of `what`; `shown` says how the user calls a path in it.
    `step` keeps a secret out of it.

    What is `published`, as packages of an index are, has keys of tests and tokens of examples in
    it, which are no secrets: there, only files that exist to hold passwords are refused.

    Raises:
        UsageError: it holds what looks like a secret; where, and what kind of one.

    """
    found = [replace(leak, path=shown(leak.path)) for leak in leaks(tree, published=published)]
    if found:
        more = (
            f"\n... and {len(found) - _SHOWN_AT_MOST} more" if len(found) > _SHOWN_AT_MOST else ""
        )
        hint = (
            f"{step}, and let the cluster keep the secret: "
            "`env: {TOKEN: {secret: NAME, key: KEY}}`; "
            f"if it is none, say so in its line: {_ALLOWED.decode()}"
        )
        evidence = "\n".join(map(str, found[:_SHOWN_AT_MOST])) + more
        raise UsageError(f"{what} would hold secrets", hint, evidence=evidence)


def leaks(tree: Tree, *, published: bool = False) -> Iterator[Leak]:
    """All that are found, in the order of their paths."""
    for entry in tree.entries:
        name = posixpath.basename(entry.path)
        if isinstance(entry, (File, Link)) and name in _NAMES:
            yield Leak(entry.path, 0, _NAMES[name])
        elif isinstance(entry, File) and entry.size <= _MOST_BYTES:
            yield from _passwords(entry, _SETTINGS.get(name))
            yield from () if published else _tokens(entry)


def _tokens(file: File) -> Iterator[Leak]:
    data = b"".join(reading.read(file.pieces))
    for match in _ANY.finditer(data):
        yield from _leak(file, data, match, tuple(_FORMS)[(match.lastindex or 1) - 1])


def _passwords(file: File, form: bytes | None) -> Iterator[Leak]:
    data = b"".join(reading.read(file.pieces)) if form else b""
    if form and (match := re.search(form, data)):
        yield from _leak(file, data, match, "a password")


def _leak(file: File, data: bytes, match: re.Match[bytes], kind: str) -> Iterator[Leak]:
    start = data.rfind(b"\n", 0, match.start()) + 1
    end = data.find(b"\n", match.end())
    if _ALLOWED not in data[start : end if end >= 0 else len(data)]:
        yield Leak(file.path, data.count(b"\n", 0, match.start()) + 1, kind)
