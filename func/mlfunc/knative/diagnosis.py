"""What the cluster shows of a new revision -> how far it is, and whether it can still get there.

A pod that crashed once is given up at once: the runtime ends by itself only for what the next start
would meet as well, and Knative says nothing for ten minutes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlfunc.knative import images, names, scheduling
from mlfunc.knative.progress import PHASES, Failure, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlfunc.knative.progress import Phase, Snapshot

Object = dict[str, Any]

_DEADLINE = "ProgressDeadlineExceeded"
_LATER = "mlfunc logs --previous, mlfunc describe"


def diagnose(snapshot: Snapshot) -> Progress:
    """Where the newest revision of a Service is."""
    if not _is_observed(snapshot.service):
        return Progress("creating")
    if is_ready(snapshot.service):
        return Progress("routing", ready=True)
    return _failed_service(snapshot) or _of_pod(snapshot)


def is_ready(service: Object) -> bool:
    """Whether what was asked for last is what serves."""
    status = service.get("status", {})
    newest = status.get("latestCreatedRevisionName")
    return (
        _is_observed(service)
        and condition(service, "Ready").get("status") == "True"
        and newest == status.get("latestReadyRevisionName")
    )


def condition(found: Object, kind: str) -> Object:
    """A condition of an object by its type; nothing where it has none."""
    conditions: Sequence[Object] = found.get("status", {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == kind), {})


def newest(pods: Sequence[Object]) -> Object | None:
    """The pod that was made last, of those that are not on their way out."""
    staying = [each for each in pods if not each["metadata"].get("deletionTimestamp")]
    return max(staying, key=lambda each: each["metadata"]["creationTimestamp"], default=None)


def _is_observed(service: Object) -> bool:
    seen = service.get("status", {}).get("observedGeneration")
    return seen is not None and seen == service["metadata"].get("generation")


def _failed_service(snapshot: Snapshot) -> Progress | None:
    """What Knative itself has given up, or cannot begin."""
    revision, routes = snapshot.revision or {}, condition(snapshot.service, "RoutesReady")
    told = condition(revision, "Ready")
    if told.get("status") == "False" and told.get("reason") == _DEADLINE:
        return _hopeless("starting", f"Knative gave it up: {told.get('message')}", _LATER)
    if told.get("status") == "False" and told.get("reason") == "ContainerMissing":
        return _hopeless("creating", f"its image cannot be read: {told.get('message')}")
    if routes.get("status") == "False" and routes.get("reason") == "NotOwned":
        return _hopeless("creating", str(routes.get("message")), "give it another name")
    return None


def _of_pod(snapshot: Snapshot) -> Progress:
    pod = newest(snapshot.pods)
    if pod is None:
        return _without_pod(snapshot)
    unscheduled = scheduling.waits(pod, snapshot)
    if unscheduled:
        return unscheduled
    return next(_failures(pod, snapshot), None) or _phase(pod, snapshot)


def _without_pod(snapshot: Snapshot) -> Progress:
    refused = [each for each in snapshot.events if each["reason"] == "FailedCreate"]
    if not refused:
        return Progress("creating")
    message = refused[-1]["message"]
    quota = "exceeded quota" in message
    hint = f"kubectl describe resourcequota -n {_namespace(snapshot)}" if quota else ""
    return _hopeless("creating", f"no pod may be made: {message}", hint)


def _failures(pod: Object, snapshot: Snapshot) -> Iterator[Progress]:
    """What keeps the pod from starting, each in its words."""
    container = user_container(pod)
    state = container.get("state", {})
    waiting = state.get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in images.REASONS and images.is_final(message):
        yield Progress("pulling", message, failure=images.failure(message, pod))
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        yield _hopeless("starting", f"its container cannot be made: {message}", _missing(message))
    ended = state.get("terminated") or container.get("lastState", {}).get("terminated")
    if ended:
        yield _crashed(pod, ended)
    mounts = [each for each in snapshot.events if each["reason"] == "FailedMount"]
    if mounts and "not found" in mounts[-1]["message"] and not container.get("started"):
        yield _hopeless("starting", mounts[-1]["message"], _missing(mounts[-1]["message"]))


def _phase(pod: Object, snapshot: Snapshot) -> Progress:
    container = user_container(pod)
    if "running" not in container.get("state", {}):
        return _before_running(pod, snapshot)
    if condition(pod, "Ready").get("status") == "True":
        return Progress("routing")
    return Progress(next((each for each in PHASES if each == snapshot.boot), "starting"))


def _before_running(pod: Object, snapshot: Snapshot) -> Progress:
    name = pod["metadata"]["name"]
    own = [each for each in snapshot.events if each["involvedObject"].get("name") == name]
    pulling = [each for each in own if each["reason"] == "Pulling"]
    pulled = [each for each in own if each["reason"] == "Pulled"]
    image = pod["spec"]["containers"][0]["image"]
    if pulling and not any(image in each["message"] for each in pulled):
        return Progress(
            "pulling", user_container(pod).get("state", {}).get("waiting", {}).get("message", "")
        )
    return Progress("starting")


def user_container(pod: Object) -> Object:
    """What is told of the function's own container."""
    statuses: Sequence[Object] = pod.get("status", {}).get("containerStatuses") or ()
    return next((each for each in statuses if each["name"] == names.CONTAINER), {})


def _crashed(pod: Object, ended: Object) -> Progress:
    """The runtime's last words are in the status of its container: what it could not do, and the
    user's frames.
    """
    if ended.get("reason") == "OOMKilled":
        return _hopeless("loading", *_out_of_memory(pod))
    told = _last_words(ended.get("message", ""))
    why = told.get("error") or f"it ended with exit code {ended['exitCode']}"
    failure = Failure(
        f"the function does not start: {why}",
        told.get("hint") or f"mlfunc run starts it here; mlfunc logs {_service(pod)} --previous",
        evidence=told.get("traceback") or ended.get("message", ""),
        pod=pod["metadata"]["name"],
        previous=True,
    )
    return Progress("loading", failure=failure)


def _out_of_memory(pod: Object) -> tuple[str, str]:
    limits = pod["spec"]["containers"][0].get("resources", {}).get("limits", {})
    message = f"it needs more memory than its limit, {limits.get('memory', 'of the node')}"
    return message, "raise `resources.memory` in mlfunc.yaml"


def _last_words(log: str) -> Object:
    """The line of the phase `failed`, of the log's end."""
    for line in reversed(log.splitlines()):
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict) and told.get("phase") == "failed":
            return told
    return {}


def _hopeless(phase: Phase, message: str, hint: str = "") -> Progress:
    return Progress(phase, message, failure=Failure(message, hint))


def _missing(message: str) -> str:
    for kind in ("secret", "configmap", "persistentvolumeclaim"):
        if f'{kind} "' in message and "not found" in message:
            return f"create the {kind}, or name another in mlfunc.yaml"
    return "mlfunc describe"


def _namespace(snapshot: Snapshot) -> str:
    found: str = snapshot.service["metadata"]["namespace"]
    return found


def _service(pod: Object) -> str:
    return str(pod["metadata"].get("labels", {}).get(names.SERVICE, ""))
