"""What the two halves agree on, and that the pages name all there is to name."""

from __future__ import annotations

import re
import tomllib
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import mlfunc
import mlfunc.function
import mlfunc_runtime
import mlfunc_runtime.quantities
import mlfunc_runtime.settings
import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mlfunc import shipping
from mlfunc_runtime.metrics import Metrics

ROOT = Path(__file__).parents[2]


PAGES = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/building.md",
    "docs/predictor.md",
    "docs/operating.md",
    "docs/deploying.md",
    "docs/local.md",
    "docs/scaling.md",
    "bench/README.md",
]


def anchors(page: str) -> set[str]:
    """The names that headings have in links."""
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leaves(struct: type[msgspec.Struct], prefix: str = "") -> dict[str, Any]:
    """Defaults by dotted key, of a struct and the structs in it."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found |= leaves(field.type, f"{prefix}{field.encode_name}.")
        else:
            found[prefix + field.encode_name] = field.default
    return found


def test_both_halves_have_one_version() -> None:
    assert mlfunc.__version__ == mlfunc_runtime.__version__


def test_every_serve_key_means_the_same_to_both() -> None:
    assert leaves(mlfunc.function.Serve) == leaves(mlfunc_runtime.settings.Serve)


def test_what_the_runtime_reads_of_mlfunc_yaml_the_command_line_checks() -> None:
    runtime = set(leaves(mlfunc_runtime.settings.Project))
    assert runtime - set(leaves(mlfunc.function.Function)) == set()


def dotted(value: dict[str, Any], prefix: str = "") -> set[str]:
    """The keys of a document, as `leaves` has them."""
    found: set[str] = set()
    for key, inner in value.items():
        is_block = isinstance(inner, dict) and inner
        found |= dotted(inner, f"{prefix}{key}.") if is_block else {prefix + key}
    return found


def test_an_image_has_of_mlfunc_yaml_what_the_runtime_reads_and_nothing_else() -> None:
    written = yaml.safe_load(shipping.settings(mlfunc.function.Function("words")))
    assert dotted(written) == set(leaves(mlfunc_runtime.settings.Project))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary() | st.dates() | st.datetimes(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)  # fmt: skip


@given(
    st.fixed_dictionaries(
        {"name": st.just("words")},
        optional={
            "config": st.dictionaries(st.text(), ANYTHING),
            "models": st.just({"b": "./b", "a": {"uri": "hf://o/n", "delivery": "stream"}}),
            "accelerator": st.sampled_from(["cpu", "tpu", {"type": "nvidia", "count": 2}]),
            "serve": st.just({"slots": 2, "timeout": "1.5m", "process": {"memory": "10 MiB"}}),
            "events": st.just({"dead_letter": "http://x.y", "remember": 0, "subscriptions": [{}]}),
            "predictor": st.just("./lib/p.py:P"),
            "scale": st.just({"max": 3}),
            "env": st.just({"LEVEL": "debug"}),
        },
    )
)
def test_the_runtime_reads_the_same_of_an_image_as_of_the_project(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    written = yaml.safe_dump(document).encode()
    folder = tmp_path_factory.getbasetemp()
    own, shipped = folder / "own.yaml", folder / "shipped.yaml"
    own.write_bytes(written)
    shipped.write_bytes(shipping.settings(mlfunc.function.parse(written)))

    read = mlfunc_runtime.settings.read
    assert read({"MLFUNC_FUNCTION": str(shipped)}) == read({"MLFUNC_FUNCTION": str(own)})


@pytest.mark.parametrize("text", ["60s", "1.5s", "500ms", "2m", "1h", "30", 30, 0.5])
def test_durations_are_read_alike(text: str | float) -> None:
    runtime = mlfunc_runtime.quantities.seconds(text, "key")
    assert mlfunc.function.seconds(text) == runtime


@pytest.mark.parametrize("text", ["64MiB", "1GiB", "100k", "10 MiB", "1024", 1024])
def test_sizes_are_read_alike(text: str | int) -> None:
    assert mlfunc.function.size(text) == mlfunc_runtime.quantities.size(text, "key")


def read_of(folder: str) -> str:
    """The source of one of the halves."""
    return "".join(path.read_text() for path in sorted((ROOT / folder).rglob("*.py")))


def test_the_architecture_names_every_variable_that_the_runtime_reads() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    read = set(re.findall(r'"(MLFUNC_[A-Z_]+|PORT|K_[A-Z]+)"', read_of("runtime/mlfunc_runtime")))
    assert {"MLFUNC_SERVE_", "MLFUNC_DEAD_LETTER", "PORT"} <= read
    assert {name for name in read if f"`{name}" not in page} == set()


def test_the_architecture_names_every_module_of_the_runtime_once() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    section = page.partition("## The runtime")[2].partition("\n## ")[0]
    named = re.findall(r"^    ([a-z_]+(?:\.py|/)) ", section, re.MULTILINE)
    folder = ROOT / "runtime/mlfunc_runtime"
    files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
    packages = [f"{path.parent.name}/" for path in folder.glob("*/__init__.py")]
    assert sorted(named) == sorted([*files, *packages])


def test_the_architecture_names_every_module_of_the_command_line_once() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    paths = page.partition("## The path of a command")[2].partition("\n## Contract")[0]
    # A package's modules are told below it, two letters to the right; each command has one.
    blocks = re.findall(r"^    ([a-z/]+)/ .*\n((?:      .*\n)+)", paths, re.MULTILINE)
    above = re.sub(r"^      .*\n", "", paths, flags=re.MULTILINE)
    for name, text in [("", above), *blocks]:
        modules = {path.name for path in (ROOT / "func/mlfunc" / name).glob("*.py")}
        assert sorted(re.findall(r"\b\w+\.py\b", text)) == sorted(modules - {"__init__.py"}), name
    package = ROOT / "func/mlfunc"
    inner = [path.parent for path in package.rglob("[a-z]*.py") if path.parent != package]
    folders = {str(folder.relative_to(package)) for folder in inner}
    assert folders - {"templates", "buildpacks"} == {"commands", *dict(blocks)}


def test_operating_md_names_every_variable_that_a_user_sets() -> None:
    page = (ROOT / "docs/operating.md").read_text()
    keys = leaves(mlfunc_runtime.settings.Serve, "MLFUNC_SERVE_")
    serve = {key.replace(".", "_").upper() for key in keys}
    commands = set(re.findall(r'"(MLFUNC_(?:HOME|RUNTIME|DEBUG)\w*)"', read_of("func/mlfunc")))
    assert {"MLFUNC_HOME", "MLFUNC_RUNTIME"} <= commands
    assert {name for name in serve | commands if f"`{name}`" not in page} == set()


def test_operating_md_names_every_metric() -> None:
    page = (ROOT / "docs/operating.md").read_text()
    names = set(re.findall(r'"(mlfunc_[a-z_]+|process_[a-z]+_[a-z_]+)"', read_of("runtime")))
    names |= set(re.findall(r"# TYPE (\w+)", Metrics().render().decode()))
    assert {"mlfunc_process_restarts_total", "mlfunc_stage_running", "mlfunc_queue"} <= names
    assert {name for name in names - {"mlfunc_runtime"} if f"`{name}`" not in page} == set()


def test_the_readme_shows_every_key_of_mlfunc_yaml_with_its_default() -> None:
    readme = (ROOT / "README.md").read_text()
    block = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)[0]
    shown = yaml.safe_load(block)
    for key, default in leaves(mlfunc.function.Function).items():
        if key in ("name", "python"):
            continue
        at = shown
        for step in key.split("."):
            at = at[step]
        # An empty mapping or list has a factory, and no default.
        assert at in ([], {}) if default is msgspec.NODEFAULT else at == default, key


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\((?!https?:)([^)]*)\)", path.read_text()):
        name, _, anchor = target.partition("#")
        there = path.parent / name if name else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there.read_text()), target


def test_the_architecture_names_every_phase() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    sources = (ROOT / "runtime/mlfunc_runtime").rglob("*.py")
    phases = set(re.findall(r'phase="([a-z]+)"', "".join(p.read_text() for p in sources)))
    assert phases == {
        "listening",
        "importing",
        "fetching",
        "loading",
        "warming",
        "ready",
        "failed",
        "draining",
        "stopped",
    }
    assert {phase for phase in phases if f"| `{phase}` |" not in page} == set()


def test_the_readme_names_every_command() -> None:
    from mlfunc.cli import COMMANDS

    readme = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if f"`mlfunc {name}" not in readme] == []


def test_the_readme_names_every_template_and_sample() -> None:
    readme = (ROOT / "README.md").read_text()
    templates = [path.name for path in (ROOT / "templates").iterdir() if path.is_dir()]
    samples = [path.name for path in (ROOT / "samples").iterdir() if path.is_dir()]
    assert [name for name in templates if name not in readme] == []
    assert [name for name in samples if f"(samples/{name})" not in readme] == []


def test_every_lint_tool_is_pinned() -> None:
    lines = (ROOT / "requirements-dev.txt").read_text().splitlines()
    tools = [
        line.split("#")[0].strip() for line in lines if line and not line.startswith(("#", "-e"))
    ]
    assert [tool for tool in tools if "==" not in tool] == []


def test_both_distributions_build_from_their_own_folder() -> None:
    for folder, name in ((ROOT, "mlfunc"), (ROOT / "runtime", "mlfunc-runtime")):
        config = ConfigParser()
        config.read(folder / "setup.cfg")
        assert config["metadata"]["name"] == name
        assert "setuptools" in str(
            tomllib.loads((folder / "pyproject.toml").read_text())["build-system"]
        )
