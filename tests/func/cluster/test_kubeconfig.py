"""The context that is meant is the one that kubectl would take."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.cluster import kubeconfig
from mlfunc.errors import UsageError


def config(path: Path, *contexts: str, current: str | None = None, **user: Any) -> Path:
    document: dict[str, Any] = {
        "contexts": [
            {
                "name": name,
                "context": {"cluster": "c", "user": "u", "namespace": f"{path.stem}-{name}"},
            }
            for name in contexts
        ],
        "users": [{"name": "u", "user": user}],
    }
    if current is not None:
        document["current-context"] = current
    path.write_text(yaml.safe_dump(document))
    return path


def choose(*paths: Path, context: str | None = None) -> kubeconfig.Chosen:
    environ = {"KUBECONFIG": os.pathsep.join(map(str, paths))}
    return kubeconfig.choose(environ, context)


def test_the_first_file_with_a_current_context_says_it(tmp_path: Path) -> None:
    """The package of Kubernetes would take the last."""
    first = config(tmp_path / "one", "a", "b", current="")
    second = config(tmp_path / "two", "b", current="b")
    third = config(tmp_path / "three", "c", current="c")

    chosen = choose(tmp_path / "missing", first, second, third)

    assert chosen.name == "b"
    assert chosen.namespace == "one-b", "of two contexts of one name, the first is taken"
    assert chosen.files == (first, second, third)


def test_a_context_may_be_named_that_is_not_current(tmp_path: Path) -> None:
    file = config(tmp_path / "one", "a", "b", current="a")

    assert choose(file, context="b").name == "b"


def test_a_context_without_a_namespace_means_default(tmp_path: Path) -> None:
    file = tmp_path / "one"
    file.write_text("contexts: [{name: a, context: {cluster: c}}]\ncurrent-context: a\n")

    assert choose(file).namespace == "default"


def test_the_plugin_and_whom_it_stands_for_are_known(tmp_path: Path) -> None:
    user = {"exec": {"command": "aws"}, "as": "ada", "as-groups": ["x", "y"]}
    chosen = choose(config(tmp_path / "one", "a", current="a", **user))

    assert chosen.plugin == "aws"
    assert chosen.impersonation == (
        ("impersonate-user", "ada"),
        ("impersonate-group", "x"),
        ("impersonate-group", "y"),
    )


def test_the_file_of_the_home_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    file = config(tmp_path / ".kube" / "config", "a", current="a")

    assert kubeconfig.files({}) == kubeconfig.files({"KUBECONFIG": ""}) == (file,)


def test_a_variable_that_names_no_file_that_is_there_means_no_other_place(tmp_path: Path) -> None:
    """Of a list, one that is there will do, as with kubectl; /dev/null is there, and has none."""
    gone, file = tmp_path / "gone", config(tmp_path / "one", "a")

    with pytest.raises(UsageError, match=f"KUBECONFIG names what is not there: {gone}") as no:
        kubeconfig.files({"KUBECONFIG": str(gone)})

    assert "--platform local" in no.value.hint
    assert kubeconfig.files({"KUBECONFIG": f"{gone}{os.pathsep}{file}"}) == (file,)
    assert kubeconfig.files({"KUBECONFIG": os.devnull}) == ()


@pytest.mark.parametrize(
    ("text", "context", "said"),
    [
        ("contexts: [{name: prod}]", None, "has no current context; it knows prod"),
        ("contexts: [{name: prod}]", "prd", "no context 'prd'; did you mean prod?"),
        ("contexts:", "prod", "no context 'prod'; there is no context at all"),
        ("contexts: []\ncurrent-context: ''", None, "no cluster is configured: there is none in"),
        ("current-context: gone", None, "no context 'gone'"),
        ("a: b\n{", None, "is no YAML: line "),
        ("a: \x00", None, "is no YAML"),
        ("- 1", None, "is no kubeconfig"),
        ("", None, "no cluster is configured"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, text: str, context: str | None, said: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)

    with pytest.raises(UsageError) as raised:
        choose(file, context=context)

    assert said in raised.value.message
    assert raised.value.hint


JUNK = st.none() | st.integers() | st.text("ab", max_size=2)
ENTRY = st.fixed_dictionaries(
    {"name": JUNK}, optional={"context": JUNK | st.just({"user": "a"}), "user": JUNK}
)
FILE = st.fixed_dictionaries({}, optional={
    "contexts": JUNK | st.lists(JUNK | ENTRY, max_size=2),
    "users": JUNK | st.lists(JUNK | ENTRY, max_size=2),
    "current-context": JUNK,
})  # fmt: skip


@given(FILE)
def test_whatever_a_file_holds_is_a_context_or_a_complaint(content: dict[str, Any]) -> None:
    with tempfile.NamedTemporaryFile("w") as file, contextlib.suppress(UsageError):
        yaml.safe_dump(content, file)
        assert isinstance(choose(Path(file.name)).name, str)
