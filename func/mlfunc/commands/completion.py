"""`mlfunc completion`: what a shell needs to complete commands and options, by click itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mlfunc.ui import Ui

_SHELLS = ("bash", "zsh", "fish")
# The variable by which click is asked what may follow.
_VARIABLE = "_MLFUNC_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_obj
def command(ui: Ui, shell: str) -> None:
    """Print a script by which a shell completes commands, options and their values.

    \b
    bash, in ~/.bashrc:                  eval "$(mlfunc completion bash)"
    zsh, in ~/.zshrc after compinit:     eval "$(mlfunc completion zsh)"
    fish, once:    mlfunc completion fish > ~/.config/fish/completions/mlfunc.fish
    """
    ui.write(_script(shell))


def _script(shell: str) -> str:
    from click.shell_completion import ShellComplete, get_completion_class

    from mlfunc.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None, shell  # noqa: S101 - click has all three
    # Of bash, its own would start one to ask for its version, which need not be whose script it is.
    return ShellComplete.source(kind(cli, {}, "mlfunc", _VARIABLE))
