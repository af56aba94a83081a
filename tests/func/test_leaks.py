"""Secrets are found before they are packed, and never shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc import leaks
from mlfunc.errors import UsageError
from mlfunc.layers.tree import File, Tree

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGH"
# Put together here, so that no scanner takes this file for what it is about.
SECRETS = {
    "a private key": "-----BEGIN " + "PRIVATE KEY-----\n" + "A" * 64 + "\n",
    "a token of Hugging Face": "hf_" + _LETTERS,
    "an access key of AWS": "AKIA" + "ABCDEFGH234567AB",
    "a token of GitHub": "ghp_" + "a1" * 18,
    "a token of PyPI": "pypi-" + "AgEIcHlwaS5vcmc" + "a" * 60,
    "a secret key of AWS": "aws_secret_" + "access_key = " + "a/+1" * 10,
    "a fine-grained token of GitHub": "github_" + "pat_" + "a1" * 11 + "_" + "b2" * 29 + "c",
    "a token of GitLab": "glpat-" + "a1_-" * 5,
    "a token of OpenAI": "sk-proj-" + "a_-1" * 18 + "T3Blbk" + "FJ" + "b_-2" * 18,
    "a token of Anthropic": "sk-ant-" + "api03-" + "a_-1" * 23 + "AA",
    "a token of Replicate": "r8_" + "a" * 37,
    "an API key of Google": "AIza" + "a1_-B" * 7,
}


def tree(**files: str) -> Tree:
    return Tree(tuple(File(path, (text.encode(),)) for path, text in files.items()))


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_refused_with_its_line_and_not_shown(kind: str) -> None:
    secret = SECRETS[kind]

    with pytest.raises(UsageError) as refused:
        leaks.check(tree(**{"lib/client.py": f"# one\nKEY = '''{secret}'''\n"}))

    assert refused.value.evidence == f"lib/client.py, line 2: {kind}"
    assert secret[8:] not in f"{refused.value.message} {refused.value.hint} {refused.value}"


@pytest.mark.parametrize("path", [".netrc", "a/.pypirc", "keys/id_rsa", "b/.env"])
def test_a_file_that_exists_to_hold_passwords_is_refused(path: str) -> None:
    for published in (False, True):
        with pytest.raises(UsageError, match="secrets"):
            leaks.check(tree(**{path: "x"}), published=published)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("pip.conf", "index-url = https://ada:lovelace@index.example.com/simple"),
        ("x.dist-info/direct_url.json", '{"url": "https://ada:lovelace@example.com/x.whl"}'),
        (".npmrc", "//registry.example.com/:_authToken=lovelace"),
        ("kubeconfig", "users:\n- user:\n    token: lovelace\n"),
        ("docker/config.json", '{"auths": {"example.com": {"auth": "YWRhOmxvdmVsYWNl"}}}'),
    ],
)
def test_passwords_in_settings_are_refused(path: str, text: str) -> None:
    with pytest.raises(UsageError) as refused:
        leaks.check(tree(**{path: text}))

    assert "a password" in refused.value.evidence
    assert "lovelace" not in refused.value.evidence


def test_published_packages_may_have_keys_of_their_tests() -> None:
    packages = tree(**{"gevent/tests/server.key": SECRETS["a private key"]})

    leaks.check(packages, published=True)


def test_a_line_that_says_so_is_no_secret() -> None:
    leaks.check(
        tree(**{"x.py": f"KEY = '{SECRETS['an access key of AWS']}'  # mlfunc: not a secret\n"})
    )


def test_many_are_counted_and_few_are_named() -> None:
    many = {f"{number}/.netrc": "x" for number in range(8)}

    with pytest.raises(UsageError) as refused:
        leaks.check(tree(**many))

    assert refused.value.evidence.endswith("... and 3 more")


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=200))
def test_ordinary_text_is_no_secret(text: str) -> None:
    leaks.check(tree(**{"config.json": text.replace("auths", ""), "notes.txt": text}))


@given(
    before=st.text(alphabet=st.characters(max_codepoint=127), max_size=100),
    after=st.text(alphabet=st.characters(max_codepoint=127), max_size=100),
    kind=st.sampled_from(sorted(SECRETS)),
)
def test_no_text_around_a_secret_hides_it_or_shows_it(before: str, after: str, kind: str) -> None:
    text = f"{before}\n'{SECRETS[kind]}'\n{after}"

    (found,) = leaks.leaks(tree(**{"x.txt": text}))

    assert str(found) == f"x.txt, line {before.count(chr(10)) + 2}: {kind}"


def test_a_path_is_said_as_the_user_knows_it() -> None:
    with pytest.raises(UsageError) as refused:
        leaks.check(tree(**{"workspace/.netrc": "x"}), shown=lambda path: path.partition("/")[2])

    assert refused.value.evidence == ".netrc: passwords for curl and git"
