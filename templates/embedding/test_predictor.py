"""Run with `mlfunc test`. The client serves the function in this process, just as `run` does.

Until ./weights is there, the tests use a tiny model of the same kind with random weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mlfunc_runtime.testing import Client
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

WEIGHTS = Path(__file__).with_name("weights")
WORDS = ["[PAD]", "[UNK]", "a", "the", "happy", "sad", "dog", "cat"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    weights = WEIGHTS if WEIGHTS.exists() else tiny_model(tmp_path_factory.mktemp("weights"))
    with Client(Path(__file__).parent, models={"default": weights}) as client:
        yield client


def test_the_example_is_a_vector_of_length_one(client: Client) -> None:
    vector = embed(client, client.example["text"])

    assert torch.linalg.vector_norm(vector).item() == pytest.approx(1, abs=1e-5)


def test_a_text_is_most_similar_to_itself(client: Client) -> None:
    dog, same, cat = (embed(client, text) for text in ("a happy dog", "a happy dog", "the sad cat"))

    assert dog @ same > dog @ cat


def test_a_long_text_is_cut(client: Client) -> None:
    assert client.post({"text": "a happy dog " * 1000}).status == 200


def test_a_text_that_is_no_string_is_refused(client: Client) -> None:
    reply = client.post({"text": 3})

    assert reply.status == 400
    assert reply.json()["field"] == "text"


def embed(client: Client, text: str) -> torch.Tensor:
    reply = client.post({"text": text})
    assert reply.status == 200
    return torch.tensor(reply.json())


def tiny_model(folder: Path) -> Path:
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]"
    )
    tokenizer.save_pretrained(folder)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(WORDS), num_hidden_layers=2, **size)
    BertModel(config).save_pretrained(folder)
    return folder
