"""What the autoscaler would do for a function: as its mlfunc.yaml has it, or as it runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlfunc import function
from mlfunc.knative import diagnosis, explanation, overview, policies, rescaling
from mlfunc.knative.instances import Serving
from mlfunc.platforms.knative import addressing, reading, scaling

if TYPE_CHECKING:
    from mlfunc.cluster.client import Object
    from mlfunc.function import Function
    from mlfunc.knative.explanation import Demand, Explanation
    from mlfunc.knative.rescaling import Wish
    from mlfunc.platforms.knative.addressing import Addressed, Where

_COLD_START = 5.0
_TIMEOUT = 300.0  # Knative's own, where a revision says nothing


@dataclass(frozen=True)
class Question:
    """Seconds that a prediction takes, and a start; None: as the newest instance started."""

    name: str | None
    where: Where
    wish: Wish
    demand: Demand
    prediction: float
    cold_start: float | None = None
    revision: str | None = None


@dataclass(frozen=True)
class Explained:
    """An explanation, and what of: mlfunc.yaml or a revision."""

    source: str
    explanation: Explanation


def explain(question: Question) -> Explained:
    """Where nothing of a cluster is named, the project is explained, and none is asked.

    Raises:
        NotFound: there is no such function or revision.
        UsageError: bounds would contradict each other.

    """
    where = question.where
    of_platform = where.platform or where.context or where.namespace
    named = question.name or question.revision or of_platform
    own = None if named else project(where)
    if own:
        return _of_project(question, own)
    return _of_cluster(question, addressing.find(question.name, question.where))


def project(where: Where) -> Function | None:
    """The function of the folder, if it is one."""
    at = where.folder or Path()
    return function.load(at) if where.folder or (at / function.FILE).is_file() else None


def _of_project(question: Question, own: Function) -> Explained:
    policies.check(policies.told_of(own))
    own = msgspec.structs.replace(own, scale=question.wish.replacing(own.scale))
    serving = explanation.serving(own, question.prediction, question.cold_start or _COLD_START)
    found = explanation.explain(policies.of_function(own), serving, question.demand)
    return Explained(f"{own.name}, as {function.FILE} has it", found)


def _of_cluster(question: Question, at: Addressed) -> Explained:
    service = reading.service(at)
    found = reading.revision(at, question.revision or overview.serving(service))
    policies.check(overview.scaling(found))
    policy = rescaling.policy_of(found, scaling.settings(at.cluster), wish=question.wish)
    serving = Serving(
        question.prediction,
        question.cold_start or _last_start(at, found),
        # A Service tells of no slots: its target is what they take.
        slots=math.ceil(policy.total),
        concurrency=found["spec"].get("containerConcurrency") or 0,
        timeout=found["spec"].get("timeoutSeconds") or _TIMEOUT,
    )
    title = f"{found['metadata']['name']}, as it runs"
    return Explained(title, explanation.explain(policy, serving, question.demand))


def _last_start(at: Addressed, revision: Object) -> float:
    """Seconds that an instance of it took, if one is there that tells; else a guess."""
    pods = overview.running(reading.pods(at) or (), revision["metadata"]["name"])
    start = reading.start(at.cluster, diagnosis.newest(pods))
    return max(start.total, 1.0) if start else _COLD_START
