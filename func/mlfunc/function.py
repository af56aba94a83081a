"""mlfunc.yaml: what a function is, as frozen structs. Checked once; inside, types are trusted.

The structs are the only description of the file: checks, suggestions and the JSON Schema come from
them. Durations, sizes and quantities stay the text that was written; `seconds` and `size` read
them.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from mlfunc.errors import NotFound, UsageError

if TYPE_CHECKING:
    from pathlib import Path

FILE = "mlfunc.yaml"

_DURATION = r"^\d+(\.\d+)?(ms|s|m|h)?$"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_SIZE = r"^\d+ ?(B|KiB|MiB|GiB|k|M|G)?$"
_BYTES = {
    "": 1,
    "B": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
}
_QUANTITY = r"^\d+(\.\d+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Text = Annotated[str, Meta(min_length=1)]
Duration = (
    Annotated[str, Meta(pattern=_DURATION, examples=["60s", "2m", "500ms"])]
    | Count
    | Annotated[float, Meta(ge=0)]
)
# A limit of no time at all would let nothing be done.
Limit = (
    Annotated[
        str,
        Meta(
            pattern=r"^(?!0+(\.0+)?(\D|$))\d+(\.\d+)?(ms|s|m|h)?$",
            description="a time above 0",
            examples=["60s", "2m", "500ms"],
        ),
    ]
    | Positive
    | Annotated[float, Meta(gt=0)]
)
Size = Annotated[str, Meta(pattern=_SIZE, examples=["64MiB", "1GiB"])] | Positive
Quantity = (
    Annotated[str, Meta(pattern=_QUANTITY, examples=["500m", "2Gi"])]
    | Positive
    | Annotated[float, Meta(gt=0)]
)
# A label of DNS (RFC 1035), because Knative makes a host name of it.
NAME_PATTERN = r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$(?!\n)"
_NAME_RULE = "lower-case letters, digits and dashes, a letter first, at most 63"
Name = Annotated[
    str, Meta(pattern=NAME_PATTERN, description=_NAME_RULE, examples=["similarity", "ocr-v2"])
]
PredictorPath = Annotated[
    str, Meta(pattern=r"^[^:]+\.py:[A-Za-z_]\w*$", examples=["predictor.py:Similarity"])
]
ModelName = Annotated[str, Meta(pattern=r"^[a-zA-Z]([-_a-zA-Z0-9]*[a-zA-Z0-9])?$")]
ModelUri = Annotated[
    str,
    Meta(
        pattern=(
            r"^((?!.*://).+|hf://[^/@]+/[^/@]+(@[^@]+)?|s3://[^/]+(/.*)?"
            r"|oci://[^@]+(@sha256:[0-9a-f]{64})?|pvc://[^/]+(/.*)?)$"
        ),
        examples=[
            "./weights",
            "hf://org/name@revision",
            "s3://bucket/prefix",
            "oci://ref@sha256:...",
            "pvc://claim/path",
        ],
    ),
]
PythonVersion = Annotated[str, Meta(pattern=r"^3\.\d+$", examples=["3.11"])]
MountPath = Annotated[str, Meta(pattern=r"^/.", examples=["/cache"])]
Variable = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", examples=["LOG_LEVEL"])]
Url = Annotated[
    str, Meta(pattern=r"^https?://[^\s/]\S*$", examples=["http://sink.default.svc/path"])
]
# As kn writes them: a Knative Service, a broker, a channel or a Service of the same namespace.
Sink = Annotated[
    str,
    Meta(
        pattern=r"^(https?://[^\s/]\S*|(ksvc|broker|channel|svc):[a-z0-9][-a-z0-9.]*)$",
        examples=["ksvc:audit", "broker:failed", "http://sink.default.svc/path"],
    ),
]
AcceleratorType = Literal["cpu", "nvidia", "amd", "neuron", "tpu"]
# How the image is named: the address of a registry, perhaps with http:// for one without TLS.
Registry = Annotated[Text, Meta(examples=["registry.example.com/team"])]
Platform = Literal["linux/amd64", "linux/arm64"]
Delivery = Literal["auto", "baked", "volume", "pvc", "stream"]


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """A block of mlfunc.yaml: a key that it does not know is an error."""


class Accelerator(Settings, frozen=True):
    """What the function computes on, where one word is not enough."""

    type: AcceleratorType
    count: Positive = 1
    product: Annotated[Text, Meta(examples=["NVIDIA-L4"])] | None = None


class Model(Settings, frozen=True):
    """A model whose address alone does not say it all."""

    uri: ModelUri
    delivery: Annotated[Delivery, Meta(description="how it gets to where it is loaded")] = "auto"
    files: Annotated[
        list[Text], Meta(description="patterns of those to take", examples=[["*.safetensors"]])
    ] = []


class Build(Settings, frozen=True):
    """How the image is built."""

    base: Annotated[Text | None, Meta(examples=["docker.io/library/python:3.11-slim"])] = None
    platform: Platform = "linux/amd64"
    compression: Literal["zstd", "gzip"] = "zstd"


class Batch(Settings, frozen=True):
    """How many requests may share one call of `predict`."""

    max_size: Positive = 1


class Hooks(Settings, frozen=True):
    """Bounds of `after_response`: at once, waiting or running in all, and how long one may take."""

    concurrency: Positive = 64
    backlog: Positive = 1000
    timeout: Limit = "30s"
    retries: Annotated[int, Meta(ge=0, description="after the first try of one that failed")] = 0
    backoff: Annotated[Duration, Meta(description="before a retry; doubles each time")] = "1s"


class Process(Settings, frozen=True):
    """Bounds of the predictor's own process, with `isolation: process`."""

    memory: Annotated[Size | None, Meta(description="above it, the process starts anew")] = None
    timeout: Annotated[Limit, Meta(description="of one call of `predict`; then likewise")] = "2m"


