"""Functions of all kinds, sensible or not, and what Knative itself would say of their manifests."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import strategies as st
from mlfunc.function import Function
from mlfunc.knative.release import Model, Release

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc.models.delivery import Way

IMAGE = f"registry.example.com/team/f@sha256:{'0' * 64}"
GIGABYTE = 10**9

# Short, of few characters: so that they are often the same, often valid, often not.
_words = st.text("ab1-._/: A", min_size=1, max_size=6) | st.sampled_from(["hub", "my.hub-2"])
_durations = st.sampled_from(["1s", "5.5s", "6s", "60s", "90", "10m", "1h", "61m", "500ms"])
_short = st.sampled_from(["1s", "45s", "90.5s", 60, "5m", "570s"])
_quantities = st.sampled_from(["1", 2, 0.5, "500m", "1.5"])
_sizes = st.sampled_from(["128Mi", "1.5Gi", "2048Mi", "1G", 10**9])
_reserved = ["PORT", "K_SERVICE", "K_SINK", "LOG_LEVEL", "_x"]
_prefixed = [
    "autoscaling.knative.dev/metric",
    "autoscaling.knative.dev/minScale",
    "autoscaling.knative.dev/window",
    "networking.knative.dev/ingress-class",
    "networking.knative.dev/visibility",
    "serving.knative.dev/no-gc",
    "serving.knative.dev/service",
    "function.knative.dev/name",
    "prometheus.io/scrape",
]


def _some(**optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=optional)


_sources = st.one_of(
    st.fixed_dictionaries({"emptyDir": _some(medium=st.just("Memory"), sizeLimit=_sizes)}),
    st.fixed_dictionaries({"secret": _words}),
    st.fixed_dictionaries({"configMap": _words}),
)
_claims: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"persistentVolumeClaim": st.builds(dict, claimName=_words, readOnly=st.booleans())}
)
_paths = st.sampled_from(
    ["/a", "/a/", "//a", "/b/../a", "/tmp", "/tmp/models", "/dev/shm", "/dev", "/..", "/a:b"]
) | st.text("ab/.", max_size=6).map(lambda text: f"/x{text}")
_placement = _some(
    nodeSelector=st.dictionaries(_words, _words, max_size=2),
    tolerations=st.lists(
        _some(
            key=_words,
            operator=st.sampled_from(["Exists", "Equal"]),
            value=_words,
            effect=st.sampled_from(["NoSchedule", "NoExecute"]),
            tolerationSeconds=st.integers(0, 9),
        ),
        max_size=2,
    ),
)
_keys = {
    "accelerator": st.sampled_from(["cpu", "nvidia", "amd", {"type": "nvidia", "count": 2}]),
    "serve": _some(
        slots=st.integers(1, 64),
        batch=st.builds(dict, max_size=st.integers(1, 64)),
        concurrency=st.integers(1, 1000),
        timeout=_short,
        drain=_short,
        hooks=st.builds(dict, timeout=_short),
    ),
    "scale": _some(
        min=st.integers(0, 3),
        max=st.sampled_from([0, 3, 20, 2**31]),
        target=st.sampled_from([0.001, 0.01, 0.7, 1, 123456.75]),
        initial=st.integers(1, 5),
        window=_durations,
        delay=_durations,
        retention=_durations,
    ),
    "resources": _some(
        cpu=_quantities, memory=_sizes, limits=_some(cpu=_quantities, memory=_sizes)
    ),
    "env": st.dictionaries(
        st.sampled_from(_reserved),
        st.one_of(
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
            st.integers(),
            st.floats(allow_nan=False, allow_infinity=False),
            st.builds(dict, secret=_words, key=_words),
            st.builds(dict, configMap=_words, key=_words),
        ),
        max_size=3,
    ),
    "deploy": _some(
        visibility=st.sampled_from(["public", "cluster-local"]),
        # One that is not there is refused as well, but by the cluster.
        service_account=st.sampled_from(["default", "Not one"]),
        pull_secret=_words,
        labels=st.dictionaries(_words | st.sampled_from(_prefixed), _words, max_size=2),
        annotations=st.dictionaries(
            _words | st.sampled_from(_prefixed), st.just("concurrency"), max_size=2
        ),
    ),
}
_DELIVERIES: list[Way] = ["baked", "stream", "volume", "pvc"]
_names = st.sampled_from(["f", "similarity-2", "a" * 63])
_models = st.sampled_from(["default", "Big_one-2", "m" * 90])


@st.composite
def releases(draw: st.DrawFn, *, features: bool = True) -> Release:
    """Of functions that mlfunc.yaml can describe; `features`: also what Knative has off."""
    volumes = st.tuples(_paths, _sources | _claims if features else _sources)
    keys = draw(
        st.fixed_dictionaries(
            {"name": _names},
            optional={
                **_keys,
                "volumes": st.lists(volumes.map(lambda v: {"path": v[0], **v[1]}), max_size=4),
                **({"placement": _placement} if features else {}),
            },
        )
    )
    names = draw(st.lists(_models, unique=True, max_size=2))
    models = tuple(draw(_model(name, features=features)) for name in names)
    addressed = {each.name: each.uri for each in models}
    function = msgspec.convert({**keys, "models": addressed}, Function)
    return Release(function, "here", IMAGE, draw(st.integers(0, 10**11)), models)


@st.composite
def _model(draw: st.DrawFn, name: str, *, features: bool) -> Model:
    delivery = draw(st.sampled_from(_DELIVERIES if features else _DELIVERIES[:2]))
    uri = f"pvc://{draw(st.sampled_from(['shared', 'b.b']))}/x" if delivery == "pvc" else "hf://a/b"
    image = IMAGE if delivery == "volume" else None
    return Model(name, uri, delivery, draw(st.integers(0, 10**11)), image)


def release(*models: Model, **keys: Any) -> Release:
    """Of a small function with these keys in its mlfunc.yaml."""
    uris = {"models": {each.name: each.uri for each in models}} if models else {}
    function = msgspec.convert({"name": "f", **uris, **keys}, Function)
    return Release(function, "here", IMAGE, GIGABYTE, models)


def complaints(manifest: dict[str, Any]) -> Iterator[str]:
    """What Knative's webhook has against it: pkg/apis/serving/k8s_validation.go and metadata."""
    template = manifest["spec"]["template"]
    (container,) = template["spec"]["containers"]
    volumes = [each["name"] for each in template["spec"]["volumes"]]
    mounts = container["volumeMounts"]
    paths = [posixpath.normpath(each["mountPath"]) for each in mounts]
    if len(container["ports"]) != 1:
        yield "ports"
    if len({*volumes}) != len(volumes) or {*volumes} != {each["name"] for each in mounts}:
        yield f"volumes {volumes} are not each mounted"
    if any(not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", each) for each in volumes):
        yield f"names of volumes {volumes}"
    if len({*paths}) != len(paths) or {*paths} & {"/", "/dev", "/dev/log"}:
        yield f"paths {paths}"
    if {"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"} & {
        each["name"] for each in container.get("env", ())
    }:
        yield "reserved variables"
    claims = [each["persistentVolumeClaim"]["claimName"] for each in _claims_of(template)]
    if len({*claims}) != len(claims):
        yield f"claims {claims}: the kubelet waits for ever"
    if any(each.startswith("autoscaling.") for each in manifest["metadata"]["annotations"]):
        yield "annotations of the autoscaler on the Service"
    if any(each.startswith("networking.") for each in template["metadata"]["annotations"]):
        yield "annotations of the network on the template"
    yield from _of_the_autoscaler(template["metadata"]["annotations"])


def _claims_of(template: dict[str, Any]) -> list[Any]:
    return [each for each in template["spec"]["volumes"] if "persistentVolumeClaim" in each]


def _of_the_autoscaler(annotations: dict[str, str]) -> Iterator[str]:
    """pkg/apis/autoscaling/annotation_validation.go: each within its range."""
    prefix = "autoscaling.knative.dev/"
    told = {k.removeprefix(prefix): v for k, v in annotations.items() if k.startswith(prefix)}
    ranges = {
        "min-scale": (0, 2**31 - 1),
        "max-scale": (0, 2**31 - 1),
        "initial-scale": (0, 2**31 - 1),
        "target": (0.01, float("inf")),
        "target-utilization-percentage": (1, 100),
        "window": (6, 3600),
        "scale-down-delay": (0, 3600),
        "scale-to-zero-pod-retention-period": (0, 3600),
    }
    for key, (least, most) in ranges.items():
        if key in told and not least <= float(told[key].removesuffix("s")) <= most:
            yield f"{key} {told[key]}"
    if 0 < int(told["max-scale"]) < int(told["min-scale"]):
        yield "max-scale is below min-scale"
