"""Every template: created, its own tests run, served, called with its example and with bad input.

Templates that need weights get tiny random ones, of each architecture that they are made for.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TEMPLATES = Path(__file__).parents[2] / "templates"
TINY_MODELS = Path(__file__).with_name("tiny_models.py")
ANSWER = {"label", "score"}


@dataclass(frozen=True, eq=False)
class Case:
    """A template, with tiny weights of an architecture if it needs some."""

    template: str
    architecture: str
    is_good: Callable[[Any], bool]
    bad: object

    def name(self) -> str:
        return f"{self.template}-{self.architecture}".strip("-")


def is_unit_vector(answer: Any) -> bool:
    return math.isclose(math.hypot(*answer), 1, abs_tol=1e-4)


def is_classified(answer: Any) -> bool:
    return set(answer) == ANSWER and 0 < answer["score"] <= 1


def is_text(answer: Any) -> bool:
    return isinstance(answer, str)


def is_stream_of_text(answer: Any) -> bool:
    return all(isinstance(piece, str) for piece in answer)


CASES = [
    Case("plain", "", lambda answer: answer["label"] == "positive", {"text": 1}),
    Case("events", "", lambda answer: answer["anomaly"], {"value": "hot"}),
    Case("onnx", "", lambda answer: answer["digit"] == 3, {"pixels": [[0]]}),
    Case("sklearn", "", lambda answer: answer["kind"] == "setosa", {"petal_width": 1}),
    Case("embedding", "bert", is_unit_vector, {"text": ["two", "texts"]}),
    Case("embedding", "roberta", is_unit_vector, {"txt": "a happy dog"}),
    Case("text-classification", "bert", is_classified, {"text": None}),
    Case("text-classification", "roberta", is_classified, []),
    Case("text-generation", "gpt2", is_stream_of_text, {"prompt": "Hi", "temperature": -1}),
    Case("text-generation", "llama", is_stream_of_text, {"prompt": ""}),
    Case("text2text", "t5", is_text, {}),
    Case("text2text", "blenderbot", is_text, {"text": "Hi", "beams": 4}),
]
NAMES = sorted({case.template for case in CASES})
# Modules that a start imports. Counts do not depend on the machine as seconds do, and a start is
# little else than imports. Another version of a library may need another count; a change of ours
# has to say what it buys.
BUDGET = {
    "plain": 385,
    "events": 385,
    "onnx": 480,
    "sklearn": 1800,
    "embedding": 2600,
    "text-classification": 2600,
    "text-generation": 2600,
    "text2text": 2600,
}


def write(function: Any, prompt: str) -> str:
    body = {"prompt": prompt, "max_new_tokens": 40}
    return "".join(function.post(body, accept="application/json").json())


def of_template(template: str) -> list[Case]:
    return [case for case in CASES if case.template == template]


@pytest.fixture(scope="module")
def projects(cli: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A project for each case, without weights."""
    root = tmp_path_factory.mktemp("projects")
    for case in CASES:
        cli("create", case.name(), "--template", case.template, "--path", str(root / case.name()))
    return {case.name(): root / case.name() for case in CASES}


