"""What `mlfunc doctor` says of a cluster: a row for each thing that a deployment asks of it.

A machine without a cluster is a good one: functions run and are built there all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlfunc import accelerators
from mlfunc.checkup import Check
from mlfunc.cluster import access, client, kinds
from mlfunc.cluster.failures import Forbidden
from mlfunc.errors import ClusterFailed, UsageError
from mlfunc.function import Function
from mlfunc.knative import nodes, preflight, versions
from mlfunc.platforms.knative import inquiring

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlfunc.checkup import Verdict
    from mlfunc.cluster.client import Cluster
    from mlfunc.knative.facts import Facts, Installed

Object = dict[str, Any]

_BY = "deploy"
_INSTALL = "https://knative.dev/docs/install"
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_CLUSTER_DOMAIN = "svc.cluster.local"


def examine(loaded: Function | None, context: str | None, namespace: str | None) -> Iterator[Check]:
    """The rows, of one cluster; of a function there may be none."""
    try:
        if context is None and not access.is_configured():
            detail = "none is configured: functions are deployed to the local platform"
            yield Check("cluster", "ok", detail, _BY)
            return
        wanted = namespace or (loaded.namespace if loaded else None)
        cluster = client.connect(context, wanted)
        yield _cluster(cluster)
        yield from _of(cluster, loaded)
    except (UsageError, ClusterFailed) as error:
        yield Check("cluster", "warn", error.message, _BY, error.hint)


def _of(cluster: Cluster, loaded: Function | None) -> Iterator[Check]:
    facts = inquiring.inquire(cluster, loaded or Function(name="function"))
    yield _rights(cluster)
    yield _part("Knative Serving", facts.serving)
    yield _part("Knative Eventing", facts.eventing, needed=_has_events(loaded))
    if facts.eventing and facts.eventing.there:
        yield _broker(cluster, needed=_has_events(loaded))
    if facts.serving and facts.serving.there:
        yield _ingress(cluster)
    yield _accelerators(cluster, facts)
    if loaded and facts.serving and facts.serving.there:
        yield from _function(loaded, facts)


def _has_events(loaded: Function | None) -> bool:
    return bool(loaded and loaded.events.subscriptions)


def _cluster(cluster: Cluster) -> Check:
    version = cluster.fetch("/version")["gitVersion"]
    where = f"{cluster.access.context}, namespace {cluster.namespace}"
    return Check("cluster", "ok", f"{where}: Kubernetes {version} at {cluster.access.server}", _BY)


def _rights(cluster: Cluster) -> Check:
    """Whether who is logged in may write what a deployment writes."""
    kind = kinds.SERVICE
    where = {"namespace": cluster.namespace, "group": kind.group, "resource": kind.plural}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {**where, "verb": "patch"}},
    }
    told = cluster.post(_REVIEWS, review)
    resource = f"{kind.plural}.{kind.group}"
    if told["status"].get("allowed"):
        return Check("rights", "ok", f"may write {resource} in {cluster.namespace}", _BY)
    detail = f"may not write {resource} in namespace {cluster.namespace}"
    fix = f"kubectl auth can-i patch {resource} -n {cluster.namespace}; ask who manages the cluster"
    return Check("rights", "warn", detail, _BY, fix)


def _part(name: str, found: Installed | None, *, needed: bool = True) -> Check:
    row = name.lower()
    if found is None:
        return Check(row, "ok", "not known: you may not look", _BY)
    if not found.there and needed:
        return Check(row, "warn", "not installed", _BY, f"install it: {_INSTALL}")
    if not found.there:
        return Check(row, "ok", "not installed; only events need it", _BY)
    if versions.is_before(found.version, preflight.OLDEST):
        detail = f"{found.version}: mlfunc is tested with 1.19 and later"
        return Check(row, "warn", detail, _BY, f"upgrade it: {_INSTALL}")
    return Check(row, "ok", found.version or "installed; its version is not known", _BY)


def _broker(cluster: Cluster, *, needed: bool) -> Check:
    """The one that subscriptions are made with where they name none."""
    try:
        found = cluster.get(kinds.BROKER, "default")
    except Forbidden:
        return Check("broker", "ok", "not known: you may not look", _BY)
    if found is None:
        detail = f"no broker called default in namespace {cluster.namespace}"
        if not needed:
            return Check("broker", "ok", f"{detail}: nothing needs one", _BY)
        return Check(
            "broker", "warn", detail, _BY, f"kn broker create default -n {cluster.namespace}"
        )
    conditions = found.get("status", {}).get("conditions") or ()
    ready: Object = next((each for each in conditions if each["type"] == "Ready"), {})
    if ready.get("status") == "True":
        return Check("broker", "ok", f"default in namespace {cluster.namespace}", _BY)
    detail = f"default is not ready: {ready.get('message') or 'it does not say why'}"
    fix = f"kubectl describe broker default -n {cluster.namespace}"
    return Check("broker", "warn" if needed else "ok", detail, _BY, fix)


def _ingress(cluster: Cluster) -> Check:
    """Under which domain functions are called, and by what they are reached."""
    names, network = (
        inquiring.settings(cluster, f"config-{each}") for each in ("domain", "network")
    )
    if names is None or network is None:
        return Check("ingress", "ok", "not known: you may not look", _BY)
    domains = [each for each in names if not each.startswith("_")]
    by = network.get("ingress-class", "the default ingress")
    if domains and _CLUSTER_DOMAIN not in domains:
        return Check("ingress", "ok", f"*.{', *.'.join(domains)} by {by}", _BY)
    detail = f"no domain is set: functions are reached in the cluster only ({by})"
    return Check("ingress", "ok", detail, _BY, f"{_INSTALL}/#configure-dns says how to set one")


def _accelerators(cluster: Cluster, facts: Facts) -> Check:
    """Which of those that mlfunc knows the nodes have, and how many are free."""
    if facts.nodes is None:
        return Check("accelerators", "ok", "not known: you may not look at nodes", _BY)
    rows = [row for row in accelerators.TABLE.values() if row.resource]
    able = {row.resource: _with(facts.nodes, row.resource) for row in rows if row.resource}
    if not any(able.values()):
        return Check("accelerators", "ok", f"none on {_count(len(facts.nodes), 'node')}", _BY)
    pods = _pods(cluster)
    told = [
        _stock(row.resource, row.product_label, able[row.resource], pods)
        for row in rows
        if row.resource and able[row.resource]
    ]
    return Check("accelerators", "ok", "; ".join(told), _BY)


def _with(found: Sequence[Object], resource: str) -> list[Object]:
    return [each for each in found if nodes.allocatable(each).get(resource)]


def _stock(resource: str, label: str | None, able: Sequence[Object], pods: Sequence[Object]) -> str:
    free = sum(nodes.free(each, pods, resource) for each in able)
    has = sum(nodes.allocatable(each)[resource] for each in able)
    labels = [each["metadata"].get("labels") or {} for each in able]
    products = sorted({each[label] for each in labels if label in each}) if label else []
    of = f" ({', '.join(products)})" if products else ""
    return f"{free:g} of {has:g} {resource}{of} free"


def _function(loaded: Function, facts: Facts) -> Iterator[Check]:
    """What stands in the way of this function, or is good to know, each with its fix."""
    found = preflight.examine(loaded, (), facts, loaded.registry or "")
    if not any(each.severity == "refusal" for each in found):
        yield Check("function", "ok", f"nothing there keeps {loaded.name} from running", _BY)
    for each in found:
        verdict: Verdict = "warn" if each.severity == "refusal" else "ok"
        yield Check("function", verdict, each.message, _BY, each.fix)


def _pods(cluster: Cluster) -> list[Object]:
    """Those of all namespaces, as far as one may look: without them, all counts as free."""
    try:
        return cluster.list(kinds.POD, everywhere=True)
    except Forbidden:
        return []


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
