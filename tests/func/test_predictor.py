"""What is told of a predictor before it is imported, and what is left to the runtime."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc import function, predictor
from mlfunc.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

PREDICTOR = "class Predictor:\n    def predict(self, n: int): ...\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mlfunc.yaml").write_text("name: hello\n")
    (tmp_path / "predictor.py").write_text(PREDICTOR)
    return tmp_path


def check(folder: Path, *, described: str = "", source: str = "") -> None:
    with (folder / "mlfunc.yaml").open("a") as file:
        file.write(described)
    if source:
        (folder / "predictor.py").write_text(source)
    predictor.check(folder, function.load(folder))


def refused(folder: Path, *, described: str = "", source: str = "") -> UsageError:
    with pytest.raises(UsageError) as caught:
        check(folder, described=described, source=source)
    return caught.value


FINE = {
    "defined": PREDICTOR,
    "imported": "from helpers import Predictor\n",
    "imported under this name": "import helpers as Predictor\n",
    "assigned": "Predictor = make()\n",
    "unpacked": "(One, Predictor), Other = make()\n",
    "under a condition": "try:\n    import x as Predictor\nexcept ImportError:\n    pass\n",
    "matched": "match make():\n    case Predictor: ...\n",
    "a star": "from helpers import *\n",
    "globals": "globals()['Predictor'] = make()\n",
    "a global": "def make():\n    global Predictor\n    Predictor = 1\nmake()\n",
    "set on a module": "import sys\nsys.modules[__name__].Predictor = make()\n",
    "a module's __getattr__": "def __getattr__(name): return make()\n",
    "a base from elsewhere": "class Predictor(Base): ...\n",
    "a base that is worked out": "class Predictor(make()): ...\n",
    "a base here": "class Base:\n    def predict(self): ...\nclass Predictor(Base): ...\n",
    "a base of a base": "class A(B): ...\nclass Predictor(A): ...\n",
    "a decorator": "@served\nclass Predictor: ...\n",
    "a metaclass": "class Predictor(metaclass=Served): ...\n",
    "a method that is assigned": "class Predictor:\n    predict = helpers.predict\n",
    "a method that is imported": "class Predictor:\n    from helpers import predict\n",
    "a method of the instance": "class Predictor:\n    def load(self): self.predict = 1\n",
    "a method that is set": "class Predictor: ...\nPredictor.predict = make()\n",
    "any attribute": "class Predictor:\n    def __getattr__(self, name): ...\n",
    "another meaning": "class Predictor: ...\nPredictor = make(Predictor)\n",
    "a function that is decorated": "@predictor\ndef Predictor(): ...\n",
    "an encoding": "# -*- coding: latin-1 -*-\nclass Predictor:\n    def predict(self): ...\n",
    "a warning": PREDICTOR + "PATTERN = '\\d'\n",
}


@pytest.mark.parametrize("name", FINE)
def test_what_may_be_there_passes(folder: Path, name: str) -> None:
    check(folder, source=FINE[name])


WRONG = {
    "no such class": (
        "class Predicter:\n    def predict(self): ...\n",
        "predictor.py has no class Predictor",
        "correct `predictor:` in mlfunc.yaml: did you mean Predicter?",
    ),
    "several others": (
        "class A:\n    def predict(self): ...\nclass B(A): ...\nclass C: ...\n",
        "predictor.py has no class Predictor",
        "correct `predictor:` in mlfunc.yaml: use one of A, B",
    ),
    "nothing at all": (
        "\n",
        "predictor.py has no class Predictor",
        "write a class with a method predict, and correct `predictor:` in mlfunc.yaml",
    ),
    "a class in a function": (
        "def make():\n    class Predictor: ...\n",
        "predictor.py has no class Predictor",
        "write a class with a method predict, and correct `predictor:` in mlfunc.yaml",
    ),
    "a function": (
        "def Predictor(n: int): ...\n",
        "Predictor in predictor.py is a function, and a predictor is a class",
        "write a class with a method predict, and correct `predictor:` in mlfunc.yaml",
    ),
    "no method": (
        "class Predictor:\n    def load(self): ...\n",
        "class Predictor in predictor.py has no method predict",
        "write it: def predict(self, ...)",
    ),
    "a mistyped method": (
        "class Predictor(object):\n    def predicts(self): self.model.eval()\n",
        "class Predictor in predictor.py has no method predict",
        "rename predicts to predict",
    ),
    "bases without it": (
        "class Base: ...\nclass Predictor(Base): ...\n",
        "class Predictor in predictor.py has no method predict",
        "write it: def predict(self, ...)",
    ),
    "a class of itself": (
        "class Predictor(Predictor): ...\n",
        "class Predictor in predictor.py has no method predict",
        "write it: def predict(self, ...)",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_there_is_told_with_what_is_likely_meant(folder: Path, name: str) -> None:
    source, message, hint = WRONG[name]

    error = refused(folder, source=source)

    assert (error.message, error.hint, error.exit_code) == (message, hint, 2)


BROKEN = {
    "syntax": ("x = 1\ny = (\n", "predictor.py:2: '(' was never closed", "    y = (\n        ^\n"),
    "indentation": ("if 1:\nx = 1\n", "predictor.py:2: expected an indented block", "    x = 1\n"),
    "a return outside": ("return 1\n", "predictor.py:1: 'return' outside function", "return 1"),
    "no UTF-8": ("x = '\udcff'\n", "predictor.py:1: (unicode error) 'utf-8' codec", ""),
    "a null byte": ("x = '\0'\n", "predictor.py: source code string cannot contain null", ""),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_python_is_told_by_its_line(folder: Path, name: str) -> None:
    source, message, shown = BROKEN[name]
    (folder / "predictor.py").write_bytes(source.encode(errors="surrogateescape"))

    error = refused(folder)

    assert error.message.startswith(message)
    assert error.hint == "correct it: it is read as Python 3.11"
    assert shown in error.evidence


NEWER = PREDICTOR + "match 1:\n    case _: ...\n"


def test_the_python_that_it_is_for_decides(folder: Path) -> None:
    check(folder, source=NEWER)
    error = refused(folder, described="python: '3.9'\n")

    assert error.message.startswith("predictor.py:4: Pattern matching is only supported in Python")
    assert error.hint == "correct it: it is read as Python 3.9"


def test_what_only_a_newer_python_can_read_is_left_to_it(folder: Path) -> None:
    error = refused(folder, source=PREDICTOR + "type Text = str\n")
    check(folder, described="python: '3.99'\n")

    assert error.message == "predictor.py:3: invalid syntax"


def test_a_file_that_is_not_there_is_told_with_the_one_that_is_meant(folder: Path) -> None:
    (folder / "predictor.py").rename(folder / "predicter.py")

    error = refused(folder)

    message = f"mlfunc.yaml names predictor.py, which is not in {folder}"
    assert (error.message, error.hint) == (message, "did you mean predicter.py?")


@pytest.mark.parametrize(
    ("rule", "file", "left_out"),
    [
        ("predictor.py", "predictor.py", "predictor.py"),
        ("lib/\n!lib/predictor.py", "lib/predictor.py", "lib/"),
        ("", "tests/predictor.py", "tests/"),
        ("", "test_it.py", "test_it.py"),
    ],
)
def test_a_file_that_is_not_packed_is_told_with_the_line_that_brings_it_back(
    folder: Path, rule: str, file: str, left_out: str
) -> None:
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(PREDICTOR)
    (folder / ".mlfuncignore").write_text(f"{rule}\n")

    error = refused(folder, described=f"predictor: {file}:Predictor\n")

    assert error.message == f"mlfunc.yaml names {file}, and {left_out} is not packed"
    assert f"`!/{left_out}`" in error.hint
    (folder / ".mlfuncignore").write_text(f"{rule}\n!/{left_out}\n")
    check(folder)


def test_a_file_outside_of_the_project_is_told(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    (inner / "mlfunc.yaml").write_text("name: hello\n")
    (inner / "predictor.py").symlink_to("../predictor.py")

    error = refused(inner)

    assert error.message == f"mlfunc.yaml names predictor.py, which leads out of {inner}"


def test_a_path_that_leaves_the_project_and_comes_back_is_told(folder: Path) -> None:
    error = refused(folder, described=f"predictor: ../{folder.name}/predictor.py:Predictor\n")

    assert error.message.endswith(f"which leads out of {folder}")


def test_a_link_within_the_project_is_followed(folder: Path) -> None:
    (folder / "predictor.py").rename(folder / "similarity.py")
    (folder / "predictor.py").symlink_to("similarity.py")

    check(folder, described="predictor: ./predictor.py:Predictor\n")


# Each runs after any others.
PARTS = [
    "class Base: ...",
    "class Base:\n    def predict(self): ...",
    "class Predictor(Base): ...",
    "class Predictor:\n    if True:\n        def predict(self): ...",
    "class Predictor:\n    predict = print",
    "class Predictor:\n    def other(self): ...",
    "Predictor = Base",
    "class Predictor(Base): ...\nPredictor.predict = print",
    "for Predictor in (Base, object): ...",
    "def make():\n    global Predictor\n    class Predictor(Base): ...\nmake()",
    "def make():\n    class Predictor(Base): ...",
    "globals().update(Predictor=Base)",
    "match Base:\n    case Predictor: ...",
    "from io import StringIO as Predictor",
    "Predictor = type('Predictor', (Base,), {'predict': print})",
    "if (Predictor := Base): ...",
]


@given(st.lists(st.sampled_from(PARTS), max_size=5))
def test_no_module_is_refused_that_has_a_predictor_when_it_runs(parts: list[str]) -> None:
    source = "\n".join(["class Base: ...", "class Predictor(Base): ...", *parts])
    names: dict[str, object] = {}
    exec(source, names)
    if not hasattr(names["Predictor"], "predict"):
        return

    predictor.examine(ast.parse(source), "predictor.py", "Predictor")
