"""`mlfunc doctor`: findings with fixes, and no secrets."""

from __future__ import annotations

import importlib.util
import json
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from mlfunc import accelerators, checkup, cli, environment, lock, running
from mlfunc.oci import push, reference

from tests.func.oci.conftest import image_of
from tests.rig.registry import registry

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def nearby(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks Docker Hub for a base."""
    monkeypatch.setenv("MLFUNC_BASE_IMAGE", "127.0.0.1:1/base")


def found(folder: Path, name: str) -> checkup.Check:
    return next(check for check in checkup.examine(folder) if check.name == name)


def test_a_healthy_machine_passes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--path", str(project)]) == 0

    shown = capsys.readouterr().out
    assert shown.startswith("CHECK ")
    assert "greeter in" in shown


def test_a_broken_project_fails_with_the_line_to_mend(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "mlfunc.yaml").write_text("name: greeter\nserv: {}\n")

    assert cli.main(["doctor", "--path", str(project)]) == 1
    shown = capsys.readouterr()
    assert "serv: unknown key; did you mean serve?" in shown.out
    assert "error: failed: project" in shown.err


def test_a_missing_predictor_fails_and_missing_weights_warn(project: Path) -> None:
    (project / "mlfunc.yaml").write_text("name: x\nmodels: {default: ./weights}\n")
    (project / "predictor.py").unlink()

    assert found(project, "predictor").verdict == "fail"
    assert found(project, "model").verdict == "warn"


def test_a_predictor_that_cannot_start_is_told_as_a_build_tells_it(project: Path) -> None:
    assert found(project, "predictor").verdict == "ok"
    (project / "predictor.py").write_text("class Greter:\n    def predict(self): ...\n")

    check = found(project, "predictor")

    assert (check.verdict, check.detail) == ("fail", "predictor.py has no class Greeter")
    assert check.fix == "correct `predictor:` in mlfunc.yaml: did you mean Greter?"


def test_an_accelerator_is_looked_for_by_its_device(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "mlfunc.yaml").write_text("name: x\naccelerator: neuron\n")
    device = tmp_path / "neuron0"
    row = replace(accelerators.TABLE["neuron"], devices=(str(device),))
    monkeypatch.setattr(accelerators, "TABLE", {"neuron": row})

    missing = found(project, "accelerator")
    device.touch()
    there = found(project, "accelerator")

    assert (missing.verdict, str(device) in missing.detail) == ("warn", True)
    assert there.verdict == "ok"


def test_a_function_of_the_cpu_has_no_accelerator_to_look_for(project: Path) -> None:
    assert "accelerator" not in {check.name for check in checkup.examine(project)}


def test_a_python_that_is_not_here_fails_with_what_to_install(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "mlfunc.yaml").write_text('name: x\npython: "3.99"\n')
    monkeypatch.setattr(environment, "find_uv", lambda: None)

    check = found(project, "environment")
    assert (check.verdict, "install Python 3.99" in check.fix) == ("fail", True)


def test_a_cache_that_cannot_be_written_to_fails(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)

    assert "MLFUNC_HOME" in found(project, "cache").fix


def test_without_uv_the_fix_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "find_uv", lambda: None)

    check = found(project, "installer")
    assert (check.verdict, check.fix) == ("warn", "pip install uv")


def test_a_taken_port_warns_with_the_option(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(checkup, "_PORT", taken.getsockname()[1])
        check = found(project, "port")

    assert (check.verdict, check.fix) == ("warn", "mlfunc run --port 0")


def test_limits_of_the_container_count(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text(f"{2**29}\n")
    monkeypatch.setattr(checkup, "_CGROUP", tmp_path)

    assert found(project, "cpu").detail == "0.5 cores"
    assert found(project, "memory").detail == "0.5 GiB"
    assert found(project, "memory").verdict == "warn"


def test_running_functions_are_listed(project: Path) -> None:
    publication = running.Publication()
    publication.tell("greeter", project, "http://127.0.0.1:1", serves=True)
    assert found(project, "functions").detail == "greeter at http://127.0.0.1:1"

    publication.tell("greeter", project, "", serves=False)
    assert found(project, "functions").detail == "greeter (does not serve now)"
    publication.close()


def test_the_function_that_has_the_port_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publication = running.Publication()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        publication.tell("greeter", project, f"http://127.0.0.1:{port}", serves=True)
        monkeypatch.setattr(checkup, "_PORT", port)
        check = found(project, "port")
    publication.close()

    assert check.detail == f"port {port} is taken: greeter is served there"


def test_a_folder_that_was_asked_for_and_holds_no_project_warns(tmp_path: Path) -> None:
    assert found(tmp_path / "nope", "project").verdict == "warn"


def test_where_functions_cannot_be_told_of_it_warns(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not [check for check in checkup.examine(project) if check.name == "registry"]
    monkeypatch.setattr("os.access", lambda *_: False)

    assert "XDG_RUNTIME_DIR" in found(project, "registry").fix


@pytest.mark.parametrize(
    ("files", "verdict"), [([], "warn"), (["weights/"], "warn"), (["weights/", "weights/m"], "ok")]
)
def test_models_of_this_machine_have_to_be_there(
    files: list[str], verdict: str, project: Path
) -> None:
    (project / "mlfunc.yaml").write_text("name: x\nmodels: {default: ./weights}\n")
    for name in files:
        path = project / name
        path.mkdir() if name.endswith("/") else path.touch()

    checks = [check for check in checkup.examine(project) if check.name == "model"]
    assert [check.verdict for check in checks] == [verdict]


@pytest.mark.parametrize(
    ("uri", "client", "extra"),
    [("hf://org/tiny", "huggingface_hub", "hf"), ("s3://bucket/tiny", "boto3", "s3")],
)
def test_models_elsewhere_need_the_client_of_their_place(
    project: Path, monkeypatch: pytest.MonkeyPatch, uri: str, client: str, extra: str
) -> None:
    (project / "mlfunc.yaml").write_text(f"name: x\nmodels: {{default: '{uri}'}}\n")
    assert "fetched by the first" in found(project, "model").detail

    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == client else find(name)
    )
    assert found(project, "model").fix == f"pip install 'mlfunc[{extra}]'"

    pin = lock.ModelPin(uri, "main", [])
    lock.save(project, lock.Lock(models={"default": pin}))
    assert found(project, "model").detail == f"default: {uri}, here"


def test_a_broken_lock_is_found_where_models_are_pinned(project: Path) -> None:
    (project / "mlfunc.yaml").write_text("name: x\nmodels: {default: 'hf://org/tiny'}\n")
    (project / "mlfunc.lock").write_text("{")

    assert found(project, "lock").verdict == "fail"


def test_findings_can_be_read_by_programs_and_hold_no_secret(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("API_TOKEN", "s3cret-value")
    (project / "mlfunc.yaml").write_text("name: x\nenv: {PASSWORD: s3cret-value}\n")

    cli.main(["doctor", "--path", str(project), "-o", "json"])
    shown = capsys.readouterr()
    assert {"python", "installer", "disk"} <= {check["name"] for check in json.loads(shown.out)}
    assert "s3cret-value" not in shown.out + shown.err


def test_where_images_go_is_asked_for_and_told(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with registry(tmp_path / "registry") as here:
        monkeypatch.setenv("MLFUNC_REGISTRY", here.address)
        monkeypatch.setenv("MLFUNC_BASE_IMAGE", f"{here.address}/base:1")
        push.push(image_of(b""), reference.parse(f"{here.address}/base:1"))
        checks = {check.name: check for check in checkup.examine(project)}
    assert checks["base image"].verdict == "ok"
    assert (checks["push"].verdict, here.address in checks["push"].detail) == ("ok", True)


def test_a_registry_that_does_not_answer_warns(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFUNC_REGISTRY", "127.0.0.1:1")
    checks = {check.name: check for check in checkup.examine(project)}
    for name in ("base image", "push"):
        assert (checks[name].verdict, bool(checks[name].fix)) == ("warn", True)
