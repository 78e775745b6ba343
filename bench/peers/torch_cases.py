#!/usr/bin/env python3
"""The cases of `argosy bench train` in PyTorch: same models, shapes, losses and optimizer, as a PyTorch
user writes them, with the same output and the same --serve.

  torch_cases.py --case gpt [--threads N] [--mode eager|compile] [--dtype f32|bf16] [--layout nchw|nhwc]
                 [--seconds S] [--started UNIX_S] [--serve | --profile]
  torch_cases.py --goldens src/bench/golden_losses.h     # ten losses of each case, in f32

Modules are named as Argosy's scopes, so that a parameter's name with "/" for "." is Argosy's. Weights
and inputs are written by the rule of src/bench/cases.cpp: element i of tensor NAME, in Argosy's order,
is offset + scale * (2 * unit(splitmix64(fnv1a(NAME) + i)) - 1).
"""
import argparse
import math
import os
import pathlib
import sys

parser = argparse.ArgumentParser(usage=__doc__)
parser.add_argument("--case")
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--mode", choices=["eager", "compile"], default="eager")
parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
parser.add_argument("--layout", choices=["nchw", "nhwc"], default="nchw")
parser.add_argument("--seconds", type=float, default=5)
parser.add_argument("--started", type=float)
parser.add_argument("--serve", action="store_true")
parser.add_argument("--profile", action="store_true")
parser.add_argument("--goldens")
args = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(args.threads)

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from measuring import measure_steps
from named_numbers import drawn

torch.set_num_threads(args.threads)
VOCABULARY = 8192


# ---- the models ------------------------------------------------------------------------------------

def picture(images):
    """uint8 to -1..1."""
    return images.float() * (1 / 127.5) - 1


class Table(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(*shape) * 0.02)


class Driving(nn.Module):
    def __init__(self):
        super().__init__()
        channels = 3
        for i, (out, kernel, stride) in enumerate(((24, 5, 2), (32, 5, 2), (64, 5, 2), (64, 3, 1), (64, 3, 1))):
            setattr(self, f"conv{i + 1}", nn.Conv2d(channels, out, kernel, stride))
            channels = out
        self.hidden1, self.hidden2, self.head = nn.Linear(64 * 8 * 13, 100), nn.Linear(100, 50), nn.Linear(50, 2)

    def forward(self, images):
        x = picture(images)
        for i in range(5):
            x = F.relu(getattr(self, f"conv{i + 1}")(x))
        return self.head(F.relu(self.hidden2(F.relu(self.hidden1(x.flatten(1))))))


class FrozenNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.register_buffer("scale", torch.ones(channels))
        self.register_buffer("shift", torch.zeros(channels))

    def forward(self, x):
        return x * self.scale.view(1, -1, 1, 1) + self.shift.view(1, -1, 1, 1)


class ResidualBlock(nn.Module):
    def __init__(self, channels, out, stride, norm):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False), norm(out)
        self.conv2, self.norm2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), norm(out)
        self.shortcut = self.shortcut_norm = None
        if stride != 1 or channels != out:
            self.shortcut, self.shortcut_norm = nn.Conv2d(channels, out, 1, stride, bias=False), norm(out)

    def forward(self, x):
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + (x if self.shortcut is None else self.shortcut_norm(self.shortcut(x))))


class ResNet18(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(3, 64, 7, 2, 3, bias=False), norm(64)
        channels = 64
        for i in range(8):
            out = 64 << (i // 2)
            setattr(self, f"block{i}", ResidualBlock(channels, out, 2 if i % 2 == 0 and i else 1, norm))
            channels = out

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.stem_norm(self.stem(x))), 3, 2, 1)
        for i in range(8):
            x = getattr(self, f"block{i}")(x)
        return x


class Classifier(ResNet18):
    def __init__(self):
        super().__init__(lambda channels: nn.GroupNorm(32, channels))
        self.head = nn.Linear(512, 2)

    def forward(self, images):
        return self.head(super().forward(picture(images)).mean((2, 3)))


