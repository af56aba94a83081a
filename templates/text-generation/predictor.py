"""Text from a causal language model, streamed while it is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from mlfunc_runtime import Problem
from msgspec import Meta
from tokenizers.decoders import DecodeStream
from transformers import AutoModelForCausalLM, AutoTokenizer

Prompt = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=1, le=4096)]
Temperature = Annotated[float, Meta(ge=0, le=2)]


class TextGeneration:
    """Continue a prompt, or answer it if the model has a chat template. Temperature 0 is greedy."""

    example = {"prompt": "The capital of France is", "max_new_tokens": 16}

    def load(self, context):
        weights = context.model("default")
        # Most CPUs multiply float32 faster than the bfloat16 that most models are stored in.
        dtype = torch.float32 if context.device == "cpu" else "auto"
        model = AutoModelForCausalLM.from_pretrained(weights, dtype=dtype)
        self.model = model.to(context.device).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(weights)
        eos = self.model.generation_config.eos_token_id
        self.stops = set(eos) if isinstance(eos, list) else {eos}

    def predict(
        self, prompt: Prompt, max_new_tokens: Count = 128, temperature: Temperature = 0
    ) -> Iterator[str]:
        tokens = self.encode(prompt)
        room = self.model.config.max_position_embeddings - len(tokens)
        if room < 1:
            raise Problem(400, f"the prompt is {1 - room} tokens too long", field="prompt")
        text = DecodeStream(tokens, skip_special_tokens=True)
        for token in self.generate(tokens, min(max_new_tokens, room), temperature):
            # A character may take several tokens: None until it is whole.
            if piece := text.step(self.tokenizer.backend_tokenizer, token):
                yield piece

    def encode(self, prompt: str) -> list[int]:
        if self.tokenizer.chat_template is None:
            return self.tokenizer(prompt)["input_ids"]
        chat = [{"role": "user", "content": prompt}]
        return self.tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, return_dict=False
        )

    @torch.inference_mode()
    def generate(self, tokens: list[int], count: int, temperature: float) -> Iterator[int]:
        unread, cache = torch.tensor([tokens], device=self.model.device), None
        for _ in range(count):
            output = self.model(unread, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache = output.past_key_values
            unread = choose(output.logits[:, -1], temperature)
            if (token := unread.item()) in self.stops:
                return
            yield token


def choose(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    return torch.multinomial((logits / temperature).softmax(dim=-1), num_samples=1)