class Serve(Settings, frozen=True):
    """How one instance serves."""

    slots: Annotated[int, Meta(ge=1, description="predictions at once")] = 1
    batch: Batch = Batch()
    concurrency: Annotated[int, Meta(ge=1, description="requests in the container at once")] = 64
    timeout: Limit = "60s"
    chunk_timeout: Annotated[Limit, Meta(description="of each item of a stream")] = "60s"
    drain: Duration = "30s"
    max_body: Size = "64MiB"
    isolation: Literal["thread", "process"] = "thread"
    process: Process = Process()
    compile: Literal["none", "trace", "inductor"] = "none"
    hooks: Hooks = Hooks()


class Scale(Settings, frozen=True):
    """How many instances; `max: 0` sets no bound, `target: null` follows `serve`."""

    min: Count = 0
    max: Count = 10
    target: Annotated[float, Meta(gt=0, description="requests in one instance")] | None = None
    window: Annotated[Duration, Meta(description="over which load is averaged")] = "60s"
    initial: Annotated[int, Meta(ge=1, description="of a new revision")] | None = None
    delay: Annotated[Duration, Meta(description="before there are fewer")] = "0s"
    retention: Annotated[Duration, Meta(description="of the last one, idle")] = "0s"

    def __post_init__(self) -> None:
        """A bound below the other is a mistake, not a wish."""
        if 0 < self.max < self.min:
            msg = f"min is {self.min}, more than max, which is {self.max}"
            raise ValueError(msg)


class Limits(Settings, frozen=True):
    """What one instance never gets more of; where null, what is reserved for it."""

    cpu: Quantity | None = None
    memory: Quantity | None = None


class Resources(Settings, frozen=True):
    """What is reserved for one instance."""

    cpu: Quantity = "1"
    memory: Quantity = "2Gi"
    limits: Limits = Limits()


class EnvSource(Settings, frozen=True, rename="camel"):
    """A variable whose value the cluster keeps: a key of a Secret or of a ConfigMap."""

    key: Text
    secret: Text | None = None
    config_map: Text | None = None

    def __post_init__(self) -> None:
        """The value has one home."""
        if (self.secret is None) == (self.config_map is None):
            msg = "name one of secret and configMap"
            raise ValueError(msg)


