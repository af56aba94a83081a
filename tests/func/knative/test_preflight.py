from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mlfunc import function
from mlfunc.knative import preflight, references
from mlfunc.knative.facts import Facts, Finding, Installed
from mlfunc.knative.release import Model

from tests.func.knative.test_nodes import node, pod

PRODUCT = "nvidia.com/gpu.product"


def of(**keys: Any) -> function.Function:
    return function.parse(yaml.safe_dump({"name": "greeter", **keys}).encode())


def facts(**known: Any) -> Facts:
    return Facts(context="dev", namespace="team", **known)


def examined(own: function.Function, seen: Facts, models: tuple[Model, ...] = ()) -> list[Finding]:
    return list(preflight.examine(own, models, seen))


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1, found
    return found[0]


def model(delivery: Any, uri: str = "hf://org/name") -> Model:
    return Model("weights", uri, delivery, 10)


def test_nothing_is_held_against_a_cluster_that_may_not_be_looked_at() -> None:
    own = of(
        accelerator="nvidia",
        env={"A": {"secret": "s", "key": "k"}},
        volumes=[{"path": "/c", "persistentVolumeClaim": {"claimName": "c"}}],
        events={"subscriptions": [{}]},
        deploy={"rollout": "recreate", "service_account": "a", "pull_secret": "p"},
    )

    assert examined(own, facts(), (model("volume"),)) == []


def test_a_cluster_without_knative_is_refused() -> None:
    found = only(examined(of(), facts(serving=Installed(there=False))))

    assert found.severity == "refusal"
    assert "has no Knative Serving" in found.message
    assert found.fix.startswith("install it: https://")


@pytest.mark.parametrize(
    ("version", "is_old"),
    [
        ("1.18.3", True),
        ("v1.9.0", True),
        ("1.19.0", False),
        ("2.0.0", False),
        ("devel", False),
        ("", False),
        ("20260101-abc", False),
    ],
)
def test_an_old_knative_is_told_and_not_refused(version: str, is_old: bool) -> None:
    found = examined(of(), facts(serving=Installed(there=True, version=version)))

    assert [each.severity for each in found] == (["note"] if is_old else [])


def test_subscriptions_need_eventing() -> None:
    seen = facts(eventing=Installed(there=False))

    assert examined(of(), seen) == []
    assert "Eventing" in only(examined(of(events={"subscriptions": [{}]}), seen)).message


def test_a_namespace_that_is_missing_is_refused_with_the_command_that_makes_it() -> None:
    found = only(examined(of(), facts(has_namespace=False)))

    assert found.fix == "kubectl create namespace team"


@pytest.mark.parametrize(
    ("keys", "models", "flags"),
    [
        ({}, (model("volume"),), ["podspec-volumes-image"]),
        ({}, (model("pvc", "pvc://c/x"),), ["podspec-persistent-volume-claim"]),
        ({"models": {"weights": "pvc://c/x"}}, (), ["podspec-persistent-volume-claim"]),
        ({}, (model("baked"), model("stream")), []),
        ({"placement": {"nodeSelector": {"a": "b"}}}, (), ["podspec-nodeselector"]),
        ({"placement": {"tolerations": [{"key": "a"}]}}, (), ["podspec-tolerations"]),
        ({"accelerator": {"type": "nvidia", "product": "L4"}}, (), ["podspec-nodeselector"]),
        ({"accelerator": "nvidia"}, (), []),
        (
            {"volumes": [{"path": "/c", "persistentVolumeClaim": {"claimName": "c"}}]},
            (),
            ["podspec-persistent-volume-claim", "podspec-persistent-volume-write"],
        ),
        (
            {"volumes": [{"path": "/c", "emptyDir": {}}, {"path": "/d", "secret": "s"}]},
            (),
            [],
        ),
    ],
)
def test_the_features_that_are_off_and_needed_are_named_with_the_patch(
    keys: Any, models: tuple[Model, ...], flags: list[str]
) -> None:
    named = [f"kubernetes.{flag}" for flag in flags]

    found = examined(of(**keys), facts(features={}), models)

    assert all(flag in found[0].message and f'"{flag}":"enabled"' in found[0].fix for flag in named)
    assert len(found) == bool(named)
    assert examined(of(**keys), facts(features=dict.fromkeys(named, "Enabled")), models) == []


def test_the_patch_is_one_command_that_a_shell_takes_as_it_is() -> None:
    import json
    import shlex

    found = only(examined(of(), facts(features={}), (model("volume"),)))
    *command, patch = shlex.split(found.fix)

    assert command[:3] == ["kubectl", "patch", "configmap"]
    assert json.loads(patch) == {"data": {"kubernetes.podspec-volumes-image": "enabled"}}


