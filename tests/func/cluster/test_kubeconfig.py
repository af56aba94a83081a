"""The context that is meant is the one that kubectl would take."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from mlfunc.cluster import kubeconfig
from mlfunc.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


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


@pytest.mark.parametrize(
    ("text", "context", "said"),
    [
        ("contexts: [{name: prod}]", None, "has no current context; it knows prod"),
        ("contexts: [{name: prod}]", "prd", "no context 'prd'; did you mean prod?"),
        ("contexts:", "prod", "no context 'prod'; there is no context at all"),
        ("contexts: []\ncurrent-context: ''", None, "no cluster is configured: there is none in"),
        ("current-context: gone", None, "no context 'gone'"),
        ("{", None, "is no YAML"),
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


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"there is none in {tmp_path / 'gone'}"):
        choose(tmp_path / "gone")
