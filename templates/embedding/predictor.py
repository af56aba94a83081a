"""Sentence embeddings: the mean of an encoder's last layer over its tokens, with length 1."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer, BatchEncoding


class Embedding:
    """Turn a text into a vector. The dot product of two vectors tells how similar the texts are."""

    example = {"text": "a happy dog"}

    def load(self, context):
        weights = context.model("default")
        self.max_tokens = context.config["max_tokens"]
        self.tokenizer = AutoTokenizer.from_pretrained(weights)
        self.model = AutoModel.from_pretrained(weights, dtype="auto").to(context.device).eval()
        # Itself, unless mlfunc.yaml says `serve: {compile: trace}`, which takes a tenth off.
        self.model = context.compile(self.model, **self.tokens([self.example["text"]]))

    # A request has one text; with `serve.batch` it is a list of those that wait.
    @torch.inference_mode()
    def predict(self, text: list[str]) -> list[list[float]]:
        tokens = self.tokens(text)
        hidden = self.model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        return normalize(mean).tolist()

    def tokens(self, texts: list[str]) -> BatchEncoding:
        return self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        ).to(self.model.device)
