"""The Knative Service of a release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlfunc.knative import container, names, scaling, timeouts, volumes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.function import Function
    from mlfunc.knative.release import Release

Object = dict[str, Any]


def manifest(release: Release, *, traffic: Sequence[Object] | None = None) -> Object:
    """As server-side apply takes it: what is left out, Knative fills in.

    Raises:
        UsageError: mlfunc.yaml asks for what Knative cannot give.

    """
    function = release.function
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": release.name,
            "namespace": release.namespace,
            "labels": {**_labels(function), **_visibility(function)},
            "annotations": {**function.deploy.annotations, names.FUNCTION_DEPLOYER: "knative"},
        },
        "spec": {
            "template": _template(release),
            "traffic": list(traffic or [{"latestRevision": True, "percent": 100}]),
        },
    }


def _template(release: Release) -> Object:
    function = release.function
    return {
        "metadata": {
            "labels": _labels(function),
            "annotations": {
                **function.deploy.annotations,
                **scaling.of(function),
                names.PROGRESS_DEADLINE: f"{timeouts.progress_deadline(release)}s",
            },
        },
        "spec": {
            "containerConcurrency": function.serve.concurrency,
            "enableServiceLinks": False,
            **timeouts.of(function),
            **_identity(function),
            **_placement(function),
            "containers": [container.of(release)],
            "volumes": volumes.of(release),
        },
    }


def _labels(function: Function) -> dict[str, str]:
    return {
        **function.deploy.labels,
        names.FUNCTION_NAME: function.name,
        names.FUNCTION_RUNTIME: "python",
        names.BOSON: "true",
        names.MANAGED_BY: "mlfunc",
    }


def _visibility(function: Function) -> dict[str, str]:
    local = function.deploy.visibility == "cluster-local"
    return {names.VISIBILITY: "cluster-local"} if local else {}


def _identity(function: Function) -> Object:
    account, secret = function.deploy.service_account, function.deploy.pull_secret
    found: Object = {"serviceAccountName": account} if account else {}
    return {**found, **({"imagePullSecrets": [{"name": secret}]} if secret else {})}


def _placement(function: Function) -> Object:
    selector = {**container.node_selector(function), **function.placement.node_selector}
    tolerations = _tolerations(function)
    found: Object = {"nodeSelector": selector} if selector else {}
    return {**found, **({"tolerations": tolerations} if tolerations else {})}


def _tolerations(function: Function) -> list[Object]:
    import msgspec

    return [
        {key: value for key, value in msgspec.to_builtins(each).items() if value is not None}
        for each in function.placement.tolerations
    ]
