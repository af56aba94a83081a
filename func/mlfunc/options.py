"""Options that several commands share, each as one decorator."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from mlfunc.ui import Format, Ui

if TYPE_CHECKING:
    from collections.abc import Callable

# What HTTP allows in the name of a header.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

F = TypeVar("F", bound="Callable[..., Any]")


def reporting(command: F) -> F:
    """`--verbose` and `-o`: how the command reports. They set the `Ui`, which the command gets."""
    return verbose(_output(command))


def verbose(command: F) -> F:
    """`--verbose`, for a command with nothing to read but its progress."""
    return click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_set_verbose,
        help="Show more: what is started, headers and timings, tracebacks.",
    )(command)


def folder(command: F) -> F:
    """`--path`: the folder of the project."""
    return click.option(
        "--path",
        "folder",
        type=click.Path(path_type=Path),
        default=".",
        show_default="this folder",
        help="The project's folder.",
    )(command)


def _output(command: F) -> F:
    return click.option(
        "-o",
        "--output",
        type=click.Choice(get_args(Format)),
        default="human",
        show_default=True,
        expose_value=False,
        callback=_set_format,
        help="For people, or for programs.",
    )(command)


def _set_verbose(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Ui).be_verbose()


def _set_format(ctx: click.Context, _: click.Parameter, value: Format) -> None:
    ctx.ensure_object(Ui).format = value


def pairs(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """`K=V` as often as it was given, as a mapping."""
    found = {}
    for value in values:
        key, separator, text = value.partition("=")
        if not key or not separator:
            message = f"{value} is not of the form KEY=VALUE"
            raise click.BadParameter(message, param=parameter)
        found[key] = text
    return found


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
