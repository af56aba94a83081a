"""Which Trigger goes on as which, when the subscriptions of a function change.

An edited subscription changes its Trigger in place. Were it another Trigger instead, events would
be lost until that is ready, and those still on their way to the old one would fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlfunc.knative import triggers

if TYPE_CHECKING:
    from collections.abc import Sequence

Object = dict[str, Any]


def settle(wanted: Sequence[Object], live: Sequence[Object]) -> list[Object]:
    """What is wanted, each under the name of the Trigger that it keeps or changes.

    The same events are taken by the same Trigger; what is new changes one of the same broker that
    mlfunc.yaml has no more, if there is one, for the broker of a Trigger cannot be changed.
    """
    free = list(live)
    chosen: dict[int, Object] = {}
    for fits in (_takes_the_same, _can_become):
        for index, each in enumerate(wanted):
            found = next((other for other in free if fits(other, each)), None)
            if found is not None and index not in chosen:
                chosen[index] = found
                free.remove(found)
    return [
        _as(chosen[index], each) if index in chosen else place(each, live)
        for index, each in enumerate(wanted)
    ]


def place(trigger: Object, live: Sequence[Object]) -> Object:
    """A Trigger under the name of ours that takes the same, else under one that is free.

    Its own may be taken: by one that took the same before it was changed.
    """
    there = next((each for each in live if _takes_the_same(each, trigger)), None)
    if there is not None:
        return _as(there, trigger)
    taken, own = {each["metadata"]["name"] for each in live}, trigger["metadata"]["name"]
    free = (own, *(f"{own}-{number}" for number in range(2, len(taken) + 2)))
    name = next(each for each in free if each not in taken)
    return {**trigger, "metadata": {**trigger["metadata"], "name": name}}


def _takes_the_same(there: Object, wanted: Object) -> bool:
    same = triggers.key_of(there) == triggers.key_of(wanted)
    return same and triggers.is_ours(there) and not triggers.is_going(there)


def _can_become(there: Object, wanted: Object) -> bool:
    same = there["spec"]["broker"] == wanted["spec"]["broker"]
    return same and triggers.is_of_file(there) and not triggers.is_going(there)


def _as(there: Object, wanted: Object) -> Object:
    return {**wanted, "metadata": {**wanted["metadata"], "name": there["metadata"]["name"]}}
