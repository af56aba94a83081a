"""What the cluster shows of a new revision -> how far it is, and whether it can still get there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlfunc.knative import admission, crashes, images, names, scheduling
from mlfunc.knative.progress import PHASES, Failure, Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.knative.progress import Phase, Snapshot

Object = dict[str, Any]

# What a deleted Service of the same name has left is collected within seconds.
_COLLECTION = 20.0
_NOT_MADE = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_MISSING = re.compile(
    r'(secret|configmap|persistentvolumeclaim) "([^"]+)" not found', re.IGNORECASE
)
_NO_KEY = re.compile(r"couldn't find key (\S+) in (Secret|ConfigMap) \S+/(\S+)")
# `Successfully pulled image "NAME" in 1.2s (1.3s including waiting). Image size: 51349024 bytes.`
_PULLED = re.compile(r'pulled image "([^"]+)" in (\S+) .*Image size: (\d+) bytes')
_MB = 10**6


def diagnose(snapshot: Snapshot) -> Progress:
    """Where the newest revision of a Service is."""
    if not is_observed(snapshot.service) or _names_one_before(snapshot.service):
        return Progress("creating")
    if is_ready(snapshot.service):
        return Progress("routing", ready=True)
    return of_instances(snapshot)


def of_instances(snapshot: Snapshot) -> Progress:
    """Where the pods of that revision are, whether or not it needs one to be ready."""
    progress = _of_pods(snapshot)
    # What a pod shows says more than that Knative has waited for it in vain.
    return progress if progress.failure else _given_up(snapshot) or progress


def is_ready(service: Object) -> bool:
    """Whether what was asked for last is what serves."""
    status = service.get("status", {})
    newest = status.get("latestCreatedRevisionName")
    return (
        is_observed(service)
        and condition(service, "Ready").get("status") == "True"
        and newest == status.get("latestReadyRevisionName")
    )


def is_observed(service: Object) -> bool:
    """Else what its status says is about what was asked for before."""
    seen = service.get("status", {}).get("observedGeneration")
    return seen is not None and seen == service["metadata"].get("generation")


def _names_one_before(service: Object) -> bool:
    """The Configuration has not made the new revision yet: the newest that is told is ready, and
    not what is waited for.
    """
    return condition(service, "ConfigurationsReady").get("reason") == "OutOfDate"


def condition(found: Object, kind: str) -> Object:
    """A condition of an object by its type; nothing where it has none."""
    conditions: Sequence[Object] = found.get("status", {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == kind), {})


def staying(pods: Sequence[Object]) -> list[Object]:
    """Those that are not on their way out, the newest last."""
    found = [each for each in pods if not each["metadata"].get("deletionTimestamp")]
    return sorted(found, key=lambda each: each["metadata"]["creationTimestamp"])


def newest(pods: Sequence[Object]) -> Object | None:
    """The last of these."""
    return next(reversed(staying(pods)), None)


def user_container(pod: Object) -> Object:
    """What is told of the function's own container."""
    return next((each for each in _containers(pod) if each["name"] == names.CONTAINER), {})


def may_recover(pods: Sequence[Object]) -> bool:
    """Whether one of them, of a revision that has served, is on its way back after a crash."""
    return any(crashes.may_pass(user_container(each)) for each in staying(pods))


def is_starting(pod: Object) -> bool:
    """Whether its function runs, and does not answer yet."""
    running = "running" in user_container(pod).get("state", {})
    return running and condition(pod, "Ready").get("status") != "True"


def _containers(pod: Object) -> Sequence[Object]:
    return pod.get("status", {}).get("containerStatuses") or ()


def _given_up(snapshot: Snapshot) -> Progress | None:
    """What Knative itself has ended, or cannot begin."""
    ready = condition(snapshot.revision or {}, "Ready")
    routes = condition(snapshot.service, "RoutesReady")
    told = ready.get("message", "")
    if ready.get("status") == "False" and ready.get("reason") == "ProgressDeadlineExceeded":
        hint = "its log says what it waited for: mlfunc logs --previous"
        return _hopeless("starting", f"Knative has given it up: {told}", hint)
    if ready.get("status") == "False" and ready.get("reason") == "ContainerMissing":
        hint = "is it in the registry, and may the cluster read it? `deploy.pull_secret`"
        return _hopeless("creating", f"Knative cannot find its image: {told}", hint)
    if routes.get("status") == "False" and routes.get("reason") == "NotOwned":
        hint = "give it another `name`, or delete what is called so"
        failure = Failure(routes.get("message", ""), hint, patience=_COLLECTION)
        return Progress("creating", failure.message, failure=failure)
    return None


