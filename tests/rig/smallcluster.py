"""A small cluster: it keeps objects as they are applied, and says that each is ready.

Enough for what a command asks of one. What a cluster makes of it, tests/knative show.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.rig import apiserver
from tests.rig.apiserver import Asked, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Object = dict[str, Any]

_PLURALS = ("services", "brokers", "triggers", "pingsources")


class SmallCluster:
    """Objects by their paths; `status` is what they get.

    `events` are what watches of a kind tell of, by its plural, before they fall silent. What is to
    be passed on to a service is `passed_on`, and answered with `proxied`.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.status: Object = {"conditions": [{"type": "Ready", "status": "True"}]}
        self.events: dict[str, tuple[Object, ...]] = {}
        self.proxied = Reply(status=202)
        self.passed_on: list[Asked] = []

    def keep(self, path: str, found: Object) -> Object:
        """An object as it is from now on; another spec is another generation of it."""
        before = self.objects.get(path, {"metadata": {"generation": 0}, "spec": None})
        generation = before["metadata"]["generation"] + (before["spec"] != found.get("spec"))
        known = {"uid": path, "resourceVersion": "1", "generation": generation}
        meta = {**found["metadata"], **known}
        status = {"observedGeneration": generation, **self.status}
        self.objects[path] = {"spec": {}, "status": status, **found, "metadata": meta}
        return self.objects[path]

    def below(self, path: str) -> list[Object]:
        """The objects of a kind."""
        return [each for at, each in self.objects.items() if at.startswith(f"{path}/")]

    def delete(self, path: str) -> Object:
        """What is there no more."""
        return self.objects.pop(path)

    def answer(self, asked: Asked) -> Reply:
        """As an API server does."""
        if "/proxy/" in asked.path:
            self.passed_on.append(asked)
            return self.proxied
        above, _, plural = asked.path.rpartition("/")
        if above == "/api/v1/namespaces":  # all are there
            return Reply(body={"metadata": {"name": plural}})
        if asked.watches:
            return Reply(lines=self.events.get(plural, ()), ends="hang")
        if plural in _PLURALS:
            items = self.below(asked.path)
            return Reply(body={"metadata": {"resourceVersion": "1"}, "items": items})
        if asked.method == "PATCH":
            return Reply(body=self._patched(asked))
        if asked.path not in self.objects:
            return _not_found(asked)
        take = self.delete if asked.method == "DELETE" else self.objects.__getitem__
        return Reply(body=take(asked.path))

    def _patched(self, asked: Asked) -> Object:
        given = json.loads(asked.body)
        if "merge-patch" in asked.headers["content-type"]:
            there = self.objects[asked.path]
            given = {**there, "spec": {**there["spec"], **given["spec"]}}
        return self.keep(asked.path, given)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallCluster]:
    """One that kubeconfig names, with a function `echo` and a broker `default`, in `team`."""
    small = SmallCluster()
    for group, kind, name in (("serving", "services", "echo"), ("eventing", "brokers", "default")):
        path = f"/apis/{group}.knative.dev/v1/namespaces/team/{kind}/{name}"
        small.keep(path, {"metadata": {"name": name, "namespace": "team"}})
    with apiserver.serving(small.answer) as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "kubeconfig")))
        yield small


def _not_found(asked: Asked) -> Reply:
    name = asked.path.rpartition("/")[2]
    return apiserver.status(404, "NotFound", f"{name} not found", name=name)