@pytest.mark.parametrize(
    ("keys", "seen", "told"),
    [
        ({"serve": {"timeout": "10m"}}, {"defaults": {}}, "may take 600 s"),
        ({"serve": {"timeout": "9m"}}, {"defaults": {}}, None),
        (
            {"serve": {"timeout": "10m"}},
            {"defaults": {"max-revision-timeout-seconds": "700"}},
            None,
        ),
        ({"serve": {"concurrency": 1001}}, {"defaults": {}}, "limit 1000"),
        ({"scale": {"max": 20}}, {"autoscaler": {"max-scale-limit": "10"}}, "limit 10"),
        ({"scale": {"max": 0}}, {"autoscaler": {"max-scale-limit": "10"}}, "limit 10"),
        ({"scale": {"max": 5}}, {"autoscaler": {"max-scale-limit": "10"}}, None),
        ({"deploy": {"rollout": "recreate"}}, {"autoscaler": {}}, "recreate"),
        (
            {"deploy": {"rollout": "recreate"}},
            {"autoscaler": {"allow-zero-initial-scale": "true"}},
            None,
        ),
        (
            {"deploy": {"rollout": "recreate"}},
            {"serving": Installed(there=True, version="1.20.2")},
            "needs Knative 1.21, and this is 1.20.2",
        ),
    ],
)
def test_what_an_administrator_bounds_is_refused_beyond_that(
    keys: Any, seen: Any, told: str | None
) -> None:
    found = examined(of(**keys), facts(**seen))

    if told is None:
        assert found == []
    else:
        assert told in only(found).message
        assert only(found).severity == "refusal"


def test_what_is_named_and_not_there_is_refused_with_the_command_that_makes_it() -> None:
    own = of(
        env={"A": {"secret": "s", "key": "k"}, "B": {"configMap": "m", "key": "x"}},
        volumes=[{"path": "/c", "persistentVolumeClaim": {"claimName": "c"}}],
        events={"subscriptions": [{"broker": "b"}]},
        deploy={"service_account": "a"},
    )
    named = dict.fromkeys(references.of(own), None)

    found = {each.message.partition(":")[0]: each.fix for each in examined(own, facts(named=named))}

    assert found == {
        "there is no Secret s in namespace team": (
            "kubectl create secret generic s -n team --from-literal k=..."
        ),
        "there is no ConfigMap m in namespace team": (
            "kubectl create configmap m -n team --from-literal x=..."
        ),
        "there is no PersistentVolumeClaim c in namespace team": (
            "create it, or name another: kubectl get pvc -n team"
        ),
        "there is no ServiceAccount a in namespace team": (
            "kubectl create serviceaccount a -n team"
        ),
        "there is no Broker b in namespace team": "kn broker create b -n team",
    }


@pytest.mark.parametrize(
    ("sink", "told", "fix"),
    [
        ("ksvc:audit", "function audit", "deploy it first, or name another: mlfunc list -n team"),
        ("broker:audit", "Broker audit", "kn broker create audit -n team"),
        ("channel:audit", "Channel audit", "kn channel create audit -n team"),
        ("svc:audit", "Service audit", "create it, or name another: kubectl get services -n team"),
    ],
)
def test_dead_letters_that_nobody_would_get_are_told(sink: str, told: str, fix: str) -> None:
    own = of(events={"subscriptions": [{"dead_letter": sink}]})
    broker, letters = references.of(own)

    found = only(examined(own, facts(named={broker: frozenset(), letters: None})))

    assert found.message == (
        f"there is no {told} in namespace team: events.subscriptions[0].dead_letter names it"
    )
    assert found.fix == fix


def test_dead_letters_for_a_url_are_sent_there_unseen() -> None:
    own = of(events={"subscriptions": [{"dead_letter": "http://sink.default.svc/path"}]})
    assert [each.kind for each in references.of(own)] == ["Broker"]


def test_a_pull_secret_is_one_of_a_registry() -> None:
    own = of(deploy={"pull_secret": "hub"})
    (named,) = references.of(own)
    command = (
        "kubectl create secret docker-registry hub -n team"
        " --docker-server=... --docker-username=... --docker-password=..."
    )

    missing = only(examined(own, facts(named={named: None})))
    opaque = only(examined(own, facts(named={named: frozenset()})))

    assert missing.fix == command
    assert opaque.message == (
        "Secret hub has no credentials of a registry: deploy.pull_secret names it"
    )
    assert opaque.fix.endswith(f"kubectl delete secret hub -n team; {command}")
    assert examined(own, facts(named={named: frozenset({".dockerconfigjson"})})) == []


def test_a_key_that_is_missing_is_told_with_those_that_are_there() -> None:
    own = of(env={"A": {"secret": "s", "key": "k"}})
    (named,) = references.of(own)

    found = only(examined(own, facts(named={named: frozenset({"token", "user"})})))

    assert "Secret s has no key k: env.A names it; it has token, user" in found.message
    assert examined(own, facts(named={named: frozenset({"k"})})) == []


