"""Models that are fetched from a hub before `load`: whole and right, or an error that says why not."""

from __future__ import annotations

import random
import shutil
import ssl
from collections import namedtuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from mlfunc_runtime.errors import SettingsError, StartupError
from mlfunc_runtime.models import Place
from mlfunc_runtime.weights import fetching, listing
from mlfunc_runtime.weights.listing import File, Listing, Part
from mlfunc_runtime.weights.sources import Addresses

from .stores import COMMIT, Hub, Store, listed, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import Process

PART = 2**16
FILES = {
    "model.safetensors": random.Random(1).randbytes(40 * PART + 7),
    "config.json": b"{}",
    "sub folder/empty.txt": b"",
    "sub folder/exact.bin": random.Random(2).randbytes(2 * PART),
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts so small that a test's file has many; no time between tries."""
    monkeypatch.setattr(listing.parts, "__defaults__", (PART,))
    monkeypatch.setattr(fetching, "_PAUSE", 0.001)


class Model:
    """A model on a hub, and the folder that it is fetched into."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        self.hub, self.store = hub, hub.store
        self.folder = folder / "models" / "default"
        self.list = listed(folder / "list.json", "hf://org/name", self.store.files)

    def fetch(self, **environ: str) -> None:
        place = Place("hf://org/name", "MLFUNC_MODEL_DEFAULT", self.folder, self.list)
        fetching.fetch([place], {"HF_ENDPOINT": self.hub.url, **environ})

    @property
    def files(self) -> dict[str, bytes]:
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}

    def fails(self, **environ: str) -> StartupError:
        with pytest.raises(StartupError) as raised:
            self.fetch(**environ)
        return raised.value


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Model]:
    store = Store({name.replace(" ", "%20"): data for name, data in FILES.items()})
    hub = Hub(store)
    with serving(hub, store):
        made = Model(hub, tmp_path)
        listed(made.list, "hf://org/name", FILES)
        yield made


def test_every_file_is_there_as_the_build_has_seen_it(model: Model) -> None:
    model.fetch()
    assert model.files == FILES


def test_a_file_is_fetched_in_parts_on_many_connections(model: Model) -> None:
    model.fetch()
    asked = [headers["Range"] for path, headers in model.store.seen if "safetensors" in path]
    assert len(asked) == len(set(asked)) == 41
    # The hub is asked until it has led the first of the streams to the store.
    assert len(model.hub.asked) < len(model.store.seen)


def test_the_token_goes_to_the_hub_and_not_to_the_store(model: Model) -> None:
    model.hub.token = "secret"
    model.fetch(HF_TOKEN="secret")
    assert model.files == FILES
    assert not [headers for _, headers in model.store.seen if "Authorization" in headers]


def test_connections_that_break_are_resumed_where_they_broke(model: Model) -> None:
    model.store.breaks = 30
    model.fetch()
    assert model.files == FILES
    starts = [headers["Range"].split("=")[1].split("-")[0] for _, headers in model.store.seen]
    assert any(int(start) % PART == model.store.after for start in starts)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_store_that_has_no_time_is_asked_again(model: Model, status: int) -> None:
    model.store.statuses = [status] * 20
    model.fetch()
    assert model.files == FILES


def test_an_address_that_has_expired_is_asked_for_again(model: Model) -> None:
    file = listing.read(model.list).files[0]
    addresses = Addresses(listing.read(model.list), {"HF_ENDPOINT": model.hub.url})
    expired = f"{model.store.url}/{file.path}?signature=0"
    addresses.led(file, addresses.request(file), expired)
    wanted = fetching.Wanted(file, model.folder / file.path, addresses)
    fetching.Transfer(fetching._jobs([wanted])).run()
    assert model.files == {file.path: FILES[file.path]}


def test_a_store_that_never_answers_is_given_up(model: Model) -> None:
    model.store.statuses = [503] * 10000
    error = model.fails()
    assert "breaks off after 0 bytes: 127.0.0.1:" in str(error)
    assert "503" in str(error)


def test_a_hub_that_cannot_be_reached_is_named(model: Model, unused_port: int) -> None:
    error = model.fails(HF_ENDPOINT=f"http://127.0.0.1:{unused_port}")
    assert f"127.0.0.1:{unused_port}: ConnectionRefusedError" in str(error)


@pytest.mark.parametrize(
    ("token", "hint"),
    [("", "HF_TOKEN is not set"), ("wrong", "HF_TOKEN has no access to it")],
)
def test_a_private_model_says_what_the_token_is_for(model: Model, token: str, hint: str) -> None:
    model.hub.token = "secret"
    error = model.fails(HF_TOKEN=token)
    assert "of hf://org/name cannot be fetched: 127.0.0.1" in str(error)
    assert "answers 401" in str(error)
    assert error.hint.startswith(hint)


def test_a_model_that_was_changed_is_refused_and_leaves_no_file(model: Model) -> None:
    changed = bytearray(FILES["model.safetensors"])
    changed[123456] ^= 1
    model.store.files["model.safetensors"] = bytes(changed)
    error = model.fails()
    assert str(error).startswith("model.safetensors came with the sha256 ")
    assert "model.safetensors" not in model.files


def test_a_store_without_ranges_is_refused_for_what_has_parts(model: Model) -> None:
    model.store.ranges = False
    error = model.fails()
    assert "gives no parts of files" in str(error)


def test_a_store_without_ranges_will_do_for_what_has_none(tmp_path: Path) -> None:
    store = Store({"a": b"a" * 1000})
    store.ranges = False
    with serving(hub := Hub(store), store):
        model = Model(hub, tmp_path)
        model.fetch()
        assert model.files == {"a": b"a" * 1000}


def test_a_second_start_in_the_same_pod_fetches_only_what_is_missing(model: Model) -> None:
    model.fetch()
    (model.folder / "config.json").unlink()
    (model.folder / "sub folder/exact.bin.unfinished").write_bytes(b"of a start that was ended")
    model.store.seen.clear()
    model.fetch()
    assert model.files == FILES
    assert [path.partition("?")[0] for path, _ in model.store.seen] == ["/config.json"]


def test_without_room_it_says_how_much_is_needed(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1000))
    error = model.fails()
    total = sum(map(len, FILES.values()))
    assert (
        str(error)
        == f"no room for the models at {model.folder}: {total} bytes are needed, 1000 are free"
    )
    assert model.store.seen == []


def test_where_nothing_can_be_written_it_names_the_place(model: Model) -> None:
    model.folder.parent.write_text("a file")
    error = model.fails()
    assert str(error).startswith(str(model.folder))
    assert "emptyDir" in error.hint


def test_a_model_of_one_file_may_be_named_by_that_file(tmp_path: Path) -> None:
    one = Listing("s3://bucket/deep/model.onnx", [File("model.onnx", 1, "")])
    assert listing.folder_of(one, tmp_path / "model.onnx") == tmp_path
    assert listing.folder_of(one, tmp_path / "default") == tmp_path / "default"


@pytest.mark.parametrize("text", ["", "[]", '{"uri": "hf://a/b"}', '{"uri": 1, "files": []}'])
def test_a_broken_list_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.json").write_text(text)
    with pytest.raises(SettingsError, match=r"list\.json lists no model's files"):
        listing.read(tmp_path / "list.json")


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../other", "a/../../b", "."])
def test_a_list_that_leads_out_of_the_model_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(SettingsError, match="is no path inside of a model"):
        listing.read(listed(tmp_path / "list.json", "hf://a/b", {path: b""}))


def test_a_scheme_that_cannot_be_streamed_is_named(model: Model) -> None:
    listed(model.list, "oci://host/name", {"a": b"a"})
    assert str(model.fails()) == "oci://host/name cannot be streamed"


def test_parts_are_the_file() -> None:
    assert listing.parts(File("a", 0, ""), 10) == []
    assert listing.parts(File("a", 10, ""), 10) == [Part(0, 10)]
    assert listing.parts(File("a", 21, ""), 10) == [Part(0, 10), Part(10, 10), Part(20, 1)]


STREAMED = """
    import time
    from pathlib import Path

    while {condition}:
        time.sleep(0.001)

    class P:
        def load(self, context):
            self.path = context.model()

        def predict(self) -> list[str]:
            return sorted(path.name for path in self.path.rglob("*") if path.is_file())
"""


def test_a_function_loads_what_was_fetched_while_its_module_was_imported(
    model: Model, start: Callable[..., Process], tmp_path: Path
) -> None:
    env = {
        "MLFUNC_STREAM_DEFAULT": str(model.list),
        "MLFUNC_MODEL_DEFAULT": str(tmp_path / "fetched"),
        "HF_ENDPOINT": model.hub.url,
    }
    imports = STREAMED.format(
        condition=f"not Path({str(tmp_path / 'fetched/config.json')!r}).exists()"
    )
    process = start(imports, env, models={"default": f"hf://org/name@{COMMIT}"})
    assert process.json(b"{}") == (200, sorted(Path(name).name for name in FILES))
    phases = [line["phase"] for line in process.lines if "phase" in line]
    assert set(phases) == {"listening", "importing", "fetching", "loading", "ready"}
    startup: dict[str, Any] = process.lines[-1]["startup"]
    assert list(startup) == ["spawn", "runtime", "import", "fetch", "load", "warmup", "total"]
    fetching_line = next(line for line in process.lines if line.get("phase") == "fetching")
    assert fetching_line["bytes"] == sum(map(len, FILES.values()))


def test_a_function_whose_model_cannot_be_fetched_says_so_and_ends(
    model: Model, start: Callable[..., Process], tmp_path: Path
) -> None:
    model.hub.token = "secret"
    env = {
        "MLFUNC_STREAM_DEFAULT": str(model.list),
        "MLFUNC_MODEL_DEFAULT": str(tmp_path / "fetched"),
        "HF_ENDPOINT": model.hub.url,
        "HF_TOKEN": "",
    }
    process = start(
        STREAMED.format(condition=False), env, until="failed", models={"default": "hf://org/name"}
    )
    assert "answers 401" in process.lines[-1]["error"]
    assert process.lines[-1]["hint"].startswith("HF_TOKEN is not set")
    assert process.wait() == 1


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[Store, str, Path]]:
    """A store that is a hub at once, its address, and the file of who vouches for it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    store = Store({f"org/name/resolve/{COMMIT}/{name}": b"a" * 100_000 for name in "ab"})
    store.socket = context.wrap_socket(store.socket, server_side=True)
    with serving(store):
        yield store, store.url.replace("http:", "https:"), tmp_path / "ca.pem"


def test_over_tls_the_servers_certificate_has_to_be_trusted(
    tls: tuple[Store, str, Path], start: Callable[..., Process], tmp_path: Path
) -> None:
    _, url, authority = tls
    listed(tmp_path / "list.json", "hf://org/name", dict.fromkeys("ab", b"a" * 100_000))
    env = {
        "MLFUNC_STREAM_DEFAULT": str(tmp_path / "list.json"),
        "MLFUNC_MODEL_DEFAULT": str(tmp_path / "fetched"),
        "HF_ENDPOINT": url,
    }
    told = {"models": {"default": "hf://org/name"}}
    source = STREAMED.format(condition=False)
    failed = start(source, env, until="failed", **told)
    assert failed.lines[-1]["hint"] == "name the file of its authority in SSL_CERT_FILE"
    process = start(source, {**env, "SSL_CERT_FILE": str(authority)}, **told)
    assert process.json(b"{}") == (200, ["a", "b"])


def test_a_predictor_in_a_process_of_its_own_gets_it_too(
    model: Model, start: Callable[..., Process], tmp_path: Path
) -> None:
    env = {
        "MLFUNC_STREAM_DEFAULT": str(model.list),
        "MLFUNC_MODEL_DEFAULT": str(tmp_path / "fetched"),
        "HF_ENDPOINT": model.hub.url,
    }
    process = start(
        STREAMED.format(condition=False),
        env,
        models={"default": {"uri": "hf://org/name", "delivery": "stream", "files": ["*"]}},
        serve={"isolation": "process"},
    )
    assert process.json(b"{}") == (200, sorted(Path(name).name for name in FILES))
