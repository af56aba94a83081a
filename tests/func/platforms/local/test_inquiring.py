"""What of mlfunc.yaml cannot be here, and what means nothing here."""

from __future__ import annotations

import json

import pytest
from mlfunc import function
from mlfunc.platforms.local import inquiring


def found(text: str, *devices: str) -> list[tuple[str, str]]:
    parsed = function.parse(f"name: x\n{text}\n".encode())
    return [
        (each.severity, each.message)
        for each in inquiring.examine(parsed, is_there=lambda path: path in devices)
    ]


def test_a_plain_function_can_run_here() -> None:
    assert found("models: {default: ./weights, other: hf://a/b}") == []


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("pvc://claim/path", "is a volume of a cluster"),
        ("oci://r.example.com/m", "is an image, which nodes of a cluster mount"),
    ],
)
def test_a_model_that_only_a_cluster_has_needs_a_path(uri: str, reason: str) -> None:
    model = f"models: {{big: '{uri}'}}"

    assert found(model) == [("refusal", f"model big: {uri} {reason}")]
    assert found(f"{model}\nenv: {{MLFUNC_MODEL_BIG: /models/big}}") == []


def test_an_accelerator_has_to_be_here() -> None:
    message = "accelerator nvidia: no /dev/nvidia0 or /dev/nvidiactl here"

    assert found("accelerator: nvidia") == [("refusal", message)]
    assert found("accelerator: nvidia", "/dev/nvidiactl") == []


def test_what_chooses_nodes_and_mounts_volumes_is_noted() -> None:
    text = "volumes: [{path: /cache, emptyDir: {}}]\nplacement: {nodeSelector: {disk: ssd}}"

    assert found(text) == [
        (
            "note",
            "`volumes` are mounted in a cluster only: here, /cache is as this machine has it",
        ),
        ("note", "`placement` chooses among nodes of a cluster: here is one machine"),
    ]


@pytest.mark.parametrize(
    ("sink", "message", "fix"),
    [
        ("ksvc:audit", "there is no function audit in namespace team", "deploy it first"),
        ("broker:late", "there is no Broker late in namespace team", "then it is made"),
        ("svc:audit", "dead_letter: Service audit would be of a cluster", "name ksvc:NAME"),
        ("ksvc:there", "", ""),
        ("broker:jobs", "", ""),
        ("http://127.0.0.1:9", "", ""),
    ],
)
def test_dead_letters_go_to_who_is_here_or_will_be(sink: str, message: str, fix: str) -> None:
    own = {"subscriptions": [{"broker": "jobs"}, {"filter": {"type": "a"}, "dead_letter": sink}]}
    parsed = function.parse(json.dumps({"name": "x", "events": own}).encode())

    told = list(inquiring.dead_letters(parsed, "team", lambda _, name: name == "there"))

    assert [each.severity for each in told] == (["refusal"] if message else [])
    assert all(message in each.message and fix in each.fix for each in told)
