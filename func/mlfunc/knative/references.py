"""What a function names that must be in its namespace: secrets, claims, brokers, and the like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mlfunc.function import EnvSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlfunc.function import Function, Volume
    from mlfunc.knative.release import Model

Kind = Literal[
    "Secret",
    "ConfigMap",
    "PersistentVolumeClaim",
    "ServiceAccount",
    "Broker",
    "Channel",
    "Service",  # Kubernetes' own
    "function",
]

PULL_SECRET = "deploy.pull_secret"  # noqa: S105 - a key of mlfunc.yaml
# A node reads the credentials of a secret by this key, and only if it is of that type.
REGISTRY_KEYS = {
    ".dockerconfigjson": "kubernetes.io/dockerconfigjson",
    ".dockercfg": "kubernetes.io/dockercfg",
}
_SINKS: dict[str, Kind] = {
    "ksvc": "function",
    "broker": "Broker",
    "channel": "Channel",
    "svc": "Service",
}


@dataclass(frozen=True)
class Reference:
    """An object by its kind and name; `key`: of its data. `by`: where mlfunc.yaml names it."""

    kind: Kind
    name: str
    by: str
    key: str | None = None


def of(function: Function, models: Sequence[Model] = ()) -> list[Reference]:
    """All of them."""
    return [*_variables(function), *_volumes(function, models), *_others(function)]


def _variables(function: Function) -> Iterator[Reference]:
    for name, value in function.env.items():
        if isinstance(value, EnvSource):
            kind: Kind = "Secret" if value.secret else "ConfigMap"
            source = value.secret or value.config_map or ""
            yield Reference(kind, source, f"env.{name}", value.key)


def _volumes(function: Function, models: Sequence[Model]) -> Iterator[Reference]:
    for number, volume in enumerate(function.volumes):
        if found := _source(volume):
            yield Reference(*found, by=f"volumes[{number}]")
    for name, claim in sorted(claims(function, models).items()):
        yield Reference("PersistentVolumeClaim", claim, f"models.{name}")


def claims(function: Function, models: Sequence[Model] = ()) -> dict[str, str]:
    """The claims that models lie on, by the models' names; before a build, by their addresses."""
    uris = {name: model.uri for name, model in function.all_models.items()}
    uris |= {model.name: model.uri for model in models}
    return {
        name: uri.removeprefix("pvc://").partition("/")[0]
        for name, uri in uris.items()
        if uri.startswith("pvc://")
    }


def _source(volume: Volume) -> tuple[Kind, str] | None:
    if volume.secret:
        return "Secret", volume.secret
    if volume.config_map:
        return "ConfigMap", volume.config_map
    if volume.persistent_volume_claim:
        return "PersistentVolumeClaim", volume.persistent_volume_claim.claim_name
    return None


def _others(function: Function) -> Iterator[Reference]:
    if function.deploy.service_account:
        yield Reference("ServiceAccount", function.deploy.service_account, "deploy.service_account")
    if function.deploy.pull_secret:
        yield Reference("Secret", function.deploy.pull_secret, PULL_SECRET)
    for number, subscription in enumerate(function.events.subscriptions):
        yield Reference("Broker", subscription.broker, f"events.subscriptions[{number}]")
    yield from dead_letters(function)


def dead_letters(function: Function) -> Iterator[Reference]:
    """Where its subscriptions send them; URLs are taken as they are."""
    for number, subscription in enumerate(function.events.subscriptions):
        word, _, name = (subscription.dead_letter or "").partition(":")
        if word in _SINKS:
            by = f"events.subscriptions[{number}].dead_letter"
            yield Reference(_SINKS[word], name, by)
