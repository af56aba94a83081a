"""What goes to where a function serves: its files, and of mlfunc.yaml what the runtime reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mlfunc import function, shipping
from mlfunc.errors import UsageError
from mlfunc.layers.tree import File

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "hf_" + "a" * 34


def shipped(folder: Path, at: str = "") -> dict[str, bytes]:
    """The files that are made, not taken, by their paths."""
    found = shipping.files(folder, function.load(folder), at).entries
    return {
        entry.path: entry.pieces[0]
        for entry in found
        if isinstance(entry, File) and entry.pieces and isinstance(entry.pieces[0], bytes)
    }


def test_mlfunc_yaml_is_written_for_where_it_serves(project: Path) -> None:
    settings = shipping.settings(function.load(project))

    assert shipped(project) == {"mlfunc.yaml": settings}
    assert shipped(project, "workspace") == {"workspace/mlfunc.yaml": settings}
    assert settings.startswith(b"name: greeter\npredictor: predictor.py:Greeter\n")


def test_it_is_there_whatever_mlfuncignore_leaves_out(project: Path) -> None:
    (project / ".mlfuncignore").write_text("*.yaml\n")

    assert list(shipped(project)) == ["mlfunc.yaml"]


@pytest.mark.parametrize("line", [f"env: {{TOKEN: {TOKEN}}}", f"config: {{token: {TOKEN}}}"])
def test_a_secret_in_mlfunc_yaml_is_told_by_its_line(project: Path, line: str) -> None:
    text = (project / "mlfunc.yaml").read_text()
    (project / "mlfunc.yaml").write_text(f"{text}{line}\n")

    with pytest.raises(UsageError, match="the function would hold secrets") as caught:
        shipping.check(project, function.load(project))

    assert caught.value.evidence == "mlfunc.yaml, line 3: a token of Hugging Face"
    assert caught.value.hint.startswith("take it out of mlfunc.yaml")


def test_what_its_line_says_is_no_secret_goes_along(project: Path) -> None:
    text = (project / "mlfunc.yaml").read_text()
    (project / "mlfunc.yaml").write_text(
        f"{text}config: {{token: {TOKEN}}}  # mlfunc: not a secret\n"
    )
    loaded = function.load(project)

    shipping.check(project, loaded)
    shipping.refuse_secrets(shipping.files(project, loaded))
    assert TOKEN.encode() in shipped(project)["mlfunc.yaml"]
