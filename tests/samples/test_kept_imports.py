"""What is kept of transformers' import is what transformers makes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

SIMILARITY = Path(__file__).parents[2] / "samples" / "similarity"
# All that a lazy package knows by then, and one model with its own table.
TELLS = """
import os
from mlfunc_runtime import importing
importing.keep_tables(os.environ)
import transformers
from transformers.models.bert import BertConfig

def plain(value):
    if isinstance(value, dict):
        return sorted((plain(k), plain(v)) for k, v in value.items())
    return sorted(map(str, value)) if isinstance(value, (list, set, frozenset)) else str(value)

for module in (transformers, transformers.models):
    print(sorted(dir(module)))
    print(sorted((k, plain(v)) for k, v in vars(module).items() if isinstance(v, dict) and k != "_modules"))
"""


def test_transformers_offers_the_same_from_a_kept_table(python_of: Any, tmp_path: Path) -> None:
    def told(cache: str) -> list[str]:
        variables = os.environ | {"MLFUNC_IMPORT_CACHE": cache, "PYTHONHASHSEED": "0"}
        command = [python_of(SIMILARITY), "-c", TELLS]
        ended = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
        return [line for line in ended.stdout.splitlines() if line]

    without, first, second = told(""), told(str(tmp_path)), told(str(tmp_path))
    assert (tmp_path / "transformers.marshal").is_file()
    assert without == first == second
    assert any("AutoModelForCausalLM" in line for line in without)