class SelfAttention(nn.Module):
    def __init__(self, width, heads, bias, causal):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv, self.output = nn.Linear(width, 3 * width, bias), nn.Linear(width, width, bias)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = (part.view(b, t, self.heads, -1).transpose(1, 2) for part in self.qkv(x).split(d, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.output(y.transpose(1, 2).reshape(b, t, d))


class Mlp(nn.Module):
    def __init__(self, width, hidden, bias, activation):
        super().__init__()
        self.up, self.down, self.activation = nn.Linear(width, hidden, bias), nn.Linear(hidden, width, bias), activation

    def forward(self, x):
        return self.down(self.activation(self.up(x)))


class Block(nn.Module):
    def __init__(self, width, heads, bias=True, causal=False):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, bias=bias), nn.LayerNorm(width, bias=bias)
        self.attention = SelfAttention(width, heads, bias, causal)
        self.mlp = Mlp(width, 4 * width, bias, F.gelu)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Temporal(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches, self.positions = nn.Conv2d(3, 192, 16, 16), Table(280, 192)
        for i in range(6):
            setattr(self, f"block{i}", Block(192, 3))
        self.norm, self.head = nn.LayerNorm(192), nn.Linear(192, 2)

    def forward(self, images):  # [B, T, 3, H, W]
        b = images.shape[0]
        x = self.patches(picture(images.flatten(0, 1))).flatten(2).transpose(1, 2).reshape(b, 280, 192)
        x = x + self.positions.weight
        for i in range(6):
            x = getattr(self, f"block{i}")(x)
        return self.head(self.norm(x).mean(1))


class Gpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.positions = Table(VOCABULARY, 384), Table(256, 384)
        for i in range(6):
            setattr(self, f"block{i}", Block(384, 6, bias=False, causal=True))
        self.norm = nn.LayerNorm(384, bias=False)

    def forward(self, tokens):
        x = F.embedding(tokens, self.embedding.weight) + self.positions.weight
        for i in range(6):
            x = getattr(self, f"block{i}")(x)
        return F.linear(self.norm(x), self.embedding.weight).flatten(0, 1)


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return F.rms_norm(x, x.shape[-1:], self.weight, 1e-5)


class GroupedAttention(nn.Module):
    """8 query heads on 2 key heads of 32, rotary, scores capped at 30."""

    def __init__(self, width):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, heads * 32, bias=False) for heads in (8, 2, 2))
        self.output = nn.Linear(256, width, bias=False)
        angles = torch.arange(256)[:, None] * 10000.0 ** (-torch.arange(0, 32, 2) / 32)
        self.register_buffer("cosines", torch.cat((angles, angles), 1).cos())
        self.register_buffer("sines", torch.cat((angles, angles), 1).sin())
        self.register_buffer("later", torch.full((256, 256), -1e30).triu(1))

    def turned(self, x):
        return x * self.cosines + torch.cat((-x[..., 16:], x[..., :16]), -1) * self.sines

    def forward(self, x):
        b, t, d = x.shape
        split = lambda y, heads: y.view(b, t, heads, 32).transpose(1, 2)
        q, k = self.turned(split(self.query(x), 8)), self.turned(split(self.key(x), 2))
        k, v = (y.repeat_interleave(4, 1) for y in (k, split(self.value(x), 2)))
        scores = 30 * torch.tanh((q @ k.transpose(-1, -2)).float() * (32 ** -0.5 / 30)) + self.later
        return self.output((scores.softmax(-1).to(v.dtype) @ v).transpose(1, 2).reshape(b, t, 256))


class Experts(nn.Module):
    """Each expert gathers the tokens that chose it and adds its outputs back."""

    def __init__(self, width, experts, hidden):
        super().__init__()
        self.router = nn.Linear(width, experts, bias=False)
        self.gate, self.value = (nn.Parameter(torch.empty(experts, width, hidden)) for _ in range(2))
        self.output = nn.Parameter(torch.empty(experts, hidden, width))

    def forward(self, x):
        gates, chosen = self.router(x).float().softmax(-1).topk(2, -1)
        y = torch.zeros_like(x)
        for e in range(len(self.gate)):
            tokens, place = (chosen == e).nonzero(as_tuple=True)
            rows = x.index_select(0, tokens)
            gate = F.gelu(rows @ self.gate[e], approximate="tanh")
            out = (gate * (rows @ self.value[e])) @ self.output[e]
            y = y.index_add(0, tokens, (out * gates[tokens, place].unsqueeze(1)).to(y.dtype))
        return y


class GrokBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm1, self.norm2, self.norm3, self.norm4 = (RmsNorm(width) for _ in range(4))
        self.attention, self.experts = GroupedAttention(width), Experts(width, 8, 1152)

    def forward(self, x):
        x = x + self.norm2(self.attention(self.norm1(x)))
        return x + self.norm4(self.experts(self.norm3(x).flatten(0, 1)).view(x.shape))


class Grok(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.norm = Table(VOCABULARY, 256), RmsNorm(256)
        for i in range(4):
            setattr(self, f"block{i}", GrokBlock(256))

    def forward(self, tokens):
        x = F.embedding(tokens, self.embedding.weight) * 16.0
        for i in range(4):
            x = getattr(self, f"block{i}")(x)
        return F.linear(self.norm(x), self.embedding.weight).flatten(0, 1) * 0.57735


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

    def forward(self, q, k, v):
        b, t, d = q.shape
        split = lambda x: x.view(x.shape[0], -1, self.heads, d // self.heads).transpose(1, 2)
        y = F.scaled_dot_product_attention(split(self.query(q)), split(self.key(k)), split(self.value(v)))
        return self.output(y.transpose(1, 2).reshape(b, t, d))


class PostNormLayer(nn.Module):
    def __init__(self, width, heads, hidden, sees_memory):
        super().__init__()
        self.attention, self.norm1 = Attention(width, heads), nn.LayerNorm(width)
        self.memory = Attention(width, heads) if sees_memory else None
        self.norm2 = nn.LayerNorm(width) if sees_memory else None
        self.mlp, self.norm3 = Mlp(width, hidden, True, F.relu), nn.LayerNorm(width)

    def forward(self, x, places, memory=None, memory_places=None):
        x = self.norm1(x + self.attention(x + places, x + places, x))
        if self.memory is not None:
            x = self.norm2(x + self.memory(x + places, memory + memory_places, memory))
        return self.norm3(x + self.mlp(x))


class ActionChunking(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone, self.projection = ResNet18(FrozenNorm), nn.Conv2d(512, 256, 1)
        self.state, self.positions, self.queries = nn.Linear(14, 256), Table(81, 256), Table(100, 256)
        for i in range(4):
            setattr(self, f"encoder{i}", PostNormLayer(256, 8, 1024, False))
        self.decoder0, self.head = PostNormLayer(256, 8, 1024, True), nn.Linear(256, 14)

    def forward(self, images, state):
        x = self.projection(self.backbone(picture(images))).flatten(2).transpose(1, 2)
        x = torch.cat((self.state(state).unsqueeze(1), x), 1)
        for i in range(4):
            x = getattr(self, f"encoder{i}")(x, self.positions.weight)
        plan = torch.zeros(len(x), 100, 256)
        return self.head(self.decoder0(plan, self.queries.weight, x, self.positions.weight))


# ---- the cases: model, inputs by name with Argosy's shapes, loss ------------------------------------

def squared(model, x):
    return F.mse_loss(model(x["images"]).float(), x["target"])


CASES = {
    "driving": (Driving, dict(images=(64, 120, 160, 3), target=(64, 2)), squared, 64),
    "resnet18": (Classifier, dict(images=(32, 120, 160, 3), target=(32, 2)), squared, 32),
    "temporal": (Temporal, dict(images=(16, 4, 120, 160, 3), target=(16, 2)), squared, 16),
    "gpt": (Gpt, dict(tokens=(16, 256), labels=(4096,)),
            lambda model, x: F.cross_entropy(model(x["tokens"]).float(), x["labels"]), 4096),
    "grok": (Grok, dict(tokens=(8, 256), labels=(2048,)),
             lambda model, x: F.cross_entropy(model(x["tokens"]).float(), x["labels"]), 2048),
    "act": (ActionChunking, dict(images=(8, 240, 320, 3), state=(8, 14), target=(8, 100, 14)),
            lambda model, x: F.l1_loss(model(x["images"], x["state"]).float(), x["target"]), 8),
}


# ---- the rule ---------------------------------------------------------------------------------------

def rule(name, shape):
    """offset and scale of a parameter with Argosy's name and shape."""
    if len(shape) == 1:
        return (1.0 if "norm" in name and name.endswith("/weight") else 0.0), 0.0625
    if any(table in name for table in ("embedding/", "positions/", "queries/")):
        return 0.0, 0.03125
    fan_in = shape[1] if len(shape) == 3 else math.prod(shape[1:])
    return 0.0, float(np.float32(1.7 / math.sqrt(fan_in)))


def parameter_values(name, shape):
    offset, scale = np.float32(rule(name, shape))
    values = drawn(name, math.prod(shape)).astype(np.float32)
    return torch.from_numpy(offset + scale * values).view(shape)


def set_weights(case, model):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            name = name.replace(".", "/")
            if "/qkv/" in name:  # three of Argosy's
                for part, rows in zip(("query", "key", "value"), parameter.chunk(3)):
                    rows.copy_(parameter_values(name.replace("qkv", part), rows.shape))
            elif parameter.dim() == 4:  # [O, I, KH, KW], Argosy's [O, KH, KW, I]
                o, i, h, w = parameter.shape
                parameter.copy_(parameter_values(name, (o, h, w, i)).permute(0, 3, 1, 2))
            elif case == "driving" and name == "hidden1/weight":  # features in the order [H, W, C]
                values = parameter_values(name, parameter.shape).view(-1, 8, 13, 64)
                parameter.copy_(values.permute(0, 3, 1, 2).flatten(1))
            else:
                parameter.copy_(parameter_values(name, parameter.shape))


def inputs(shapes):
    made = {}
    for name, shape in shapes.items():
        values = drawn(name, math.prod(shape)).reshape(shape)
        if name == "images":  # channels first, as PyTorch has them
            pixels = torch.from_numpy(np.floor(values * 128 + 128).astype(np.uint8)).movedim(-1, -3)
            made[name] = pixels if args.layout == "nhwc" else pixels.contiguous()
        elif name in ("tokens", "labels"):
            half = VOCABULARY / 2
            made[name] = torch.from_numpy(np.floor(values * half + half).astype(np.int64))
        else:
            made[name] = torch.from_numpy(values.astype(np.float32))
    return made


class Job:
    def __init__(self, case):
        kind, shapes, loss, self.samples = CASES[case]
        self.model, self.inputs = kind(), inputs(shapes)
        set_weights(case, self.model)
        if args.layout == "nhwc":
            self.model.to(memory_format=torch.channels_last)
        self.loss = torch.compile(loss) if args.mode == "compile" else loss
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)

    def step(self):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.dtype == "bf16"):
            loss = self.loss(self.model, self.inputs)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()


def write_goldens(file):
    rows = []
    for case in CASES:
        job = Job(case)
        losses = [job.step() for _ in range(10)]
        print(case, " ".join(f"{loss:.6f}" for loss in losses), flush=True)
        rows.append(f'    {{"{case}",\n     {{' + ", ".join(f"{loss:.7g}f" for loss in losses) + "}},\n")
    path = pathlib.Path(file)
    text = path.read_text()
    head = text[:text.index("inline constexpr")]
    path.write_text(head + f"inline constexpr std::array<GoldenLosses, {len(rows)}> kGoldenLosses = {{{{\n"
                    + "".join(rows) + "}};\n\n}  // namespace argosy::bench\n")


def main():
    if args.goldens:
        return write_goldens(args.goldens)
    if args.case not in CASES:
        sys.exit(f"--case is one of {', '.join(CASES)}")
    job = Job(args.case)
    measure_steps(args, job.step, job.samples, dtype=args.dtype)


main()
