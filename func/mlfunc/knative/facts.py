"""What a cluster shows before anything is brought to it; None: it may not be looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlfunc.knative.references import Reference

Object = dict[str, Any]


@dataclass(frozen=True)
class Facts:
    """Of one cluster and one namespace of it."""

    context: str
    namespace: str
    has_namespace: bool | None = None
    serving: Installed | None = None
    eventing: Installed | None = None
    features: Mapping[str, str] | None = None  # ConfigMap config-features, as are the next two
    defaults: Mapping[str, str] | None = None
    autoscaler: Mapping[str, str] | None = None
    nodes: Sequence[Object] | None = None
    pods: Sequence[Object] | None = None  # of all namespaces
    adds_nodes: bool = False  # something in the cluster makes nodes as they are needed
    quotas: Sequence[Object] = ()
    limits: Sequence[Object] = ()  # LimitRanges
    # The keys of those that are there, None for those that are not; without those that nobody
    # may look at.
    named: Mapping[Reference, frozenset[str] | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Installed:
    """A part of Knative; `version` is empty where it does not tell."""

    there: bool
    version: str = ""


@dataclass(frozen=True)
class Finding:
    """What stands in the way (refusal) or is good to know (note), and what mends it."""

    severity: Literal["refusal", "note"]
    message: str
    fix: str = ""
