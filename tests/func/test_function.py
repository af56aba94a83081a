"""mlfunc.yaml: what it may say, and how a mistake in it is told."""

from __future__ import annotations

import json
from pathlib import Path

import mlfunc
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mlfunc import function
from mlfunc.errors import MlfuncError, NotFound, UsageError
from mlfunc.function import Accelerator, EnvSource, Function, Subscription, Toleration

WHOLE = """
name: similarity
predictor: predictor.py:Similarity
python: "3.11"
registry: registry.example.com/team
namespace: default
models:
  default: ./weights
  big: hf://org/name@main
  bucket: s3://bucket/prefix
  image: oci://registry.example.com/weights@sha256:%s
  shared: pvc://claim/path
accelerator: {type: nvidia, count: 1, product: NVIDIA-L4}
serve:
  slots: 2
  batch: {max_size: 32}
  concurrency: 64
  timeout: 2m
  drain: 500ms
  max_body: 1GiB
  isolation: thread
scale: {min: 0, max: 10, target: null, window: 60s}
resources: {cpu: "1", memory: 2Gi}
env: {LOG_LEVEL: info, WORKERS: 2, TOKEN: {secret: hub, key: token}, URL: {configMap: c, key: url}}
volumes: [{path: /cache, emptyDir: {sizeLimit: 1Gi}}, {path: /etc/model, configMap: settings}]
placement: {nodeSelector: {disk: ssd}, tolerations: [{key: gpu, operator: Exists}]}
events:
  reply_type: dev.mlfunc.similarity.result
  dead_letter: null
  subscriptions:
    - {broker: default, filter: {type: com.example.text.created}, retry: 5}
config: {threshold: 0.5, labels: [a, b]}
""" % ("0" * 64)


def parse(text: str) -> Function:
    return function.parse(text.encode())


def test_everything_the_design_shows_is_understood() -> None:
    loaded = parse(WHOLE)

    assert loaded.accelerator == Accelerator(type="nvidia", product="NVIDIA-L4")
    assert loaded.serve.batch.max_size == 32
    assert loaded.env["TOKEN"] == EnvSource(key="token", secret="hub")
    assert loaded.plain_env == {"LOG_LEVEL": "info", "WORKERS": "2"}
    assert loaded.placement.tolerations == [Toleration(key="gpu", operator="Exists")]
    assert loaded.events.subscriptions == [
        Subscription(filter={"type": "com.example.text.created"})
    ]


