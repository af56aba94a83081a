"""A program of its own: compiles modules into one file, by the Python that will import them.

    python compiler.py JOB OUT [checked]

JOB is JSON: pairs of a source and the path that it has in the image. OUT begins with a line of
JSON, the lengths of what follows it; 0 where a source cannot be compiled. The bytes depend on the
sources, those paths and the release of Python: on no folder, no order, and no earlier module.
`checked`: Python is to compare the hash of the source, which may become another.
"""

from __future__ import annotations

import importlib.util
import json
import marshal
import sys
import warnings
from pathlib import Path
from types import CodeType
from typing import Any

# PEP 552: the hash of the source is in it, and nobody is to compare it; or Python is.
_UNCHECKED = (0b01).to_bytes(4, "little")
_CHECKED = (0b11).to_bytes(4, "little")
_PARTS = ("co_consts", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_filename")
_MORE = ("co_name", "co_qualname", "co_linetable", "co_exceptiontable")


def compile_module(source: bytes, at: str, flags: bytes = _UNCHECKED) -> bytes:
    """The .pyc of a module; no bytes where it is no Python of this version."""
    try:
        code = compile(source, at, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return b""
    held: list[Any] = []
    hold(code, held)
    head = importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source)
    return head + marshal.dumps(code)


def hold(value: Any, held: list[Any]) -> None:
    """Refer to a constant and all in it once more.

    marshal marks what is referred to more than once, and that depends on what else is in memory:
    held here, all of it is.
    """
    held.append(value)
    if isinstance(value, CodeType):
        for name in (*_PARTS, *_MORE):
            hold(getattr(value, name), held)
    elif isinstance(value, tuple | frozenset):
        for item in value:
            hold(item, held)


def main(job: str, out: str, checked: str = "") -> None:
    """Compile all that a job names."""
    warnings.simplefilter("ignore")
    pairs = json.loads(Path(job).read_bytes())
    flags = _CHECKED if checked else _UNCHECKED
    compiled = [compile_module(Path(source).read_bytes(), at, flags) for source, at in pairs]
    with Path(out).open("wb") as file:
        file.write(json.dumps([len(data) for data in compiled]).encode() + b"\n")
        file.writelines(compiled)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except OSError as error:  # such as of a disk that is full
        sys.exit(str(error))
