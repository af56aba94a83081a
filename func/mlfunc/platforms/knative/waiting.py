"""Until a revision answers, or cannot: what the cluster shows is told, and judged."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from mlfunc.cluster.failures import permitted
from mlfunc.errors import INTERRUPTED, ClusterFailed
from mlfunc.knative import crashes, diagnosis, names, overtaking, overview
from mlfunc.knative.progress import PHASES
from mlfunc.platforms.knative import observing

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.knative.progress import Failure, Phase, Progress, Snapshot

# What Knative itself waits for, and what it needs to say so.
_PATIENCE = 60
_HELPS: dict[Phase, str] = {
    "creating": "does Knative run? kubectl get pods -n knative-serving",
    "scheduling": "stop what holds it, or add a node; with `deploy: {{rollout: recreate}}` an old"
    " revision lets go of its accelerator first",
    "pulling": "models that are volumes (`delivery: volume`) are not pulled with each image",
    "starting": "mlfunc logs {name} says what it does",
    "importing": "a higher `resources.limits.cpu` imports faster; mlfunc logs {name}",
    "loading": "models that are baked in, or volumes, are there at once; mlfunc logs {name}",
    "warming": "it predicts `example` once, which takes so long; mlfunc logs {name}",
    "routing": "does the ingress run? kubectl get ingresses.networking.internal.knative.dev",
}
# Of those, the ones that only a cluster can be helped with.
_OF_CLUSTER = ("creating", "pulling", "routing")


class Watcher(Protocol):
    """Who is told how far it is."""

    def phase(self, name: str) -> None:
        """The next part begins."""
        ...

    def said(self, text: str) -> None:
        """What it is at, in words."""
        ...


class Left(ClusterFailed):
    """Nobody waits any more, and the cluster goes on with it."""

    exit_code: ClassVar[int] = INTERRUPTED


class Overtaken(ClusterFailed):
    """Somebody has deployed something else meanwhile."""


def wait(
    cluster: Cluster, applied: Object, *, timeout: float | None, watcher: Watcher, size: int = 0
) -> Object:
    """Wait until a Service serves as it was `applied`; the Service as it is then.

    `size`: what a node pulls for it, in bytes.

    Raises:
        Left: the user waits no longer.
        Overtaken: it is asked for something else now.
        ClusterFailed: it cannot, or has not in time.

    """
    wait = _Wait(cluster, applied, watcher, size)
    try:
        return wait.follow(lambda seen: _ready(seen, applied), diagnosis.diagnose, timeout)
    except KeyboardInterrupt as interrupt:
        raise wait.left() from interrupt


def wait_for_instance(
    cluster: Cluster, applied: Object, *, timeout: float | None, watcher: Watcher
) -> None:
    """Wait until an instance of the newest revision serves, whatever Knative says of the rest.

    Raises:
        Left: the user waits no longer.
        Overtaken: the Service is asked for something else now.
        ClusterFailed: it cannot, or has not in time.

    """
    wait = _Wait(cluster, applied, watcher)
    try:
        wait.follow(lambda seen: _has_instance(seen, applied), diagnosis.of_instances, timeout)
    except KeyboardInterrupt as interrupt:
        raise wait.left() from interrupt


def check_not_overtaken(cluster: Cluster, service: Object, applied: Object) -> None:
    """Whether a Service still asks for what was applied.

    Raises:
        Overtaken: it does not.

    """
    if overtaking.is_overtaken(service, applied):
        raise _overtaken(cluster, service, applied)


def _overtaken(cluster: Cluster, service: Object, applied: Object) -> Overtaken:
    """By what, as far as it has a revision by now."""
    name = service["metadata"]["name"]
    there = permitted(lambda: observing.revisions(cluster, name)) or []
    own, other = (overtaking.revision_of(each, there) for each in (applied, service))
    message = (
        f"{own or f'this deployment of {name}'} was overtaken by"
        f" {other or 'another deployment'}, which somebody made meanwhile: that is what {name} is"
        " now"
    )
    hint = f"mlfunc describe {name} shows who gets the requests; mlfunc deploy brings yours back"
    return Overtaken(message, hint)


@dataclass
class _Wait:
    """How far it has come."""

    cluster: Cluster
    applied: Object
    watcher: Watcher
    size: int = 0
    began: float = field(default_factory=time.monotonic)
    snapshot: Snapshot | None = None
    furthest: Progress | None = None
    # When no failure was seen for the last time.
    sound: float = field(default_factory=time.monotonic)

    def follow(
        self,
        is_done: Callable[[Snapshot], bool],
        diagnose: Callable[[Snapshot], Progress],
        timeout: float | None,
    ) -> Object:
        with observing.View(self.cluster, self.name, self.size) as view:
            while True:
                seen = self.snapshot = view.next()
                # First: what is ready then, or fails, is the other's.
                check_not_overtaken(self.cluster, seen.service, self.applied)
                if is_done(seen):
                    return seen.service
                self._judge(diagnose(seen))
                if self._waited > (timeout or _patience(seen.service)):
                    raise self._late()

    def _judge(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.failure is None:
            self.sound = now
        elif now - self.sound >= progress.failure.patience:
            raise self._failed(progress.failure)
        # A phase may show after one that comes later: pods are more than one, and events are late.
        before = self.furthest
        if before is None or PHASES.index(progress.phase) >= PHASES.index(before.phase):
            self.furthest = progress
            self.watcher.phase(progress.phase)
            self.watcher.said(progress.detail)

    def _failed(self, failure: Failure) -> ClusterFailed:
        if failure.pod is not None:
            log = observing.log(self.cluster, failure.pod, previous=failure.previous)
            failure = crashes.explained(failure, log) if log else failure
        message = f"{self._revision}: {failure.message}{self._still()}"
        return ClusterFailed(message, failure.hint, evidence=failure.evidence)

    def _late(self) -> ClusterFailed:
        at = self.furthest
        phase: Phase = at.phase if at else "creating"
        detail = f" ({at.detail})" if at and at.detail else ""
        message = (
            f"{self._revision} is not ready after {self._waited:.0f} s: "
            f"it is still {phase}{detail}{self._still()}"
        )
        own = phase in _OF_CLUSTER and self.cluster.access.help
        hint = own or _HELPS[phase].format(name=self.name)
        return ClusterFailed(message, f"{hint}; --timeout waits longer")

    def left(self) -> Left:
        """What is true when somebody leaves."""
        who = self.cluster.access.named or "the cluster"
        message = f"{who} goes on with {self._revision}, and nobody waits{self._still()}"
        return Left(message, f"mlfunc describe {self.name} shows how far it is")

    @property
    def name(self) -> str:
        """Of the function."""
        return str(self.applied["metadata"]["name"])

    @property
    def _waited(self) -> float:
        """Seconds."""
        return time.monotonic() - self.began

    @property
    def _revision(self) -> str:
        return str(_status(self.snapshot).get("latestCreatedRevisionName") or self.name)

    def _still(self) -> str:
        """Who answers meanwhile."""
        targets = _status(self.snapshot).get("traffic") or ()
        others = {each["revisionName"] for each in targets if each.get("percent")}
        serve = sorted(others - {self._revision})
        return f"; {' and '.join(serve)} {'serve' if serve[1:] else 'serves'} on" if serve else ""


def _patience(service: Object) -> float:
    """Seconds that Knative gives it, and some more."""
    template = service["spec"]["template"].get("metadata") or {}
    told = (template.get("annotations") or {}).get(names.PROGRESS_DEADLINE, "600s")
    return float(told.removesuffix("s")) + _PATIENCE


def _status(snapshot: Snapshot | None) -> Object:
    found: Object = snapshot.service.get("status", {}) if snapshot else {}
    return found


def _is_seen(service: Object, applied: Object) -> bool:
    seen: int = service.get("status", {}).get("observedGeneration", 0)
    generation: int = applied["metadata"]["generation"]
    return seen >= generation


def _ready(snapshot: Snapshot, applied: Object) -> bool:
    return _is_seen(snapshot.service, applied) and diagnosis.is_ready(snapshot.service)


def _has_instance(snapshot: Snapshot, applied: Object) -> bool:
    """By its pods or, where those may not be looked at, by the revision's own count."""
    counted: int = (snapshot.revision or {}).get("status", {}).get("actualReplicas", 0)
    has_one = counted > 0 or bool(overview.running(snapshot.pods))
    return _is_seen(snapshot.service, applied) and has_one
