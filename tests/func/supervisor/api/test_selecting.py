"""Selectors choose as kubectl's do."""

from __future__ import annotations

from typing import Any

import pytest
from mlfunc.supervisor.api import selecting
from mlfunc.supervisor.api.refusals import Refused

FOUND: dict[str, Any] = {
    "metadata": {"name": "x", "labels": {"app": "greeter", "tier": "", "x.y/z": "1"}},
    "status": {"phase": "Running"},
}


@pytest.mark.parametrize(
    ("labels", "matches"),
    [
        ("", True),
        ("app", True),
        ("!app", False),
        ("nosuch", False),
        ("!nosuch", True),
        ("app=greeter", True),
        ("app==greeter", True),
        ("app = greeter", True),
        ("app=other", False),
        ("app!=other", True),
        ("nosuch!=other", True),
        ("tier=", True),
        ("app in (a, greeter)", True),
        ("app notin (a, greeter)", False),
        ("nosuch notin (a)", True),
        ("app in (a,b),tier", False),
        ("app,x.y/z=1", True),
        ("app,x.y/z=2", False),
    ],
)
def test_labels(labels: str, matches: bool) -> None:
    assert selecting.parse(labels, "").matches(FOUND) == matches


@pytest.mark.parametrize(
    ("fields", "matches"),
    [
        ("metadata.name=x", True),
        ("metadata.name!=x", False),
        ("status.phase=Running,metadata.name=x", True),
        ("status.phase=Running,metadata.name=y", False),
        ("spec.nodeName=", True),
        ("metadata.name.more=x", False),
    ],
)
def test_fields(fields: str, matches: bool) -> None:
    assert selecting.parse("", fields).matches(FOUND) == matches


@pytest.mark.parametrize(("labels", "fields"), [("a b c", ""), ("a=b=c", ""), ("", "name")])
def test_what_is_no_selector_is_refused(labels: str, fields: str) -> None:
    with pytest.raises(Refused, match=r"unable to parse|invalid field"):
        selecting.parse(labels, fields)
