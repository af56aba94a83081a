"""Text to text with an encoder-decoder model: translation, summaries, replies."""

from __future__ import annotations

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer


class Text2Text:
    """Write the model's answer to a text. T5 wants its task in front, as in the example."""

    example = {"text": "translate English to German: The house is wonderful."}

    def load(self, context):
        weights = context.model("default")
        self.limits = context.config
        self.tokenizer = AutoTokenizer.from_pretrained(weights)
        model = AutoModelForSeq2SeqLM.from_pretrained(weights, dtype="auto")
        self.model = model.to(context.device).eval()

    # A request has one text; with `serve.batch` it is a list of those that wait.
    @torch.inference_mode()
    def predict(self, text: list[str]) -> list[str]:
        tokens = self.tokenizer(
            text,
            padding=True,
            truncation=True,
            max_length=self.limits["max_tokens"],
            return_tensors="pt",
        ).to(self.model.device)
        answers = self.model.generate(
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            max_new_tokens=self.limits["max_new_tokens"],
        )
        return self.tokenizer.batch_decode(answers, skip_special_tokens=True)
