"""How Kubernetes lets things be called: pkg/util/validation of its apimachinery."""

from __future__ import annotations

import pytest
from mlfunc.knative import syntax


@pytest.mark.parametrize("text", ["", "a", "A_b.c-9", "x" * 63])
def test_values_of_labels(text: str) -> None:
    assert syntax.is_label(text)


@pytest.mark.parametrize("text", ["-a", "a-", ".", "a b", "a/b", "ä", "a\n", "x" * 64])
def test_no_values_of_labels(text: str) -> None:
    assert not syntax.is_label(text)


@pytest.mark.parametrize("text", ["a", "A_b", "example.com/A_b", f"{'a' * 253}/b"])
def test_keys_of_labels(text: str) -> None:
    assert syntax.is_key(text)


@pytest.mark.parametrize("text", ["", "/a", "a/", "a/b/c", "Example.com/a", f"{'a' * 254}/b"])
def test_no_keys_of_labels(text: str) -> None:
    assert not syntax.is_key(text)


@pytest.mark.parametrize("text", ["a", "my-secret.v2", "9"])
def test_names_of_objects(text: str) -> None:
    assert syntax.is_name(text)


@pytest.mark.parametrize("text", ["", "A", "a_b", "a..b", "-a", "a-.b", "a\n", "a" * 254])
def test_no_names_of_objects(text: str) -> None:
    assert not syntax.is_name(text)


@pytest.mark.parametrize("text", ["token", ".dockerconfigjson", "A_b-c.d", "a..b"])
def test_keys_of_data(text: str) -> None:
    assert syntax.is_data_key(text)


@pytest.mark.parametrize("text", ["", ".", "..", "..a", "a b", "a/b", "a" * 254])
def test_no_keys_of_data(text: str) -> None:
    assert not syntax.is_data_key(text)