@pytest.mark.parametrize(
    ("registry", "told"),
    [
        ("localhost:5000/team", True),
        ("http://127.0.0.1:5000", True),
        ("[::1]:5000", True),
        ("registry.example.com/localhost", False),
        ("localhost.example.com", False),
        ("", False),
    ],
)
def test_a_registry_on_this_machine_is_one_that_nodes_do_not_reach(
    registry: str, told: bool
) -> None:
    found = preflight.examine(of(), (), facts(), registry)

    assert [each.severity for each in found] == (["note"] if told else [])


def test_an_accelerator_that_no_node_has_is_refused_with_what_nodes_have() -> None:
    found = only(examined(of(accelerator="nvidia"), facts(nodes=[node(), node("b", cpu="8")])))

    assert found.severity == "refusal"
    assert found.message == "no node has nvidia.com/gpu; nodes have: cpu 8, memory 8Gi"


def test_an_accelerator_that_no_node_has_yet_is_waited_for_where_nodes_are_added() -> None:
    found = only(examined(of(accelerator="nvidia"), facts(nodes=[node()], adds_nodes=True)))

    assert found.severity == "note"
    assert "it waits for one to be added" in found.message


def test_a_product_that_no_node_has_is_refused_with_those_that_there_are() -> None:
    own = of(accelerator={"type": "nvidia", "product": "NVIDIA-L4"})
    there = node(gpu="1", labels={PRODUCT: "NVIDIA-A100"})

    found = only(examined(own, facts(nodes=[there])))

    assert f"its label {PRODUCT} is NVIDIA-A100" in found.message


def test_a_new_revision_that_has_no_room_beside_the_old_one_is_told() -> None:
    """Told, not refused: the old one goes when it is idle."""
    old = pod("greeter-00001-x", cpu="3")
    old["metadata"]["labels"] = {"serving.knative.dev/service": "greeter"}
    seen = facts(nodes=[node()], pods=[old])

    found = only(examined(of(), seen))

    assert found.severity == "note"
    assert found.message == (
        "no node has room for one more instance now (cpu 1.025, memory 2Gi): it waits until the old"
        " revision has gone, which goes when it is idle"
    )
    assert "`deploy: {rollout: recreate}`" in found.fix
    assert examined(of(resources={"cpu": "500m"}), seen) == []
    assert examined(of(deploy={"rollout": "recreate"}), seen) == []


def test_what_others_leave_no_room_for_waits_for_them() -> None:
    found = only(examined(of(), facts(nodes=[node()], pods=[pod("trainer", memory="7Gi")])))

    assert found.message.endswith("it waits until others have gone")
    assert "recreate" not in found.fix


def test_more_devices_than_any_node_has_are_refused() -> None:
    own = of(accelerator={"type": "nvidia", "count": 4})

    found = only(examined(own, facts(nodes=[node("a", gpu="2"), node("b", gpu="2")])))

    assert "a: it has nvidia.com/gpu 2" in found.message


def test_a_free_accelerator_is_told_with_its_product_and_driver() -> None:
    labels = {PRODUCT: "NVIDIA-L4", "nvidia.com/cuda.driver-version.full": "550.54"}
    seen = facts(nodes=[node(gpu="2", labels=labels)], pods=[pod(gpu="1")])

    found = only(examined(of(accelerator="nvidia"), seen))

    assert found == Finding("note", "1 of 2 nvidia.com/gpu are free (NVIDIA-L4, driver 550.54)")


def test_an_accelerator_that_is_taken_is_waited_for() -> None:
    holder = pod("trainer", gpu="1")

    found = only(examined(of(accelerator="nvidia"), facts(nodes=[node(gpu="1")], pods=[holder])))

    assert found.severity == "note"
    assert "0 of 1 nvidia.com/gpu are free" in found.message
    assert "team/trainer" in found.message


@pytest.mark.parametrize(("rollout", "told"), [("rolling", True), ("recreate", False)])
def test_an_accelerator_that_the_old_revision_holds_asks_for_recreate(
    rollout: str, told: bool
) -> None:
    own = of(accelerator="nvidia", deploy={"rollout": rollout})
    holder = pod("greeter-00001-x", gpu="1")
    holder["metadata"]["labels"] = {"serving.knative.dev/service": "greeter"}

    found = only(examined(own, facts(nodes=[node(gpu="1")], pods=[holder])))

    assert ("recreate" in found.fix) is told


def test_the_taint_of_an_accelerators_nodes_may_be_tolerated_by_the_cluster_itself() -> None:
    taint = {"key": "nvidia.com/gpu", "effect": "NoSchedule"}
    seen = facts(nodes=[node(gpu="1", taints=[taint])], pods=[])

    assert only(examined(of(accelerator="nvidia"), seen)).severity == "note"


