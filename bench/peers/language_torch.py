#!/usr/bin/env python3
"""Trains the GPT of a recipe with PyTorch on a text, as nanoGPT does, and measures it on the end that is
held out.

  language_torch.py --recipe recipes/shakespeare-gpt.toml --data input.txt [--threads 2]
                    [--mode eager|compile] [--seed 1] [KEY=VALUE...]

Same as `argosy train`: network, initial values, tokens, split, batches of pieces at random, loss,
AdamW (decay of matrices alone), clipping, schedule; the held-out loss is that of all its tokens, in
pieces as long as the context. Different: the random numbers. The seconds are those of the loop over
steps alone, without compilation (three steps before) and evaluation. Prints one line of JSON.
"""
import argparse
import json
import math
import os
import time
import tomllib

parser = argparse.ArgumentParser(usage=__doc__)
parser.add_argument("--recipe", required=True)
parser.add_argument("--data", required=True)
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--mode", choices=["eager", "compile"], default="eager")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("overrides", nargs="*")
args = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(args.threads)

import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)
recipe = tomllib.load(open(args.recipe, "rb"))
for override in args.overrides:
    key, value = override.split("=", 1)
    section, name = key.split(".")
    recipe[section][name] = tomllib.loads(f"v = {value}")["v"]
language, training = recipe["language"], recipe["training"]
T, D, L, H, B = (*(language[k] for k in ("context", "width", "layers", "heads")), training["batch_size"])

text = open(args.data, encoding="utf-8").read()
characters = sorted(set(text))
number = {c: i for i, c in enumerate(characters)}
data = torch.tensor([number[c] for c in text])
split = int(len(data) * (1 - recipe["data"]["holdout_share"]))
train, held_out = data[:split], data[split:]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(D, bias=False), nn.LayerNorm(D, bias=False)
        self.qkv, self.output = nn.Linear(D, 3 * D, bias=False), nn.Linear(D, D, bias=False)
        self.up, self.down = nn.Linear(D, 4 * D, bias=False), nn.Linear(4 * D, D, bias=False)

    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = (y.view(b, t, H, D // H).transpose(1, 2) for y in self.qkv(self.norm1(x)).split(D, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(y.transpose(1, 2).reshape(b, t, D))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Gpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(len(characters), D), nn.Embedding(T, D)
        self.blocks = nn.ModuleList(Block() for _ in range(L))
        self.norm = nn.LayerNorm(D, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                adds = name.endswith(("output.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * L) if adds else 0.02)

    def forward(self, tokens):
        x = self.tokens(tokens) + self.positions.weight[:tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.tokens.weight)


def batch():
    starts = torch.randint(len(train) - T, (B,))
    return (torch.stack([train[i:i + T] for i in starts]),
            torch.stack([train[i + 1:i + 1 + T] for i in starts]))


def rate(step):
    o, s = recipe["optimizer"], recipe["schedule"]
    if step < s["warmup_steps"]:
        return o["learning_rate"] * (step + 1) / s["warmup_steps"]
    p = min(1.0, (step - s["warmup_steps"]) / max(1, training["steps"] - 1 - s["warmup_steps"]))
    return o["learning_rate"] * (s["final_share"] + (1 - s["final_share"]) * (1 + math.cos(math.pi * p)) / 2)


model = Gpt()
o = recipe["optimizer"]
groups = [dict(params=[p for p in model.parameters() if p.dim() > 1], weight_decay=o["weight_decay"]),
          dict(params=[p for p in model.parameters() if p.dim() == 1], weight_decay=0.0)]
optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(o.get("beta1", 0.9), o["beta2"]), fused=True)


def loss_of(tokens, labels):
    return F.cross_entropy(model(tokens).flatten(0, 1), labels.flatten())


forward = torch.compile(loss_of) if args.mode == "compile" else loss_of
for _ in range(3):  # compile and warm; nothing moves
    forward(*batch()).backward()
    optimizer.zero_grad(set_to_none=True)
begin, cpu = time.monotonic(), time.process_time()
for step in range(training["steps"]):
    for group in optimizer.param_groups:
        group["lr"] = rate(step)
    loss = forward(*batch())
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), o.get("clip_norm", 1.0))
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
seconds, cpu = time.monotonic() - begin, time.process_time() - cpu

nats = 0.0
with torch.no_grad():
    for first in range(0, len(held_out) - 1, T):
        tokens = held_out[first:first + T][:len(held_out) - 1 - first]
        labels = held_out[first + 1:first + 1 + len(tokens)]
        nats += F.cross_entropy(model(tokens[None])[0], labels, reduction="sum").item()
print(json.dumps(dict(held_out_loss=nats / (len(held_out) - 1), loss=loss.item(), training_s=seconds,
                      training_cpu_s=cpu, steps=training["steps"],
                      parameters=sum(p.numel() for p in model.parameters()), torch=torch.__version__)))
