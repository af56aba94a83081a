"""A chat with a small language model, streamed while it is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, TypedDict

import torch
from mlfunc_runtime import Problem
from msgspec import Meta
from tokenizers.decoders import DecodeStream
from transformers import AutoModelForCausalLM, AutoTokenizer


class Message(TypedDict):
    role: Literal["system", "user", "assistant"]
    content: str


Messages = Annotated[list[Message], Meta(min_length=1)]
Count = Annotated[int, Meta(ge=1, le=2048)]
Temperature = Annotated[float, Meta(ge=0, le=2)]


class Chat:
    """Answer the last message. Temperature 0 gives always the same answer."""

    example = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}

    def load(self, context):
        weights = context.model("default")
        # Most CPUs multiply float32 faster than the bfloat16 that the weights are stored in.
        dtype = torch.float32 if context.device == "cpu" else "auto"
        model = AutoModelForCausalLM.from_pretrained(weights, dtype=dtype)
        self.model = model.to(context.device).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(weights)

    def predict(
        self, messages: Messages, max_new_tokens: Count = 256, temperature: Temperature = 0
    ) -> Iterator[str]:
        chat = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=False
        )
        room = self.model.config.max_position_embeddings - len(chat)
        if room < 1:
            raise Problem(400, f"the chat is {1 - room} tokens too long", field="messages")
        text = DecodeStream(chat, skip_special_tokens=True)
        for token in self.generate(chat, min(max_new_tokens, room), temperature):
            # A character may take several tokens: None until it is whole.
            if piece := text.step(self.tokenizer.backend_tokenizer, token):
                yield piece

    @torch.inference_mode()
    def generate(self, tokens: list[int], count: int, temperature: float) -> Iterator[int]:
        unread, cache = torch.tensor([tokens], device=self.model.device), None
        for _ in range(count):
            output = self.model(unread, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache = output.past_key_values
            unread = choose(output.logits[:, -1], temperature)
            if (token := unread.item()) == self.tokenizer.eos_token_id:
                return
            yield token


def choose(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    return torch.multinomial((logits / temperature).softmax(dim=-1), num_samples=1)
