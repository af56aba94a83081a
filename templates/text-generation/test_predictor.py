"""Run with `mlfunc test`. The client serves the function in this process, just as `run` does.

Until ./weights is there, the tests use a tiny model of the same kind with random weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlfunc_runtime.testing import Client
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as Bytes
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

WEIGHTS = Path(__file__).with_name("weights")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    weights = WEIGHTS if WEIGHTS.exists() else tiny_model(tmp_path_factory.mktemp("weights"))
    with Client(Path(__file__).parent, models={"default": weights}) as client:
        yield client


def test_the_example_is_continued_piece_by_piece(client: Client) -> None:
    reply = client.post(client.example)

    assert reply.status == 200
    assert all(isinstance(piece, str) for piece in reply.events())


def test_greedy_text_is_always_the_same(client: Client) -> None:
    first, second = (
        list(client.post({"prompt": "Hi", "max_new_tokens": 8}).events()) for _ in range(2)
    )

    assert first == second


def test_no_more_is_written_than_asked_for(client: Client) -> None:
    reply = client.post({"prompt": "Hi", "max_new_tokens": 2, "temperature": 1.0})

    assert len(list(reply.events())) <= 2


@pytest.mark.parametrize(
    ("field", "value"), [("prompt", ""), ("max_new_tokens", 0), ("temperature", -1)]
)
def test_what_makes_no_sense_is_refused(client: Client, field: str, value: object) -> None:
    reply = client.post(client.example | {field: value})

    assert reply.status == 400
    assert reply.json()["field"] == field


def tiny_model(folder: Path) -> Path:
    letters = Tokenizer(
        BPE({letter: i for i, letter in enumerate(sorted(ByteLevel.alphabet()))}, [])
    )
    letters.pre_tokenizer = ByteLevel(add_prefix_space=False)
    letters.decoder = Bytes()
    PreTrainedTokenizerFast(tokenizer_object=letters).save_pretrained(folder)
    config = GPT2Config(
        vocab_size=256, n_embd=32, n_layer=2, n_head=2, eos_token_id=0, bos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder
