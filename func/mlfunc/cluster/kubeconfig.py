"""Which files and which context are meant, as kubectl decides it. What they hold is not checked.

The package of Kubernetes takes the current context of the last file that has one; kubectl takes
the first. Where several files name the same context, both take the first.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlfunc.errors import UsageError
from mlfunc.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_HOME = "~/.kube/config"
_LOG_IN = (
    "set KUBECONFIG to the cluster's file, or log in with your provider's command line;"
    " --platform local needs none"
)


@dataclass(frozen=True)
class Chosen:
    """A context, and the files that it is to be read from."""

    files: tuple[Path, ...]
    name: str
    namespace: str
    plugin: str | None = None  # the command that logs its user in
    impersonation: tuple[tuple[str, str], ...] = ()  # headers


def files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Those of $KUBECONFIG, else ~/.kube/config, as far as they are there.

    Raises:
        UsageError: $KUBECONFIG names none that is: no cluster, and surely one that is meant.

    """
    told = environ.get("KUBECONFIG", "")
    paths = [Path(each).expanduser() for each in (told or _HOME).split(os.pathsep) if each]
    if told and not any(path.exists() for path in paths):
        message = f"KUBECONFIG names what is not there: {', '.join(map(str, paths))}"
        raise UsageError(message, "correct or unset it; --platform local needs none")
    return tuple(path for path in paths if path.is_file() and path.stat().st_size)


def choose(environ: Mapping[str, str], context: str | None) -> Chosen:
    """The context of that name, else the current one.

    Raises:
        UsageError: there is none, or a file is no kubeconfig.

    """
    found = files(environ)
    documents = [_read(path) for path in found]
    contexts = {each["name"]: each for each in reversed([*_all(documents, "contexts", "context")])}
    current = (each.get("current-context") for each in documents)
    name = context or next((str(each) for each in current if each), None)
    if name is None:
        raise _no_context(environ, contexts)
    if name not in contexts:
        known = did_you_mean(name, contexts) if contexts else "there is no context at all"
        raise UsageError(f"kubeconfig has no context {name!r}; {known}", "kubectl config view")
    return _chosen(found, documents, contexts[name])


def _chosen(
    found: tuple[Path, ...], documents: Sequence[dict[str, Any]], context: dict[str, Any]
) -> Chosen:
    told = context["context"]
    users = _all(documents, "users", "user")
    user: dict[str, Any] = next((u["user"] for u in users if u["name"] == told.get("user")), {})
    return Chosen(
        files=found,
        name=context["name"],
        namespace=told.get("namespace") or "default",
        plugin=_mapping(user.get("exec")).get("command"),
        impersonation=tuple(_impersonation(user)),
    )


def _impersonation(user: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if name := user.get("as"):
        yield "impersonate-user", name
    yield from (("impersonate-group", group) for group in user.get("as-groups") or ())


def _all(documents: Sequence[dict[str, Any]], key: str, inner: str) -> Iterator[dict[str, Any]]:
    """The named entries of all files, those of the first file first."""
    for document in documents:
        entries = document.get(key)
        for each in entries if isinstance(entries, list) else ():
            if isinstance(each, dict) and "name" in each:
                yield {"name": str(each["name"]), inner: _mapping(each.get(inner))}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.load(path.read_bytes(), Loader=_loader())  # noqa: S506 - a safe one
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        message = f"{path} is no YAML: line {line}: {error.problem}"
        raise UsageError(message, "kubectl config view") from error
    except yaml.YAMLError as error:  # of bytes that are no text
        message = f"{path} is no YAML: {str(error).splitlines()[0]}"
        raise UsageError(message, "kubectl config view") from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} is no kubeconfig", "kubectl config view")
    return document


def _loader() -> Any:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a tenth of the time, where it is built


def _no_context(environ: Mapping[str, str], contexts: Mapping[str, Any]) -> UsageError:
    if contexts:
        known = ", ".join(sorted(contexts))
        message = f"kubeconfig has no current context; it knows {known}"
        return UsageError(message, "--context NAME, or kubectl config use-context NAME")
    where = environ.get("KUBECONFIG") or _HOME
    return UsageError(f"no cluster is configured: there is none in {where}", _LOG_IN)
