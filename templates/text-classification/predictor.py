"""Text classification with a transformers model: sentiment, topic, language, toxicity."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


@dataclass
class Answer:
    label: str
    score: float


class TextClassification:
    """Give a text the likeliest of the model's labels."""

    example = {"text": "What a wonderful day!"}

    def load(self, context):
        weights = context.model("default")
        self.max_tokens = context.config["max_tokens"]
        self.tokenizer = AutoTokenizer.from_pretrained(weights)
        model = AutoModelForSequenceClassification.from_pretrained(weights, dtype="auto")
        self.model = model.to(context.device).eval()

    # A request has one text; with `serve.batch` it is a list of those that wait.
    @torch.inference_mode()
    def predict(self, text: list[str]) -> list[Answer]:
        tokens = self.tokenizer(
            text, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        ).to(self.model.device)
        scores, labels = self.model(**tokens).logits.softmax(dim=-1).max(dim=-1)
        names = self.model.config.id2label
        pairs = zip(labels.tolist(), scores.tolist(), strict=True)
        return [Answer(names[label], score) for label, score in pairs]
