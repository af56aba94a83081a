"""A user, Ada, who may do in one namespace what a test grants, and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.rig.cluster import Cluster

_GROUP = "rbac.authorization.k8s.io"


def granted(cluster: Cluster, folder: Path, rules: Sequence[Any]) -> Path:
    """Her kubeconfig, once she may do that; it is made of the one that the test began with."""
    _grant(cluster, rules)
    path = folder / "kubeconfig"
    if not path.exists():
        path.write_text(json.dumps(_impersonating()), encoding="utf-8")
    return path


def _grant(cluster: Cluster, rules: Sequence[Any]) -> None:
    meta: dict[str, Any] = {"name": "ada", "namespace": cluster.namespace}
    version = f"{_GROUP}/v1"
    who = {"kind": "User", "name": "ada", "apiGroup": _GROUP}
    role = {"kind": "Role", "name": "ada", "apiGroup": _GROUP}
    cluster.apply(
        {"apiVersion": version, "kind": "Role", "metadata": meta, "rules": [*rules]},
        {
            "apiVersion": version,
            "kind": "RoleBinding",
            "metadata": meta,
            "subjects": [who],
            "roleRef": role,
        },
    )


def _impersonating() -> Any:
    told = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text(encoding="utf-8"))
    for each in told["users"]:
        each["user"]["as"] = "ada"
    return told
