"""Options that several commands share, each as one decorator."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from mlfunc.ui import Format, Ui

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc.payload import Payload

# What HTTP allows in the name of a header.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

# A label of DNS (RFC 1123): what Kubernetes lets a namespace be called.
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

F = TypeVar("F", bound="Callable[..., Any]")


def body_file(what: str) -> Callable[[F], F]:
    """Of what is sent: a file, or standard input."""
    return click.option(
        "-f",
        "--file",
        type=click.Path(path_type=Path, allow_dash=True),
        metavar="FILE",
        help=f"{what}, from a file; `-` is standard input.",
    )


def body(data: str | None, file: Path | None) -> Payload | None:
    """What --data and --file come to.

    Raises:
        click.UsageError: both are given.

    """
    from mlfunc import payload

    if data is not None and file is not None:
        raise click.UsageError("--data and --file are two bodies: give one")
    if data is not None:
        return payload.from_text(data)
    if file == Path("-"):
        return payload.from_stream(sys.stdin.buffer.read())
    return None if file is None else payload.from_file(file)


class Number(click.ParamType):  # type: ignore[type-arg]  # older clicks know no argument
    """A number within bounds, whose name stands in the help and whose refusal says the bounds."""

    def __init__(
        self,
        name: str,
        kind: type[int | float],
        least: float,
        most: float = math.inf,
        *,
        otherwise: str = "",
    ) -> None:
        """`otherwise`: what to say as well to who typed no number."""
        self.name = name
        self._otherwise = f"; {otherwise}" if otherwise else ""
        self._kind = kind
        self._least = least
        self._most = most

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | float:
        """The number that was typed; click's hook."""
        try:
            number = self._kind(value)
        except ValueError:
            self.fail(f"{value} is no number{self._otherwise}", param, ctx)
        if not self._least <= number <= self._most:
            self.fail(f"{value} is not {self._bounds()}", param, ctx)
        return number

    def _bounds(self) -> str:
        if self._most == math.inf:
            return f"{self._least:g} or more"
        return f"from {self._least:g} to {self._most:g}"


class Duration(click.ParamType):  # type: ignore[type-arg]  # older clicks know no argument
    """A time within bounds, written as in mlfunc.yaml; a bare number is of seconds."""

    name = "duration"

    def __init__(self, least: float, most: float = 86_400) -> None:
        """Both in seconds."""
        self._least = least
        self._most = most

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """In seconds; click's hook."""
        from mlfunc import function

        try:
            found = function.seconds(value)
        except (ValueError, KeyError):
            self.fail(f"{value} is no duration: write 90s, 10m or 2h", param, ctx)
        if not self._least <= found <= self._most:
            message = f"{value} is not from {self._least:g} to {self._most:g} seconds"
            self.fail(message, param, ctx)
        return found


class Written(click.ParamType):  # type: ignore[type-arg]  # older clicks know no argument
    """What a key of mlfunc.yaml takes, as it is written there."""

    def __init__(self, name: str, kind: Any, such_as: str) -> None:
        self.name = name
        self._kind = kind
        self._such_as = such_as

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | float:
        """What was typed, checked; click's hook."""
        import msgspec

        try:
            found: str | float = msgspec.convert(value, self._kind)
        except msgspec.ValidationError:
            self.fail(f"{value} is no {self.name}: {self._such_as}", param, ctx)
        return found


PORT = Number("port", int, 0, 65_535)


def reporting(what_more: str) -> Callable[[F], F]:
    """`--verbose` and `-o`: how the command reports. They set the `Ui`, which the command gets."""

    def decorate(command: F) -> F:
        return verbose(what_more)(_format("-o", "--output")(command))

    return decorate


def reporting_beside_output(what_more: str) -> Callable[[F], F]:
    """The same for a command whose `--output` is a file: there, `-o` alone is the format."""

    def decorate(command: F) -> F:
        return verbose(what_more)(_format("-o")(command))

    return decorate


def verbose(what_more: str) -> Callable[[F], F]:
    """`--verbose`, for a command with nothing to read but its progress."""
    return click.option(
        "-v", "--verbose", is_flag=True, expose_value=False, callback=_set_verbose, help=what_more
    )


def folder(command: F) -> F:
    """`--path`: the folder of the project."""
    return _path(".")(command)


def folder_if_given(command: F) -> F:
    """`--path`, for a command that can do without a project: None where it was not given."""
    return _path(None)(command)


def _path(default: str | None) -> Callable[[F], F]:
    return click.option(
        "--path",
        "folder",
        type=click.Path(path_type=Path),
        default=default,
        show_default=False,
        metavar="FOLDER",
        help="The project's folder.  [default: this folder]",
    )


def _format(*flags: str) -> Callable[[F], F]:
    return click.option(
        *flags,
        "format",
        type=click.Choice(get_args(Format)),
        default="human",
        show_default=True,
        expose_value=False,
        callback=_set_format,
        help="For people, or for programs.",
    )


def _set_verbose(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Ui).be_verbose()


def _set_format(ctx: click.Context, _: click.Parameter, value: Format) -> None:
    ctx.ensure_object(Ui).format = value


def pairs(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """`KEY=VALUE`, or as the option calls these, as often as it was given, as a mapping."""
    found = {}
    for value in values:
        key, separator, text = value.partition("=")
        if not key or not separator:
            message = f"{value} is not of the form {parameter.metavar or 'KEY=VALUE'}"
            raise click.BadParameter(message, param=parameter)
        found[key] = text
    return found


def label(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A name that becomes part of a host's."""
    from mlfunc.function import NAME_PATTERN

    if value is not None and not re.search(NAME_PATTERN, value):
        message = f"{value} is not made of lower-case letters, digits and dashes, a letter first"
        raise click.BadParameter(message, param=parameter)
    return value


def namespace_name(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """One that there can be: an impossible one would look like one that is empty."""
    if value and not _NAMESPACE.fullmatch(value):
        message = f"{value} is no namespace: lower-case letters, digits and dashes, at most 63"
        raise click.BadParameter(message, param=parameter)
    return value


def headers(
    _: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """`Name: value` as often as it was given, as a mapping with lower-case names."""
    found = {}
    for value in values:
        name, separator, text = value.partition(":")
        if not _TOKEN.fullmatch(name.strip()) or not separator:
            raise click.BadParameter(f"{value} is not of the form NAME:VALUE", param=parameter)
        found[name.strip().lower()] = text.strip()
    return found


def cluster(command: F) -> F:
    """`--platform`, `--context` and `--namespace`: where functions are, and where in it."""
    namespace = click.option(
        "-n",
        "--namespace",
        metavar="NAME",
        callback=namespace_name,
        help="Where the function is.  [default: `namespace` of mlfunc.yaml, else the context's]",
    )
    return platform(kubeconfig(namespace(command)))


def platform(command: F) -> F:
    """`--platform`: a cluster with Knative, or this machine."""
    from mlfunc.platforms.platform import NAMES

    return click.option(
        "--platform",
        type=click.Choice(NAMES),
        help="Where it runs.  [default: $MLFUNC_PLATFORM, else knative where a cluster is"
        " configured, else local]",
    )(command)


def kubeconfig(command: F) -> F:
    """`--context`: which cluster."""
    return click.option(
        "--context", metavar="NAME", help="Of kubeconfig.  [default: the current one]"
    )(command)
