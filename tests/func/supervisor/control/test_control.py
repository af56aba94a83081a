"""Objects that say what there shall be, and what comes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlfunc.knative import diagnosis
from mlfunc.supervisor.parts import Key, Route, Target

from tests.func.supervisor.control.rig import function, played

if TYPE_CHECKING:
    from tests.func.supervisor.control.rig import Rig


@played
async def test_a_service_has_a_revision_with_an_instance_and_then_gets_its_requests(
    rig: Rig,
) -> None:
    service = await rig.apply(function())

    assert rig.fleet.asked[-1] == ("f-00001", 1)
    assert not diagnosis.is_ready(service)
    assert rig.gateway.joined == {}

    await rig.ready()

    first = Key("default", "f-00001")
    assert diagnosis.is_ready(rig.service("f"))
    assert rig.gateway.routes == [Route(Key("default", "f"), (Target(first, 100),))]
    assert rig.gateway.joined == {"f-00001-deployment-1": 4000}
    assert rig.service("f")["status"]["url"] == "http://f.default.localhost:8088"


@played
async def test_the_same_again_makes_no_revision(rig: Rig) -> None:
    await rig.apply(function())
    await rig.ready()
    before = rig.objects.version

    await rig.apply(function())

    assert rig.objects.version == before
    assert rig.revisions == ["f-00001"]


@played
async def test_a_new_revision_gets_requests_once_it_is_ready_and_the_old_one_serves_until_then(
    rig: Rig,
) -> None:
    await rig.apply(function())
    await rig.ready()

    await rig.apply(function(env={"A": "1"}))

    assert rig.revisions == ["f-00001", "f-00002"]
    assert [each.targets[0].revision.name for each in rig.gateway.routes] == ["f-00001"]

    rig.told.clear()
    await rig.ready("f-00002")

    assert [each.targets[0].revision.name for each in rig.gateway.routes] == ["f-00002"]
    assert diagnosis.is_ready(rig.service("f"))


@played
async def test_one_that_leaves_gets_no_more_requests_before_it_is_told_to_end(rig: Rig) -> None:
    await rig.apply(function())
    await rig.ready()
    rig.told.clear()

    await rig.passes(100)

    assert rig.told == ["end f-00001-deployment-1", "leave f-00001-deployment-1"]
