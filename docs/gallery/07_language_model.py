"""A language model of Hugging Face: batches are dictionaries, the loss is its own. Here a tiny one, not trained."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import basinscope as bs

torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_head=2, n_embd=16, n_positions=16, vocab_size=50)).eval()
tokens = torch.randint(50, (8, 16))
batches = [{"input_ids": tokens, "labels": tokens}]
objective = bs.Objective(model, lambda model, batch: model(**batch).loss, batches, unit="nat per token")
bs.plot(bs.slice1d(objective)).savefig("07_lines.png")
bs.plot(bs.slice1d(bs.Objective(model, lambda m, b: m(**b).loss, batches, parameters="*attn*"))).savefig(
    "07_attention.png"
)
