"""By which Service of its ingress a function is reached."""

from __future__ import annotations

import pytest
from mlfunc.knative.ingress import Entrance, addresses, entrance, is_private

from tests.func.knative.objects import ingress

_PUBLIC, _PRIVATE = "greeter.team.example.com", "greeter.team.svc.cluster.local"


def test_a_public_function_is_reached_by_the_public_entrance_under_its_own_name() -> None:
    found = entrance(ingress(_PUBLIC), f"http://{_PUBLIC}")
    assert found == Entrance("edge", "door", _PUBLIC, open=True)


def test_a_private_one_by_the_private_entrance() -> None:
    found = entrance(ingress(), f"http://{_PRIVATE}")
    assert found == Entrance("edge", "back", _PRIVATE, open=False)


def test_where_http_is_sent_on_to_https_the_private_entrance_needs_no_certificate() -> None:
    found = entrance(ingress(_PUBLIC), f"https://{_PUBLIC}")
    assert found == Entrance("edge", "back", _PRIVATE, open=False)


def test_of_a_tag_s_revision_it_is_the_private_name_of_that_tag() -> None:
    public, private = f"old-{_PUBLIC}", f"old-{_PRIVATE}"
    told, other = ingress(_PUBLIC), ingress(public, private=private)
    for rule in other["spec"]["rules"]:
        rule["http"]["paths"][0]["splits"][0]["serviceName"] = "greeter-00001"
    told["spec"]["rules"] += other["spec"]["rules"]

    assert entrance(told, f"https://{public}") == Entrance("edge", "back", private, open=False)


@pytest.mark.parametrize("status", [{}, {"publicLoadBalancer": {"ingress": [{"meshOnly": True}]}}])
def test_an_ingress_that_has_not_come_to_it_has_none(status: dict[str, object]) -> None:
    assert entrance({**ingress(_PUBLIC), "status": status}, f"http://{_PUBLIC}") is None
    assert entrance(ingress(), f"http://{_PUBLIC}") is None


def test_names_that_only_pods_know_are_private() -> None:
    assert is_private(f"http://{_PRIVATE}", "team")
    assert not is_private(f"http://{_PUBLIC}", "team")
    assert not is_private("http://greeter.team.svc.example.com", "other")


def test_load_balancers_are_tried_first_then_a_node_s_ports_by_its_address_for_the_outside() -> (
    None
):
    inner, outer = ({"type": f"{at}IP", "address": at} for at in ("Internal", "External"))
    service = {
        "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}, {"hostname": "lb.org"}]}},
        "spec": {"externalIPs": ["10.0.0.2"], "ports": [{"port": 80, "nodePort": 30080}]},
    }
    assert addresses(service, [{"status": {"addresses": [inner, outer]}}]) == [
        ("10.0.0.1", 80),
        ("lb.org", 80),
        ("10.0.0.2", 80),
        ("External", 30080),
        ("Internal", 30080),
    ]
