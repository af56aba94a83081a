"""Values that a cluster would keep: from the deployer's variables, or there already, or missed."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc import function
from mlfunc.cluster import kinds
from mlfunc.errors import UsageError
from mlfunc.platforms.local.giving import values

if TYPE_CHECKING:
    from mlfunc.cluster.kinds import Kind

FUNCTION = function.parse(b"""name: x
env:
  LEVEL: high
  TOKEN: {secret: hub, key: token}
  USER_NAME: {secret: hub, key: user}
  MODE: {configMap: settings, key: mode}
""")


def none(kind: Kind, name: str) -> None:
    return None


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_values_come_from_the_variables_of_the_same_names() -> None:
    environ = {"TOKEN": "s3cret", "USER_NAME": "", "MODE": "fast", "LEVEL": "low"}
    secret, settings = values(FUNCTION, "team", none, environ).objects

    assert secret == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "hub", "namespace": "team"},
        "data": {"token": coded("s3cret"), "user": ""},
    }
    assert (settings["kind"], settings["data"]) == ("ConfigMap", {"mode": "fast"})


def test_what_is_there_stays_beside_what_is_given() -> None:
    kept: dict[tuple[Kind, str], dict[str, Any]] = {
        (kinds.SECRET, "hub"): {"data": {"token": "b2xk", "user": "bWU=", "else": "eA=="}},
        (kinds.CONFIG_MAP, "settings"): {"data": {"mode": "slow"}},
    }
    [secret], found = values(FUNCTION, "team", lambda *at: kept.get(at), {"TOKEN": "new"})

    assert secret["data"] == {"token": coded("new"), "user": "bWU=", "else": "eA=="}
    assert found == {"TOKEN": coded("new"), "USER_NAME": "bWU=", "MODE": "slow"}


def test_all_that_have_no_value_are_named_with_how_to_give_them() -> None:
    with pytest.raises(UsageError) as caught:
        values(FUNCTION, "team", none, {"USER_NAME": "me"})

    assert caught.value.message == "TOKEN and MODE have no value"
    assert caught.value.hint == "give them to the deployment: TOKEN=... MODE=... mlfunc deploy"
    assert caught.value.evidence == (
        "TOKEN: key token of Secret hub, which is not there\n"
        "MODE: key mode of ConfigMap settings, which is not there"
    )


def test_a_function_without_such_variables_needs_none() -> None:
    assert values(function.parse(b"name: x\nenv: {A: b}\n"), "team", none, {"A": "c"}) == ([], {})
