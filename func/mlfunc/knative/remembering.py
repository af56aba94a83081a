"""What a deployment came to, kept on its Service: what others have changed since is told by it from
what they only own. Pure.

The API server knows whose a field is, not what was in it: `kn service update --env` owns all of
`containers`, the image too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlfunc import plan
from mlfunc.knative import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.plan import Difference

Object = dict[str, Any]

_TEMPLATE = "spec.template"


def kept(manifest: Object, template: Object) -> Object:
    """The manifest of a Service with the template that it comes to, Knative's defaults included."""
    meta = manifest["metadata"]
    told = {names.APPLIED: json.dumps(template, separators=(",", ":"))}
    annotations = {**(meta.get("annotations") or {}), **told}
    return {**manifest, "metadata": {**meta, "annotations": annotations}}


def without(service: Object) -> Object:
    """A Service as people write it, without what is kept there."""
    meta = service["metadata"]
    annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if k != names.APPLIED}
    return {**service, "metadata": {**meta, "annotations": annotations}}


def touched(service: Object, differences: Sequence[Difference]) -> list[Difference]:
    """Of what differs, what somebody has changed since; all, where it is not known what was."""
    told = (service["metadata"].get("annotations") or {}).get(names.APPLIED)
    if told is None:
        return list(differences)
    live = service["spec"]["template"]
    theirs = [each.path for each in plan.differences(json.loads(told), live, _TEMPLATE)]
    return [
        each
        for each in differences
        if not each.path.startswith(_TEMPLATE) or any(_overlap(each.path, path) for path in theirs)
    ]


def _overlap(one: str, other: str) -> bool:
    """Whether one field is the other, or lies in it."""
    short, long = sorted((one, other), key=len)
    return long.startswith(short) and long[len(short) : len(short) + 1] in ("", ".", "[")
