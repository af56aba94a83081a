"""The manifest and the configuration of an image, from what is below and what is laid on it: pure.

OCI image specification, manifest.md and config.md; what buildpack tools expect beyond that stands
in labels.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlfunc.builder import launcher
from mlfunc.layers.tar import MTIME
from mlfunc.oci.content import CONFIG, MANIFEST, Bytes
from mlfunc.packs.layer import WORKSPACE, Launch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlfunc.builder.planning import Part
    from mlfunc.layers.making import Made
    from mlfunc.oci.content import Source

# Labels that tell of one image and of none that is made of it: its source, commit, author.
_OF_ONE_IMAGE = "org.opencontainers.image."
# Below 0.12, tools that rebase ask for stacks and mixins.
PLATFORM_API = "0.15"
# A number, which Kubernetes can tell is not root's.
USER = "1000:1000"
PORT = "8080/tcp"
_OURS = {
    "CNB_APP_DIR": WORKSPACE,
    "CNB_DEPRECATION_MODE": "quiet",
    "CNB_LAYERS_DIR": "/layers",
    "CNB_PLATFORM_API": PLATFORM_API,
}
_PATH = "/cnb/process:/cnb/lifecycle:/layers/mlfunc_python/deps/bin"
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Of a base image, what says how *it* starts, and what only its own builder could know.
_NOT_INHERITED = frozenset({"Cmd", "Entrypoint", "Healthcheck", "Image", "Hostname", "Domainname"})


@dataclass(frozen=True)
class Laid:
    """A layer as it lies in the image."""

    part: Part
    made: Made
    source: Source | None = None  # of a layer that was taken from another image


@dataclass(frozen=True)
class Below:
    """The image below: its layers' descriptors and its configuration."""

    layers: Sequence[Mapping[str, Any]]
    config: Mapping[str, Any]

    @property
    def diff_ids(self) -> list[str]:
        """Of its layers, bottom first."""
        found: list[str] = self.config["rootfs"]["diff_ids"]
        return found


def together(launches: Sequence[Launch]) -> Launch:
    """What all buildpacks add; of two processes of one type, the later counts."""
    processes = {each.type: each for launch in launches for each in launch.processes}
    return Launch(
        env={k: v for launch in launches for k, v in launch.env.items()},
        processes=tuple(processes.values()),
        labels={k: v for launch in launches for k, v in launch.labels.items()},
    )


def compose(
    below: Below,
    laid: Sequence[Laid],
    launch: Launch,
    labels: Mapping[str, str],
    *,
    epoch: int | None = None,
) -> tuple[Bytes, Bytes]:
    """Manifest and configuration; `epoch` is when it was made, in seconds since 1970."""
    config = _json(_config(below, laid, launch, labels, _time(epoch)), CONFIG)
    layers = [*below.layers, *(each.made.descriptor.as_json() for each in laid)]
    return _manifest(config, layers), config


def plain(
    laid: Sequence[Laid], labels: Mapping[str, str], arch: str, *, epoch: int | None = None
) -> tuple[Bytes, Bytes]:
    """The same for an image of nothing but layers: a model's own."""
    made = _time(epoch)
    config = {
        "created": made,
        "architecture": arch,
        "os": "linux",
        "config": {"Labels": dict(sorted(labels.items()))},
        "rootfs": {"type": "layers", "diff_ids": [each.made.diff_id for each in laid]},
        "history": [{"created": made, "created_by": each.part.history} for each in laid],
    }
    stored = _json(config, CONFIG)
    return _manifest(stored, [each.made.descriptor.as_json() for each in laid]), stored


def _manifest(config: Bytes, layers: Sequence[Mapping[str, Any]]) -> Bytes:
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor.as_json(),
        "layers": layers,
    }
    return _json(manifest, MANIFEST)


def _config(
    below: Below,
    laid: Sequence[Laid],
    launch: Launch,
    labels: Mapping[str, str],
    made: str,
) -> dict[str, Any]:
    base = below.config.get("config") or {}
    kept = {key: value for key, value in base.items() if key not in _NOT_INHERITED}
    start = launcher.default(launch.processes).type
    settings = {
        **kept,
        "User": USER,
        "Env": _env(base.get("Env") or [], launch.env),
        "Entrypoint": [f"{launcher.PROCESSES}/{start}"],
        "WorkingDir": WORKSPACE,
        "ExposedPorts": {**(base.get("ExposedPorts") or {}), PORT: {}},
        "StopSignal": "SIGTERM",
        "Labels": dict(sorted({**_labels(base), **labels}.items())),
    }
    told = [{"created": made, "created_by": each.part.history} for each in laid]
    variant = {"variant": below.config["variant"]} if below.config.get("variant") else {}
    return {
        "created": made,
        "architecture": below.config["architecture"],
        "os": below.config["os"],
        **variant,
        "config": settings,
        "rootfs": {
            "type": "layers",
            "diff_ids": [*below.diff_ids, *(each.made.diff_id for each in laid)],
        },
        "history": [*_history(below), *told],
    }


def _labels(base: Mapping[str, Any]) -> dict[str, str]:
    """Of a base image, without those that are true of it alone."""
    found: dict[str, str] = base.get("Labels") or {}
    return {key: value for key, value in found.items() if not key.startswith(_OF_ONE_IMAGE)}


def _history(below: Below) -> list[dict[str, Any]]:
    """One that fits its layers: a base may have come without."""
    found: list[dict[str, Any]] = below.config.get("history") or []
    filled = [each for each in found if not each.get("empty_layer")]
    if len(filled) == len(below.diff_ids):
        return found
    return [{"created_by": "base image"} for _ in below.diff_ids]


def _env(inherited: Sequence[str], more: Mapping[str, str]) -> list[str]:
    pairs = (each.partition("=") for each in inherited)
    found = {name: value for name, _, value in pairs}
    path = f"{_PATH}:{found.get('PATH') or _DEFAULT_PATH}"
    ours = dict(sorted({**_OURS, **more}.items()))
    return [f"{key}={value}" for key, value in {**found, "PATH": path, **ours}.items()]


def _time(epoch: int | None) -> str:
    moment = datetime.fromtimestamp(MTIME if epoch is None else epoch, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(content: Mapping[str, Any], media_type: str) -> Bytes:
    return Bytes(json.dumps(content, separators=(",", ":")).encode(), media_type)