def test_a_name_is_enough_and_the_rest_has_defaults() -> None:
    loaded = parse("name: tiny")

    assert loaded.predictor == "predictor.py:Predictor"
    assert (loaded.serve.slots, loaded.serve.batch.max_size, loaded.serve.concurrency) == (1, 1, 64)
    assert (loaded.serve.timeout, loaded.serve.drain, loaded.serve.max_body) == (
        "60s",
        "30s",
        "64MiB",
    )
    assert (loaded.scale.min, loaded.scale.max, loaded.scale.target) == (0, 10, None)
    assert (loaded.resources.cpu, loaded.resources.memory) == ("1", "2Gi")
    assert loaded.reply_type == "dev.mlfunc.tiny.result"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("name: x\nserve:\n  concurency: 3", "3: serve.concurency: unknown key; did you mean con"),
        ("name: x\npredictr: a.py:B", "2: predictr: unknown key; did you mean predictor?"),
        ("predictor: a.py:B", "1: the key `name` is missing"),
        ("name: Big", "1: name: 'Big' does not fit: lower-case letters"),
        ("name: x\npredictor: a:B", "2: predictor: 'a:B' does not fit: write it like predictor.py"),
        ("name: x\npython: 3.10", '2: python: 3.10 is no text here: write it in quotes, "3.10"'),
        ("name: x\nserve: {timeout: 5 sec}", "2: serve.timeout: '5 sec' does not fit: a time "),
        ("name: x\nserve: {timeout: -1}", "2: serve.timeout: -1 does not fit: it must be at least"),
        (
            "name: x\nserve: {timeout: 0.0s}",
            "2: serve.timeout: '0.0s' does not fit: a time above 0",
        ),
        (
            "name: x\nserve: {chunk_timeout: 0}",
            "2: serve.chunk_timeout: 0 does not fit: it must be",
        ),
        (
            "name: x\nserve: {hooks: {backoff: fast}}",
            "2: serve.hooks.backoff: 'fast' does not fit: write",
        ),
        (
            "name: x\nserve: {process: {memory: lots}}",
            "2: serve.process.memory: 'lots' does not fit: wri",
        ),
        (
            "name: x\nserve: {process: {timeout: soon}}",
            "2: serve.process.timeout: 'soon' does not fit: a",
        ),
        (
            "name: x\nevents: {dead_letter: sink}",
            "2: events.dead_letter: 'sink' does not fit: write",
        ),
        ("name: x\nserve: {slots: 0}", "2: serve.slots: 0 does not fit: it must be at least 1"),
        (
            "name: x\nserve: {batch: 4}",
            "2: serve.batch: expected mapping, got number 4: write `batch: {max_size: 4}`",
        ),
        ("name: x\nserve: 4", "2: serve: expected mapping, got number 4"),
        ("name: x\nserve: {timeout: null}", "2: serve.timeout: expected number or text, got noth"),
        ("name: x\naccelerator: gpu", "2: accelerator: there is no 'gpu'; use one of cpu, nvidia"),
        ("name: x\naccelerator: nvidi", "2: accelerator: there is no 'nvidi'; did you mean nvid"),
        ("name: x\nmodels: {default: gs://b}", "2: models.default: 'gs://b' does not fit: write"),
        ("name: x\nenv:\n  A: a\n  B: true", "4: env.B: true is no text here: write it in quotes"),
        ("name: x\nenv:\n  A: {secret: s}", "3: env.A: the key `key` is missing"),
        ("name: x\nenv:\n  A: {secret: s, ky: k}", "3: env.A.ky: unknown key; did you mean key?"),
        ("name: x\nenv: {A: {key: k}}", "2: env.A: name one of secret and configMap"),
        ("name: x\nenv:\n  B-C: 1", "3: env.B-C: 'B-C' cannot be a name here: write it like LOG"),
        ("name: x\nvolumes:\n- path: a\n  secret: s", "3: volumes[0].path: 'a' does not fit"),
        ("name: x\nvolumes:\n- path: /a", "3: volumes[0]: name one of emptyDir, secret, config"),
        ("name: x\nmodels: {a-b: ./a, A_b: ./b}", "1: models a-b and A_b differ only in"),
        ("name: x\nscale: {min: 3, max: 2}", "2: scale: min is 3, more than max, which is 2"),
        ("name: x\nresources: {memory: 2 GB}", "2: resources.memory: '2 GB' does not fit: write"),
        ("name: x\nregistry: ''", "2: registry: it is empty"),
        (
            "name: x\nevents:\n  subscriptions:\n    - {filter: {type: 1}}",
            "4: events.subscriptions[0].filter.type: 1 is no text here",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line_its_key_and_what_is_likely_meant(
    text: str, error: str
) -> None:
    with pytest.raises(UsageError) as raised:
        parse(text)

    assert str(raised.value).startswith(f"mlfunc.yaml:{error}")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (b"name: [", "mlfunc.yaml:1:8: no valid YAML: the file ends inside a bracket or a quoted"),
        (b"name: 'x", "mlfunc.yaml:1:9: no valid YAML: the file ends inside a bracket or a quoted"),
        (b"name: x\n\tslots: 1", "mlfunc.yaml:2:1: no valid YAML"),
        (b"name: x\nname: y", "mlfunc.yaml:2:1: no valid YAML: the key name stands here a second"),
        (b"name: x\n1: y", "mlfunc.yaml:2:1: no valid YAML: this key is no text"),
        (b"name: x\n? [a]\n: y", "mlfunc.yaml:2:3: no valid YAML: this key is no text"),
        (b"name: x\nd: 2024-99-99", "mlfunc.yaml: no valid YAML: month"),
        (b"name: !!python/name:os.system", "mlfunc.yaml:1:7: no valid YAML: could not determine"),
        (b"name: x\n# \xff", "mlfunc.yaml:2: this line is not UTF-8"),
        (b"", "mlfunc.yaml:1: no keys in it"),
        (b"- name", "mlfunc.yaml:1: no keys in it"),
    ],
)
def test_broken_yaml_is_told_in_one_line_with_its_place(source: bytes, error: str) -> None:
    with pytest.raises(UsageError) as raised:
        function.parse(source)

    assert str(raised.value).startswith(error)
    assert "\n" not in str(raised.value)


