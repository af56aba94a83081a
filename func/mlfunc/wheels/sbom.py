"""What is in an image, as CycloneDX 1.6 has it: from the lock alone, so the same in every build."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mlfunc import __version__
from mlfunc.wheels import licenses

if TYPE_CHECKING:
    from mlfunc.lock import Wheel
    from mlfunc.project import Project


def document(project: Project) -> bytes:
    """The packages of a project for its target. It has no date and no serial number."""
    resolution = project.lock.python.get(project.target.name)
    wheels = resolution.packages if resolution is not None else []
    function = {"type": "application", "name": project.function.name, "bom-ref": "function"}
    tool = {"type": "application", "name": "mlfunc", "version": __version__}
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": function, "tools": {"components": [tool]}},
        "components": [_component(wheel) for wheel in wheels],
        "dependencies": [{"ref": "function", "dependsOn": [purl(wheel) for wheel in wheels]}],
    }
    return json.dumps(bill, indent=1, ensure_ascii=False).encode() + b"\n"


def purl(wheel: Wheel) -> str:
    """What names a package everywhere: package-url specification, type pypi."""
    return f"pkg:pypi/{wheel.name}@{quote(wheel.version, safe='.')}?file_name={quote(wheel.file)}"


def _component(wheel: Wheel) -> dict[str, Any]:
    component = {
        "type": "library",
        "bom-ref": purl(wheel),
        "name": wheel.name,
        "version": wheel.version,
        "purl": purl(wheel),
        "hashes": [{"alg": "SHA-256", "content": wheel.sha256}],
    }
    if found := _licenses(wheel):
        component["licenses"] = found
    if wheel.url is not None:
        component["externalReferences"] = [{"type": "distribution", "url": wheel.url}]
    return component


def _licenses(wheel: Wheel) -> list[dict[str, Any]]:
    if wheel.license:
        return [{"expression": wheel.license}]
    ids = ((name, licenses.spdx_id(name)) for name in wheel.license_names)
    return [{"license": {"id": spdx} if spdx else {"name": name}} for name, spdx in ids]
