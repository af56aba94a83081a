"""Compiled modules: their bytes depend on what was compiled, and on nothing else."""

from __future__ import annotations

import marshal
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.errors import EnvironmentFailed
from mlfunc.layers import reading
from mlfunc.layers.tree import File, Range, Tree
from mlfunc.wheels import bytecode
from mlfunc.wheels.compiler import compile_module

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
SOURCES = st.sampled_from(
    [p.read_bytes() for p in sorted(Path(bytecode.__file__).parents[1].glob("*.py"))]
)


@given(SOURCES, st.lists(SOURCES, max_size=3))
def test_what_was_compiled_before_does_not_show(source: bytes, others: list[bytes]) -> None:
    alone = compile_module(source, "/x.py")
    held = [marshal.loads(compile_module(other, "/y.py")[16:]) for other in others]
    assert compile_module(source, "/x.py") == alone
    # What came out of it holds on to the same names and constants.
    held.append(marshal.loads(alone[16:]))
    assert compile_module(source, "/x.py") == alone


@pytest.mark.parametrize("source", [b"print 'two'", b"x = '\0'", b"\xff", b"(" * 10_000])
def test_what_is_no_python_of_this_version_is_left_out(source: bytes) -> None:
    assert compile_module(source, "/x.py") == b""


def test_a_tree_gets_the_compiled_modules_beside_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFUNC_HOME", str(tmp_path / "home"))
    entries = []
    for name, text in {"good.py": "VALUE = 7\n", "bad.py": "print 2\n", "data.txt": "x"}.items():
        (tmp_path / name).write_text(text)
        entries.append(File(f"app/{name}", (Range(tmp_path / name, 0, len(text)),)))
    (compiled,) = bytecode.of(Tree(tuple(entries)), PYTHON).entries

    assert isinstance(compiled, File)
    assert compiled.path == f"app/__pycache__/good.cpython-{PYTHON.replace('.', '')}.pyc"
    data = b"".join(reading.read(compiled.pieces))
    assert data[4:8] == b"\x01\0\0\0"
    assert marshal.loads(data[16:]).co_filename == "/app/good.py"
    assert bytecode.of(Tree(tuple(entries)), PYTHON).entries == (compiled,)


def test_a_python_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EnvironmentFailed, match=r"Python 3\.99"):
        bytecode.interpreter("3.99")
