"""Labels and annotations of a Knative Service and of its revisions: ours, and those of `deploy`.

Which of the two may have which annotation is Knative's choice: its webhook refuses those of the
autoscaler on a Service, and those of the network on a revision.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mlfunc.knative import names, scaling, syntax, timeouts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from mlfunc.function import Function
    from mlfunc.knative.release import Model, Release

_KNATIVE = "serving.knative.dev/"
# Annotations that only revisions read, and those that only a Service may have.
_OF_REVISIONS = (
    names.AUTOSCALING,
    "queue.sidecar.serving.knative.dev/",
    "features.knative.dev/",
    names.PROGRESS_DEADLINE,
)
_OF_SERVICES = ("networking.knative.dev/", "serving.knative.dev/rollout-duration")
_OURS = (
    names.FUNCTION_NAME,
    names.FUNCTION_RUNTIME,
    names.FUNCTION_DEPLOYER,
    names.BOSON,
    names.MANAGED_BY,
    names.MODELS,
    names.REPLY_TYPE,
    names.ACCELERATOR,
    names.APPLIED,
)


def of_service(function: Function) -> dict[str, dict[str, str]]:
    """Labels and annotations of the Service, which gives them to its Route."""
    local = function.deploy.visibility == "cluster-local"
    return {
        "labels": {**labels(function), **({names.VISIBILITY: "cluster-local"} if local else {})},
        "annotations": {
            **_without(function.deploy.annotations, _OF_REVISIONS),
            names.FUNCTION_DEPLOYER: "knative",
            names.REPLY_TYPE: function.reply_type,
        },
    }


def of_template(release: Release) -> dict[str, dict[str, str]]:
    """Those of the template, which its revisions and their pods get."""
    function = release.function
    return {
        "labels": labels(function),
        "annotations": {
            **scaling.of(function),
            names.PROGRESS_DEADLINE: f"{timeouts.progress_deadline(release)}s",
            names.ACCELERATOR: function.accelerator_type,
            **({names.MODELS: _models(release.models)} if release.models else {}),
            **_without(function.deploy.annotations, _OF_SERVICES),
        },
    }


def labels(function: Function) -> dict[str, str]:
    """By which func, kn and the console of OpenShift know a function."""
    return {
        **function.deploy.labels,
        names.FUNCTION_NAME: function.name,
        names.FUNCTION_RUNTIME: "python",
        names.BOSON: "true",
        names.MANAGED_BY: "mlfunc",
    }


def problems(function: Function) -> Iterator[str]:
    """What is wrong with `deploy.labels` and `deploy.annotations`."""
    for key, value in function.deploy.labels.items():
        if problem := _label_problem(key, value):
            yield f"deploy.labels.{key}: {problem}"
    written = scaling.of(function)
    for key in function.deploy.annotations:
        if problem := _annotation_problem(key, written):
            yield f"deploy.annotations.{key}: {problem}"


def _label_problem(key: str, value: str) -> str | None:
    if not (syntax.is_key(key) and syntax.is_label(value)):
        return f"Kubernetes takes no label {key}: {value}"
    if key == names.VISIBILITY:
        return "write `deploy: {visibility: cluster-local}`"
    if key.startswith(_KNATIVE):  # passes on a Service, and fails its revisions later
        return "this label is set by Knative"
    return "this label is set by mlfunc" if key in _OURS else None


def _annotation_problem(key: str, written: Collection[str]) -> str | None:
    # Unlike those of labels, their prefixes may be in capitals.
    if not syntax.is_key(key.lower()):
        return "Kubernetes takes no annotation of this name"
    if scaling.present(key) in written:
        return "this annotation is set by `scale` and `serve`"
    return "this annotation is set by mlfunc" if key in _OURS else None


def _without(annotations: Mapping[str, str], prefixes: tuple[str, ...]) -> dict[str, str]:
    return {key: value for key, value in annotations.items() if not key.startswith(prefixes)}


def _models(models: tuple[Model, ...]) -> str:
    """For `mlfunc describe`, which has the cluster only."""
    told = [
        {
            "name": each.name,
            "uri": each.uri,
            "delivery": each.delivery,
            "size": each.size,
            **({"image": each.image} if each.image else {}),
        }
        for each in models
    ]
    return json.dumps(told, separators=(",", ":"))