def test_a_section_whose_lines_are_all_comments_is_not_there() -> None:
    assert parse("name: x\nserve:\n  # slots: 2\nenv:\n") == parse("name: x")


_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_trees = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_keys = st.sampled_from(list(Function.__struct_fields__)) | st.text(max_size=8)


@given(st.dictionaries(_keys, _trees, max_size=5))
def test_any_mapping_is_a_function_or_a_clear_error(document: dict[str, object]) -> None:
    source = yaml.safe_dump({"name": "x", **document}).encode()
    try:
        assert isinstance(function.parse(source), Function)
    except MlfuncError as error:
        assert error.message.startswith("mlfunc.yaml:")  # noqa: PT017 - either outcome is right


@given(
    st.binary(max_size=60) | st.text("nam:e{}[]&*!|>-?#'\"\n\t `$.", max_size=40).map(str.encode)
)
def test_any_bytes_are_a_function_or_a_clear_error(source: bytes) -> None:
    try:
        assert isinstance(function.parse(source), Function)
    except MlfuncError as error:
        assert error.message.startswith("mlfunc.yaml:")  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize("key", ["x` - at `$.serve", "`key` in `$`", "a.b[0]", "`"])
def test_a_key_that_looks_like_a_checker_s_message_is_still_named(key: str) -> None:
    with pytest.raises(UsageError, match="unknown"):
        parse(yaml.safe_dump({"name": "x", key: 1}))


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        ("60s", 60.0),
        ("2m", 120.0),
        ("500ms", 0.5),
        ("1h", 3600.0),
        (5, 5.0),
        (1.5, 1.5),
        (1e-5, 1e-5),
    ],
)
def test_durations_are_read_as_seconds(duration: str | float, expected: float) -> None:
    assert function.seconds(duration) == expected


@pytest.mark.parametrize(
    ("size", "expected"), [("64MiB", 64 * 2**20), ("1 GiB", 2**30), ("10k", 10_000), (7, 7)]
)
def test_sizes_are_read_as_bytes(size: str | int, expected: int) -> None:
    assert function.size(size) == expected


@pytest.mark.parametrize("name", ["a", "ocr-v2", "a" * 63])
def test_a_label_of_dns_may_be_a_name(name: str) -> None:
    function.check_name(name)

    assert parse(f"name: {name}").name == name


@pytest.mark.parametrize("name", ["", "A", "2fast", "a_b", "-a", "a-", "a" * 64, "a\n", "é"])
def test_what_is_no_label_of_dns_cannot_be_a_name(name: str) -> None:
    with pytest.raises(UsageError):
        function.check_name(name)
    with pytest.raises(UsageError):
        parse(yaml.safe_dump({"name": name}))


def test_a_wrong_name_is_answered_with_a_right_one() -> None:
    with pytest.raises(UsageError) as raised:
        function.check_name("My Function_2")

    assert raised.value.hint == "mlfunc create my-function-2"


def test_a_folder_without_mlfunc_yaml_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as raised:
        function.load(tmp_path)

    assert "no mlfunc.yaml in" in raised.value.message
    assert "--path" in raised.value.hint


def test_the_shipped_json_schema_is_up_to_date() -> None:
    shipped = Path(mlfunc.__file__).with_name("mlfunc.schema.json")

    current = json.dumps(function.json_schema(), indent=2) + "\n"
    assert shipped.read_text() == current, "write function.json_schema() into it"