class EmptyDir(Settings, frozen=True, rename="camel"):
    """Scratch space of one instance."""

    medium: Literal["", "Memory"] = ""
    size_limit: Quantity | None = None


class Claim(Settings, frozen=True, rename="camel"):
    """A PersistentVolumeClaim."""

    claim_name: Text
    read_only: bool = False


class Volume(Settings, frozen=True, rename="camel"):
    """Something mounted at `path`."""

    path: MountPath
    empty_dir: EmptyDir | None = None
    secret: Text | None = None
    config_map: Text | None = None
    persistent_volume_claim: Claim | None = None

    def __post_init__(self) -> None:
        """A path shows one thing."""
        sources = (self.empty_dir, self.secret, self.config_map, self.persistent_volume_claim)
        if sum(source is not None for source in sources) != 1:
            msg = "name one of emptyDir, secret, configMap and persistentVolumeClaim"
            raise ValueError(msg)


class Toleration(Settings, frozen=True, rename="camel"):
    """A taint of nodes that the function puts up with, as Kubernetes writes it."""

    key: str | None = None
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: Count | None = None


class Placement(Settings, frozen=True, rename="camel"):
    """The nodes that it may run on."""

    node_selector: dict[str, str] = {}
    tolerations: list[Toleration] = []


class Backoff(Settings, frozen=True):
    """The pauses between deliveries of an event: `delay` doubles each time, or grows by itself."""

    policy: Literal["exponential", "linear"] = "exponential"
    delay: Duration = "200ms"


class Subscription(Settings, frozen=True):
    """Events that the function gets: a broker's, those whose attributes are as `filter` says.

    `filters` has the dialects of the CloudEvents Subscriptions API; where it is given, it counts.
    """

    broker: Text = "default"
    filter: dict[str, str] = {}
    filters: list[dict[str, Any]] = []
    retry: Count = 5
    backoff: Backoff = Backoff()
    timeout: Annotated[Limit | None, Meta(description="of one delivery")] = None
    dead_letter: Annotated[Sink | None, Meta(description="for what no retry delivered")] = None


class Events(Settings, frozen=True):
    """Events in and out."""

    reply_type: Text | None = None
    dead_letter: Url | None = None
    remember: Annotated[int, Meta(ge=0, description="replies kept for redelivered events")] = 1000
    subscriptions: list[Subscription] = []


class Schedule(Settings, frozen=True):
    """Times at which the function gets an event, of type dev.knative.sources.ping."""

    cron: Annotated[
        Text, Meta(description="five fields, or @daily", examples=["*/5 * * * *", "@hourly"])
    ]
    timezone: Annotated[Text | None, Meta(examples=["Europe/Berlin"])] = None  # else UTC
    data: Annotated[
        dict[str, Any] | str | None, Meta(description="of the event: an object, or a text")
    ] = None

    def __post_init__(self) -> None:
        """Knative would refuse it at the end of a deployment."""
        from mlfunc import cron

        if problem := cron.problem(self.cron, self.timezone):
            raise ValueError(problem)


