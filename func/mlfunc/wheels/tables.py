"""The table that transformers makes of its 3000 files at each import, made once, for an image.

The runtime looks for it in `$MLFUNC_IMPORT_CACHE` (its module `importing`), and does without where
there is none: a start with transformers is a fifth of a second longer then.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

from mlfunc import proc

FILE = "transformers.marshal"
_SCANNING = Path(__file__).with_name("scanning.py")
_log = logging.getLogger(__name__)


def bake(site: Path, runtime: Path) -> bytes | None:
    """What is to lie at `$MLFUNC_IMPORT_CACHE/transformers.marshal`, the same for every platform
    and Python.

    `site` is the folder that transformers is in, with its final RECORD; `runtime` is the package
    mlfunc_runtime that will look for the table. None: there is no transformers, or none that we
    know.
    """
    if not (site / "transformers").is_dir():
        return None
    with tempfile.TemporaryDirectory(prefix="mlfunc-") as folder:
        argv = [sys.executable, "-I", "-S", "-B", str(_SCANNING)]
        argv += [str(site), str(runtime / "importing.py"), folder]
        finished = proc.run(argv, on_line=lambda _: None)
        table = Path(folder) / FILE
        if finished.code == 0 and table.is_file():
            return table.read_bytes()
    _log.debug("no import table of transformers: %s", finished.tail)
    return None
