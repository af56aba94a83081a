"""Two deployments at once: whether a Service still asks for what was applied, and whose revision is
whose. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlfunc.knative import diagnosis

if TYPE_CHECKING:
    from collections.abc import Sequence

Object = dict[str, Any]


def is_overtaken(service: Object, applied: Object) -> bool:
    """Whether somebody has deployed something else since; `applied` is what our apply came to.

    The generation alone does not tell: it counts changes of traffic, too. Annotations of the
    template do not count: `mlfunc scale` changes them, and the function stays what it is.
    """
    later: bool = service["metadata"]["generation"] > applied["metadata"]["generation"]
    return later and _asked(service) != _asked(applied)


def revision_of(applied: Object, revisions: Sequence[Object]) -> str:
    """The newest revision of what was applied; empty: there is none (yet).

    By its spec, as Knative itself compares the two. A revision's configurationGeneration is no
    generation of the Service.
    """
    found = [each for each in revisions if each.get("spec") == _asked(applied)]
    newest = diagnosis.newest(found)
    return newest["metadata"]["name"] if newest else ""


def _asked(service: Object) -> Any:
    return service["spec"]["template"].get("spec")
