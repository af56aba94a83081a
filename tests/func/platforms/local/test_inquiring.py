"""What of mlfunc.yaml cannot be here, and what means nothing here."""

from __future__ import annotations

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
