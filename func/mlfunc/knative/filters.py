"""Filters of events, in the dialects of the CloudEvents Subscriptions API that Knative has.

What Knative takes and then skips, so that every event passes, is refused here: a filter without a
comparison, a comparison with an empty value. CESQL is left to the cluster, which parses it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlfunc.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

Filter = dict[str, Any]  # one dialect, and what it takes

_COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "exact": str.__eq__,
    "prefix": str.startswith,
    "suffix": str.endswith,
}
_SHOWN = {"exact": "{}={}", "prefix": "{}={}*", "suffix": "{}=*{}"}
DIALECTS = (*_COMPARISONS, "all", "any", "not", "cesql")
# Of an attribute, as CloudEvents has it; Knative wants a letter first.
_NAME = re.compile(r"[a-z][a-z0-9]*")
_CONTEXT = ("type", "source", "subject", "id", "dataschema", "datacontenttype", "time")


def problems(filters: Sequence[Any], at: str = "filters") -> Iterator[str]:
    """What is wrong with filters: for each fault the path of its key, and what is likely meant."""
    for index, each in enumerate(filters):
        yield from _problems(each, f"{at}[{index}]")


def attribute_problems(wanted: Mapping[str, str], at: str = "filter") -> Iterator[str]:
    """The same for the attributes of the old `filter`, where an empty value is any value."""
    yield from (f"{at}.{name}: {_rule(name)}" for name in wanted if not _NAME.fullmatch(name))


def matches(filters: Sequence[Filter], attributes: Mapping[str, str]) -> bool | None:
    """Whether an event passes checked filters; None: that depends on what is not known of it.

    An attribute that is not given may have any value, or none.
    """
    return _all(_matches(each, attributes) for each in filters)


def attributes_match(wanted: Mapping[str, str], attributes: Mapping[str, str]) -> bool | None:
    """The same for the old `filter`."""
    return _all(
        None if name not in attributes else not value or attributes[name] == value
        for name, value in wanted.items()
    )


def exact_attributes(filters: Sequence[Filter]) -> dict[str, str]:
    """What filters compare as the old `filter` does: all that tools which know no other show."""
    return {name: value for each in filters for name, value in each.get("exact", {}).items()}


def shown(filters: Sequence[Filter]) -> str:
    """Filters in one line: `type=order.created, source=/shop*, not (subject=*.tmp)`."""
    return ", ".join(_shown(each) for each in filters)


def _problems(given: Any, at: str) -> Iterator[str]:
    if not isinstance(given, dict) or len(given) != 1:
        yield f"{at}: {_not_one(given)}; there are {', '.join(DIALECTS)}"
        return
    ((dialect, value),) = given.items()
    at = f"{at}.{dialect}"
    if dialect not in DIALECTS:
        yield f"{at}: {_no_dialect(dialect)}"
    elif dialect in _COMPARISONS:
        yield from _of_comparison(value, at)
    elif dialect == "not":
        yield from _problems(value, at)
    elif dialect == "cesql":
        if not isinstance(value, str) or not value.strip():
            yield f"{at}: a CESQL expression is expected, such as \"type LIKE 'com.%'\""
    elif not isinstance(value, list) or not value:
        yield f"{at}: a list of filters is expected"
    else:
        yield from problems(value, at)


def _not_one(given: Any) -> str:
    if isinstance(given, dict) and len(given) > 1:
        return f"one filter has one dialect, and here are {', '.join(map(str, given))}"
    if isinstance(given, list):
        return "one filter is expected, not a list: put it into all or any"
    return "a filter is expected, such as {exact: {type: NAME}}"


def _no_dialect(given: Any) -> str:
    if given in _CONTEXT:
        return f"an attribute stands in a dialect: {{exact: {{{given}: VALUE}}}}"
    return f"no such dialect; {did_you_mean(str(given), DIALECTS)}"


def _of_comparison(value: Any, at: str) -> Iterator[str]:
    if not isinstance(value, dict) or not value:
        yield f"{at}: attributes with their values are expected, such as {{type: NAME}}"
        return
    for name, text in value.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            yield f"{at}.{name}: {_rule(name)}"
        elif not isinstance(text, str):
            yield f"{at}.{name}: {text!r} is no text: write it in quotes"
        elif not text:
            yield f"{at}.{name}: the value is empty: Knative would let every event pass"


def _rule(name: object) -> str:
    rule = "the name of an attribute has lower-case letters and digits only, a letter first"
    likely = re.sub(r"[^a-z0-9]", "", str(name).lower()).lstrip("0123456789")
    return f"{rule}; did you mean {likely}?" if likely else rule


def _matches(given: Filter, attributes: Mapping[str, str]) -> bool | None:
    ((dialect, value),) = given.items()
    match dialect:
        case "all":
            return matches(value, attributes)
        case "any":
            return _not(_all(_not(_matches(each, attributes)) for each in value))
        case "not":
            return _not(_matches(value, attributes))
        case "cesql":
            return None
        case _:
            return _compare(_COMPARISONS[dialect], value, attributes)


def _compare(
    passes: Callable[[str, str], bool], wanted: Mapping[str, str], attributes: Mapping[str, str]
) -> bool | None:
    return _all(
        passes(attributes[name], text) if name in attributes else None
        for name, text in wanted.items()
    )


def _all(found: Iterable[bool | None]) -> bool | None:
    """Kleene's: what is known to fail fails, whatever is not known."""
    results = set(found)
    if False in results:
        return False
    return None if None in results else True


def _not(result: bool | None) -> bool | None:
    return None if result is None else not result


def _shown(given: Filter) -> str:
    ((dialect, value),) = given.items()
    match dialect:
        case "all":
            return f"({shown(value)})"
        case "any":
            return f"({' or '.join(map(_shown, value))})"
        case "not":
            return f"not {_shown(value)}"
        case "cesql":
            return f"cesql: {value}"
        case _:
            return ", ".join(_SHOWN[dialect].format(name, text) for name, text in value.items())
