"""What of a project goes to where it serves: its own files, and of mlfunc.yaml what the runtime
reads. All else that mlfunc.yaml says is for builds and platforms: a change of it changes no image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlfunc import ignore, leaks, predictor
from mlfunc.function import FILE
from mlfunc.layers.tree import File, Tree, merge, part, scan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlfunc.function import Function


def check(folder: Path, function: Function) -> None:
    """Whether a project can serve and be shown, as far as it tells that itself.

    Raises:
        UsageError: there is no predictor, or mlfunc.yaml holds what looks like a secret.

    """
    predictor.check(folder, function)
    # As it is written: in a line of it may stand that it is none. Its `env` goes along, too.
    written = (folder / FILE).read_bytes()
    step = f"take it out of {FILE}"
    leaks.check(Tree((File(FILE, (written,)),)), what="the function", step=step)


def files(folder: Path, function: Function, at: str = "") -> Tree:
    """The function's own files, as they lie at `at` where it serves."""
    skip = ignore.rules(folder, function.local_models.values())
    found = scan(folder, at, skip=skip)
    path = f"{at}/{FILE}".lstrip("/")
    own, _ = part(found, lambda entry: entry.path != path)
    return merge([own, Tree((File(path, (settings(function),)),))])


def settings(function: Function) -> bytes:
    """mlfunc.yaml as it is where the function serves; the same for all that mean the same."""
    import yaml

    # In ASCII: PyYAML writes some breaks of Unicode as they are, and reads them as spaces. `config`
    # keeps its order, for it is the predictor's.
    return yaml.safe_dump(_read(function), sort_keys=False, width=2**31).encode()


def _read(function: Function) -> dict[str, Any]:
    """What the runtime reads: `mlfunc_runtime.settings.Project`."""
    import msgspec

    events = function.events
    return {
        "name": function.name,
        "predictor": function.predictor,
        "models": {name: each.uri for name, each in sorted(function.all_models.items())},
        "accelerator": function.accelerator_type,
        "serve": msgspec.to_builtins(function.serve),
        "events": {
            "reply_type": events.reply_type,
            "dead_letter": events.dead_letter,
            "remember": events.remember,
        },
        "config": function.config,
    }


def refuse_secrets(
    tree: Tree, *, shown: Callable[[str], str] = lambda path: path, what: str = "the image"
) -> None:
    """As `leaks.check`, for what `files` gave: `check` has seen what mlfunc.yaml is made of.

    Raises:
        UsageError: it holds what looks like a secret.

    """
    own, _ = part(tree, lambda entry: shown(entry.path) != FILE)
    leaks.check(own, shown=shown, what=what)
