"""Events: in by a broker, out by it, delivered again, and to the dead letters in the end."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.rig.cluster import eventually
from tests.rig.stage import JOBS, Stage, staged

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.rig.places import Place


# Knative's in-memory channel answers when all who get an event have.
_EMITTED = {"local": 0, "knative": 7}


@pytest.fixture(scope="module")
def stage(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return staged(place, tmp_path_factory.mktemp("projects"))


def test_an_event_passes_the_filter_to_a_function_whose_answer_goes_to_the_next(
    stage: Stage, figure: Callable[[str], None]
) -> None:
    stage.place.send("other", {"n": 1})
    began = time.monotonic()
    stage.place.send("job", {"n": 2})

    eventually(lambda: stage.results()[2], "the answer at the second function")
    figure(f"broker -> worker -> broker -> collector: {time.monotonic() - began:.2f} s")
    assert (stage.results()[1], stage.counted()[2]) == (0, 1)
    answer = stage.events("dev.mlfunc.worker.result")[-1]
    assert (answer["source"], answer["data"]) == ("/mlfunc/worker", {"n": 2})


def test_an_event_that_comes_twice_is_worked_on_once_and_answered_once(stage: Stage) -> None:
    def send(_: int) -> None:
        stage.place.send("job", {"n": 20, "seconds": 0.5}, id="twenty")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(send, range(3)))
    send(3)
    stage.place.send("job", {"n": 21})

    eventually(lambda: stage.results()[21], "the answer to what came last")
    eventually(lambda: stage.counted("after").get(20), "the hook after the answer")
    assert (stage.counted()[20], stage.counted("after")[20], stage.results()[20]) == (1, 1, 1)


def test_what_fails_each_time_goes_to_the_dead_letters(
    stage: Stage, figure: Callable[[str], None]
) -> None:
    which = ("worker", "--type", "doomed")
    stage.place.mlfunc("subscribe", *which, "--retry", "2", "--dead-letter", "ksvc:collector")

    began = time.monotonic()
    stage.place.send("doomed", {"n": 50, "fail": True})

    (letter,) = eventually(lambda: stage.events("doomed"), "the dead letter")
    figure(f"dead letter after 3 tries: {time.monotonic() - began:.1f} s")
    assert letter["knativeerrorcode"] == "500"
    assert letter["data"] == {"n": 50, "fail": True}
    assert stage.counted()[50] == 3
    stage.place.mlfunc("unsubscribe", *which)


def test_an_event_that_is_refused_leaves_its_traces(stage: Stage) -> None:
    which = ("worker", "--type", "strange")
    made = stage.place.mlfunc("subscribe", *which, "-o", "json").data
    bad = ("--type", "strange", "--data", '{"n": "seven"}', "--id", "strange-7")

    emitted = stage.place.mlfunc("emit", *bad, code=_EMITTED[stage.place.name])

    line = "event refused with 400: n: "
    logged = eventually(
        lambda: _having(line, stage.place.mlfunc("logs", "worker").out), "the refusal in the log"
    )
    assert "event=strange-7 type=strange" in logged
    if stage.place.name == "knative":
        assert "of ksvc:worker, one has refused the event" in emitted.err
    else:
        (outcome,) = eventually(lambda: _lost(stage, made["trigger"]), "it counts as lost")
        assert (outcome["failure"]["event"], outcome["failure"]["status"]) == ("strange-7", 400)
    stage.place.mlfunc("unsubscribe", *which)


def _having(words: str, lines: str) -> str:
    return next((each for each in lines.splitlines() if words in each), "")


def _lost(stage: Stage, trigger: str) -> list[dict[str, Any]]:
    shown = stage.place.mlfunc("events", "worker", "-o", "json").data["outcomes"]
    return [each for each in shown if each["source"] == trigger and each["lost"] == 1]


def test_a_function_is_not_subscribed_to_its_own_replies(stage: Stage) -> None:
    before = stage.triggers()
    stage.write({"filters": [{"prefix": {"type": "dev.mlfunc."}}]})

    refused = stage.place.mlfunc("deploy", "--path", stage.worker, code=2)
    stage.write(JOBS)
    by_command = stage.place.mlfunc("subscribe", "worker", code=2)

    for each in (refused, by_command):
        assert "would give worker its own replies, of type dev.mlfunc.worker.result" in each.err
    assert stage.triggers() == before


def test_a_function_is_subscribed_at_once_until_it_is_unsubscribed(stage: Stage) -> None:
    of_file = stage.triggers()

    made = stage.place.mlfunc("subscribe", "worker", "--type", "extra", "-o", "json").data
    stage.place.send("extra", {"n": 60})
    eventually(lambda: stage.results()[60], "the answer to what it was subscribed to")
    assert set(stage.subscribe_worker(JOBS)) == {*of_file, made["trigger"]}
    stage.place.mlfunc("unsubscribe", "worker", "--type", "extra")

    assert stage.triggers() == of_file
    stage.place.send("extra", {"n": 61})
    stage.place.send("job", {"n": 62})
    eventually(lambda: stage.results()[62], "the answer to what it is still subscribed to")
    assert stage.results()[61] == 0


def test_a_broker_that_is_missing_is_told_with_what_makes_it(stage: Stage) -> None:
    args = ("subscribe", "worker", "--broker", "late", "--type", "job")

    refused = stage.place.mlfunc(*args, code=5)

    assert "there is no broker late" in refused.err
    hints = {"local": "events.subscriptions", "knative": "try: kn broker create late -n "}
    assert hints[stage.place.name] in refused.err


def test_dead_letters_for_who_is_not_there_are_refused_and_nothing_is_applied(
    stage: Stage,
) -> None:
    before = stage.triggers()

    for sink, missing in (("ksvc:nosuch", "function"), ("broker:nosuch", "broker")):
        args = ("subscribe", "worker", "--type", "job.late", "--dead-letter", sink)
        assert f"there is no {missing} nosuch" in stage.place.mlfunc(*args, code=5).err
        stage.write({**JOBS, "dead_letter": sink})
        refused = stage.place.mlfunc("deploy", "--path", stage.worker, code=7)
        assert f"there is no {missing} nosuch" in refused.err.replace("Broker", "broker")

    stage.write(JOBS)
    assert stage.triggers() == before


def test_another_filter_counts_from_the_next_deployment_on(stage: Stage) -> None:
    dialects = [{"prefix": {"type": "job."}}, {"not": {"suffix": {"type": ".tmp"}}}]

    assert len(stage.subscribe_worker({"filters": dialects})) == 1
    for n, kind in ((10, "job"), (11, "job.tmp"), (12, "job.new")):
        stage.place.send(kind, {"n": n})
    eventually(lambda: stage.results()[12], "the answer to what passes the new filter")
    assert {10, 11}.isdisjoint(stage.results())


def test_a_subscription_that_the_file_has_no_more_goes_with_its_trigger(stage: Stage) -> None:
    more = stage.subscribe_worker(JOBS, {"filter": {"type": "more"}, "retry": 1})
    retries = {each["retry"] for each in stage.shown("worker")}

    fewer = stage.subscribe_worker(JOBS)

    assert retries == {5, 1}
    assert (len(more), len(fewer)) == (2, 1)
    assert set(fewer) < set(more)
    deployed = stage.place.mlfunc("deploy", "--path", stage.worker, "-o", "json").data
    assert {each["action"] for each in deployed["changes"]} == {"keep"}
