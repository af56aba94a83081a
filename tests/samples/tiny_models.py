"""Makes tiny models with random weights: python tiny_models.py FOLDER TASK/ARCHITECTURE...

Run in a function's own environment, which has torch and transformers. The tokenizers are of the
kind that each architecture really has, trained on a few lines.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
)

CORPUS = [
    "The house is wonderful. What a happy dog, what a sad cat!",
    "Once upon a time the capital of France was Paris; it still is.",
    "Das Haus ist wunderbar. Der Hund ist froh, die Katze nicht.",
]
ENCODER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
SIDES = ("encoder", "decoder")
SIZES = {
    "bert": ENCODER,
    "roberta": ENCODER | {"max_position_embeddings": 514},
    "llama": ENCODER | {"num_key_value_heads": 1, "max_position_embeddings": 256},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 256},
    "t5": {"d_model": 32, "d_ff": 64, "d_kv": 16, "num_layers": 2, "num_heads": 2},
    "blenderbot": {"d_model": 32, "max_position_embeddings": 512}
    | {f"{side}_{size}": 2 for side in SIDES for size in ("layers", "attention_heads")}
    | {f"{side}_ffn_dim": 64 for side in SIDES},
}
TASKS = {
    "embedding": AutoModel,
    "text-classification": AutoModelForSequenceClassification,
    "text-generation": AutoModelForCausalLM,
    "text2text": AutoModelForSeq2SeqLM,
}
PAD, START, END, UNKNOWN = SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
NEW_TOKENS = 40
CHAT = "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}assistant:"


def byte_level() -> Tokenizer:
    """As GPT-2, RoBERTa and BlenderBot have it: every byte is a token, frequent ones are merged."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def byte_fallback() -> Tokenizer:
    """As Llama has it: spaces are written as a character, what is unknown is spelled in bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN, byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    spelled = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=[*SPECIAL, *spelled], show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def unigram() -> Tokenizer:
    """As T5 has it, ending every text with </s>."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=80, special_tokens=list(SPECIAL), unk_token=UNKNOWN, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    end = tokenizer.token_to_id(END)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, end)]
    )
    return tokenizer


def word_piece() -> Tokenizer:
    """As BERT has it: lower case, a mark before and after."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=200, special_tokens=list(SPECIAL), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    marks = [(mark, tokenizer.token_to_id(mark)) for mark in (START, END)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=marks
    )
    return tokenizer


TOKENIZERS = {
    "bert": word_piece,
    "roberta": byte_level,
    "gpt2": byte_level,
    "llama": byte_fallback,
    "t5": unigram,
    "blenderbot": byte_level,
}


def make(folder: Path, task: str, architecture: str) -> None:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=TOKENIZERS[architecture](),
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        unk_token=UNKNOWN,
        chat_template=CHAT if architecture == "llama" else None,
    )
    tokenizer.save_pretrained(folder)
    pad, start, end = tokenizer.convert_tokens_to_ids([PAD, START, END])
    config = AutoConfig.for_model(
        architecture,
        vocab_size=len(tokenizer),
        pad_token_id=pad,
        bos_token_id=start,
        eos_token_id=end,
        decoder_start_token_id=pad,
        **SIZES[architecture],
    )
    torch.manual_seed(0)
    model = TASKS[task].from_config(config)
    model.save_pretrained(folder)
    if task == "text-generation":
        expected = {
            prompt: greedy_text(model, tokenizer, prompt) for prompt in [*CORPUS, "日本 🎉"]
        }
        (folder / "expected.json").write_text(json.dumps(expected))


def greedy_text(model: Any, tokenizer: Any, text: str) -> str:
    """What transformers' own `generate` writes, for comparison."""
    if tokenizer.chat_template:
        chat = [{"role": "user", "content": text}]
        prompt = tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, return_dict=False, return_tensors="pt"
        )
    else:
        prompt = tokenizer(text, return_tensors="pt")["input_ids"]
    written = model.eval().generate(prompt, max_new_tokens=NEW_TOKENS, do_sample=False)
    before: str = tokenizer.decode(prompt[0], skip_special_tokens=True)
    after: str = tokenizer.decode(written[0], skip_special_tokens=True)
    # A last character that is cut in the middle is not streamed.
    return after[len(before) :].rstrip("\N{REPLACEMENT CHARACTER}")


if __name__ == "__main__":
    root, *wanted = sys.argv[1:]
    for name in wanted:
        make(Path(root, name), *name.split("/"))
