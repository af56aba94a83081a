"""The Knative Service of a release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlfunc.errors import UsageError
from mlfunc.knative import container, metadata, placement, scaling, syntax, timeouts, volumes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlfunc.function import Function
    from mlfunc.knative.release import Release

Object = dict[str, Any]


def manifest(release: Release, *, traffic: Sequence[Object] | None = None) -> Object:
    """As server-side apply takes it: what is left out, Knative fills in.

    Raises:
        UsageError: as `check`.

    """
    check(release.function)
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": release.name,
            "namespace": release.namespace,
            **metadata.of_service(release.function),
        },
        "spec": {
            "template": {"metadata": metadata.of_template(release), "spec": _spec(release)},
            "traffic": list(traffic or [{"latestRevision": True, "percent": 100}]),
        },
    }


def check(function: Function) -> None:
    """Whether Knative can be asked for what mlfunc.yaml says, whatever a cluster lets its users do.

    Raises:
        UsageError: it cannot; each key has its line.

    """
    found = list(_problems(function))
    if len(found) > 1:
        raise UsageError(
            f"mlfunc.yaml has {len(found)} mistakes:\n" + "\n".join(f"  {each}" for each in found)
        )
    if found:
        raise UsageError(found[0])


def _problems(function: Function) -> Iterator[str]:
    yield from container.problems(function)
    yield from volumes.problems(function)
    yield from scaling.problems(function)
    yield from placement.problems(function)
    yield from metadata.problems(function)
    for key in ("service_account", "pull_secret"):
        name = getattr(function.deploy, key)
        if name is not None and not syntax.is_name(name):
            yield f"deploy.{key}: nothing in Kubernetes can be called {name}"


def _spec(release: Release) -> Object:
    function = release.function
    return {
        "containerConcurrency": function.serve.concurrency,
        "enableServiceLinks": False,
        **timeouts.of(function),
        **_identity(function),
        **placement.of(function),
        "containers": [container.of(release)],
        "volumes": volumes.of(release),
    }


def _identity(function: Function) -> Object:
    """Who the pod is. With an account of its own it gets the token of that, else none."""
    account, secret = function.deploy.service_account, function.deploy.pull_secret
    return {
        **({"serviceAccountName": account} if account else {"automountServiceAccountToken": False}),
        **({"imagePullSecrets": [{"name": secret}]} if secret else {}),
    }
