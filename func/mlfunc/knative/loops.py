"""Events that would come back to the function that sent them: Knative goes round 255 times.

Known of a reply before it is sent are its type and its source; the rest may be anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlfunc.errors import UsageError
from mlfunc.knative import filters

if TYPE_CHECKING:
    from mlfunc.function import Subscription


def check(
    subscription: Subscription, function: str, reply_type: str, at: str, narrower: str = ""
) -> str:
    """A note, where it cannot be told whether replies come back; empty where they do not.

    `at` is what the subscription is called, `narrower` how it is made to take less.

    Raises:
        UsageError: they do come back, or what could not be delivered does.

    """
    _refuse_returning(subscription, function, at)
    reply = {"type": reply_type, "source": f"/mlfunc/{function}", "specversion": "1.0"}
    match passes(subscription, reply):
        case True:
            message = f"{at} would give {function} its own replies, of type {reply_type}"
            raise UsageError(message, _way_out(subscription, narrower or _narrower(reply_type)))
        case None:
            return (
                f"{at}: whether its filter keeps out {function}'s own replies, of type"
                f" {reply_type}, cannot be told here; those that pass it go round"
            )
        case False:
            return ""


def passes(subscription: Subscription, attributes: dict[str, str]) -> bool | None:
    """Whether the function gets such an event: `filters` count where they are given."""
    if subscription.filters:
        return filters.matches(subscription.filters, attributes)
    return filters.attributes_match(subscription.filter, attributes)


def _refuse_returning(subscription: Subscription, function: str, at: str) -> None:
    """What failed passes the same filter again."""
    sink = subscription.dead_letter
    if sink in (f"broker:{subscription.broker}", f"ksvc:{function}"):
        message = f"{at}.dead_letter: {sink} would give {function} again what it failed on"
        raise UsageError(message, "name another Service or broker: ksvc:audit, broker:failed")


def _way_out(subscription: Subscription, narrower: str) -> str:
    named = [*subscription.filter, *filters.exact_attributes(subscription.filters)]
    return "set events.reply_type to a type that it does not take" if "type" in named else narrower


def _narrower(reply_type: str) -> str:
    return (
        "name the type that it takes (filter: {type: NAME}), or keep the replies out"
        f" (filters: [{{not: {{exact: {{type: {reply_type}}}}}}}])"
    )
