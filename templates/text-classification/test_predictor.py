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
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

WEIGHTS = Path(__file__).with_name("weights")
WORDS = ["[PAD]", "[UNK]", "what", "a", "bad", "good", "day"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    weights = WEIGHTS if WEIGHTS.exists() else tiny_model(tmp_path_factory.mktemp("weights"))
    with Client(Path(__file__).parent, models={"default": weights}) as client:
        yield client


def test_the_example_gets_a_label_and_a_score(client: Client) -> None:
    reply = client.post(client.example)

    assert reply.status == 200
    assert isinstance(reply.json()["label"], str)
    assert 0 < reply.json()["score"] <= 1


def test_the_same_text_gets_the_same_label(client: Client) -> None:
    first, second = (client.post({"text": "what a bad day"}).json() for _ in range(2))

    assert first["label"] == second["label"]


def test_a_long_text_is_cut(client: Client) -> None:
    assert client.post({"text": "what a good day " * 1000}).status == 200


def test_a_request_without_text_is_refused(client: Client) -> None:
    reply = client.post({})

    assert reply.status == 400
    assert reply.json()["field"] == "text"


def tiny_model(folder: Path) -> Path:
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]"
    )
    tokenizer.save_pretrained(folder)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(WORDS), num_hidden_layers=2, **size)
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder
