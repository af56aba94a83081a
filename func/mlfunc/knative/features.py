"""The features of Knative Serving that a function needs: switches which an administrator has.

Most are off by default, and the webhook refuses what needs one. Sources: ConfigMap config-features
of Knative 1.23, and its release notes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlfunc.knative import capacity, references

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlfunc.function import Function
    from mlfunc.knative.release import Model

CONFIG = "config-features"
_ON = ("enabled", "allowed")


@dataclass(frozen=True)
class Feature:
    """A switch, and how it is where nobody has touched it."""

    flag: str
    default: bool = False


EMPTY_DIR = Feature("kubernetes.podspec-volumes-emptydir", default=True)
IMAGE = Feature("kubernetes.podspec-volumes-image")  # since Knative 1.19
CLAIM = Feature("kubernetes.podspec-persistent-volume-claim")
CLAIM_WRITE = Feature("kubernetes.podspec-persistent-volume-write")
NODE_SELECTOR = Feature("kubernetes.podspec-nodeselector")
TOLERATIONS = Feature("kubernetes.podspec-tolerations")


@dataclass(frozen=True)
class Need:
    """A feature, and what needs it, in words."""

    feature: Feature
    by: str


def needed(function: Function, models: Sequence[Model] = ()) -> tuple[Need, ...]:
    """Each feature once; before a build, there are no models yet."""
    found: dict[Feature, Need] = {}
    for each in _needed(function, models):
        found.setdefault(each.feature, each)
    return tuple(found.values())


def missing(needs: Sequence[Need], settings: Mapping[str, str] | None) -> tuple[Need, ...]:
    """Those that are off, by the data of the ConfigMap; None of them, where nobody may read it."""
    if settings is None:
        return ()
    return tuple(each for each in needs if not is_on(each.feature, settings))


def is_on(feature: Feature, settings: Mapping[str, str]) -> bool:
    """Whether a cluster with these settings has it."""
    told = settings.get(feature.flag)
    return feature.default if told is None else told.lower() in _ON


def switch_on(needs: Sequence[Need]) -> str:
    """The command that does, of an administrator."""
    return patch(CONFIG, {each.feature.flag: "enabled" for each in needs})


def patch(config: str, values: Mapping[str, str]) -> str:
    """The command that changes settings of Knative Serving, which a ConfigMap has."""
    data = json.dumps({"data": dict(values)}, separators=(",", ":"))
    return f"kubectl patch configmap {config} -n knative-serving --type merge -p '{data}'"


def _needed(function: Function, models: Sequence[Model]) -> Iterator[Need]:
    yield Need(EMPTY_DIR, "/tmp as an empty directory")  # noqa: S108 - in the container
    for name in _mounted(function, models):
        yield Need(IMAGE, f"the model {name} as an image volume")
    for name, claim in references.claims(function, models).items():
        yield Need(CLAIM, f"the model {name} on claim {claim}")
    for volume in function.volumes:
        claimed = volume.persistent_volume_claim
        if claimed is not None:
            yield Need(CLAIM, f"the claim {claimed.claim_name}")
            if not claimed.read_only:
                yield Need(CLAIM_WRITE, f"writing to the claim {claimed.claim_name}")
    if capacity.selector(function):
        yield Need(NODE_SELECTOR, "choosing nodes by their labels")
    if function.placement.tolerations:
        yield Need(TOLERATIONS, "`placement.tolerations`")


def _mounted(function: Function, models: Sequence[Model]) -> Iterator[str]:
    """Models that are images of their own: as mlfunc.yaml wants, or as the build has decided."""
    asked = [name for name, each in function.all_models.items() if each.delivery == "volume"]
    built = [each.name for each in models if each.delivery == "volume"]
    yield from dict.fromkeys((*asked, *built))
