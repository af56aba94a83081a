"""What a project asks for, and what it is known by: no machine, no password, no comment in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.project import Target
from mlfunc.wheels import requirements

from tests.rig.index import wheel

if TYPE_CHECKING:
    from pathlib import Path

TARGET = Target("linux/amd64", "3.11", "cpu")
_WORDS = st.text("abcXYZ019._~-", min_size=1, max_size=12)


def digest(folder: Path, text: str, target: Target = TARGET, **environ: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "requirements.txt").write_text(text)
    return requirements.read(folder, environ).digest(target, "2.28", environ)


def test_the_digest_changes_with_what_decides_and_with_nothing_else(tmp_path: Path) -> None:
    first = digest(tmp_path / "a", "numpy==2.4\n")

    assert digest(tmp_path / "b", "# why\n\nnumpy==2.4   # because\n") == first
    assert digest(tmp_path / "a", "numpy==2.4\n", HOME="/elsewhere", PIP_FIND_LINKS="/w") == first
    others = [
        digest(tmp_path / "a", "numpy==2.5\n"),
        digest(tmp_path / "a", "numpy==2.4\n", replace(TARGET, python="3.12")),
        digest(tmp_path / "a", "numpy==2.4\n", replace(TARGET, platform="linux/arm64")),
        digest(tmp_path / "a", "numpy==2.4\n", replace(TARGET, accelerator="nvidia")),
        digest(tmp_path / "a", "numpy==2.4\n", PIP_INDEX_URL="https://index.example.com"),
        digest(tmp_path / "a", "numpy==2.4\n", MLFUNC_TORCH_INDEX=""),
    ]
    wheel(tmp_path / "a" / "wheels", "numpy", "2.4")
    others.append(digest(tmp_path / "a", "numpy==2.4\n"))
    assert first not in others[:5]
    assert others[6] != first


def test_a_new_password_is_no_new_question(tmp_path: Path) -> None:
    index = "https://{}@index.example.com/simple"
    asked = {
        digest(tmp_path, f"--index-url {index.format(user)}\nx\n", UV_INDEX=index.format(user))
        for user in ("ada:one", "ada:two", "bob:three")
    }

    assert len(asked) == 1


@given(user=_WORDS, password=_WORDS, host=st.sampled_from(["x.example", "127.0.0.1:8080"]))
def test_an_address_gets_the_password_of_the_requirement_that_names_it(
    user: str, password: str, host: str
) -> None:
    url = f"https://{host}/x-1-py3-none-any.whl"
    whole = f"https://{user}:{password}@{host}/x-1-py3-none-any.whl"

    assert requirements.without_user(whole) == url
    assert requirements.with_user(url, f"y\nx @ {whole} ; python_version>'3'\n", {}) == whole
    assert requirements.with_user(url, f"x @ https://${{ME}}@{host}/{url[-24:]}", {}) == url
    environ = {"ME": f"{user}:{password}"}
    assert (
        requirements.with_user(url, f"x @ {whole.replace(environ['ME'], '${ME}', 1)}", environ)
        == whole
    )
    assert requirements.with_user(url + "x", f"x @ {whole}", {}) == url + "x"


@pytest.mark.parametrize(
    ("line", "build"),
    [
        ("torch==2.13.0+cpu", {"torch": "2.13.0+cpu"}),
        ("Torch_Vision[a,b] == 1.0+cu128 ; python_version > '3'", {"torch-vision": "1.0+cu128"}),
        ("torch===2.13.0+cpu --hash=sha256:aa", {"torch": "2.13.0+cpu"}),
        ("torch==2.13.0", {}),
        ("torch>=2.13.0", {}),
        ("x @ https://x.example/x-1+cpu-py3-none-any.whl", {}),
        ("-r more+cpu.txt", {}),
    ],
)
def test_a_build_that_is_asked_for_is_seen(
    tmp_path: Path, line: str, build: dict[str, str]
) -> None:
    (tmp_path / "requirements.txt").write_text(f"{line}\n")

    assert requirements.read(tmp_path, {}).builds == build


def test_names_are_read_without_versions_and_markers(tmp_path: Path) -> None:
    text = "Flask[async]>=3 ; python_version > '3'\nruamel.yaml\n-c constraints.txt\nx @ file:///x.whl\n"
    (tmp_path / "requirements.txt").write_text(text)

    assert requirements.read(tmp_path, {}).names == {"flask", "ruamel-yaml", "x"}


def test_variables_of_uv_say_where_packages_are(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    text = (
        "-i https://${ME}@a.example/simple\n--extra-index-url=https://b.example/simple\n-f near\n"
    )
    (tmp_path / "near").mkdir()
    (tmp_path / "requirements.txt").write_text(text)
    environ = {
        "ME": "ada:one",
        "UV_INDEX": "https://c.example",
        "PIP_FIND_LINKS": "https://d.example",
    }

    assert requirements.read(tmp_path, environ).variables == {
        "UV_DEFAULT_INDEX": "https://ada:one@a.example/simple",
        "UV_INDEX": "https://b.example/simple https://c.example",
        "UV_FIND_LINKS": f"file://{tmp_path}/wheels,file://{tmp_path}/near,https://d.example",
    }


def test_of_a_pyproject_only_what_decides_is_part_of_the_digest(tmp_path: Path) -> None:
    def known_by(text: str) -> str:
        (tmp_path / "pyproject.toml").write_text(text)
        return requirements.read(tmp_path, {}).digest(TARGET, "2.28", {})

    project = '[project]\nname = "p"\nversion = "1"\ndependencies = ["idna"]\n'
    first = known_by(project)

    assert known_by(f'{project}description = """\n-e .\n./lib\n"""\n[tool.ruff]\nx = 1\n') == first
    assert known_by(project.replace("idna", "idna==3")) != first
    assert known_by(f"{project}[tool.uv]\nexclude-newer = 2026-01-01\n") != first


def test_a_broken_pyproject_is_the_installers_to_judge(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project\n")

    assert requirements.read(tmp_path, {}).text == "[project\n"
