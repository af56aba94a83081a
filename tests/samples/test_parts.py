"""Parts of one safetensors file, as `build` makes them: transformers is the judge."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

from mlfunc.models import safetensors

if TYPE_CHECKING:
    from pathlib import Path

MAKE = """
import sys, torch
from transformers import BertConfig, BertModel
torch.manual_seed(0)
config = BertConfig(hidden_size=32, num_hidden_layers=3, num_attention_heads=2,
                    intermediate_size=64, vocab_size=100)
BertModel(config).to(torch.bfloat16).save_pretrained(sys.argv[1])
"""
COMPARE = """
import sys
from transformers import AutoModel
whole, parted = (AutoModel.from_pretrained(folder).state_dict() for folder in sys.argv[1:])
assert whole.keys() == parted.keys()
assert all(whole[key].equal(parted[key]) for key in whole)
assert all(whole[key].dtype == parted[key].dtype for key in whole)
"""


def test_transformers_loads_the_same_model_from_the_parts(
    cli: Any, python_of: Any, tmp_path: Path
) -> None:
    cli("create", "x", "--template", "embedding", "--path", str(tmp_path / "x"))
    python = python_of(tmp_path / "x")
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    subprocess.run([python, "-c", MAKE, whole], check=True)

    _part(whole, parted, count=5)

    subprocess.run([python, "-c", COMPARE, whole, parted], check=True)


def _part(whole: Path, parted: Path, *, count: int) -> None:
    parted.mkdir()
    (parted / "config.json").write_bytes((whole / "config.json").read_bytes())
    data = (whole / "model.safetensors").read_bytes()
    header = safetensors.read_header(whole / "model.safetensors")
    parts = safetensors.part(header, count)
    for number, part in enumerate(parts):
        content = part.header + data[part.offset :][: part.length]
        (parted / safetensors.part_name(number, count)).write_bytes(content)
    (parted / safetensors.INDEX).write_bytes(safetensors.index(header, parts))
