"""Run with `mlfunc test`. The client serves the function in this process, just as `run` does.

Until ./weights is there, the tests use a tiny model of the same kind with random weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlfunc_runtime.testing import Client
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

WEIGHTS = Path(__file__).with_name("weights")
WORDS = ["<pad>", "</s>", "<unk>", "the", "house", "is", "small"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    weights = WEIGHTS if WEIGHTS.exists() else tiny_model(tmp_path_factory.mktemp("weights"))
    with Client(Path(__file__).parent, models={"default": weights}) as client:
        yield client


def test_the_example_is_answered_by_a_text(client: Client) -> None:
    reply = client.post(client.example)

    assert reply.status == 200
    assert isinstance(reply.json(), str)


def test_the_same_text_gets_the_same_answer(client: Client) -> None:
    first, second = (client.post({"text": "the house is small"}).json() for _ in range(2))

    assert first == second


def test_a_long_text_is_cut(client: Client) -> None:
    assert client.post({"text": "the small house " * 1000}).status == 200


def test_an_unknown_field_is_refused(client: Client) -> None:
    assert client.post({"text": "the house", "language": "German"}).status == 400


def tiny_model(folder: Path) -> Path:
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
    size = {"d_model": 32, "d_ff": 64, "d_kv": 16, "num_layers": 2, "num_heads": 2}
    special_ids = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    config = T5Config(vocab_size=len(WORDS), **size, **special_ids)
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder
