"""What this process was told: mlfunc.yaml and the environment, checked once, as one frozen object.

Only what the runtime needs is read from mlfunc.yaml; the command line checks the whole file before
anything is started or built.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
import yaml

from mlfunc_runtime import models
from mlfunc_runtime.errors import SettingsError
from mlfunc_runtime.models import Model, Place  # noqa: TC001 - msgspec reads the annotations
from mlfunc_runtime.quantities import Duration, Size, limit, seconds, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PREFIX = "MLFUNC_SERVE_"
# What Kubernetes adds to every container for a Service that is called mlfunc-serve.
_SERVICE_LINK = re.compile(r"(SERVICE|PORT)(_|$)")

Positive = Annotated[int, msgspec.Meta(ge=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Cpus = Annotated[float, msgspec.Meta(gt=0)]
Isolation = Literal["thread", "process"]
Compile = Literal["none", "trace", "inductor"]
# Where a key of `serve` stands, and what fits there.
_Leaf = tuple[tuple[str, ...], Any]


class Batch(msgspec.Struct, frozen=True):
    """How many requests may share one call of `predict`."""

    max_size: Positive = 1


class HookLimits(msgspec.Struct, frozen=True):
    """Bounds of `after_response`: how many run at once, or wait and run in all; how long one may
    take; how often one that raised is tried again, and how soon.
    """

    concurrency: Positive = 64
    backlog: Positive = 1000
    timeout: Duration = "30s"
    retries: Count = 0
    backoff: Duration = "1s"


class Process(msgspec.Struct, frozen=True):
    """Bounds of the predictor's own process: bytes in RAM, seconds for one call of `predict`."""

    memory: Size | None = None
    timeout: Duration = "2m"


class Serve(msgspec.Struct, frozen=True):
    """The `serve` block of mlfunc.yaml."""

    slots: Positive = 1
    batch: Batch = Batch()
    concurrency: Positive = 64
    timeout: Duration = "60s"
    chunk_timeout: Duration = "60s"
    drain: Duration = "30s"
    max_body: Size = "64MiB"
    isolation: Isolation = "thread"
    process: Process = Process()
    compile: Compile = "none"
    hooks: HookLimits = HookLimits()


class Events(msgspec.Struct, frozen=True):
    """The part of `events` that the runtime acts on."""

    reply_type: str | None = None
    dead_letter: str | None = None
    remember: Count = 1000


class Project(msgspec.Struct, frozen=True):
    """The part of mlfunc.yaml that the runtime acts on."""

    name: str
    predictor: str = "predictor.py:Predictor"
    models: dict[str, str | Model] = {}
    accelerator: str | dict[str, Any] = "cpu"
    serve: Serve = Serve()
    events: Events = Events()
    config: dict[str, Any] = {}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the process was told. Durations are in seconds, sizes in bytes."""

    name: str
    folder: Path
    predictor: str
    models: dict[str, Place]
    accelerator: str
    config: dict[str, Any]
    reply_type: str
    host: str = "0.0.0.0"  # noqa: S104 - a container listens on all of its interfaces
    port: Port = 8080
    metrics_port: Port = 9095
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    cpus: Cpus | None = None
    slots: int = 1
    batch: int = 1
    concurrency: int = 64
    timeout: float = 60.0
    chunk_timeout: float = 60.0
    drain: float = 30.0
    max_body: int = 64 * 2**20
    isolation: Isolation = "thread"
    process_memory: int | None = None
    process_timeout: float = 120.0
    compile: Compile = "none"
    hook_concurrency: int = 64
    hook_backlog: int = 1000
    hook_timeout: float = 30.0
    hook_retries: int = 0
    hook_backoff: float = 1.0
    dead_letter: str | None = None
    remember: int = 1000

    @property
    def admitted(self) -> int:
        """How many requests may be here at once, most of them waiting.

        Ten times `concurrency`, as Knative's queue-proxy holds ten times containerConcurrency.
        """
        return self.concurrency * 10


def read(environ: Mapping[str, str]) -> Settings:
    """Read mlfunc.yaml and the environment, which wins.

    Raises:
        SettingsError: the file is missing or wrong, or a variable does not fit.

    """
    path = Path(environ.get("MLFUNC_FUNCTION", "mlfunc.yaml")).absolute()
    document = _read_yaml(path)
    overrides = _serve_overrides(environ)
    if isinstance(document.get("serve", {}), dict):
        document["serve"] = _merge(document.get("serve", {}), overrides)
    project = _convert(document, Project, str(path))
    settings = _settings(project, path.parent, environ)
    if settings.port and settings.port == settings.metrics_port:
        raise SettingsError(f"PORT and MLFUNC_METRICS_PORT are both {settings.port}")
    return settings


def from_process() -> Settings:
    """Read the settings of this very process."""
    return read(os.environ)


def _memory(value: Size | None) -> int | None:
    return None if value is None else size(value, "serve.process.memory")


def _settings(project: Project, folder: Path, environ: Mapping[str, str]) -> Settings:
    serve = project.serve
    accelerator = project.accelerator
    return Settings(
        name=environ.get("K_SERVICE") or project.name,
        folder=folder,
        predictor=project.predictor,
        models=models.places(project.models, folder, environ),
        accelerator=accelerator if isinstance(accelerator, str) else str(accelerator.get("type")),
        config=project.config,
        reply_type=project.events.reply_type or f"dev.mlfunc.{project.name}.result",
        slots=serve.slots,
        batch=serve.batch.max_size,
        concurrency=serve.concurrency,
        timeout=limit(serve.timeout, "serve.timeout"),
        chunk_timeout=limit(serve.chunk_timeout, "serve.chunk_timeout"),
        drain=seconds(serve.drain, "serve.drain"),
        max_body=size(serve.max_body, "serve.max_body"),
        isolation=serve.isolation,
        process_memory=_memory(serve.process.memory),
        process_timeout=limit(serve.process.timeout, "serve.process.timeout"),
        compile=serve.compile,
        hook_concurrency=serve.hooks.concurrency,
        hook_backlog=serve.hooks.backlog,
        hook_timeout=limit(serve.hooks.timeout, "serve.hooks.timeout"),
        hook_retries=serve.hooks.retries,
        hook_backoff=seconds(serve.hooks.backoff, "serve.hooks.backoff"),
        dead_letter=_dead_letter(project, environ),
        remember=project.events.remember,
        **_from_environment(environ),
    )


def _dead_letter(project: Project, environ: Mapping[str, str]) -> str | None:
    """Checked at the start: when the first letter is written it would be too late."""
    told = environ.get("MLFUNC_DEAD_LETTER")
    key, url = ("MLFUNC_DEAD_LETTER", told) if told else ("events.dead_letter", None)
    url = url or project.events.dead_letter
    if url is None or _is_http(url):
        return url
    raise SettingsError(f"{key}: {url!r} is no URL", "write it like http://sink.default.svc/path")


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and url.isascii() and url.isprintable()


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    variables = {
        "host": "MLFUNC_HOST",
        "port": "PORT",
        "metrics_port": "MLFUNC_METRICS_PORT",
        "log_level": "MLFUNC_LOG_LEVEL",
        "cpus": "MLFUNC_CPUS",
    }
    types = get_type_hints(Settings, include_extras=True)
    return {
        field: _convert(environ[variable], types[field], variable, strict=False)
        for field, variable in variables.items()
        if environ.get(variable)
    }


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except FileNotFoundError:
        hint = "start in the function's folder, or set MLFUNC_FUNCTION"
        raise SettingsError(f"{path} does not exist", hint) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise SettingsError(
            f"{path} holds no mapping", "it needs at least `name:` and `predictor:`"
        )
    return document


def _serve_overrides(environ: Mapping[str, str]) -> dict[str, Any]:
    """`MLFUNC_SERVE_BATCH_MAX_SIZE=8` -> `{"batch": {"max_size": "8"}}`."""
    keys = _leaves(Serve, ())
    overrides: dict[str, Any] = {}
    for variable in (name for name in environ if name.startswith(_PREFIX)):
        key = variable.removeprefix(_PREFIX)
        if key in keys:
            path, kind = keys[key]
            _set(overrides, path, _convert(environ[variable], kind, variable, strict=False))
        elif not _SERVICE_LINK.match(key):
            raise SettingsError(f"{variable} sets nothing", _meant(variable, keys))
    return overrides


def _meant(variable: str, keys: Iterable[str]) -> str:
    known = [_PREFIX + key for key in keys]
    close = difflib.get_close_matches(variable, known, 1, 0.8)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"


def _leaves(struct: type[msgspec.Struct], path: tuple[str, ...]) -> dict[str, _Leaf]:
    leaves: dict[str, _Leaf] = {}
    for field in msgspec.structs.fields(struct):
        here = (*path, field.name)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            leaves |= _leaves(field.type, here)
        else:
            leaves["_".join(here).upper()] = (here, field.type)
    return leaves


def _set(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = value


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        merged[key] = _merge(inner, value) if isinstance(inner, dict) else value
    return merged


def _convert(value: Any, kind: Any, where: str, *, strict: bool = True) -> Any:
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        hint = f"there are {', '.join(choices)}" if choices else ""
        raise SettingsError(f"{where}: {error}", hint) from None