def test_an_instance_that_is_larger_than_any_node_is_refused() -> None:
    found = only(examined(of(resources={"memory": "9Gi"}), facts(nodes=[node()])))

    assert found.severity == "refusal"
    assert "memory 9Gi): node-1: it has memory 8Gi" in found.message


def test_knatives_own_container_counts() -> None:
    assert examined(of(resources={"cpu": "3900m"}), facts(nodes=[node()])) == []
    assert examined(of(resources={"cpu": 4}), facts(nodes=[node()])) != []


def test_an_image_for_machines_that_there_are_not_is_refused() -> None:
    arm = node(labels={"kubernetes.io/arch": "arm64"})

    found = only(examined(of(), facts(nodes=[arm])))

    assert found.severity == "refusal"
    assert found.fix == "set `build.platform: linux/arm64` in mlfunc.yaml"


def test_where_nodes_are_of_two_kinds_one_has_to_be_chosen() -> None:
    mixed = [node(arch, labels={"kubernetes.io/arch": arch}) for arch in ("amd64", "arm64")]

    found = only(examined(of(), facts(nodes=mixed)))

    assert found.severity == "note"
    assert "nodeSelector: {kubernetes.io/arch: amd64}" in found.fix


def _quota(hard: dict[str, str], **used: str) -> dict[str, Any]:
    spec = {"hard": hard}
    return {"metadata": {"name": "small"}, "spec": spec, "status": {"used": used}}


def test_a_quota_that_is_smaller_than_an_instance_is_refused() -> None:
    found = examined(of(), facts(quotas=[_quota({"requests.cpu": "500m"})]))

    assert only(found).severity == "refusal"
    assert "requests.cpu 1.025, and quota small allows 500m" in only(found).message


def test_a_quota_that_is_used_up_is_told() -> None:
    found = only(examined(of(), facts(quotas=[_quota({"pods": "3"}, pods="3")])))

    assert found.severity == "note"
    assert "allows 3, of which 3 is taken" in found.message


def test_a_quota_on_limits_refuses_knatives_own_container_unless_it_gets_some() -> None:
    quota = _quota({"limits.memory": "64Gi"})
    defaults = {"spec": {"limits": [{"type": "Container", "default": {"memory": "1Gi"}}]}}
    enabled = {"queueproxy.resource-defaults": "enabled"}

    assert "queue-proxy" in only(examined(of(), facts(quotas=[quota]))).message
    assert examined(of(), facts(quotas=[quota], features=enabled)) == []
    limits = {"metadata": {"name": "limits"}, **defaults}
    assert examined(of(), facts(quotas=[quota], limits=[limits])) == []


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ({"max": {"memory": "1Gi"}}, "allows memory 1Gi at most, and this is 2Gi"),
        ({"min": {"cpu": "2"}}, "wants cpu 2 at least, and this is 1"),
        ({"max": {"memory": "2Gi"}, "min": {"cpu": "1"}}, None),
    ],
)
def test_a_limit_range_bounds_what_a_container_asks_for(bounds: Any, told: str | None) -> None:
    limit = {
        "metadata": {"name": "limits"},
        "spec": {"limits": [{"type": "Pod", "max": {"cpu": "0"}}, {"type": "Container", **bounds}]},
    }

    found = examined(of(), facts(limits=[limit]))

    assert [each.message.partition("limits ")[2] for each in found] == ([told] if told else [])


def test_refusals_come_first() -> None:
    seen = facts(
        has_namespace=False, serving=Installed(there=True, version="1.2.0"), nodes=[node()]
    )

    found = examined(of(accelerator="nvidia"), seen)

    assert [each.severity for each in found] == ["refusal", "refusal", "note"]


quantity = st.sampled_from(["0", "1", "100m", "1Gi", "8Gi", "4", "64Gi"])
resource = st.sampled_from(["cpu", "memory", "gpu"])


@given(
    has=st.lists(st.dictionaries(resource, quantity), max_size=3),
    held=st.lists(st.dictionaries(resource, quantity), max_size=3),
    grows=st.booleans(),
    accelerator=st.sampled_from(["cpu", "nvidia"]),
)
def test_whatever_nodes_there_are_each_finding_is_a_sentence(
    has: list[dict[str, str]], held: list[dict[str, str]], grows: bool, accelerator: str
) -> None:
    seen = facts(
        nodes=[node(f"n{i}", **each) for i, each in enumerate(has)],
        pods=[pod(on="n0", **each) for each in held],
        adds_nodes=grows,
    )

    found = examined(of(accelerator=accelerator), seen)

    assert all(each.message and "None" not in each.message for each in found)
    assert not (grows and any(each.severity == "refusal" for each in found))
