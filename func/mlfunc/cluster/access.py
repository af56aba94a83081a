"""Who and where: a way into a cluster. The only module that imports kubernetes.

That package knows what makes home-made readers of kubeconfig fail: exec plugins, tokens of clouds
that are renewed, proxies. Of it, nothing else is used: its classes of objects would cost a second.
Which context is meant, `kubeconfig` says.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kubeconfig
from mlfunc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import urllib3

    from mlfunc.cluster.kubeconfig import Chosen

_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# Those that go on, as watches do, hold one each.
_CONNECTIONS = 32


@dataclass(frozen=True)
class Access:
    """A way into a cluster.

    `headers` are asked for anew for each request, for tokens expire; `again` reads all anew, for
    certificates do, too. What is no cluster, and is asked as one, is `named`; `help` is what to do
    when it does not answer.
    """

    context: str
    server: str
    namespace: str  # the context's own, where nobody names another
    pool: urllib3.PoolManager
    headers: Callable[[], list[tuple[str, str]]]
    again: Callable[[], Access]
    named: str = ""
    help: str = ""

    @property
    def title(self) -> str:
        """As sentences call it."""
        return self.named or f"the cluster of context {self.context}"

    @property
    def where(self) -> str:
        """As sentences that speak of a namespace call it."""
        return self.named or f"context {self.context}"


def is_configured() -> bool:
    """Whether there is any cluster to be reached, by kubeconfig or by a pod's own account.

    Raises:
        UsageError: $KUBECONFIG names what is not there.

    """
    return bool(kubeconfig.files(os.environ)) or _IN_POD.exists()


def open_(context: str | None = None) -> Access:
    """The way that $KUBECONFIG, ~/.kube/config or, in a pod, its own account gives.

    Raises:
        UsageError: there is no such context, no cluster is configured, or its file is broken.

    """
    if not kubeconfig.files(os.environ) and context is None and _IN_POD.exists():
        return _of_pod()
    return _of(kubeconfig.choose(os.environ, context))


def _of(chosen: Chosen) -> Access:
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        with _heard() as said:
            config.load_kube_config(
                config_file=os.pathsep.join(map(str, chosen.files)),
                context=chosen.name,
                client_configuration=configuration,
            )
    except config.ConfigException as error:
        raise UsageError(f"context {chosen.name} of kubeconfig: {error}") from error
    if chosen.plugin and not (configuration.api_key or configuration.cert_file):
        raise _no_login(chosen, said)
    return Access(
        context=chosen.name,
        server=configuration.host,
        namespace=chosen.namespace,
        pool=_pool(configuration),
        headers=lambda: [*_headers(configuration), *chosen.impersonation],
        again=lambda: _of(chosen),
    )


def _of_pod() -> Access:
    from kubernetes import client, config

    configuration = client.Configuration()
    config.load_incluster_config(client_configuration=configuration)
    return Access(
        context="in-cluster",
        server=configuration.host,
        namespace=(_IN_POD / "namespace").read_text(encoding="utf-8").strip(),
        pool=_pool(configuration),
        headers=lambda: _headers(configuration),
        again=_of_pod,
    )


def _pool(configuration: Any) -> urllib3.PoolManager:
    from kubernetes.client.rest import RESTClientObject

    configuration.connection_pool_maxsize = _CONNECTIONS
    pool: urllib3.PoolManager = RESTClientObject(configuration).pool_manager
    return pool


def _headers(configuration: Any) -> list[tuple[str, str]]:
    # It renews what expires, by its own hook.
    with _heard():
        settings = configuration.auth_settings()
    return [(each["key"], each["value"]) for each in settings.values() if each["value"]]


def _no_login(chosen: Chosen, said: list[str]) -> UsageError:
    return UsageError(
        f"{chosen.plugin}, which logs in to context {chosen.name}, fails",
        f"log in with it, or install it; kubeconfig names it: {chosen.files[0]}",
        evidence="\n".join(said),
    )


_hearing = threading.Lock()


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What is logged meanwhile, by one thread at a time.

    That an exec plugin fails, the package tells to the root logger alone, and goes on without.
    """
    said: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    with _hearing:
        root.addHandler(listener)
        try:
            yield said
        finally:
            root.removeHandler(listener)