def _of_pods(snapshot: Snapshot) -> Progress:
    """The failure of any, else the pod that is furthest."""
    found = [_of_pod(pod, snapshot) for pod in staying(snapshot.pods)]
    if not found:
        return admission.refused(snapshot) or Progress("creating", _waits_for(snapshot))
    failed = next((each for each in found if each.failure), None)
    return failed or max(found, key=lambda each: PHASES.index(each.phase))


def _of_pod(pod: Object, snapshot: Snapshot) -> Progress:
    name = pod["metadata"]["name"]
    events = [each for each in snapshot.events if each["involvedObject"].get("name") == name]
    return (
        _ended(pod)
        or scheduling.waits(pod, snapshot, events)
        or _unmounted(events)
        or _unpulled(pod)
        or _unmade(pod)
        or crashes.crashed(pod, user_container(pod), events)
        or _under_way(pod, events, snapshot)
    )


def _ended(pod: Object) -> Progress | None:
    """Another comes in its place; but not if it was for what the function itself does."""
    status = pod.get("status", {})
    if status.get("phase") != "Failed":
        return None
    message = f"its pod was ended ({status.get('reason', 'Failed')}): {status.get('message', '')}"
    if "exceeds" in message:
        return _hopeless("loading", message, "a larger `sizeLimit` or `resources` in mlfunc.yaml")
    return Progress("scheduling", message)


def _unmounted(events: Sequence[Object]) -> Progress | None:
    """What is mounted comes before what is pulled."""
    reasons = [each["reason"] for each in events]
    told = [each["message"] for each in events if each["reason"] == "FailedMount"]
    if not told or "Pulling" in reasons or "Pulled" in reasons:
        return None
    return Progress("starting", told[-1], failure=_missing(told[-1]))


def _unpulled(pod: Object) -> Progress | None:
    for container in _containers(pod):
        if failure := images.failure(container):
            return Progress("pulling", failure=failure)
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason") in images.REASONS:
            return Progress("pulling", waiting.get("message", ""))
    return None


def _unmade(pod: Object) -> Progress | None:
    waiting = user_container(pod).get("state", {}).get("waiting") or {}
    if waiting.get("reason") not in _NOT_MADE:
        return None
    message = waiting.get("message", "")
    return Progress("starting", failure=_missing(message) or crashes.not_started(message))


def _missing(message: str) -> Failure | None:
    """What mlfunc.yaml names and the namespace has not."""
    if found := _NO_KEY.search(message):
        key, kind, name = found.groups()
        hint = "add the key, or name another in mlfunc.yaml"
        return Failure(f"{kind} {name.rstrip('.')} has no key {key}", hint)
    if found := _MISSING.search(message):
        kind, name = found[1].lower(), found[2]
        return Failure(f"there is no {kind} {name}", "create it, or name another in mlfunc.yaml")
    return None


def _under_way(pod: Object, events: Sequence[Object], snapshot: Snapshot) -> Progress:
    if "running" not in user_container(pod).get("state", {}):
        return _before_running(pod, events, snapshot.size)
    if condition(pod, "Ready").get("status") == "True":
        return Progress("routing", condition(snapshot.service, "RoutesReady").get("message", ""))
    phase = crashes.furthest(snapshot.words)
    return Progress(phase, crashes.last_line(snapshot.words) or _pulled(pod, events))


def _before_running(pod: Object, events: Sequence[Object], size: int) -> Progress:
    """What a node pulls it does not tell before it is there."""
    image = _image(pod)
    mine = [each["reason"] for each in events if image in each.get("message", "")]
    if "Pulling" in mine and "Pulled" not in mine:
        return Progress("pulling", f"{size / _MB:.0f} MB" if size else image)
    return Progress("starting", _pulled(pod, events))


def _pulled(pod: Object, events: Sequence[Object]) -> str:
    """`pulled 51 MB in 1.2s`, where the node tells."""
    for event in events:
        found = _PULLED.search(event.get("message", ""))
        if found and found[1] == _image(pod):
            return f"pulled {int(found[3]) / _MB:.0f} MB in {found[2]}"
    return ""


def _image(pod: Object) -> str:
    """Of the function."""
    containers: Sequence[Object] = pod["spec"]["containers"]
    return next((each["image"] for each in containers if each["name"] == names.CONTAINER), "")


def _waits_for(snapshot: Snapshot) -> str:
    told = condition(snapshot.revision or {}, "ResourcesAvailable")
    return str(told.get("message") or "")


def _hopeless(phase: Phase, message: str, hint: str) -> Progress:
    return Progress(phase, message, failure=Failure(message, hint))
