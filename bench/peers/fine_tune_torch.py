#!/usr/bin/env python3
"""Fine-tunes a model with PyTorch on conversations, all of them in each step; the peer of `argosy train` there.

  fine_tune_torch.py --model FOLDER --conversations FILE.jsonl --store STORE --recipe RUN/recipe.toml
                     --start STATE.safetensors [--threads N]

FOLDER is the model as `argosy model export --format f32` writes it. Tokens and what of them is learned are made here
by transformers, and must be those of the token store that Argosy made of the same file. The recipe is one as a run
keeps it, with every key: steps, AdamW (decay of matrices alone), clipping, schedule, and the rank of the adapters;
their first values are those of STATE, a checkpoint of a run. Prints one line of JSON.
"""
import argparse
import json
import math
import os
import pathlib
import statistics
import time
import tomllib

parser = argparse.ArgumentParser(usage=__doc__)
for name in ("model", "conversations", "store", "recipe", "start"):
    parser.add_argument(f"--{name}", required=True, type=pathlib.Path)
parser.add_argument("--threads", type=int, default=os.cpu_count())
args = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(args.threads)

import numpy
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

torch.set_num_threads(args.threads)
recipe = tomllib.load(open(args.recipe, "rb"))
language, training, optimizer, schedule = (recipe[k] for k in ("language", "training", "optimizer", "schedule"))
NONE = -100  # the label of what is not learned

# Argosy's name of each matrix that has an adapter
MATRICES = {"self_attn.q_proj": "attention/query", "self_attn.k_proj": "attention/key",
            "self_attn.v_proj": "attention/value", "self_attn.o_proj": "attention/output",
            "mlp.gate_proj": "mlp/gate", "mlp.up_proj": "mlp/up", "mlp.down_proj": "mlp/down"}


def encode(tokenizer, messages):
    """Tokens, and which of them the assistant says: from the opening of its turn to the token that ends it."""
    def ids(count, answer_next=False):
        return tokenizer.apply_chat_template(messages[:count], add_generation_prompt=answer_next, return_dict=False)
    tokens, end = ids(len(messages)), tokenizer.convert_tokens_to_ids("<|im_end|>")
    learned = [False] * len(tokens)
    for i, message in enumerate(messages):
        if message["role"] == "assistant":
            begin = len(ids(i, answer_next=True))
            for place in range(begin, tokens.index(end, begin) + 1):
                learned[place] = True
    return tokens, learned


def expect_store(conversations):
    begins = numpy.fromfile(args.store / "documents.bin", "<u8")
    tokens = numpy.fromfile(args.store / "tokens.bin", "<u2")
    answers = numpy.fromfile(args.store / "answers.bin", "u1")
    assert len(begins) == len(conversations) + 1, "the store has another number of conversations"
    for (own, learned), begin, end in zip(conversations, begins, begins[1:]):
        assert own == tokens[begin:end].tolist(), f"other tokens than the store: {own}, {tokens[begin:end]}"
        assert learned == (answers[begin:end] == 1).tolist(), "something else is learned than in the store"


class Adapted(nn.Module):
    """W x + scale U D x, of which U and D are trained."""

    def __init__(self, linear, down, up, scale):
        super().__init__()
        self.linear, self.scale = linear, scale
        self.down, self.up = nn.Parameter(down), nn.Parameter(up)

    def forward(self, x):
        return self.linear(x) + self.scale * F.linear(F.linear(x, self.down), self.up)


def adapt(model):
    start = safetensors.torch.load_file(args.start)
    model.requires_grad_(False)
    for number, layer in enumerate(model.model.layers):
        for name, own in MATRICES.items():
            parent, attribute = layer.get_submodule(name.split(".")[0]), name.split(".")[1]
            down = start[f"block{number}/{own}/adapter_down"]
            up = torch.zeros_like(start[f"block{number}/{own}/adapter_up"])
            setattr(parent, attribute, Adapted(getattr(parent, attribute), down, up, language["adapter_scale"]))


def rate(step):
    highest, warmup = optimizer["learning_rate"], schedule["warmup_steps"]
    if step < warmup:
        return highest * (step + 1) / warmup
    p = min(1.0, (step - warmup) / max(1, training["steps"] - 1 - warmup))
    return highest * (schedule["final_share"] + (1 - schedule["final_share"]) * (1 + math.cos(math.pi * p)) / 2)


tokenizer = AutoTokenizer.from_pretrained(args.model)
conversations = [encode(tokenizer, json.loads(line)["messages"]) for line in open(args.conversations)]
expect_store(conversations)
longest = max(len(tokens) for tokens, _ in conversations)
tokens = torch.zeros(len(conversations), longest - 1, dtype=torch.long)
labels = torch.full_like(tokens, NONE)
for row, (own, learned) in enumerate(conversations):  # what fills a row up stands behind, and nothing sees it
    tokens[row, :len(own) - 1] = torch.tensor(own[:-1])
    labels[row, :len(own) - 1] = torch.tensor([t if l else NONE for t, l in zip(own[1:], learned[1:])])

model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
model.config.use_cache = False
if language["adapter_rank"] > 0:
    adapt(model)
trained = [p for p in model.parameters() if p.requires_grad]
adamw = torch.optim.AdamW(
    [dict(params=[p for p in trained if p.dim() > 1], weight_decay=optimizer["weight_decay"]),
     dict(params=[p for p in trained if p.dim() == 1], weight_decay=0.0)],
    lr=rate(0), betas=(optimizer["beta1"], optimizer["beta2"]), eps=optimizer["epsilon"], fused=True)
losses, seconds, cpu = [], [], []
for step in range(training["steps"]):
    begin, begin_cpu = time.monotonic(), time.process_time()
    for group in adamw.param_groups:
        group["lr"] = rate(step)
    loss = F.cross_entropy(model(tokens).logits.flatten(0, 1), labels.flatten(), ignore_index=NONE)
    loss.backward()
    nn.utils.clip_grad_norm_(trained, optimizer["clip_norm"])
    adamw.step()
    adamw.zero_grad(set_to_none=True)
    losses.append(loss.item())
    seconds.append(time.monotonic() - begin), cpu.append(time.process_time() - begin_cpu)
print(json.dumps(dict(losses=losses, seconds=statistics.median(seconds[1:]), cpu=statistics.fmean(cpu[1:]),
                      tokens=sum(len(t) for t, _ in conversations), learned=sum(sum(l) for _, l in conversations),
                      trained=sum(p.numel() for p in trained), torch=torch.__version__)))