@pytest.fixture(scope="module")
def weights(
    projects: dict[str, Path], python_of: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with TASK/ARCHITECTURE/ for each case that needs weights."""
    root = tmp_path_factory.mktemp("weights")
    wanted = [f"{case.template}/{case.architecture}" for case in CASES if case.architecture]
    # One environment for all: their requirements are the same.
    python = python_of(projects["embedding-bert"])
    subprocess.run([python, TINY_MODELS, root, *wanted], check=True)
    return root


@pytest.fixture(scope="module")
def served(
    request: pytest.FixtureRequest, projects: dict[str, Path], serve: Any
) -> Iterator[Callable[[Case], Any]]:
    """The function of a case, which is started once and serves until the last test."""
    with ExitStack() as running:

        @cache
        def start(case: Case) -> Any:
            env = {}
            if case.architecture:
                tiny = request.getfixturevalue("weights") / case.template / case.architecture
                env["MLFUNC_MODEL_DEFAULT"] = str(tiny)
            return running.enter_context(serve(projects[case.name()], **env))

        yield start


def test_every_template_is_tried() -> None:
    assert sorted(path.parent.name for path in TEMPLATES.glob("*/mlfunc.yaml")) == NAMES


def test_the_templates_of_transformers_share_an_environment() -> None:
    tasks = {case.template for case in CASES if case.architecture}

    assert len({(TEMPLATES / task / "requirements.txt").read_bytes() for task in tasks}) == 1


@pytest.mark.parametrize("case", CASES, ids=Case.name)
def test_its_start_imports_no_more_modules_than_its_budget(
    case: Case, projects: dict[str, Path], imported: Any, request: pytest.FixtureRequest
) -> None:
    env = {}
    if case.architecture:
        tiny = request.getfixturevalue("weights") / case.template / case.architecture
        env["MLFUNC_MODEL_DEFAULT"] = str(tiny)

    names = set(imported(projects[case.name()], **env))

    assert len(names) <= BUDGET[case.template]
    assert {"flask", "werkzeug", "kubernetes", "click"} & names == set()


@pytest.mark.parametrize("template", NAMES)
def test_its_own_tests_pass(template: str, projects: dict[str, Path], cli: Any) -> None:
    project = projects[of_template(template)[0].name()]

    assert "passed" in cli("test", "--path", str(project))


@pytest.mark.parametrize("case", CASES, ids=Case.name)
def test_its_example_is_answered(case: Case, served: Any) -> None:
    reply = served(case).invoke()

    assert reply["status"] == 200
    assert case.is_good(reply["data"])


@pytest.mark.parametrize("case", CASES, ids=Case.name)
def test_an_event_is_answered_by_an_event(case: Case, served: Any) -> None:
    reply = served(case).invoke("--event", "--type", "com.example.test")

    assert reply["status"] == 200
    assert reply["event"]["type"].startswith(("dev.mlfunc.", "com.example."))
    assert case.is_good(reply["data"])


@pytest.mark.parametrize("case", CASES, ids=Case.name)
def test_bad_input_is_refused_and_the_function_goes_on(case: Case, served: Any) -> None:
    function = served(case)

    refused = function.post(case.bad)
    broken = function.post(b"{", content_type="application/json")

    assert (refused.status, broken.status) == (400, 400)
    assert refused.headers["content-type"] == "application/problem+json"
    assert function.invoke()["status"] == 200


@pytest.mark.parametrize("case", of_template("embedding"), ids=Case.name)
def test_many_at_once_get_the_answers_of_one_alone(case: Case, served: Any) -> None:
    function = served(case)
    texts = [{"text": "a happy dog " * count} for count in range(1, 17)]

    alone = [function.post(text).json() for text in texts]
    with ThreadPoolExecutor(len(texts)) as threads:
        together = [reply.json() for reply in threads.map(function.post, texts)]

    assert together == [pytest.approx(vector, abs=1e-4) for vector in alone]


@pytest.mark.parametrize("case", of_template("text-generation"), ids=Case.name)
def test_streamed_text_is_what_transformers_generates(
    case: Case, served: Any, weights: Path
) -> None:
    folder = weights / case.template / case.architecture
    expected = json.loads((folder / "expected.json").read_text())

    streamed = {prompt: write(served(case), prompt) for prompt in expected}

    assert any(expected.values())
    assert streamed == expected


@pytest.mark.parametrize("case", of_template("text-generation"), ids=Case.name)
def test_a_prompt_longer_than_the_model_reads_is_refused(case: Case, served: Any) -> None:
    reply = served(case).post({"prompt": "far too long " * 100})

    assert reply.status == 400
    assert reply.json()["field"] == "prompt"


def test_without_weights_the_error_says_where_they_go(projects: dict[str, Path]) -> None:
    command = [sys.executable, "-m", "mlfunc", "run", "--no-reload", "--port", "0", "--path"]

    finished = subprocess.run(
        [*command, projects["embedding-bert"]], capture_output=True, text=True, check=False
    )

    assert finished.returncode == 3
    assert "weights" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("template", ["onnx", "sklearn"])
def test_its_model_can_be_trained_again(
    template: str, cli: Any, uv_run: Any, tmp_path: Path
) -> None:
    project = tmp_path / "again"
    cli("create", "again", "--template", template, "--path", str(project))
    shutil.rmtree(project / "weights")

    uv_run(project / "train.py")

    assert "passed" in cli("test", "--path", str(project))


def test_the_templates_are_listed_with_a_summary(cli: Any) -> None:
    listed = {row["name"]: row["summary"] for row in json.loads(cli("templates", "-o", "json"))}

    assert sorted(listed) == NAMES
    assert all(summary.endswith(".") for summary in listed.values())
