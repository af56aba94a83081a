"""The kinds of objects that mlfunc reads or writes, and where the API server keeps them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of object; `group` is empty for Kubernetes' own core."""

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As manifests have it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Where the API server keeps all of them, those of a namespace, or one."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        where = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{where}/{self.plural}" + (f"/{name}" if name else "")


NAMESPACE = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
NODE = Kind("", "v1", "nodes", "Node", namespaced=False)
POD = Kind("", "v1", "pods", "Pod")
EVENT = Kind("", "v1", "events", "Event")
SECRET = Kind("", "v1", "secrets", "Secret")
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap")
CLAIM = Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
QUOTA = Kind("", "v1", "resourcequotas", "ResourceQuota")
CORE_SERVICE = Kind("", "v1", "services", "Service")
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment")

SERVICE = Kind("serving.knative.dev", "v1", "services", "Service")
CONFIGURATION = Kind("serving.knative.dev", "v1", "configurations", "Configuration")
REVISION = Kind("serving.knative.dev", "v1", "revisions", "Revision")
ROUTE = Kind("serving.knative.dev", "v1", "routes", "Route")
AUTOSCALER = Kind("autoscaling.internal.knative.dev", "v1alpha1", "podautoscalers", "PodAutoscaler")

BROKER = Kind("eventing.knative.dev", "v1", "brokers", "Broker")
TRIGGER = Kind("eventing.knative.dev", "v1", "triggers", "Trigger")
PING_SOURCE = Kind("sources.knative.dev", "v1", "pingsources", "PingSource")

ALL = (
    NAMESPACE,
    NODE,
    POD,
    EVENT,
    SECRET,
    CONFIG_MAP,
    CLAIM,
    QUOTA,
    DEPLOYMENT,
    SERVICE,
    CONFIGURATION,
    REVISION,
    ROUTE,
    AUTOSCALER,
    BROKER,
    TRIGGER,
    PING_SOURCE,
)


def of(manifest: dict[str, object]) -> Kind:
    """The kind of a manifest of ours."""
    return next(
        kind
        for kind in ALL
        if (kind.api_version, kind.name) == (manifest["apiVersion"], manifest["kind"])
    )
