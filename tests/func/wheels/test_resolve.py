"""Requirements become exact wheels for a target: from whom, for what, and what is refused."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from mlfunc import environment
from mlfunc.errors import EnvironmentFailed, UsageError
from mlfunc.project import Target
from mlfunc.wheels import resolve

from tests.rig.index import index, wheel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mlfunc.lock import Resolution

CPU = Target("linux/amd64", "3.11", "cpu")
ARM = Target("linux/arm64", "3.11", "cpu")
GPU = Target("linux/amd64", "3.11", "nvidia")


@pytest.fixture(autouse=True)
def _no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime's own needs would come from the public index."""
    monkeypatch.setattr(environment, "runtime_requirement", lambda: ("requests-nothing==1",))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """What the default index has: a torch with CUDA, as the public one."""
    folder = tmp_path / "public"
    wheel(folder / "requests-nothing", "requests-nothing", "1")
    wheel(folder / "small", "small", "1.0")
    wheel(folder / "small", "small", "2.0", requires=("other",))
    wheel(folder / "other", "other", "1.0")
    wheel(folder / "torch", "torch", "2.13.0", requires=("nvidia-cublas",))
    wheel(folder / "nvidia-cublas", "nvidia-cublas", "13.0")
    wheel(folder / "model", "model", "1.0", requires=("torch",))
    wheel(folder / "native", "native", "1.0", tag="cp311-cp311-manylinux_2_28_x86_64")
    wheel(folder / "native", "native", "1.1", tag="cp311-cp311-manylinux_2_28_aarch64")
    (folder / "source").mkdir()
    (folder / "source" / "source-1.0.tar.gz").write_bytes(b"")
    return folder


