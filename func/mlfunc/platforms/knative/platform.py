"""Knative, as one of the platforms: a cluster of kubeconfig, images of a registry, an ingress."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from mlfunc.builder import building, naming
from mlfunc.cluster import access, client
from mlfunc.oci import pull
from mlfunc.oci.transport import Access
from mlfunc.platforms.knative import inquiring, invoking, releasing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.builder.assembly import Workshop
    from mlfunc.builder.building import Outcome as Built
    from mlfunc.builder.deciding import Request as Build
    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.function import Function
    from mlfunc.knative.facts import Finding
    from mlfunc.knative.release import Model, Release
    from mlfunc.oci.reference import Reference
    from mlfunc.platforms.platform import Name, Order, Platform, Start
    from mlfunc.platforms.way import Way


class OnKnative:
    """A cluster that has Knative."""

    name: Name = "knative"
    title = "the cluster"

    def is_there(self) -> bool:
        """Whether any cluster is configured."""
        return access.is_configured()

    def is_running(self) -> bool:
        """A cluster is not started by anybody here."""
        return self.is_there()

    def connect(
        self,
        context: str | None,
        namespace: str | None,
        *,
        start: Start = "if deployed",  # noqa: ARG002 - it runs
    ) -> Cluster:
        """The cluster of a context of kubeconfig, else of the current one."""
        return client.connect(context, namespace)

    def check(self, build: Build) -> None:
        """All of them are for it."""

    def inquire(
        self, cluster: Cluster, function: Function, build: Build, models: Sequence[Model] = ()
    ) -> tuple[Finding, ...]:
        """What the cluster shows, held against what the function needs."""
        registry = _registry(build, function)
        return inquiring.check(
            cluster, function, models, registry=registry, platform=build.platform
        )

    def release(self, order: Order, workshop: Workshop) -> tuple[Release, Built | None]:
        """Of an image that is named by its digest, else of one that is built and pushed.

        With a dry run it is not pushed.
        """
        wanted, namespace = order.build, order.cluster.namespace
        if wanted.built_before:
            return _of_image(wanted.built_before, order, workshop), None
        built = building.build(replace(wanted, push=not order.dry_run), workshop)
        main = built.main
        return releasing.release(order.function, namespace, main.reference, main.image), built

    def way(self, cluster: Cluster, service: Object, url: str, ingress: str | None) -> Way:
        """By its own name, by the ingress of its cluster, or by the API server."""
        return invoking.way(cluster, service, url, ingress)


def _of_image(named: Reference, order: Order, workshop: Workshop) -> Release:
    workshop.watcher.phase("reading the image")
    wanted = order.build
    access = Access(os.environ, own=named.registry, insecure=wanted.insecure)
    image = pull.load(named, wanted.platform or order.function.build.platform, access)
    return releasing.release(order.function, order.cluster.namespace, named.name, image)


def _registry(wanted: Build, loaded: Function) -> str:
    if wanted.built_before:
        return wanted.built_before.registry
    return naming.named(loaded, image=wanted.image, registry=wanted.registry).registry


PLATFORM: Platform = OnKnative()
