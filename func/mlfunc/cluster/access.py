"""Who and where: kubeconfig as kubectl reads it. The only module that imports kubernetes.

That package knows what makes home-made readers of kubeconfig fail: exec plugins, tokens of clouds
that are renewed, proxies. Of it, nothing else is used: its classes of objects would cost a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlfunc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import urllib3

_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Access:
    """A way into a cluster: `headers` are asked for anew for each request, for tokens expire."""

    context: str
    server: str
    namespace: str  # the context's own, where nobody names another
    pool: urllib3.PoolManager
    headers: Callable[[], dict[str, str]]


def open_(context: str | None = None) -> Access:
    """The way that $KUBECONFIG, ~/.kube/config or, in a pod, its own account gives.

    Raises:
        UsageError: there is no such context, or no cluster is configured.

    """
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        config.load_kube_config(context=context, client_configuration=configuration)
        name, namespace = _current(context)
    except config.ConfigException as error:
        if context is not None or not _IN_POD.exists():
            raise _refusal(context, str(error)) from error
        config.load_incluster_config(client_configuration=configuration)
        name, namespace = "in-cluster", (_IN_POD / "namespace").read_text(encoding="utf-8")
    return Access(
        context=name,
        server=configuration.host,
        namespace=namespace,
        pool=client.rest.RESTClientObject(configuration).pool_manager,
        headers=lambda: _headers(configuration),
    )


def _current(context: str | None) -> tuple[str, str]:
    from kubernetes import config

    contexts, active = config.list_kube_config_contexts()
    chosen = next((each for each in contexts if each["name"] == context), active)
    return chosen["name"], chosen["context"].get("namespace") or "default"


def _headers(configuration: Any) -> dict[str, str]:
    # It renews what expires, by its own hook.
    settings = configuration.auth_settings()
    return {each["key"]: each["value"] for each in settings.values() if each["value"]}


def _refusal(context: str | None, why: str) -> UsageError:
    if context is not None:
        return UsageError(f"there is no context {context!r}", "kubectl config get-contexts")
    return UsageError(
        f"no cluster is configured: {why}",
        "set KUBECONFIG to the cluster's file, or log in with your provider's command line",
    )
