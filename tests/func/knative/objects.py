"""Objects as Knative and Kubernetes write them, as small as the code under test lets them be."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def service(
    name: str = "greeter",
    *,
    traffic: list[Object] | None = None,
    ready: str = "True",
    newest: str | None = None,
    **spec: Any,
) -> Object:
    """A Service whose newest revision is its second, and gets all requests."""
    latest = newest or f"{name}-00002"
    routed = [{"revisionName": latest, "latestRevision": True, "percent": 100}]
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": f"uid-{name}",
            "generation": 2,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"template": {"spec": {"containers": [{"image": "img@sha256:1"}], **spec}}},
        "status": {
            "observedGeneration": 2,
            "url": f"http://{name}.team.example.com",
            "latestCreatedRevisionName": latest,
            "latestReadyRevisionName": latest,
            "traffic": routed if traffic is None else traffic,
            "conditions": [condition("Ready", ready)],
        },
    }


def ingress(host: str = "", *, private: str = "greeter.team.svc.cluster.local") -> Object:
    """What Knative tells its ingress of greeter: by its private name, and if given by `host`."""

    def rule(visibility: str, *hosts: str) -> Object:
        splits = [{"serviceName": "greeter-00002", "percent": 100}]
        return {
            "hosts": [*hosts],
            "visibility": visibility,
            "http": {"paths": [{"splits": splits}]},
        }

    rules = [rule("ClusterLocal", "greeter.team", "greeter.team.svc", private)]
    return {
        "metadata": {"name": "greeter", "namespace": "team"},
        "spec": {"rules": rules if host in ("", private) else [*rules, rule("ExternalIP", host)]},
        "status": {
            "publicLoadBalancer": {"ingress": [{"domainInternal": "door.edge.svc.cluster.local"}]},
            "privateLoadBalancer": {"ingress": [{"domainInternal": "back.edge.svc.cluster.local"}]},
        },
    }


def revision(number: int, *, name: str = "greeter", ready: str = "True", **told: str) -> Object:
    """The revision of that number."""
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Revision",
        "metadata": {
            "name": f"{name}-{number:05}",
            "namespace": "team",
            "creationTimestamp": f"2026-01-01T00:00:{number:02}Z",
            "labels": {
                "serving.knative.dev/service": name,
                "serving.knative.dev/configurationGeneration": str(number),
            },
        },
        "spec": {"containers": [{"image": f"img@sha256:{number}"}]},
        "status": {"conditions": [condition("Ready", ready, **told)]},
    }


def pod(number: int, end: str = "abcde", *, name: str = "greeter", ready: str = "True") -> Object:
    """A pod of the revision of that number."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name}-{number:05}-deployment-1-{end}",
            "namespace": "team",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {
                "serving.knative.dev/service": name,
                "serving.knative.dev/revision": f"{name}-{number:05}",
            },
        },
        "spec": {"nodeName": "node", "containers": [{"name": "user-container"}]},
        "status": {
            "conditions": [
                condition("Ready", ready),
                {**condition("PodScheduled", "True"), "lastTransitionTime": "2026-01-01T00:00:02Z"},
            ],
            "containerStatuses": [
                {
                    "name": "user-container",
                    "containerID": f"containerd://{end}",
                    "state": {"running": {"startedAt": "2026-01-01T00:00:05Z"}},
                },
                {"name": "queue-proxy", "containerID": f"containerd://{end}-proxy"},
            ],
        },
    }


def condition(kind: str, status: str, *, reason: str = "", message: str = "") -> Object:
    """A condition of an object."""
    return {"type": kind, "status": status, "reason": reason, "message": message}
