"""Which items go: never what is needed, and never a part of what stays."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from mlfunc.cache.items import Item, Wish, plan, total, without

NOW = 1000.0
PARTS = st.dictionaries(st.sampled_from("abcdefgh"), st.just(0), max_size=4)
SIZES = {part: 2**number for number, part in enumerate("abcdefgh")}
USERS = st.sampled_from([(), ("one",), ("one", "two")])


@st.composite
def inventories(draw: st.DrawFn) -> list[Item]:
    """Items of which some share parts; the size of a part is the same wherever it is."""
    return [
        Item(
            "model",
            str(number),
            str(number),
            Path(str(number)),
            {part: SIZES[part] for part in draw(PARTS)},
            draw(st.sampled_from([NOW - 100, NOW - 1, NOW + 1])),
            projects=draw(USERS),
            deployed=draw(USERS),
            busy=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 6)))
    ]


WISHES = st.builds(Wish, st.sampled_from([NOW, NOW - 50]), st.booleans())


@given(inventories(), WISHES)
def test_what_runs_or_is_deployed_or_was_used_lately_stays(found: list[Item], wish: Wish) -> None:
    for item in plan(found, wish).gone:
        assert not item.busy
        assert not item.deployed
        assert item.used < wish.before


@given(inventories(), st.sampled_from([NOW, NOW - 50]))
def test_what_a_project_uses_goes_only_with_all(found: list[Item], before: float) -> None:
    some, everything = plan(found, Wish(before)).gone, plan(found, Wish(before, all=True)).gone
    assert not any(item.projects for item in some)
    assert [item for item in everything if not item.projects] == list(some)


@given(inventories(), WISHES)
def test_what_stays_keeps_all_its_parts_and_nothing_else_is_left(
    found: list[Item], wish: Wish
) -> None:
    decided = plan(found, wish)
    kept = [item for item in found if item not in decided.gone]
    assert not decided.parts.keys() & {part for item in kept for part in item.parts}
    assert decided.size == total(found) - total(kept)


@given(inventories(), WISHES, st.data())
def test_if_only_some_go_only_theirs_go(found: list[Item], wish: Wish, data: st.DataObject) -> None:
    decided = plan(found, wish)
    some = [item for item in decided.gone if data.draw(st.booleans())]
    assert without(found, some).parts.keys() <= decided.parts.keys()
    assert without(found, decided.gone) == decided
