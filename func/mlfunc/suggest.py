"""The likely meaning of a mistyped word: one sentence for commands, templates and keys alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def closest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that is likely meant."""
    from difflib import get_close_matches

    # `gpu` is not a mistyped `tpu`: below 0.7 a suggestion misleads.
    return next(iter(get_close_matches(word, list(known), n=1, cutoff=0.7)), None)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean X?` where one of `known` is close, else all of them."""
    choices = list(known)
    close = closest(word, choices)
    if close:
        return f"did you mean {close}?"
    return f"use {choices[0]}" if len(choices) == 1 else f"use one of {', '.join(choices)}"
