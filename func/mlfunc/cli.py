"""The command line: a table of commands, and the one place that turns errors into exit codes.

`--help` imports no command: summaries stand in the table, whose order is the order of the help.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

import click

from mlfunc import __version__
from mlfunc.errors import INTERRUPTED, MlfuncError
from mlfunc.ui import Ui

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from click.shell_completion import CompletionItem

COMMANDS: Mapping[str, tuple[str, str]] = {
    "create": ("mlfunc.commands.create", "Make a project from a template."),
    "templates": ("mlfunc.commands.templates", "List the templates."),
    "run": ("mlfunc.commands.run", "Serve the function here, and reload it on change."),
    "test": ("mlfunc.commands.test", "Run the function's tests in its own environment."),
    "build": ("mlfunc.commands.build", "Make an image of the function, without Docker."),
    "images": ("mlfunc.commands.images", "Show the layers of an image and their sizes."),
    "deploy": ("mlfunc.commands.deploy", "Have the function run: here, or by Knative."),
    "invoke": ("mlfunc.commands.invoke", "Send a function a request or an event."),
    "emit": ("mlfunc.commands.emit", "Send an event to a broker."),
    "events": ("mlfunc.commands.events", "Show what events a function gets and answers with."),
    "subscribe": ("mlfunc.commands.subscribe", "Have a function get events of a broker."),
    "unsubscribe": ("mlfunc.commands.unsubscribe", "Have a function get events no more."),
    "list": ("mlfunc.commands.list", "List the deployed functions."),
    "describe": ("mlfunc.commands.describe", "Show all there is to know of a function."),
    "logs": ("mlfunc.commands.logs", "Show what a function's instances say."),
    "traffic": ("mlfunc.commands.traffic", "Show or change who gets the requests."),
    "rollback": ("mlfunc.commands.rollback", "Go back to the revision that served before."),
    "delete": ("mlfunc.commands.delete", "Delete a deployed function."),
    "scale": ("mlfunc.commands.scale", "Say how many instances a function has, and may have."),
    "cache": ("mlfunc.commands.cache", "Show what is kept on this machine, and free it."),
    "platform": ("mlfunc.commands.platform", "Start, stop or show the local platform."),
    "doctor": ("mlfunc.commands.doctor", "Check what this machine has and lacks."),
    "completion": ("mlfunc.commands.completion", "Print a script by which a shell completes."),
}


class CommandTable(click.Group):
    """Commands by name, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command itself: the attribute `command` of its module."""
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = importlib.import_module(module).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the likely command where there is no such one."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from mlfunc.suggest import did_you_mean

            ctx.fail(f"no such command '{args[0]}'; {did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """What may follow, likewise: nobody waits at a key for all commands to be imported."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=summary)
            for name, (_, summary) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Names and summaries from the table, without an import."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


_EXIT_CODES = (
    "Exit codes: 1 failure, 2 usage or mlfunc.yaml, 3 the function failed, 4 its environment could"
    " not be made, 5 not found or not reachable, 6 a registry failed, 7 a cluster or the local"
    " platform failed, or cannot run the function, 130 interrupted."
)


@click.group(
    cls=CommandTable, epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, message="mlfunc %(version)s")
def cli() -> None:
    """Serverless functions for machine learning.

    \b
        mlfunc create similarity --template embedding
        cd similarity
        mlfunc run
        mlfunc invoke --data '{"text": "hello"}'
        mlfunc deploy
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; its exit code is documented in `errors`."""
    ui = Ui()
    try:
        code = cli.main(args, prog_name="mlfunc", standalone_mode=False, obj=ui)
    except MlfuncError as error:
        ui.error(error)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        ui.error(_in_our_words(error))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        return _close_pipe()
    except OSError as error:
        ui.error(MlfuncError(f"{error.filename or 'the system'}: {error.strerror or error}"))
        return MlfuncError.exit_code
    return code if isinstance(code, int) else 0


def _in_our_words(error: click.ClickException) -> MlfuncError:
    """click's sentences, as ours are: one line, no capital, no full stop."""
    ctx = getattr(error, "ctx", None)
    text = " ".join(error.format_message().split()).rstrip(".")
    if isinstance(error, click.NoSuchOption):
        text = f"no such option '{error.option_name}'{_likely(error)}"
    hint = f"{ctx.command_path} --help" if ctx else ""
    return MlfuncError(text[:1].lower() + text[1:], hint)


def _likely(error: click.NoSuchOption) -> str:
    from mlfunc.suggest import closest

    close = closest(error.option_name, error.possibilities or ())
    return f"; did you mean {close}?" if close else ""


def _close_pipe() -> int:
    # The reader left (`mlfunc templates | head -1`). Python flushes at exit and would complain
    # again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return MlfuncError.exit_code