@pytest.fixture
def public(packages: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Variables of a user whose default index that is, and who has cached nothing."""
    with index(packages) as address:
        yield variables(f"http://{address}/", tmp_path)


def variables(url: str, tmp_path: Path) -> dict[str, str]:
    home = {"HOME": str(tmp_path), "UV_CACHE_DIR": str(tmp_path / "uv"), "UV_HTTP_RETRIES": "0"}
    return {**home, "PIP_INDEX_URL": url, "MLFUNC_TORCH_INDEX": "", "PATH": ""}


def ask(
    project: Path,
    text: str,
    environ: Mapping[str, str],
    target: Target = CPU,
    known: Resolution | None = None,
    *,
    upgrade: bool = False,
) -> Resolution:
    (project / "requirements.txt").write_text(text)
    return resolve.resolve(project, target, known, upgrade=upgrade, environ=environ)


def versions(resolution: Resolution) -> dict[str, str]:
    found = {package.name: package.version for package in resolution.packages}
    assert found.pop("requests-nothing") == "1"
    return found


def test_what_is_needed_comes_with_what_is_asked_for(project: Path, public: dict[str, str]) -> None:
    assert versions(ask(project, "small\n", public)) == {"small": "2.0", "other": "1.0"}


def test_wheels_are_chosen_for_the_target_and_not_for_this_machine(
    project: Path, public: dict[str, str]
) -> None:
    assert versions(ask(project, "native", public, CPU)) == {"native": "1.0"}
    assert versions(ask(project, "native", public, ARM)) == {"native": "1.1"}


def test_a_cpu_function_takes_torch_from_its_own_index_where_the_default_brings_cuda(
    project: Path, public: dict[str, str], tmp_path: Path
) -> None:
    wheel(tmp_path / "cpu" / "torch", "torch", "2.13.0+cpu")
    # Of another's name, in an index that is asked for torch alone.
    wheel(tmp_path / "cpu" / "model", "model", "9.0")
    with index(tmp_path / "cpu") as address:
        environ = {**public, "MLFUNC_TORCH_INDEX": f"http://{address}/"}
        resolution = ask(project, "model", environ)

    assert versions(resolution) == {"model": "1.0", "torch": "2.13.0+cpu"}


def test_an_index_of_torch_may_be_a_folder(
    project: Path, public: dict[str, str], tmp_path: Path
) -> None:
    wheel(tmp_path / "flat", "torch", "2.13.0+cpu")
    environ = {**public, "MLFUNC_TORCH_INDEX": str(tmp_path / "flat")}

    assert versions(ask(project, "torch==2.13.0", environ)) == {"torch": "2.13.0+cpu"}
    assert versions(ask(project, "torch==2.13.0+cpu", environ)) == {"torch": "2.13.0+cpu"}


def test_cuda_in_a_cpu_function_is_refused_where_nothing_else_is_found(
    project: Path, public: dict[str, str]
) -> None:
    with pytest.raises(UsageError, match=r"accelerator: cpu` cannot carry nvidia-cublas 13\.0"):
        ask(project, "model", public)


def test_a_gpu_function_keeps_the_cuda_of_the_default_index(
    project: Path, public: dict[str, str]
) -> None:
    found = versions(ask(project, "torch", public, GPU))
    assert found == {"torch": "2.13.0", "nvidia-cublas": "13.0"}


def test_an_accelerator_without_packages_for_the_platform_is_refused(project: Path) -> None:
    with pytest.raises(UsageError, match="accelerator tpu has no packages for linux/arm64"):
        ask(project, "", {}, Target("linux/arm64", "3.11", "tpu"))


def test_the_same_question_is_not_asked_twice(project: Path, public: dict[str, str]) -> None:
    known = ask(project, "small", public)
    # Nobody could answer: no index is there, and no uv is started.
    nowhere = {**public, "UV_CACHE_DIR": "/dev/null/none"}

    assert ask(project, "# a comment\nsmall\n", nowhere, known=known) is known


def test_other_pins_stay_when_a_requirement_is_added(
    project: Path, public: dict[str, str], packages: Path
) -> None:
    known = ask(project, "other", public)
    wheel(packages / "other", "other", "1.5")

    assert versions(ask(project, "other\nsmall", public, known=known))["other"] == "1.0"
    upgraded = ask(project, "other\nsmall", public, known=known, upgrade=True)
    assert versions(upgraded)["other"] == "1.5"


@pytest.mark.parametrize("variable", ["PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"])
def test_a_password_of_an_index_is_used_and_never_kept(
    project: Path, packages: Path, tmp_path: Path, variable: str
) -> None:
    with index(packages, user="me:secret") as address:
        environ = variables("", tmp_path) | {variable: f"http://me:secret@{address}/"}
        with_password = ask(project, "small", environ)
        other = {**environ, variable: f"http://you:other@{address}/"}
        assert ask(project, "small", other, known=with_password) is with_password

    assert all("secret" not in repr(package) for package in with_password.packages)
    assert with_password.packages[0].url is not None


def test_netrc_opens_an_index(project: Path, packages: Path, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    with index(packages, user="me:secret") as address:
        environ = {**variables(f"http://{address}/", tmp_path), "NETRC": str(netrc)}
        assert versions(ask(project, "other", environ)) == {"other": "1.0"}


def test_an_index_that_refuses_is_named_with_the_way_in(
    project: Path, packages: Path, tmp_path: Path
) -> None:
    with index(packages, user="me:secret") as address:
        environ = variables(f"http://{address}/", tmp_path)
        with pytest.raises(EnvironmentFailed, match="refused") as raised:
            ask(project, "other", environ)
    assert "netrc" in raised.value.hint


def test_an_index_that_does_not_answer_is_named(project: Path, tmp_path: Path) -> None:
    environ = variables("http://127.0.0.1:9/simple", tmp_path)
    with pytest.raises(EnvironmentFailed, match=r"does not answer: http://127\.0\.0\.1:9/simple/"):
        ask(project, "small", environ)


def test_an_index_of_torch_that_does_not_answer_is_named_with_its_variable(
    project: Path, public: dict[str, str]
) -> None:
    environ = {**public, "MLFUNC_TORCH_INDEX": "http://127.0.0.1:9/cpu"}
    with pytest.raises(EnvironmentFailed, match=r"http://127\.0\.0\.1:9/cpu/") as raised:
        ask(project, "model", environ)
    assert "MLFUNC_TORCH_INDEX=" in raised.value.hint


def test_a_package_that_is_only_source_is_refused_with_the_fix(
    project: Path, public: dict[str, str]
) -> None:
    with pytest.raises(UsageError, match="source comes only as source") as raised:
        ask(project, "source", public)
    assert "pip wheel --no-deps -w wheels source" in raised.value.hint


def test_a_wheel_in_the_projects_folder_is_found(project: Path, public: dict[str, str]) -> None:
    file = wheel(project / "wheels", "source", "1.0")
    for text in ("source", "./wheels/source-1.0-py3-none-any.whl"):
        resolution = ask(project, text, public)
        found = next(package for package in resolution.packages if package.name == "source")
        assert (found.url, found.file, found.size) == (None, file.name, file.stat().st_size)


@pytest.mark.parametrize(
    "line",
    [
        "-e .",
        "--editable=../x",
        "git+https://github.com/x/y",
        "y @ git+ssh://me:pw@host/y",
        "./lib",
        "../lib",
        ".",
        "/srv/lib",
        "lib @ file:///srv/lib",
        "./lib-1.0.tar.gz",
    ],
)
def test_what_is_no_wheel_is_refused_before_anybody_is_asked(project: Path, line: str) -> None:
    with pytest.raises(UsageError, match="an image is made of wheels") as raised:
        ask(project, f"small\n{line}\n", {})
    assert "pw@" not in raised.value.message


def test_a_wrong_requirement_is_told_in_uvs_own_words(
    project: Path, public: dict[str, str]
) -> None:
    with pytest.raises(UsageError) as raised:
        ask(project, "small==9", public)
    assert "there is no version of small==9" in raised.value.evidence


def test_requirements_may_include_others(project: Path, public: dict[str, str]) -> None:
    (project / "more.txt").write_text("other\n")
    known = ask(project, "-r more.txt\n", public)
    assert versions(known) == {"other": "1.0"}
    (project / "more.txt").write_text("small==1.0\n")
    assert versions(ask(project, "-r more.txt\n", public, known=known)) == {"small": "1.0"}


def test_dependencies_of_a_pyproject_are_taken(project: Path, public: dict[str, str]) -> None:
    text = '[project]\nname = "p"\nversion = "1"\ndependencies = ["other"]\n'
    (project / "pyproject.toml").write_text(text)
    assert versions(resolve.resolve(project, CPU, environ=public)) == {"other": "1.0"}


def test_a_project_may_lie_in_a_folder_of_any_name(tmp_path: Path, public: dict[str, str]) -> None:
    project = tmp_path / "we#ird, 100% ?é"
    file = wheel(project / "wheels", "near-by", "1.0")
    wheel(project / "a b%20", "far", "1.0")
    for text in ("near-by\n", f"./wheels/{file.name}\n", "-f ./wheels\nnear-by\n"):
        assert versions(ask(project, text, public)) == {"near-by": "1.0"}
    links = {**public, "UV_FIND_LINKS": (project / "a b%20").as_uri()}
    assert versions(ask(project, "far\n", links)) == {"far": "1.0"}


@pytest.mark.parametrize(
    ("line", "target"),
    [("torch==2.8.0+cu128", CPU), ("torch[x] == 2.8.0+rocm6", CPU), ("torch==2.8.0+cpu", GPU)],
)
def test_a_build_for_another_accelerator_is_refused_before_anybody_is_asked(
    project: Path, line: str, target: Target
) -> None:
    with pytest.raises(UsageError, match=r"^torch==2\.8\.0\+\w+ is asked for") as refused:
        ask(project, f"{line}\n", {}, target)
    assert "ask for torch==2.8.0, whose build is chosen" in refused.value.hint


def test_a_file_with_another_hash_than_is_given_is_refused(
    project: Path, public: dict[str, str], packages: Path
) -> None:
    (file,) = (packages / "other").glob("*.whl")
    right, wrong = hashlib.sha256(file.read_bytes()).hexdigest(), "0" * 64
    line = "other==1.0 \\\n    --hash=sha256:{} \\\n    --hash=sha256:{}\n"
    with pytest.raises(UsageError, match=r"other-1\.0-\S+ has none of the hashes") as refused:
        ask(project, line.format(wrong, wrong), public)
    assert right in refused.value.evidence

    assert versions(ask(project, line.format(wrong, right), public)) == {"other": "1.0"}


def test_a_hash_that_cannot_be_compared_lets_nothing_through(
    project: Path, public: dict[str, str]
) -> None:
    with pytest.raises(UsageError, match="has none of the hashes"):
        ask(project, f"other==1.0 --hash=sha512:{'0' * 128}\n", public)


def test_a_pyproject_is_read_as_requirements_are(project: Path, public: dict[str, str]) -> None:
    text = '[project]\nname = "p"\nversion = "1"\n{}\n'
    file = project / "pyproject.toml"
    file.write_text(text.format('dependencies = ["torch==2.8.0+cu128"]'))
    with pytest.raises(UsageError, match=r"^torch==2\.8\.0\+cu128 is asked for"):
        resolve.resolve(project, CPU, environ={})

    file.write_text(text.format('dynamic = ["dependencies"]'))
    with pytest.raises(UsageError, match="would have to be built") as refused:
        resolve.resolve(project, CPU, environ=public)
    assert "not be dynamic" in refused.value.hint