class Deploy(Settings, frozen=True):
    """How the function stands in its cluster."""

    rollout: Annotated[
        Literal["rolling", "recreate"],
        Meta(description="recreate: the old revision lets go of its accelerator before"),
    ] = "rolling"
    visibility: Literal["public", "cluster-local"] = "public"
    service_account: Text | None = None
    pull_secret: Annotated[Text | None, Meta(description="for the registry of the image")] = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Function(Settings, frozen=True):
    """A function, as mlfunc.yaml describes it."""

    name: Name
    predictor: PredictorPath = "predictor.py:Predictor"
    python: PythonVersion | None = None
    registry: Registry | None = None
    image: Annotated[Text, Meta(examples=["registry.example.com/team/similarity:v1"])] | None = None
    build: Build = Build()
    namespace: Annotated[Name | None, Meta(description="else that of the context")] = None
    models: dict[ModelName, ModelUri | Model] = {}
    accelerator: AcceleratorType | Accelerator = "cpu"
    serve: Serve = Serve()
    scale: Scale = Scale()
    resources: Resources = Resources()
    env: dict[Variable, str | int | float | EnvSource] = {}
    volumes: list[Volume] = []
    placement: Placement = Placement()
    events: Events = Events()
    schedule: list[Schedule] = []
    deploy: Deploy = Deploy()
    config: Annotated[
        dict[str, Any], Meta(description="what the predictor finds in context.config")
    ] = {}

    def __post_init__(self) -> None:
        """Each model has a variable of its own."""
        seen: dict[str, str] = {}
        for name in self.models:
            other = seen.setdefault(name.upper().replace("-", "_"), name)
            if other != name:
                msg = f"models {other} and {name} differ only in -, _ or case"
                raise ValueError(msg)

    @property
    def reply_type(self) -> str:
        """The type of the events it answers with."""
        return self.events.reply_type or f"dev.mlfunc.{self.name}.result"

    @property
    def all_models(self) -> dict[str, Model]:
        """The models, however they were written."""
        return {
            name: model if isinstance(model, Model) else Model(model)
            for name, model in self.models.items()
        }

    @property
    def local_models(self) -> dict[str, str]:
        """The models that are files here, by their paths."""
        uris = {name: model.uri for name, model in self.all_models.items()}
        return {name: uri for name, uri in uris.items() if "://" not in uri}

    @property
    def accelerator_type(self) -> AcceleratorType:
        """What it computes on, in one word."""
        accelerator = self.accelerator
        return accelerator.type if isinstance(accelerator, Accelerator) else accelerator

    @property
    def target_python(self) -> str:
        """The Python that it is for, as 3.11: where none is named, the one that runs this."""
        return self.python or f"{sys.version_info.major}.{sys.version_info.minor}"

    @property
    def plain_env(self) -> dict[str, str]:
        """The variables whose values stand in the file."""
        return {k: str(v) for k, v in self.env.items() if not isinstance(v, EnvSource)}


def load(folder: Path) -> Function:
    """Read and check the mlfunc.yaml of a project.

    Raises:
        NotFound: there is none.
        UsageError: it is broken; the message has the line, the key and what is likely meant.

    """
    path = folder / FILE
    if not path.is_file():
        hint = "mlfunc create NAME, or name the project's folder with --path"
        raise NotFound(f"no {FILE} in {folder.absolute()}", hint)
    return parse(path.read_bytes(), str(path))


def parse(source: bytes, name: str = FILE) -> Function:
    """Check the text of an mlfunc.yaml; `name` is what errors call it."""
    from mlfunc.document import read

    return read(source, name).convert(Function)


def check_name(name: str) -> None:
    """Whether a function may be called so.

    Raises:
        UsageError: it may not.

    """
    if not re.fullmatch(NAME_PATTERN, name):
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).lstrip("-0123456789")[:63].rstrip("-")
        message = f"{name!r} cannot be a function's name: it needs {_NAME_RULE}"
        raise UsageError(message, f"mlfunc create {slug or 'similarity'}")


def seconds(duration: str | float) -> float:
    """A checked duration in seconds; a bare number is seconds already."""
    if not isinstance(duration, str):
        return float(duration)
    number, unit = _split(duration)
    return number * _SECONDS[unit]


def size(value: str | int) -> int:
    """A checked size in bytes."""
    number, unit = _split(str(value))
    return int(number * _BYTES[unit])


def _split(text: str) -> tuple[float, str]:
    unit = text.lstrip("0123456789.")
    return float(text.removesuffix(unit)), unit.strip()


def json_schema() -> dict[str, Any]:
    """The JSON Schema of mlfunc.yaml, for editors."""
    schema = msgspec.json.schema(Function)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": FILE,
        **schema,
    }
